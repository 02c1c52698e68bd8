"""Masks as run-length encodings of COCO, which `pycocotools` reads.

A mask is a list of the lengths of runs outside and inside in turn, down the columns, beginning outside. The compressed
form writes each length, from the third on as its difference to the one before the last, as a number of variable length
in printable characters: five bits each, the lowest first, and a sixth that says whether more follow
(``rleToString`` in https://github.com/cocodataset/cocoapi, `common/maskApi.c`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fcn_core.export import original
from fcn_core.images.read import RGBImage

Counts = NDArray[np.int64]

_DIGITS = 13  # of five bits: enough for any number of 64 bits
_FIRST = 48  # character of the digit 0


def run_lengths(mask: NDArray[np.bool_], image: RGBImage, corner: tuple[int, int] = (0, 0)) -> Counts:
    """Return the runs of a mask at the size of the original picture, each of its pixels a block of the original's.

    Parameters
    ----------
    mask : (h, w) bool ndarray
        A part of the picture or all of it, in pixels of `image`.
    image : RGBImage
    corner : (int, int)
        Row and column of the part's first pixel.
    """
    height, width = image.original
    ring = np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8)  # each row is a column of the picture
    column, start = np.nonzero(np.diff(ring, axis=1) == 1)
    _, stop = np.nonzero(np.diff(ring, axis=1) == -1)
    start, stop = (original.lines(image, corner[0] + rows, 0) for rows in (start, stop))
    left, right = (original.lines(image, corner[1] + column + side, 1) for side in (0, 1))
    times = right - left  # number of columns of the original with this run
    again = np.repeat(left, times) + np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    start, stop = np.repeat(start, times), np.repeat(stop, times)
    order = np.lexsort((start, again))
    return _lengths((again * height + start)[order], (again * height + stop)[order], height * width)


def compressed(counts: Sequence[int] | Counts) -> str:
    """Return the compressed form of run lengths."""
    values = np.asarray(counts, np.int64).copy()
    values[3:] -= np.asarray(counts, np.int64)[1:-2]
    digits = np.zeros((values.size, _DIGITS), np.uint8)
    written = np.zeros((values.size, _DIGITS), np.bool_)
    going = np.ones(values.size, np.bool_)
    for place in range(_DIGITS):
        digit = values & 31
        values >>= 5
        more = np.where(
            digit & 16, values != -1, values != 0
        )  # the highest bit of the last digit is the sign
        digits[:, place] = digit + 32 * more + _FIRST
        written[:, place] = going
        going = going & more
        if not going.any():
            break
    return digits[written].tobytes().decode("ascii")


def run_lengths_of(text: str) -> Counts:
    """Return the run lengths of their compressed form."""
    digits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    ends = np.flatnonzero((digits & 32) == 0)
    starts = np.r_[0, ends[:-1] + 1][: ends.size]
    place = np.arange(digits.size) - np.repeat(starts, ends - starts + 1)
    values: Counts = (
        np.add.reduceat((digits & 31) << (5 * place), starts) if ends.size else np.zeros(0, np.int64)
    )
    negative = (digits[ends] & 16) != 0
    values -= negative.astype(np.int64) << (5 * (ends - starts + 1))
    for first in (1, 2):  # differences within the odd and within the even ones
        values[first::2] = np.cumsum(values[first::2])
    return values


def mask_of(counts: Counts, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask of run lengths, (height, width)."""
    inside = np.arange(counts.size) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of a mask.

    Attributes
    ----------
    box : (x0, y0, x1, y1) of int
    area : int
        Pixels.
    counts : ndarray of int
        Its run lengths.
    """

    box: tuple[int, int, int, int]
    area: int
    counts: Counts


def parts(counts: Counts, height: int, width: int) -> list[Part]:
    """Return the connected parts of a mask, largest first, from its run lengths alone; pixels may touch at corners."""
    ends = np.cumsum(counts)
    begin, end = _within_columns(ends[0::2][: ends.size // 2], ends[1::2], height)
    if not begin.size:
        return []
    # Runs of the next column that touch a run, also at a corner: a range, because runs are in order.
    column = begin // height
    low = np.maximum(begin + height - 1, (column + 1) * height)
    high = np.minimum(end + height + 1, (column + 2) * height)
    first, last = np.searchsorted(end, low, "right"), np.searchsorted(begin, high, "left")
    number = np.maximum(last - first, 0)
    one = np.repeat(np.arange(begin.size), number)
    other = np.repeat(first, number) + np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    graph = sparse.coo_array((np.ones(one.size, np.bool_), (one, other)), (begin.size, begin.size))
    count, labels = sparse.csgraph.connected_components(graph, directed=False)
    found = []
    for label in range(count):
        mine = labels == label
        a, b = begin[mine], end[mine]
        top, bottom = int((a % height).min()), int(((b - 1) % height).max()) + 1
        box = (int(a[0] // height), top, int(a[-1] // height) + 1, bottom)
        found.append(Part(box, int((b - a).sum()), _lengths(a, b, height * width)))
    return sorted(found, key=lambda part: (-part.area, part.box[1], part.box[0]))


def _within_columns(begin: Counts, end: Counts, height: int) -> tuple[Counts, Counts]:
    """Return the runs cut at the ends of columns."""
    times = (end - 1) // height - begin // height + 1
    inside = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    column = np.repeat(begin // height, times) + inside
    starts = np.maximum(np.repeat(begin, times), column * height)
    return starts, np.minimum(np.repeat(end, times), (column + 1) * height)


def _lengths(begin: Counts, end: Counts, pixels: int) -> Counts:
    """Return the run lengths of the pixels between these places, which are in order."""
    edges = np.column_stack((begin, end)).ravel()
    # A run that ends in the last row continues at the top of the next column.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate((2 * joined + 1, 2 * joined + 2)))
    counts: Counts = np.diff(edges, prepend=0, append=pixels)
    return counts if counts[-1] else counts[:-1]
