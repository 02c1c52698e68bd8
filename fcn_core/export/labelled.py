"""A picture with all that was found in it, as files: manifest, COCO panoptic segmentation, overlay with legend.

The format of COCO's panoptic segmentation (https://cocodataset.org/#format-data; Kirillov et al., "Panoptic
Segmentation", CVPR 2019) is a PNG and a JSON file. The colour of a pixel is the number of its segment,
``R + 256 G + 256**2 B``; 0 is nothing. Sizes, areas and boxes are in pixels of the original.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fcn_core import render
from fcn_core.engines.base import ModelInfo
from fcn_core.export import files, original
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import block_edges
from fcn_core.images.scales import Fit
from fcn_core.maps.findings import Finding
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.segmentation import Segment, Segmentation
from fcn_core.synsets.records import WNID
from fcn_core.system import memory
from fcn_core.system.installed import versions

SCHEMA = "fcn-regions/1"
_PICTURE_ID = 1


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture, all that was found in it, and how.

    Attributes
    ----------
    image : RGBImage
    model : ModelInfo
    fit : {"aspect", "exact"}
    class_maps : mapping of str to ClassMap
        By scale as requested ("200x320").
    segmentation : Segmentation
        Of `image`.
    seconds : float
        Time of the forward passes and of everything after them.
    """

    image: RGBImage
    model: ModelInfo
    fit: Fit
    class_maps: Mapping[str, ClassMap]
    segmentation: Segmentation
    seconds: float


def manifest(labelled: LabelledPicture) -> dict[str, Any]:
    """Return what was found and how, as plain data for JSON.

    ``findings`` are the synsets that competed for the regions, ``segments`` those that got some. ``id`` is the
    number of the segment in ``panoptic.png``.
    """
    image, segmentation = labelled.image, _in_original(labelled)
    return {
        "schema": SCHEMA,
        "image": files.image_entry(image),
        "model": files.model_entry(labelled.model),
        "fit": labelled.fit,
        "scales": [files.scale_entry(key, each) for key, each in labelled.class_maps.items()],
        "findings": [_finding(candidate) for candidate in segmentation.candidates],
        "segments": [
            {
                "id": number,
                **_finding(segment),
                "area": segment.area,
                "box": list(segment.box),
            }
            for segment, number in zip(segmentation.segments, _numbers(segmentation), strict=True)
        ],
        "versions": versions(),
        "seconds": labelled.seconds,
        "peak_rss_mb": memory.peak_rss_mb(),
    }


def manifest_json(labelled: LabelledPicture) -> bytes:
    """Return the manifest as an indented JSON file."""
    return json.dumps(manifest(labelled), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def panoptic_png(labelled: LabelledPicture) -> bytes:
    """Return the number of each pixel's segment as an RGB PNG of the original's size."""
    segmentation = labelled.segmentation
    table = np.array([(0, 0, 0), *render.segment_colours(len(segmentation.segments))], np.uint8)
    down, across = (
        np.diff(block_edges(cells, pixels))
        for cells, pixels in zip(segmentation.labels.shape, labelled.image.original, strict=True)
    )
    png = original.enlarged_png(table[segmentation.labels], down, across)
    return original.described_png(png, _description(labelled))


def panoptic_json(labelled: LabelledPicture, png: str = "panoptic.png") -> bytes:
    """Return the segments in the format of COCO's panoptic segmentation.

    Parameters
    ----------
    labelled : LabelledPicture
    png : str
        Name of the file of `panoptic_png`.

    Returns
    -------
    bytes
        JSON: ``images`` (one), ``annotations`` (one, with ``segments_info``), ``categories``. A category's id is the
        number in its wnid, so that files of several pictures agree. A segment holds all of a synset, as with
        COCO's stuff: ``isthing`` is 0.
    """
    image, segmentation = labelled.image, _in_original(labelled)
    segments, colours = segmentation.segments, render.segment_colours(len(segmentation.segments))
    data = {
        "info": {"description": _description(labelled)},
        "images": [
            {
                "id": _PICTURE_ID,
                "file_name": image.name,
                "width": image.original[1],
                "height": image.original[0],
                "sha256": image.sha256,
            }
        ],
        "annotations": [
            {
                "image_id": _PICTURE_ID,
                "file_name": png,
                "segments_info": [
                    {
                        "id": number,
                        "category_id": category_id(s.synset.wnid),
                        "area": s.area,
                        "bbox": [s.box[0], s.box[1], s.box[2] - s.box[0], s.box[3] - s.box[1]],
                        "iscrowd": 0,
                        "presence": s.presence,
                    }
                    for s, number in zip(segments, _numbers(segmentation), strict=True)
                ],
            }
        ],
        "categories": [
            {
                "id": category_id(s.synset.wnid),
                "name": s.synset.name,
                "supercategory": labelled.model.vocabulary,
                "isthing": 0,
                "color": list(colour),
                "wnid": s.synset.wnid,
            }
            for s, colour in zip(segments, colours, strict=True)
        ],
    }
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def overlay_png(labelled: LabelledPicture) -> bytes:
    """Return the picture with its segments, and their legend below it."""
    picture = render.draw_segments(labelled.image.pixels, labelled.segmentation)
    if not labelled.model.has_usual_weights:
        picture = files.stamped(picture, f"{labelled.model.weights} weights")
    picture = render.with_segment_legend(picture, labelled.segmentation)
    return original.described_png(render.encode(picture, "png"), _description(labelled))


#: The files of one picture, each with the function that makes it.
FILES: Mapping[str, Callable[[LabelledPicture], bytes]] = {
    "manifest.json": manifest_json,
    "panoptic.png": panoptic_png,
    "panoptic.json": panoptic_json,
    "overlay.png": overlay_png,
}


def write_folder(labelled: LabelledPicture, folder: Path) -> tuple[Path, ...]:
    """Write all files into `folder`, which is created if missing, the manifest last.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    return files.write_files({name: partial(make, labelled) for name, make in FILES.items()}, folder)


def _in_original(labelled: LabelledPicture) -> Segmentation:
    return labelled.segmentation.resized(*labelled.image.original)


def _numbers(segmentation: Segmentation) -> list[int]:
    """Return the numbers of the segments in the PNG."""
    return [r + 256 * g + 256**2 * b for r, g, b in render.segment_colours(len(segmentation.segments))]


def category_id(wnid: str) -> int:
    """Return the number of a synset: that in its wnid, or of a class without one, from 1 on as COCO's."""
    return int(wnid.removeprefix("n")) if WNID.fullmatch(wnid) else int(wnid.removeprefix("class-")) + 1


def _finding(found: Finding | Segment) -> dict[str, Any]:
    return {"wnid": found.synset.wnid, "words": list(found.synset.words), "presence": found.presence}


def _description(labelled: LabelledPicture) -> str:
    model, part = labelled.model, labelled.image.reduced
    return f"fcn_core: regions, {model.title}, {model.weights} weights" + (
        f", picture decoded at 1/{part} of its sides" if part > 1 else ""
    )
