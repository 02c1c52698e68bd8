"""From a map at the size of the picture to an object: threshold, mask, boxes, outlines.

Masks of more than about four megapixels are labelled and traced on every k-th row and column, and the result is
scaled back. Boxes and outlines are then exact to k pixels: k = 2 up to 16 megapixels, 4 up to 64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fcn_core.images.resize import block_edges

Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_WORKING_PIXELS = 4_200_000
_THRESHOLD_PIXELS = 250_000  # a sample of this size has the same histogram as the whole map
_BINS = 256
_SURE = 0.75  # of the largest value; from 0.6 to 0.9 the masks are as good
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Box:
    """Bounding box of one connected region of a mask.

    Attributes
    ----------
    x0, y0, x1, y1 : int
        In pixels of the picture; the region is within ``x0 <= x < x1`` and ``y0 <= y < y1``.
    area : int
        Number of pixels of the region, not of the box.
    peak : float
        Largest value of the fine map in the region; NaN if no map was given.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    area: int
    peak: float

    def scaled(self, size: tuple[int, ...], larger: tuple[int, ...]) -> Box:
        """Return the box in a picture of another size, both (height, width); the area is its share of the picture."""
        rows, columns = (block_edges(here, there) for here, there in zip(size, larger, strict=True))
        return Box(
            x0=int(columns[self.x0]),
            y0=int(rows[self.y0]),
            x1=int(columns[self.x1]),
            y1=int(rows[self.y1]),
            area=round(self.area * math.prod(larger) / math.prod(size)),
            peak=self.peak,
        )


def normalise(values: npt.ArrayLike) -> Float32:
    """Return the values scaled linearly to 0 to 1; a constant map becomes 0, NaN stays NaN."""
    return normalise_in_place(np.array(values, np.float32))


def normalise_in_place(array: Float32) -> Float32:
    """Scale an array as `normalise` does, without a copy: a map of 50 megapixels is in memory only once."""
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


def suggest_threshold(fine: Float32 | Float64) -> float:
    """Return the threshold that separates object from background best, by Otsu's method.

    It minimises the variance within the two parts (Otsu, "A threshold selection method from gray-level histograms",
    1979); no ground truth is needed.

    Parameters
    ----------
    fine : (H, W) float ndarray
        From 0 to 1.

    Returns
    -------
    float
        From 0 to 1; 0.5 for a constant map.
    """
    from skimage.filters import threshold_otsu  # slow to import

    step = _thinning(fine.shape, _THRESHOLD_PIXELS)
    sample = np.nan_to_num(fine[::step, ::step]).astype(
        np.float64
    )  # float32 cannot divide a narrow range by 256
    if sample.min() == sample.max():
        return 0.5
    # scikit-image returns the middle of the last bin of the background: its upper end is the threshold.
    return float(threshold_otsu(sample, nbins=_BINS) + np.ptp(sample) / _BINS / 2)


def threshold_mask(fine: Float32 | Float64, threshold: float) -> Mask:
    """Return the pixels of a fine map (H, W) that are at least the threshold; NaN never is."""
    return np.greater_equal(fine, threshold)


def hysteresis_mask(fine: Float32 | Float64, threshold: float) -> Mask:
    """Return the parts of a mask that hold a pixel nearly as sure as the surest.

    This is thresholding with hysteresis (Canny, "A computational approach to edge detection", 1986): around a small
    object one threshold also takes parts of the ground or the sky, which are nowhere sure.

    Parameters
    ----------
    fine : (H, W) float ndarray
        From 0 to 1.
    threshold : float
        The lower threshold. The upper one is 0.75 of the largest value.

    Returns
    -------
    (H, W) bool ndarray
        The pixels of at least the lower threshold that are connected, by corners as well, to one of at least the
        upper threshold.
    """
    mask = threshold_mask(fine, threshold)
    labels, count = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    if count < 2:
        return mask
    kept = np.zeros(count + 1, np.bool_)
    kept[labels[mask & (fine >= _SURE * fine.max(where=mask, initial=0))]] = True
    parts: Mask = kept[labels]
    return parts


def boxes_of(mask: Mask, fine: Float32 | None = None, min_share: float = 0.001) -> tuple[Box, ...]:
    """Return the bounding box of each connected region of a mask.

    Pixels that touch at a corner are connected.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    fine : (H, W) float ndarray, optional
        The map from which the mask was made, for the peak of each box.
    min_share : float
        Regions with a smaller share of the picture's pixels are skipped.

    Returns
    -------
    tuple of Box
        Largest region first.
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
    """Return the outlines of a mask along the edges of its pixels, holes included.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    tolerance : float
        Largest distance, in pixels, between the simplified and the true outline (Douglas and Peucker, 1973); 0
        keeps every corner.

    Returns
    -------
    tuple of (n, 2) float ndarray
        Closed polygons of (x, y), largest first; the first point is not repeated. Pixel (row r, column c)
        covers ``c <= x <= c + 1`` and ``r <= y <= r + 1``. Outer outlines run clockwise on the picture, holes
        counter-clockwise: the areas of the exact outlines by `polygon_area` sum to the number of pixels in the
        mask.
    """
    height, width = mask.shape
    step = _thinning(mask.shape, _WORKING_PIXELS)
    polygons = []
    for corners in _trace(mask[::step, ::step]):
        polygon = np.minimum(corners * float(step), (width, height))
        if tolerance > 0:
            from skimage.measure import approximate_polygon  # slow to import, rarely needed

            closed = np.concatenate([polygon, polygon[:1]])
            polygon = approximate_polygon(closed, tolerance)[:-1]
            if len(polygon) < 3:
                continue
        polygons.append(polygon)
    return tuple(sorted(polygons, key=lambda polygon: -abs(polygon_area(polygon))))


def polygon_area(polygon: Float64) -> float:
    """Return the area of a closed polygon (n, 2) of (x, y) by the shoelace formula; negative for holes."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _thinning(shape: tuple[int, ...], pixels: int) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / pixels)))


def _trace(mask: Mask) -> list[Float64]:
    """Return rectilinear polygons around a mask.

    A grid point is a corner if one or three of the four pixels around it are set. If two opposite ones are set, two
    outlines touch there and the corner counts twice. The corners of a grid row, in order, are joined in pairs by
    horizontal edges, those of a grid column by vertical edges. Following horizontal and vertical edges in turn
    gives the outlines.
    """
    ring = np.pad(mask, 1)
    nw, ne, sw, se = ring[:-1, :-1], ring[:-1, 1:], ring[1:, :-1], ring[1:, 1:]
    corner = nw ^ ne ^ sw ^ se
    touching = (nw == se) & (ne == sw) & (nw != ne)
    y, x = np.nonzero(corner | touching)
    if y.size == 0:
        return []
    twice = touching[y, x]
    falling = nw[y, x] & twice  # the pixels at north-west and south-east are set
    repeats = np.where(twice, 2, 1)
    points = np.repeat(np.arange(y.size), repeats)
    second = np.zeros(points.size, bool)
    second[1:] = points[1:] == points[:-1]
    y, x, falling = y[points], x[points], falling[points]
    # Where two outlines touch, the first copy of the corner has the edge to the west, the second the edge to the
    # east. An outline turns around the empty pixel, so that the set pixels stay connected: west is joined with south
    # on a falling diagonal, with north on a rising one.
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
        # The first corner in reading order is a north-west one, so the path from it runs clockwise. That is right
        # around set pixels; the outline of a hole is reversed.
        outline = np.column_stack((x[path], y[path])).astype(np.float64)
        is_hole = not ring[y[start] + 1, x[start] + 1]
        outlines.append(outline[::-1] if is_hole else outline)
    return outlines
