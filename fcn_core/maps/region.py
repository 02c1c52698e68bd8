"""From a heatmap at the size of the picture to a region: threshold, mask, boxes, outlines.

Pictures larger than about four megapixels are labelled and traced on a copy thinned to that size (every k-th
row and column), and the result is scaled back: boxes and outlines are then exact to k pixels, k = 2 up to 16
megapixels, 4 up to 64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fcn_core.images.resize import resize_image
from fcn_core.maps.heatmap import ClassMap, Heatmap, MapKind, place, synset_heatmap

Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_SNAP_SIDE = 320  # longest side at which regions are sought
_REGION_PIXELS = 36  # a region has at least about so many
_KINDS: tuple[MapKind, MapKind] = ("probability", "evidence")
_FULL_SCALE = 400 * 640  # pixels of a scale that counts fully
_ANSWER_SCALE = 800 * 1280  # the scale nearest to it says which regions are alike
_RIM = 0.03  # width of the border, as a share of the longer side
_WORKING_PIXELS = 4_200_000
_THRESHOLD_PIXELS = 250_000  # a histogram of this many pixels has the shape of the whole map's
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Box:
    """Bounding box of one connected region.

    Attributes
    ----------
    x0, y0, x1, y1 : int
        Pixels of the picture; the region lies within ``x0 <= x < x1`` and ``y0 <= y < y1``.
    area : int
        Pixels of the mask inside, not of the box.
    peak : float
        Largest value of the fine map in the region; NaN where no map was given.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    area: int
    peak: float


def normalise(values: npt.ArrayLike) -> Float32:
    """Stretch finite values to 0 (smallest) .. 1 (largest); a constant map becomes 0, NaN stays NaN."""
    return _stretch(np.array(values, np.float32))


def _stretch(array: Float32) -> Float32:
    """`normalise` in place: a map of 50 megapixels is held once."""
    finite = np.isfinite(array)
    if not finite.any():
        array[...] = 0
        return array
    low = float(array.min(where=finite, initial=np.inf))
    high = float(array.max(where=finite, initial=-np.inf))
    if high <= low:
        array[...] = 0
        return array
    array -= np.float32(low)
    array /= np.float32(high - low)
    return np.clip(array, 0, 1, out=array)


@dataclass(frozen=True)
class Snapping:
    """The one setting of `fine_map` for all pictures and synsets; ``benchmarks/quality.md`` says how it was found.

    Attributes
    ----------
    regions : int
        How many regions a picture is cut into, about.
    compactness : float
        How square they are (Achanta et al., "SLIC Superpixels", TPAMI 2012).
    colour, distance, answer : float
        Differences of regions at which a step between them becomes unlikely (sigma of a Gaussian): of colour in
        CIELAB; of place as a share of the picture's longer side; of what the network says, between positive
        parts of logits scaled to length 1.
    far_colour, far_answer, far : float
        The same for steps to anywhere in the picture, and how often those are taken for one step nearby.
    stop : float
        How readily a walker stops where the network is sure.
    background, certainty : float
        Weight of the background, ``background * (1 - object) ** certainty``.
    border : float
        Weight of the background at the picture's border.
    saturation : float
        Share of the picture's area above which the map counts as sure of the object.
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
    """A picture cut into small regions of one colour each; made once a picture, for every synset.

    Attributes
    ----------
    labels : (h, w) int ndarray
        Number of the region of every pixel, from 0 to n - 1, at a size of at most 320 pixels a side.
    sizes : (n,) float ndarray
        Pixels of each.
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
        """Mean over each region of an array (h, w)."""
        sums = np.bincount(self.labels.ravel(), np.asarray(values).ravel(), self.sizes.size)
        return sums / self.sizes


def segment(pixels: npt.NDArray[np.uint8], snapping: Snapping = SNAPPING) -> Regions:
    """Cut a picture (H, W, 3) into regions (SLIC superpixels)."""
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
    """Where the object is, at the size of the picture.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 ndarray
        The picture.
    class_maps : sequence of ClassMap
        One or more scales.
    class_ids : sequence of int
        Classes of the synset.
    snap : bool
        Whether to follow the picture's regions. If not: the mean of the scales' heatmaps of `kind`, every cell
        placed at its receptive field's centre.
    kind : "probability" or "evidence"
        Of that plain mean; with `snap` both are used (a picture too small for two regions has the plain mean of
        evidence).
    regions : Regions, optional
        From `segment`, to save its time when only the synset changed.
    snapping : Snapping, optional
        The setting, for measuring others.

    Returns
    -------
    (H, W) float32 ndarray
        From 0 to 1.

    Notes
    -----
    A walker starts in a region and steps to others, the likelier the more alike they are in colour, in place and
    in what the network says there, or, more seldom, to one that is alike anywhere. In a region of confidence c it
    stops with a weight of c for the object and of ``2 (1 - c)**8``, more at the picture's border, for the
    background. The probability x to stop as object solves ``(I - P + D(a + b)) x = a``: a variant of the random walker
    with priors of Grady, "Multilabel Random Walker Image Segmentation Using Prior Models", CVPR 2005. His steps follow
    one symmetric graph of neighbouring pixels; here P mixes two kernels between regions, each normalised to steps that
    sum to one, the far one with a factor of 0.1. The second walk
    starts from x itself, cut softly at its Otsu threshold, which gives pictures a common one; the result is the
    mean of both.

    The confidence is the mean of probability and evidence: the one is precise, the other complete. A scale with
    fewer pixels than 400x640 counts by its share of them.
    """
    height, width = pixels.shape[:2]
    if not snap:
        total = np.zeros((height, width), np.float32)
        for class_map in class_maps:
            total += place(synset_heatmap(class_map, class_ids, kind), height, width)
        return _stretch(total)
    regions = segment(pixels, snapping) if regions is None else regions
    if regions.sizes.size < 2:
        return fine_map(pixels, class_maps, class_ids, snap=False, kind="evidence")
    confidence = _confidence(regions, class_maps, class_ids, snapping)
    found = _complete(regions, _steps(regions, class_maps, snapping), confidence, snapping)
    small = Heatmap(found.astype(np.float32)[regions.labels], "evidence")
    return _stretch(place(small, height, width, placement="even"))


def _confidence(
    regions: Regions, class_maps: Sequence[ClassMap], class_ids: Sequence[int], snapping: Snapping
) -> Float64:
    """How sure the network is of the object in each region, 0 to 1."""
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
    """Probability of a walker's step from each region to each other, (n, n)."""
    finest = min(class_maps, key=lambda m: abs(math.log(m.scale.height * m.scale.width / _ANSWER_SCALE)))
    said = np.maximum(_logits_at(finest, regions), 0)
    said /= np.maximum(np.linalg.norm(said, axis=1, keepdims=True), 1e-6)
    answer = _squared_distances(said) / 2
    colour = _squared_distances(regions.colours) / 2
    apart = _squared_distances(regions.centres / max(regions.labels.shape)) / 2
    near = answer / snapping.answer**2 + colour / snapping.colour**2 + apart / snapping.distance**2
    far = answer / snapping.far_answer**2 + colour / snapping.far_colour**2
    steps: Float64 = _transitions(near) + snapping.far * _transitions(far)
    return steps / (1 + snapping.far)


def _complete(regions: Regions, steps: Float64, confidence: Float64, snapping: Snapping) -> Float64:
    """The object completed from where the network is sure of it, 0 to 1 for each region; see `fine_map`."""
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
    """Probability that a walker stops as object, from each region, stretched to 0 to 1.

    `steps` (n, n) are the probabilities of its steps; `to_object` and `to_background` (n,) weigh its stopping.
    """
    system = np.eye(steps.shape[0]) - steps + np.diag(to_object + to_background)
    return cast(Float64, normalise(np.linalg.solve(system, to_object)).astype(np.float64))


def _logits_at(class_map: ClassMap, regions: Regions) -> Float32:
    """Logits at the regions' centres, (n, C), bilinear between cell centres."""
    total: Float32 | float = 0.0
    sides = []
    for axis, centre, pixels in zip(
        (class_map.cells.y, class_map.cells.x), regions.centres.T, regions.labels.shape, strict=True
    ):
        position = axis.index(centre, pixels)
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
    """Size with the same proportions and no side longer than `side`."""
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def suggest_threshold(fine: Float32 | Float64) -> float:
    """Threshold that splits a fine map into object and background without knowing the truth.

    Otsu's: the one that leaves the least variance within the two sides (Otsu, "A threshold selection method
    from gray-level histograms", 1979).

    Parameters
    ----------
    fine : (H, W) float ndarray
        From 0 to 1.

    Returns
    -------
    float
        From 0 to 1; 0.5 for a constant map, which has no two sides.
    """
    step = _thinning(fine.shape, _THRESHOLD_PIXELS)
    sample = np.nan_to_num(fine[::step, ::step]).astype(
        np.float64
    )  # float32 cannot part a narrow range in 256
    if sample.min() == sample.max():
        return 0.5
    counts, edges = np.histogram(sample, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = counts.cumsum(), counts[::-1].cumsum()[::-1]
    sum_below, sum_above = (counts * middles).cumsum(), (counts * middles)[::-1].cumsum()[::-1]
    apart = sum_below[:-1] / below[:-1] - sum_above[1:] / above[1:]
    return float(edges[1:-1][np.argmax(below[:-1] * above[1:] * apart**2)])


def threshold_mask(fine: Float32, threshold: float) -> Mask:
    """Pixels of a fine map (H, W) that reach the threshold; NaN never does."""
    return np.greater_equal(fine, threshold)


def boxes_of(mask: Mask, fine: Float32 | None = None, min_share: float = 0.001) -> tuple[Box, ...]:
    """Bounding box of every connected region of a mask.

    Pixels that touch at a corner are connected.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    fine : (H, W) float ndarray, optional
        The map the mask was made from, for the peak of each box.
    min_share : float
        Regions with a smaller share of the picture's pixels are left out.

    Returns
    -------
    tuple of Box
        The one with the largest region first.
    """
    height, width = mask.shape
    step = _thinning(mask.shape, _WORKING_PIXELS)
    thinned = mask[::step, ::step]
    labels, count = ndimage.label(thinned, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return ()
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(areas >= min_share * thinned.size)
    extents = ndimage.find_objects(labels)
    boxes = []
    for index in kept:
        rows, columns = extents[index]
        peak = math.nan
        if fine is not None:
            inside = labels[rows, columns] == index + 1
            peak = float(fine[::step, ::step][rows, columns][inside].max())
        box = Box(
            x0=columns.start * step,
            y0=rows.start * step,
            x1=min(columns.stop * step, width),
            y1=min(rows.stop * step, height),
            area=0,
            peak=peak,
        )
        most = (box.x1 - box.x0) * (box.y1 - box.y0)
        boxes.append(Box(box.x0, box.y0, box.x1, box.y1, min(int(areas[index]) * step * step, most), peak))
    return tuple(sorted(boxes, key=lambda box: (-box.area, box.y0, box.x0)))


def contours_of(mask: Mask, tolerance: float = 0.0) -> tuple[Float64, ...]:
    """Outlines of a mask along the edges of its pixels, holes included.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    tolerance : float
        How far, in pixels, a simplified outline may lie from the true one (Douglas and Peucker, 1973); 0
        keeps every corner.

    Returns
    -------
    tuple of (n, 2) float ndarray
        Closed polygons of (x, y), the first point not repeated, the largest first. Pixel (row r, column c)
        covers ``c <= x <= c + 1`` and ``r <= y <= r + 1``. Outer outlines run clockwise as seen on the
        picture, holes the other way round: with `polygon_area` the exact outlines add up to the number of
        pixels in the mask.
    """
    height, width = mask.shape
    step = _thinning(mask.shape, _WORKING_PIXELS)
    polygons = []
    for corners in _trace(mask[::step, ::step]):
        polygon = np.minimum(corners * float(step), (width, height))
        if tolerance > 0:
            from skimage.measure import approximate_polygon  # slow to import, seldom needed

            closed = np.concatenate([polygon, polygon[:1]])
            polygon = approximate_polygon(closed, tolerance)[:-1]
            if len(polygon) < 3:
                continue
        polygons.append(polygon)
    return tuple(sorted(polygons, key=lambda polygon: -abs(polygon_area(polygon))))


def polygon_area(polygon: Float64) -> float:
    """Area of a closed polygon (n, 2) of (x, y); negative for holes (the shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _thinning(shape: tuple[int, ...], pixels: int) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / pixels)))


def _trace(mask: Mask) -> list[Float64]:
    """Rectilinear polygons around a mask, from its corners alone.

    A grid point is a corner where one or three of the four pixels around it are set; where two opposite ones
    are, two outlines touch and it counts twice. Along a grid row the corners, in order, are joined in pairs
    by horizontal edges, along a grid column by vertical ones. Walking the edges in turn gives the outlines.
    """
    ring = np.pad(mask, 1)
    nw, ne, sw, se = ring[:-1, :-1], ring[:-1, 1:], ring[1:, :-1], ring[1:, 1:]
    corner = nw ^ ne ^ sw ^ se
    touching = (nw == se) & (ne == sw) & (nw != ne)
    y, x = np.nonzero(corner | touching)
    if y.size == 0:
        return []
    twice = touching[y, x]
    falling = nw[y, x] & twice  # set pixels at north-west and south-east
    repeats = np.where(twice, 2, 1)
    points = np.repeat(np.arange(y.size), repeats)
    second = np.zeros(points.size, bool)
    second[1:] = points[1:] == points[:-1]
    y, x, falling = y[points], x[points], falling[points]
    # At a touching point the first copy owns the edge to the west, the second the one to the east. To keep
    # the set pixels joined, an outline turns round the empty pixel: west goes with south on a falling
    # diagonal, with north on a rising one.
    along_rows = np.lexsort((second, x, y))
    along_columns = np.lexsort((second ^ falling, y, x))
    beside, above = np.empty(points.size, np.intp), np.empty(points.size, np.intp)
    for partner, order in ((beside, along_rows), (above, along_columns)):
        partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    outlines = []
    seen = bytearray(points.size)
    horizontal, vertical = beside.tolist(), above.tolist()
    for start in along_rows.tolist():
        if seen[start]:
            continue
        path: list[int] = []
        point = start
        while not seen[point]:
            across = horizontal[point]
            path += (point, across)
            seen[point] = seen[across] = 1
            point = vertical[across]
        # The first corner in reading order is a north-west one: walking east from it is clockwise around set
        # pixels, and clockwise around a hole too, which therefore is turned round.
        outline = np.column_stack((x[path], y[path])).astype(np.float64)
        is_hole = not ring[y[start] + 1, x[start] + 1]
        outlines.append(outline[::-1] if is_hole else outline)
    return outlines
