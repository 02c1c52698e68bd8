"""The fine map: the probability of the object at each pixel of the picture, along the borders of its regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fcn_core.images.resize import enlarge
from fcn_core.images.working import working_pixels, working_size
from fcn_core.maps.heatmap import ClassMap, Float32, Heatmap, MapKind, place, synset_heatmap
from fcn_core.maps.read_out import object_probability
from fcn_core.maps.region import normalise_in_place
from fcn_core.maps.region_features import Scene, read_scene
from fcn_core.maps.superpixels import segment


def fine_map(
    pixels: npt.NDArray[np.uint8],
    class_maps: Sequence[ClassMap],
    class_ids: Sequence[int],
    *,
    snap: bool = True,
    kind: MapKind = "evidence",
    scene: Scene | None = None,
) -> Float32:
    """Compute where the object is, at the size of the picture.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 ndarray
        The picture.
    class_maps : sequence of ClassMap
        One or more scales.
    class_ids : sequence of int
        Classes of the synset.
    snap : bool
        Whether to follow the picture's regions. If not, the result is the mean of the scales' heatmaps of `kind`,
        each cell at the centre of its receptive field, scaled to 0 to 1.
    kind : "probability" or "evidence"
        Kind of that plain mean. With `snap` both kinds are used; a picture too small for two regions gets the
        plain mean of evidence.
    scene : Scene, optional
        From `describe`, to avoid computing it again for another synset.

    Returns
    -------
    (H, W) float32 ndarray
        From 0 to 1; with `snap`, the probability that the pixel belongs to the object, if the picture has one.

    Notes
    -----
    The picture is divided into about 500 regions. A learned read-out (:mod:`fcn_core.maps.read_out`) tells for each of
    them, from numbers about it (:mod:`fcn_core.maps.region_features`), how probably it belongs to the synset. Scales
    nearest to 200x320, 400x640 and 800x1280 are used; others change nothing.

    It is computed at the size of the picture's working copy (:mod:`fcn_core.images.working`); in a larger picture each
    value is a block of pixels.
    """
    height, width = working_size(*pixels.shape[:2])
    if (height, width) != pixels.shape[:2]:
        copy = working_pixels(pixels)
        made = fine_map(copy, class_maps, class_ids, snap=snap, kind=kind, scene=scene)
        return enlarge(made, *pixels.shape[:2])
    if not snap:
        total = np.zeros((height, width), np.float32)
        for class_map in class_maps:
            total += place(synset_heatmap(class_map, class_ids, kind), height, width)
        return normalise_in_place(total)
    scene = describe(pixels, class_maps) if scene is None else scene
    if scene.regions.sizes.size < 2:
        return fine_map(pixels, class_maps, class_ids, snap=False, kind="evidence")
    found = object_probability(scene, class_ids).astype(np.float32)
    small = Heatmap(found[scene.regions.labels], "evidence")
    return np.clip(place(small, height, width, placement="even"), 0, 1)


def describe(pixels: npt.NDArray[np.uint8], class_maps: Sequence[ClassMap]) -> Scene:
    """Divide a picture into regions and compute what does not depend on the synset."""
    return read_scene(segment(pixels), class_maps)
