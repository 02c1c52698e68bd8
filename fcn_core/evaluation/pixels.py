"""How well a score map finds the pixels of an object: pointing game, IoU, precision and recall.

The definitions are in :mod:`fcn_core.evaluation.metrics`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fcn_core.errors import DatasetError
from fcn_core.evaluation.boxes import THRESHOLDS, Counts, Float64, Mask

SCORE_EDGES = np.append(THRESHOLDS, 1.0)
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def pointing_hit(
    score_map: npt.ArrayLike, truth: Mask, valid: Mask | None = None, tolerance: float = 0.0
) -> bool:
    """Return whether the maximum of a score map is on the object.

    If several pixels have the maximum, the centroid of their largest connected group counts, not the first of them:
    bilinear maps have plateaus, and the corner of a plateau is arbitrary.

    Parameters
    ----------
    score_map : (H, W) array_like
    truth : (H, W) bool ndarray
        The object's pixels.
    valid : (H, W) bool ndarray, optional
        False at void pixels, which cannot be the maximum.
    tolerance : float
        Distance from the object, in pixels, that still counts as a hit; Zhang et al. used 15.
    """
    scores, truth, valid = checked(score_map, truth, valid)
    row, column = _peak(scores, valid)
    if truth[row, column] and valid[row, column]:
        return True
    if tolerance <= 0:
        return False
    reach = math.ceil(tolerance)
    top, left = max(row - reach, 0), max(column - reach, 0)
    near = np.s_[top : row + reach + 1, left : column + reach + 1]
    rows, columns = np.nonzero(truth[near] & valid[near])
    return bool(np.any((rows + top - row) ** 2 + (columns + left - column) ** 2 <= tolerance**2))


def iou(mask: Mask, truth: Mask, valid: Mask | None = None) -> float:
    """Return the intersection over union of two masks (H, W) without void pixels; 1 if both are empty."""
    if mask.shape != truth.shape or (valid is not None and valid.shape != truth.shape):
        raise ValueError(f"Expected masks of one shape. Received: {mask.shape} and {truth.shape}")
    both, either = mask & truth, mask | truth
    if valid is not None:
        both, either = both & valid, either & valid
    union = np.count_nonzero(either)
    return float(np.count_nonzero(both) / union) if union else 1.0


def pixel_histograms(scores: npt.ArrayLike, truth: Mask, valid: Mask | None = None) -> Counts:
    """Count pixels by score: the object's in the first row, the background's in the second.

    Parameters
    ----------
    scores : (H, W) array_like
        Normalised, from 0 to 1.
    truth, valid : (H, W) bool ndarray

    Returns
    -------
    (2, 1001) int64 ndarray
        Column k counts scores from ``k / 1000`` to below ``(k + 1) / 1000``, the last column scores of exactly 1.
    """
    array, truth, valid = checked(scores, truth, valid)
    level = np.searchsorted(SCORE_EDGES, array[valid].astype(np.float64), side="right") - 1
    if level.size and (level.min() < 0 or array[valid].max() > 1):
        raise ValueError("Expected scores from 0 to 1.")
    of_object = truth[valid]
    return np.stack(
        [np.bincount(level[side], minlength=SCORE_EDGES.size) for side in (of_object, ~of_object)]
    )


def pxap(histograms: Counts) -> float:
    """Return the PxAP of `pixel_histograms`, of one picture or summed over a data set.

    Raises
    ------
    DatasetError
        There is no pixel of an object.
    """
    true, false = histograms[:, ::-1].cumsum(axis=1)
    if true[-1] == 0:
        raise DatasetError(
            "Expected pixels of an object (255) in the masks. Received none. Mark the objects."
        )
    precision = true / np.maximum(true + false, 1)
    return float(np.sum(precision * np.diff(true / true[-1], prepend=0.0)))


def iou_at_thresholds(histograms: Counts) -> Float64:
    """Return the IoU of one picture at each of `THRESHOLDS`, (1000,), from its `pixel_histograms`."""
    true, false = histograms[:, ::-1].cumsum(axis=1)[:, ::-1]
    ratio: Float64 = true / np.maximum(true[0] + false, 1)
    return ratio[: THRESHOLDS.size]


def checked(
    score_map: npt.ArrayLike, truth: Mask, valid: Mask | None
) -> tuple[npt.NDArray[np.floating], Mask, Mask]:
    """Return score map, truth and validity as arrays of one shape; without a validity all pixels are valid.

    Raises
    ------
    ValueError
        Shapes or types differ, or a score is not finite.
    """
    scores = np.asarray(score_map)
    known = np.ones(truth.shape, bool) if valid is None else valid
    if scores.ndim != 2 or not scores.shape == truth.shape == known.shape:
        raise ValueError(
            f"Expected a score map, a truth and a validity of one shape (H, W). "
            f"Received: {scores.shape}, {truth.shape} and {known.shape}"
        )
    if truth.dtype != np.bool_ or known.dtype != np.bool_:
        raise ValueError(f"Expected truth and validity as bool. Received: {truth.dtype} and {known.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("Expected finite scores. Received NaN or infinity.")
    return scores, truth, known


def _peak(scores: npt.NDArray[np.floating], valid: Mask) -> tuple[int, int]:
    """Return row and column of the centroid of the largest plateau at the maximum."""
    if not valid.any():
        raise DatasetError(
            "Expected a mask with pixels that are not void. Received 128 everywhere. Mark the object with 255."
        )
    known = scores[valid]
    highest, lowest = float(known.max()), float(known.min())
    # Interpolation changes the last digit of equal values.
    plateau = valid & (scores >= highest - 1e-6 * (highest - lowest))
    labels, count = ndimage.label(plateau, structure=_EIGHT_NEIGHBOURS)
    largest = 1 if count == 1 else int(np.bincount(labels.ravel())[1:].argmax()) + 1
    rows, columns = np.nonzero(labels == largest)
    row, column = round(float(rows.mean())), round(float(columns.mean()))
    if not valid[row, column]:
        nearest = int(((rows - row) ** 2 + (columns - column) ** 2).argmin())
        row, column = int(rows[nearest]), int(columns[nearest])
    return row, column
