"""Boxes of a score map at all thresholds, and how well they match the true boxes.

Boxes are ``x0, y0, x1, y1`` in pixels, x1 and y1 exclusive; fractions are allowed.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from skimage.morphology import max_tree

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

THRESHOLDS: Float64 = np.arange(1000) / 1000
"""The thresholds of Choe et al.: 0, 0.001 ... 0.999."""
THRESHOLDS.flags.writeable = False

IOU_LEVELS = (0.3, 0.5, 0.7)
"""The IoU that a box must reach in the three parts of MaxBoxAccV2."""

# Regions are found on every k-th row and column, so that about this many pixels are processed. The reference
# implementation reduces all maps to 224 x 224.
_BOX_PIXELS = 100_000


def box_iou(boxes: npt.ArrayLike, others: npt.ArrayLike) -> Float64:
    """Return the intersection over union of each box (n, 4) with each other box (m, 4), (n, m)."""
    a = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, np.float64).reshape(1, -1, 4)
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = overlap.clip(0).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    ratio: Float64 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def boxes_at_thresholds(scores: npt.ArrayLike) -> tuple[Float64, Counts]:
    """Return the boxes of all connected regions at all thresholds at once.

    The regions ``score >= t`` are nested; their tree (Salembier, Oliveras and Garrido, "Antiextensive Connected
    Operators for Image and Sequence Processing", 1998) is built once.

    Parameters
    ----------
    scores : (H, W) array_like
        From 0 to 1. Of maps with more than 100 000 pixels only every k-th row and column is used; boxes are then
        exact to k pixels.

    Returns
    -------
    boxes : (n, 4) float64 ndarray
        ``x0, y0, x1, y1``
    spans : (n, 2) int64 ndarray
        Each box belongs to a region at ``THRESHOLDS[first:stop]``.
    """
    array = np.asarray(scores)
    height, width = array.shape
    step = max(1, math.ceil(math.sqrt(array.size / _BOX_PIXELS)))
    thinned = array[::step, ::step].astype(np.float64)
    # A rim of -1, below every threshold, becomes the root of the tree, and regions at the border its children.
    level = np.full((thinned.shape[0] + 2, thinned.shape[1] + 2), -1, np.int16)
    level[1:-1, 1:-1] = np.searchsorted(THRESHOLDS, thinned, side="right") - 1
    parents, _ = max_tree(level, connectivity=2)
    values, parents = level.ravel(), parents.ravel()
    rows, columns = np.divmod(np.arange(values.size), level.shape[1])
    extents = np.stack([columns, rows, -columns, -rows])  # four minima: one accumulation serves all sides
    nodes = np.flatnonzero(values[parents] < values)  # one pixel represents each region
    _into_parents(extents, np.flatnonzero(values[parents] == values), parents)
    for members in np.split(nodes[np.argsort(-values[nodes], kind="stable")], _steps(-values[nodes])):
        _into_parents(extents, members, parents)
    x0, y0, x1, y1 = extents[:, nodes]
    boxes = np.stack([x0 - 1, y0 - 1, -x1, -y1], axis=1) * float(step)
    np.minimum(boxes, (width, height, width, height), out=boxes)
    return boxes, np.stack([values[parents[nodes]] + 1, values[nodes] + 1], axis=1).astype(np.int64)


def box_hits_at_thresholds(scores: npt.ArrayLike, boxes: npt.ArrayLike) -> Mask:
    """Return at which thresholds the box of a region matches one of the true boxes (m, 4).

    Returns
    -------
    (3, 1000) bool ndarray
        One row for each of `IOU_LEVELS`, one column for each of `THRESHOLDS`.
    """
    found, spans = boxes_at_thresholds(scores)
    best = box_iou(found, boxes).max(axis=1, initial=0.0)
    hits = np.zeros((len(IOU_LEVELS), THRESHOLDS.size), bool)
    for row, level in enumerate(IOU_LEVELS):
        changes = np.zeros(THRESHOLDS.size + 1, np.int64)
        chosen = spans[best >= level]
        np.add.at(changes, chosen[:, 0], 1)
        np.add.at(changes, chosen[:, 1], -1)
        hits[row] = changes.cumsum()[:-1] > 0
    return hits


def _into_parents(extents: Counts, members: npt.NDArray[np.intp], parents: npt.NDArray[np.intp]) -> None:
    """Extend the boxes of the parents by those of the members, in place."""
    for side in extents:
        np.minimum.at(side, parents[members], side[members])


def _steps(values: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return the indices at which the sorted values change."""
    ordered = np.sort(values, kind="stable")
    return np.flatnonzero(np.diff(ordered)) + 1
