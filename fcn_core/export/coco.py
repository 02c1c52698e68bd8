"""Boxes and outlines in the format of the COCO data set.

See https://cocodataset.org/#format-data. A region without holes is a polygon. COCO polygons have no holes, so a region
with holes is an uncompressed run-length encoding (down the columns, beginning outside the region).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fcn_core.export import original
from fcn_core.export.rle import run_lengths
from fcn_core.images.read import RGBImage
from fcn_core.maps.region import Box, contours_of, polygon_area
from fcn_core.pipeline import Analysis

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def coco_json(analysis: Analysis) -> bytes:
    """Return each box of an analysis as a COCO annotation with the outline of its region.

    Returns
    -------
    bytes
        JSON: ``images`` (one), ``categories`` (the synset, with its ``wnid``), ``annotations`` with ``bbox``
        ``[x, y, width, height]``, ``area`` in pixels, ``segmentation``, and ``score``, the peak of the fine map.
    """
    analysis = analysis.at_working_size
    image, synset = analysis.image, analysis.synset
    note = "" if analysis.model.has_usual_weights else f", {analysis.model.weights} weights"
    data = {
        "info": {
            "description": f"{synset.name} ({synset.wnid}) found by {analysis.model.title}{note}, "
            f"{analysis.kind} map, threshold {analysis.threshold:.4f}",
        },
        "images": [
            {
                "id": 1,
                "file_name": image.name,
                "width": image.original[1],
                "height": image.original[0],
                "sha256": image.sha256,
            }
        ],
        "categories": [
            {"id": 1, "name": synset.name, "supercategory": analysis.model.vocabulary, "wnid": synset.wnid}
        ],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, **_annotation(analysis, box)}
            for number, box in enumerate(analysis.boxes, start=1)
        ],
    }
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _annotation(analysis: Analysis, box: Box) -> dict[str, Any]:
    image = analysis.image
    region = _region(analysis.mask, box)
    corner = np.array([box.x0, box.y0])
    rings = contours_of(region)
    # One ring; several where the outline of a large picture was thinned.
    if all(polygon_area(ring) > 0 for ring in rings):
        segmentation: Any = [_in_original(image, ring + corner) for ring in rings]
    else:
        segmentation = {
            "size": list(image.original),
            "counts": run_lengths(region, image, (box.y0, box.x0)).tolist(),
        }
    found = original.box(image, box)
    rows, columns = original.counts(image, box.y0, box.y1, 0), original.counts(image, box.x0, box.x1, 1)
    return {
        "bbox": [found.x0, found.y0, found.x1 - found.x0, found.y1 - found.y0],
        "area": int((region @ columns) @ rows),
        "segmentation": segmentation,
        "score": box.peak,
    }


def _region(mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """Return the box's own region within the box, without parts of other regions."""
    labels, count = ndimage.label(mask[box.y0 : box.y1, box.x0 : box.x1], structure=_EIGHT_NEIGHBOURS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    own: NDArray[np.bool_] = labels == 1 + int(np.abs(areas - box.area).argmin())
    return own


def _in_original(image: RGBImage, ring: NDArray[np.float64]) -> list[int]:
    corners = (original.lines(image, ring[:, 0], 1), original.lines(image, ring[:, 1], 0))
    found: list[int] = np.column_stack(corners).ravel().tolist()
    return found
