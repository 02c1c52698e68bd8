"""Resize pictures and maps as the notebook does, in less time and memory.

The result equals the notebook's ``skimage.transform.resize(..., mode='reflect', preserve_range=True)``. That resizing
is separable and linear, so it is a product with one banded matrix per axis: a Gaussian against aliasing, then linear
interpolation at half-pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

# Floats of the picture in one step: they fit into a processor's cache, and need little memory.
_WORK_FLOATS = 2**18
# Where rows shrink, a step makes at least this number of them, from this number of columns at a time: short steps cost
# more than what they compute, and a whole row of a large picture does not fit into the cache.
_LEAST_ROWS = 32
_WORK_COLUMNS = 2**12

_Value = TypeVar("_Value", bound=np.generic)


@lru_cache(maxsize=32)
def resize_matrix(n_in: int, n_out: int, dtype: DTypeLike = np.float32) -> sparse.csr_array:
    """Return the matrix that resizes one axis as ``skimage.transform.resize`` does.

    Parameters
    ----------
    n_in, n_out : int
        Length of the axis before and after.
    dtype : dtype
        Type of the weights, which are computed in double precision.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_out, n_in)
        Banded; each row sums to one. Shared by all callers: do not write into it.

    Notes
    -----
    If the axis shrinks by ``f = n_in / n_out``, a Gaussian with sigma ``(f - 1) / 2``, truncated at four sigmas,
    precedes the linear interpolation at half-pixel centres. Borders are mirrored about the centre of the outermost
    pixel (NumPy's "reflect", SciPy's "mirror").
    """
    factor = n_in / n_out
    sigma = max(0.0, (factor - 1) / 2)
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    gaussian = np.exp(-0.5 * (offsets / sigma) ** 2) if radius else np.ones(1)
    gaussian /= gaussian.sum()

    position = np.abs((np.arange(n_out) + 0.5) * factor - 0.5)
    if n_in > 1:
        position = (n_in - 1) - np.abs((n_in - 1) - position)
    else:
        position[:] = 0
    left = np.floor(position).astype(np.int64)
    part = (position - left)[:, None]
    # The Gaussians of both neighbours are one pixel apart: together they have 2 * radius + 2 taps.
    weights = np.zeros((n_out, 2 * radius + 2))
    weights[:, :-1] += (1 - part) * gaussian
    weights[:, 1:] += part * gaussian
    columns = _mirrored(left[:, None] + np.arange(-radius, radius + 2), n_in)
    rows = np.repeat(np.arange(n_out), weights.shape[1])
    taps = weights.astype(dtype).ravel()
    matrix = sparse.coo_array((taps, (rows, columns.ravel())), shape=(n_out, n_in)).tocsr()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if size == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * (size - 1))
    return np.minimum(index, 2 * (size - 1) - index)


def resize_image(pixels: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resize a picture for a network.

    Parameters
    ----------
    pixels : ndarray, shape (H, W) or (H, W, C)
        Any real type; the range of values does not change.
    height, width : int
        Size of the result.

    Returns
    -------
    ndarray of float32, shape (height, width) or (height, width, C)
        Within 0.01 grey levels of 255 of ``skimage.transform.resize(pixels, (height, width), mode='reflect',
        preserve_range=True)``.
    """
    layers = pixels if pixels.ndim == 3 else pixels[:, :, None]
    planes = _resize_window(layers, slice(0, height), slice(0, width), height, width)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1)) if pixels.ndim == 3 else planes[0]


def resize_array(values: NDArray[np.floating[Any]], height: int, width: int) -> NDArray[Any]:
    """Resize a map, such as a heatmap, in double precision.

    Parameters
    ----------
    values : ndarray of float, shape (h, w) or (h, w, C)
    height, width : int
        Size of the result.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, C)
        In the type of ``values``; within 1e-6 of ``skimage.transform.resize(values, (height, width),
        mode='reflect', preserve_range=True)``.
    """
    n_rows, n_columns, *channels = values.shape
    double = values.astype(np.float64, copy=False)
    A = resize_matrix(n_rows, height, np.float64)
    B = resize_matrix(n_columns, width, np.float64)
    tall = (A @ double.reshape(n_rows, -1)).reshape(height, n_columns, -1)
    wide = (B @ tall.swapaxes(0, 1).reshape(n_columns, -1)).reshape(width, height, -1)
    resized = wide.swapaxes(0, 1).reshape(height, width, *channels)
    return np.ascontiguousarray(resized, dtype=values.dtype)


@dataclass(frozen=True, eq=False)
class ResizedImage:
    """A picture at a network's size that computes only the rows that are requested.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        The picture.
    height, width : int
        Size of the resized picture.
    """

    pixels: NDArray[np.uint8]
    height: int
    width: int

    def rows(self, start: int, stop: int, left: int = 0, right: int | None = None) -> NDArray[np.float32]:
        """Return rows ``start`` to ``stop`` (exclusive) of the resized picture, channels first.

        ``left`` and ``right`` (exclusive) choose columns; by default all of them.

        Returns
        -------
        ndarray of float32, shape (3, stop - start, right - left)
            0 to 255; equal to ``resize_image(pixels, height, width)[start:stop, left:right]``, channels moved first.
        """
        right = self.width if right is None else right
        if not (0 <= start <= stop <= self.height and 0 <= left <= right <= self.width):
            raise IndexError(
                f"Expected rows and columns inside a picture of {self.height} x {self.width}. Received rows {start} "
                f"to {stop}, columns {left} to {right}."
            )
        rows, columns = slice(start, stop), slice(left, right)
        return _resize_window(self.pixels, rows, columns, self.height, self.width)


def _resize_window(
    pixels: NDArray[Any], window_rows: slice, window_columns: slice, height: int, width: int
) -> NDArray[np.float32]:
    """Return some rows and columns of the picture at ``height`` x ``width``, of shape (C, rows, columns)."""
    n_rows, n_columns, channels = pixels.shape
    start, stop = window_rows.start, window_rows.stop
    if (n_rows, n_columns) == (height, width):
        return np.moveaxis(pixels[window_rows, window_columns], -1, 0).astype(np.float32, order="C")
    A, B = resize_matrix(n_rows, height), resize_matrix(n_columns, width)
    if window_columns != slice(0, width):
        B, across = _band(B, window_columns.start, window_columns.stop)
        pixels = pixels[:, across]
    width, n_columns = B.shape
    rows = np.empty((channels, stop - start, width), np.float32)
    # The step that reduces the data comes first: the rows if their number shrinks, else the columns.
    shrinks = height < n_rows
    row_floats = max(1, channels * (n_columns if shrinks else width))
    if shrinks:
        step = max(_LEAST_ROWS, _WORK_FLOATS // row_floats)
    else:
        taps = int(np.diff(A.indptr).max())
        source_rows = max(
            _WORK_FLOATS // row_floats, 4 * taps
        )  # bands overlap by their taps: keep that share small
        step = max(1, (source_rows - taps) * height // n_rows)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        weights, source = _band(A, first, last)
        band = _fewer_rows(weights, pixels[source]) if shrinks else pixels[source].astype(np.float32)
        count = len(band)
        columns = B @ band.transpose(1, 2, 0).reshape(n_columns, -1)
        band = columns.reshape(width, channels, count).transpose(2, 1, 0)
        if not shrinks:
            band = (weights @ band.reshape(count, -1)).reshape(last - first, channels, width)
        rows[:, first - start : last - start] = band.transpose(1, 0, 2)
    return rows


def _fewer_rows(weights: sparse.csr_array, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the weighted sums of a picture's rows, some columns after the other."""
    count, columns, channels = weights.shape[0], *pixels.shape[1:]
    flat = pixels.reshape(len(pixels), columns * channels)
    sums = np.empty((count, columns * channels), np.float32)
    for left in range(0, columns * channels, _WORK_COLUMNS):
        part = slice(left, left + _WORK_COLUMNS)
        sums[:, part] = weights @ flat[:, part].astype(np.float32)
    return sums.reshape(count, columns, channels)


def _band(matrix: sparse.csr_array, first: int, last: int) -> tuple[sparse.csr_array, slice]:
    """Return rows of a banded matrix without their empty columns, and the slice of the remaining columns."""
    if first == last:
        return matrix[:0], slice(0, matrix.shape[1])
    begin, end = matrix.indptr[first], matrix.indptr[last]
    columns = matrix.indices[begin:end]
    low, high = int(columns.min()), int(columns.max()) + 1
    band = sparse.csr_array(
        (matrix.data[begin:end], columns - low, matrix.indptr[first : last + 1] - begin),
        shape=(last - first, high - low),
    )
    return band, slice(low, high)


def block_edges(cells: int, pixels: int) -> NDArray[np.int64]:
    """Return the first pixel of each of `cells` blocks that divide `pixels` pixels, and `pixels` at the end.

    A pixel belongs to the block in which its centre lies.
    """
    doubled = 2 * np.arange(cells + 1, dtype=np.int64) * pixels - cells
    return -(-doubled // (2 * cells))


def enlarge(values: NDArray[_Value], height: int, width: int) -> NDArray[_Value]:
    """Return a map (h, w) at a larger size: each value becomes a block of pixels."""
    rows, columns = (
        np.repeat(np.arange(cells), np.diff(block_edges(cells, pixels)))
        for cells, pixels in zip(values.shape, (height, width), strict=True)
    )
    chosen: NDArray[_Value] = values[rows][:, columns]
    return chosen


def blocks_of(values: NDArray[_Value], height: int, width: int) -> NDArray[_Value]:
    """Return the map (height, width) from which `enlarge` made a larger one."""
    rows, columns = (
        block_edges(cells, pixels)[:-1] for cells, pixels in zip((height, width), values.shape, strict=True)
    )
    chosen: NDArray[_Value] = values[rows][:, columns]
    return chosen
