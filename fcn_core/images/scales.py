"""The sizes at which the network sees a picture, and the resizing to them.

The resizing equals the notebook's ``skimage.transform.resize(..., mode='reflect', preserve_range=True)``.
That is separable and linear, so it is two banded matrices: for each axis a Gaussian against aliasing, then
linear interpolation at half-pixel centres.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fcn_core.errors import ScaleError

Fit = Literal["aspect", "exact"]

#: Every model shrinks its input 32 times: below this side nothing is left of it.
MIN_SIDE = 32
MAX_SCALE_PIXELS = 64_000_000
MAX_SCALES = 16

# Floats of the picture that one step takes: what fits into the cache of a processor is also little memory.
_WORK_FLOATS = 2**18


@dataclass(frozen=True, order=True)
class Scale:
    """The size of a network's input, height first as in the notebook.

    Raises
    ------
    ScaleError
        When a side is below 32 pixels or the whole above 64 megapixels.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < MIN_SIDE or self.height * self.width > MAX_SCALE_PIXELS:
            raise ScaleError(
                f"Received the scale {self}. Expected at least {MIN_SIDE} pixels a side and at most "
                f"{MAX_SCALE_PIXELS // 10**6} megapixels. Choose one such as 400x640 (height x width)."
            )

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read ``"200x320"``: height x width in pixels.

        Raises
        ------
        ScaleError
            When the text is not of this form or the size is out of bounds.
        """
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})\s*", text)
        if match is None:
            raise ScaleError(
                f"Received {text[:60]!r} as a scale. Expected height x width in pixels, such as 200x320."
            )
        return cls(int(match[1]), int(match[2]))


#: The four scales of the notebook, each with four times the pixels of the one before.
NOTEBOOK_SCALES = (Scale(200, 320), Scale(400, 640), Scale(800, 1280), Scale(1600, 2560))


@dataclass(frozen=True)
class PlannedScale:
    """What a requested scale becomes for one picture.

    Attributes
    ----------
    requested : Scale
        As the user asked; ``str(requested)`` is the key of its maps.
    height, width : int
        Size of the network's input.
    enlarges : bool
        Whether the input has more pixels than the picture: it holds no more detail, only larger.
    """

    requested: Scale
    height: int
    width: int
    enlarges: bool


def parse_scales(text: str) -> tuple[Scale, ...]:
    """Read ``"200x320,400x640"``.

    Raises
    ------
    ScaleError
        When a part is no scale, or there is none, or there are more than 16.
    """
    parts = [part for part in text.split(",") if part.strip()]
    if not 1 <= len(parts) <= MAX_SCALES:
        raise ScaleError(
            f"Received {len(parts)} scales. Expected 1 to {MAX_SCALES} with commas between, "
            "such as 200x320,400x640."
        )
    return tuple(Scale.parse(part) for part in parts)


def plan_scales(
    image_height: int, image_width: int, scales: Iterable[Scale], fit: Fit = "aspect"
) -> tuple[PlannedScale, ...]:
    """Fit scales to a picture, coarse first and each input size once.

    Parameters
    ----------
    image_height, image_width : int
        Size of the picture in pixels.
    scales : iterable of Scale
        The scales asked for, in any order.
    fit : {"aspect", "exact"}
        "aspect" keeps the picture's proportions at the scale's number of pixels (no side of a strip goes
        below 32, the other gives way); "exact" stretches the picture to the scale, as the notebook does.

    Raises
    ------
    ScaleError
        When there is no scale or ``fit`` is unknown.
    """
    if fit not in ("aspect", "exact"):
        raise ScaleError(f"Received the fit {fit!r}. Expected 'aspect' or 'exact'.")
    plans: dict[tuple[int, int], PlannedScale] = {}
    for scale in sorted(scales, key=lambda s: (s.height * s.width, s)):
        height, width = scale.height, scale.width
        if fit == "aspect":
            height, width = _same_area(image_height, image_width, height * width)
        enlarges = height * width > image_height * image_width
        plans.setdefault((height, width), PlannedScale(scale, height, width, enlarges))
    if not plans:
        raise ScaleError("Received no scale. Expected at least one, such as 200x320.")
    return tuple(plans.values())


def _same_area(image_height: int, image_width: int, pixels: int) -> tuple[int, int]:
    """Size with the picture's proportions and about so many pixels."""
    factor = math.sqrt(pixels / (image_height * image_width))
    longest = pixels // MIN_SIDE
    height = min(max(round(image_height * factor), MIN_SIDE), longest)
    width = min(max(round(image_width * factor), MIN_SIDE), longest)
    return height, width


@lru_cache(maxsize=32)
def resize_matrix(n_in: int, n_out: int, dtype: DTypeLike = np.float32) -> sparse.csr_array:
    """Matrix that resizes one axis as ``skimage.transform.resize`` does.

    Parameters
    ----------
    n_in, n_out : int
        Length of the axis before and after.
    dtype : dtype
        Of the weights; they are computed in double precision.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_out, n_in)
        Banded, every row sums to one. Shared by all callers: do not write into it.

    Notes
    -----
    Where the axis shrinks by ``f = n_in / n_out``, a Gaussian with sigma ``(f - 1) / 2``, cut at four sigmas,
    goes before the linear interpolation at half-pixel centres. Borders are mirrored about the centre of the
    outermost pixel (NumPy's "reflect", SciPy's "mirror").
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
    # Both neighbours' Gaussians, one pixel apart, in one row of 2 * radius + 2 taps.
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
        Any real type; the range of values is kept.
    height, width : int
        Size of the result.

    Returns
    -------
    ndarray of float32, shape (height, width) or (height, width, C)
        Equal to ``skimage.transform.resize(pixels, (height, width), mode='reflect', preserve_range=True)`` to
        0.01 grey levels of 255.
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
        Of the type of ``values``; equal to ``skimage.transform.resize(values, (height, width),
        mode='reflect', preserve_range=True)`` to 1e-6.
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
    """A picture at a network's size, of which only the rows asked for are computed.

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
        """Rows ``start`` to ``stop`` (exclusive) of the resized picture, channels first.

        Of columns ``left`` to ``right`` (exclusive), by default all of them.

        Returns
        -------
        ndarray of float32, shape (3, stop - start, right - left)
            0 to 255; equal to ``resize_image(pixels, height, width)[start:stop, left:right]``, channels moved first.
        """
        right = self.width if right is None else right
        if not (0 <= start <= stop <= self.height and 0 <= left <= right <= self.width):
            raise IndexError(
                f"rows {start} to {stop}, columns {left} to {right} of a picture of {self.height} x {self.width}"
            )
        rows, columns = slice(start, stop), slice(left, right)
        return _resize_window(self.pixels, rows, columns, self.height, self.width)


def _resize_window(
    pixels: NDArray[Any], window_rows: slice, window_columns: slice, height: int, width: int
) -> NDArray[np.float32]:
    """Those rows and columns of the picture at ``height`` x ``width``: (C, rows, columns)."""
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
    # The step that makes less of the picture goes first: rows where it shrinks, else columns.
    shrinks = height < n_rows
    row_floats = max(1, channels * (n_columns if shrinks else width))
    taps = int(np.diff(A.indptr).max())
    source_rows = max(
        _WORK_FLOATS // row_floats, 4 * taps
    )  # bands overlap by their taps: keep that share small
    step = max(1, (source_rows - taps) * height // n_rows)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        weights, source = _band(A, first, last)
        band = pixels[source].astype(np.float32)
        if shrinks:
            band = (weights @ band.reshape(len(band), -1)).reshape(last - first, n_columns, channels)
        count = len(band)
        columns = B @ band.transpose(1, 2, 0).reshape(n_columns, -1)
        band = columns.reshape(width, channels, count).transpose(2, 1, 0)
        if not shrinks:
            band = (weights @ band.reshape(count, -1)).reshape(last - first, channels, width)
        rows[:, first - start : last - start] = band.transpose(1, 0, 2)
    return rows


def _band(matrix: sparse.csr_array, first: int, last: int) -> tuple[sparse.csr_array, slice]:
    """Rows of a banded matrix without their empty columns, and the slice of columns that is left."""
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
