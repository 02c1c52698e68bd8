"""The fine map: where an object is, at the size of the picture, along the borders of its regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from fcn_core.images.resize import resize_image
from fcn_core.maps.heatmap import ClassMap, Float32, Float64, Heatmap, MapKind, place, synset_heatmap
from fcn_core.maps.region import normalise, normalise_in_place, suggest_threshold

_SNAP_SIDE = 320  # longest side of the picture that is cut into regions
_REGION_PIXELS = 36  # smallest number of pixels of a region, approximately
_KINDS: tuple[MapKind, MapKind] = ("probability", "evidence")
_FULL_SCALE = 400 * 640  # a scale with at least this many pixels has full weight
_ANSWER_SCALE = 800 * 1280  # the scale nearest to this one tells which regions are alike
_RIM = 0.03  # width of the border, as a share of the longer side


@dataclass(frozen=True)
class Snapping:
    """The parameters of `fine_map`, the same for all pictures; ``benchmarks/quality.md`` tells how they were found.

    Attributes
    ----------
    regions : int
        Approximate number of regions of a picture.
    compactness : float
        How square the regions are (Achanta et al., "SLIC Superpixels", TPAMI 2012).
    colour, distance, answer : float
        Difference between two regions at which a step between them becomes unlikely (sigma of a Gaussian): of
        colour in CIELAB, of position as a share of the picture's longer side, and of the network's answer (positive
        parts of the logits, scaled to length 1).
    far_colour, far_answer, far : float
        The same for steps to any place in the picture, and the number of such steps per nearby step.
    stop : float
        Rate at which a walker stops where the network is sure.
    background, certainty : float
        Weight of the background, ``background * (1 - object) ** certainty``.
    border : float
        Weight of the background at the picture's border.
    saturation : float
        Quantile of the picture's area from which the network counts as sure of the object.
    softness : float
        Width of the threshold before the second walk.
    """

    regions: int = 500
    compactness: float = 20.0
    colour: float = 10.0
    distance: float = 0.1
    answer: float = 0.34
    far_colour: float = 5.0
    far_answer: float = 0.41
    far: float = 0.1
    stop: float = 0.1
    background: float = 2.0
    certainty: float = 8.0
    border: float = 0.3
    saturation: float = 0.97
    softness: float = 0.15


SNAPPING = Snapping()


@dataclass(frozen=True, eq=False)
class Regions:
    """A picture divided into small regions of similar colour; they do not depend on the synset.

    Attributes
    ----------
    labels : (h, w) int ndarray
        Region of each pixel, from 0 to n - 1. The longest side has at most 320 pixels.
    sizes : (n,) float ndarray
        Number of pixels of each region.
    centres : (n, 2) float ndarray
        Row and column of each region's centroid.
    colours : (n, 3) float ndarray
        Mean colour in CIELAB.
    """

    labels: npt.NDArray[np.intp]
    sizes: Float64
    centres: Float64
    colours: Float64

    def mean(self, values: npt.ArrayLike) -> Float64:
        """Return the mean of an array (h, w) over each region, (n,)."""
        sums = np.bincount(self.labels.ravel(), np.asarray(values).ravel(), self.sizes.size)
        return sums / self.sizes


def segment(pixels: npt.NDArray[np.uint8], snapping: Snapping = SNAPPING) -> Regions:
    """Divide a picture (H, W, 3) into regions (SLIC superpixels)."""
    from skimage.color import rgb2lab  # slow to import
    from skimage.segmentation import slic

    height, width = _bounded(pixels.shape[0], pixels.shape[1], _SNAP_SIDE)
    small = np.clip(resize_image(pixels, height, width) / 255, 0, 1)
    wanted = min(snapping.regions, height * width // _REGION_PIXELS)
    labels = np.zeros((height, width), np.intp)
    if wanted > 1:
        labels = slic(small, wanted, compactness=snapping.compactness, sigma=1, start_label=0)
        labels = np.unique(labels, return_inverse=True)[1].reshape(height, width)
    rows, columns = np.indices(labels.shape)
    lab = rgb2lab(small)
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    properties = [
        np.bincount(labels.ravel(), plane.ravel()) / sizes
        for plane in (rows, columns, *np.moveaxis(lab, -1, 0))
    ]
    return Regions(labels, sizes, np.stack(properties[:2], axis=1), np.stack(properties[2:], axis=1))


def fine_map(
    pixels: npt.NDArray[np.uint8],
    class_maps: Sequence[ClassMap],
    class_ids: Sequence[int],
    *,
    snap: bool = True,
    kind: MapKind = "evidence",
    regions: Regions | None = None,
    snapping: Snapping = SNAPPING,
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
        each cell at the centre of its receptive field.
    kind : "probability" or "evidence"
        Kind of that plain mean. With `snap` both kinds are used; a picture too small for two regions gets the
        plain mean of evidence.
    regions : Regions, optional
        From `segment`, to avoid computing them again for another synset.
    snapping : Snapping, optional
        Other parameters, for measurements.

    Returns
    -------
    (H, W) float32 ndarray
        From 0 to 1.

    Notes
    -----
    A walker starts in a region and steps to other regions. A step is more probable the more similar the two regions
    are in colour, in position and in the network's answer; fewer steps lead to a similar region anywhere in the
    picture. In a region of confidence c the walker stops as object with weight c, and as background with weight
    ``2 (1 - c)**8``, which is larger at the picture's border. The probability x of stopping as object solves
    ``(I - P + D(a + b)) x = a``: a variant of the random walker with priors of Grady, "Multilabel Random Walker Image
    Segmentation Using Prior Models", CVPR 2005. Grady's steps follow one symmetric graph of neighbouring pixels; here
    P is the sum of two kernels between regions, each normalised to steps that sum to one, the far one with a factor
    of 0.1. A second walk starts from x, softly cut at its Otsu threshold, so that one threshold suits all pictures.
    The result is the mean of both walks.

    The confidence is the mean of probability, which is precise, and evidence, which is complete. A scale with fewer
    pixels than 400x640 has a weight in proportion to them.
    """
    height, width = pixels.shape[:2]
    if not snap:
        total = np.zeros((height, width), np.float32)
        for class_map in class_maps:
            total += place(synset_heatmap(class_map, class_ids, kind), height, width)
        return normalise_in_place(total)
    regions = segment(pixels, snapping) if regions is None else regions
    if regions.sizes.size < 2:
        return fine_map(pixels, class_maps, class_ids, snap=False, kind="evidence")
    confidence = _confidence(regions, class_maps, class_ids, snapping)
    found = _complete(regions, _steps(regions, class_maps, snapping), confidence, snapping)
    small = Heatmap(found.astype(np.float32)[regions.labels], "evidence")
    return normalise_in_place(place(small, height, width, placement="even"))


def _confidence(
    regions: Regions, class_maps: Sequence[ClassMap], class_ids: Sequence[int], snapping: Snapping
) -> Float64:
    """Return how sure the network is of the object in each region, 0 to 1."""
    rows, columns = regions.labels.shape
    both = np.zeros(regions.sizes.size)
    for kind in _KINDS:
        total = np.zeros((rows, columns), np.float32)
        for class_map in class_maps:
            share = min(1.0, class_map.scale.height * class_map.scale.width / _FULL_SCALE)
            total += share * place(synset_heatmap(class_map, class_ids, kind), rows, columns)
        both += normalise(regions.mean(total))
    both = normalise(both).astype(np.float64)
    order = np.argsort(both)
    area = regions.sizes[order].cumsum()
    sure = both[order][np.searchsorted(area, snapping.saturation * area[-1])]
    return cast(Float64, np.minimum(both / max(sure, 1e-6), 1.0))


def _steps(regions: Regions, class_maps: Sequence[ClassMap], snapping: Snapping) -> Float64:
    """Return the probability of a step from each region to each other one, (n, n)."""
    finest = min(class_maps, key=lambda m: abs(math.log(m.scale.height * m.scale.width / _ANSWER_SCALE)))
    positive = np.maximum(_logits_at(finest, regions), 0)
    positive /= np.maximum(np.linalg.norm(positive, axis=1, keepdims=True), 1e-6)
    answer = _squared_distances(positive) / 2
    colour = _squared_distances(regions.colours) / 2
    apart = _squared_distances(regions.centres / max(regions.labels.shape)) / 2
    near = answer / snapping.answer**2 + colour / snapping.colour**2 + apart / snapping.distance**2
    far = answer / snapping.far_answer**2 + colour / snapping.far_colour**2
    steps: Float64 = _transitions(near) + snapping.far * _transitions(far)
    return steps / (1 + snapping.far)


def _complete(regions: Regions, steps: Float64, confidence: Float64, snapping: Snapping) -> Float64:
    """Return the object, 0 to 1 for each region, completed from where the network is sure of it; see `fine_map`."""
    rows, columns = regions.labels.shape
    y, x = regions.centres.T
    rim = np.minimum.reduce([y, x, rows - 1 - y, columns - 1 - x]).clip(0) / max(rows, columns)
    background = snapping.background * (1 - confidence) ** snapping.certainty
    background += snapping.border * np.exp(-rim / _RIM)
    first = _walk(steps, snapping.stop * confidence, snapping.stop * background)
    cut = suggest_threshold(first[regions.labels])
    likely = snapping.stop / (1 + np.exp((cut - first) / snapping.softness))
    return (first + _walk(steps, likely, snapping.stop - likely)) / 2


def _walk(steps: Float64, to_object: Float64, to_background: Float64) -> Float64:
    """Return the probability that a walker from each region stops as object, scaled to 0 to 1.

    `steps` (n, n) are the probabilities of its steps, `to_object` and `to_background` (n,) the weights of stopping.
    """
    system = np.eye(steps.shape[0]) - steps + np.diag(to_object + to_background)
    return cast(Float64, normalise(np.linalg.solve(system, to_object)).astype(np.float64))


def _logits_at(class_map: ClassMap, regions: Regions) -> Float32:
    """Return the logits at the regions' centres, (n, C), bilinear between cell centres."""
    total: Float32 | float = 0.0
    sides = []
    for axis, centre, pixels in zip(
        (class_map.cells.y, class_map.cells.x), regions.centres.T, regions.labels.shape, strict=True
    ):
        position = ((centre + 0.5) * axis.input_size / pixels - 0.5 - axis.first) / axis.stride
        position = np.clip(position, 0, axis.size - 1)
        lower = np.minimum(position.astype(np.intp), max(axis.size - 2, 0))
        part = (position - lower).astype(np.float32)[:, None]
        sides.append(((lower, 1 - part), (np.minimum(lower + 1, axis.size - 1), part)))
    for row, down in sides[0]:
        for column, across in sides[1]:
            total = total + down * across * class_map.logits[row, column]
    return np.asarray(total, np.float32)


def _squared_distances(points: npt.NDArray[np.floating]) -> Float64:
    squares = (points.astype(np.float64) ** 2).sum(axis=1)
    distances = (squares[:, None] + squares - 2 * (points @ points.T)).clip(0)
    return cast(Float64, distances)


def _transitions(differences: Float64) -> Float64:
    weights = np.exp(-differences)
    np.fill_diagonal(weights, 0)
    steps: Float64 = weights / (weights.sum(axis=1, keepdims=True) + 1e-6)
    return steps


def _bounded(height: int, width: int, side: int) -> tuple[int, int]:
    """Return a size with the same proportions and no side longer than `side`."""
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
