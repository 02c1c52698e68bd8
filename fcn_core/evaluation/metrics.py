"""Measures of how well a score map finds an object whose pixels or boxes are known.

Definitions
-----------
Pointing game
    Share of pictures whose maximum is on the object (Zhang et al., "Top-down Neural Attention by Excitation
    Backprop", ECCV 2016). They accept a distance of 15 pixels. Here `tolerance` sets the distance; it is 0 in all
    results of this program.
PxAP
    Area under the precision-recall curve of the pixels of all pictures together, at the thresholds
    0, 0.001 ... 0.999 and 1 (Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
    CVPR 2020): ``sum_k precision(t_k) * (recall(t_k) - recall(t_k+1))``.
MaxBoxAccV2
    Share of pictures in which the box of any connected region ``score >= t`` matches any true box with an IoU of at
    least d, at the t that is best for the whole data set; mean over d = 0.3, 0.5 and 0.7 (Choe et al., "Evaluation for
    Weakly Supervised Object Localization: Protocol, Metrics, and Datasets", arXiv 2020, TPAMI 2022).
Mean IoU
    Intersection over union of ``score >= t`` and the object, averaged over the pictures, at the t with the largest
    average.

Each score map is first scaled to 0 to 1 at the size of its picture, as in the reference implementation. The
reference also resizes all pictures to one size; here a picture's weight in PxAP is its number of pixels. Void pixels
are ignored. Boxes are
``x0, y0, x1, y1`` in pixels, x1 and y1 exclusive; fractions are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fcn_core.errors import DatasetError
from fcn_core.evaluation.boxes import (
    IOU_LEVELS,
    THRESHOLDS,
    Counts,
    Float64,
    Mask,
    box_hits_at_thresholds,
    box_iou,
    boxes_at_thresholds,
)
from fcn_core.maps.region import normalise

__all__ = [
    "IOU_LEVELS",
    "THRESHOLDS",
    "PictureScore",
    "Scores",
    "Summary",
    "box_hits_at_thresholds",
    "box_iou",
    "boxes_at_thresholds",
    "iou",
    "iou_at_thresholds",
    "pixel_histograms",
    "pointing_hit",
    "pxap",
    "score_boxes",
    "score_picture",
]

_EDGES = np.append(THRESHOLDS, 1.0)
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
    scores, truth, valid = _checked(score_map, truth, valid)
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
    array, truth, valid = _checked(scores, truth, valid)
    level = np.searchsorted(_EDGES, array[valid].astype(np.float64), side="right") - 1
    if level.size and (level.min() < 0 or array[valid].max() > 1):
        raise ValueError("Expected scores from 0 to 1.")
    of_object = truth[valid]
    return np.stack([np.bincount(level[side], minlength=_EDGES.size) for side in (of_object, ~of_object)])


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


@dataclass(frozen=True, eq=False)
class PictureScore:
    """The measurement of one picture: a few kilobytes for a picture of any size.

    Attributes
    ----------
    pointing : bool
        Whether the maximum is on the object.
    histograms : (2, 1001) int64 ndarray or None
        See `pixel_histograms`; None if the object's pixels are not known.
    box_hits : (3, 1000) bool ndarray or None
        See `box_hits_at_thresholds`; None if no true boxes are known.
    mask_iou : float or None
        IoU of a mask that was made without the truth.
    """

    pointing: bool
    histograms: Counts | None
    box_hits: Mask | None = None
    mask_iou: float | None = None


def score_picture(
    score_map: npt.ArrayLike,
    truth: Mask,
    valid: Mask | None = None,
    boxes: Sequence[Sequence[float]] = (),
    mask: Mask | None = None,
    tolerance: float = 0.0,
) -> PictureScore:
    """Compare one score map with the true mask of its picture.

    Parameters
    ----------
    score_map : (H, W) array_like
        Of any finite range; it is scaled to 0 to 1 here.
    truth : (H, W) bool ndarray
        The object's pixels (255 in a mask file).
    valid : (H, W) bool ndarray, optional
        False at void pixels (128 in a mask file).
    boxes : sequence of (x0, y0, x1, y1)
        True boxes; without one the picture is not part of MaxBoxAccV2.
    mask : (H, W) bool ndarray, optional
        The mask at the suggested threshold.
    tolerance : float
        Tolerance of the pointing game, in pixels.

    Raises
    ------
    DatasetError
        The truth has no pixel of an object.
    ValueError
        Shapes differ, or the map has values that are not finite.
    """
    array, truth, valid = _checked(score_map, truth, valid)
    if not (truth & valid).any():
        raise DatasetError(
            "Expected pixels of an object (255) in the mask. Received none. Mark the object, or remove the row."
        )
    scores = normalise(array)
    return PictureScore(
        pointing=pointing_hit(array, truth, valid, tolerance),
        histograms=pixel_histograms(scores, truth, valid),
        box_hits=box_hits_at_thresholds(scores, boxes) if len(boxes) else None,
        mask_iou=None if mask is None else iou(mask, truth, valid),
    )


def score_boxes(
    score_map: npt.ArrayLike, boxes: Sequence[Sequence[float]], tolerance: float = 0.0
) -> PictureScore:
    """Compare one score map with the true boxes of its picture, where the object's pixels are not known.

    In the pointing game the maximum must be in one of the boxes. Measures that need pixels are skipped.

    Parameters
    ----------
    score_map : (H, W) array_like
        Of any finite range; it is scaled to 0 to 1 here.
    boxes : sequence of (x0, y0, x1, y1)
        At least one.
    tolerance : float
        Tolerance of the pointing game, in pixels.

    Raises
    ------
    DatasetError
        There is no box, or none contains the centre of a pixel.
    ValueError
        The map has values that are not finite.
    """
    array = np.asarray(score_map)
    inside = np.zeros(array.shape, bool)
    for x0, y0, x1, y1 in boxes:
        inside[_middles(y0, y1), _middles(x0, x1)] = True
    if not inside.any():
        raise DatasetError(
            "Expected boxes that contain a pixel's centre. Received none. Correct the boxes, or remove the row."
        )
    array, inside, valid = _checked(array, inside, None)
    return PictureScore(
        pointing=pointing_hit(array, inside, valid, tolerance),
        histograms=None,
        box_hits=box_hits_at_thresholds(normalise(array), boxes),
    )


def _middles(start: float, stop: float) -> slice:
    """Return the pixels along one side whose centres are between two edges."""
    return slice(max(math.ceil(start - 0.5), 0), max(math.ceil(stop - 0.5), 0))


@dataclass(frozen=True)
class Summary:
    """The measures over a data set, all from 0 to 1; None if the data set has no truth for them.

    Attributes
    ----------
    pictures, masks, boxed : int
        Number of pictures, of pictures with masks, and of pictures with boxes.
    pointing : float
        Pointing accuracy over all pictures.
    pxap : float or None
        Over the pictures with masks, like the other measures of pixels.
    max_box_acc_v2 : float or None
        Over the pictures with boxes; `max_box_acc` has its three parts, at IoU 0.3, 0.5 and 0.7.
    mean_iou : float or None
        At `threshold`, the best single threshold of the normalised maps.
    mask_iou : float or None
        Mean IoU of the masks that were made without the truth.
    """

    pictures: int
    masks: int
    boxed: int
    pointing: float
    pxap: float | None
    max_box_acc_v2: float | None
    max_box_acc: tuple[float, ...] | None
    mean_iou: float | None
    threshold: float | None
    mask_iou: float | None


class Scores:
    """Running sums over the pictures of a data set, in constant memory.

    Examples
    --------
    >>> import numpy as np
    >>> scores = Scores()
    >>> scores.add(np.array([[0.0, 1.0]]), np.array([[False, True]]))
    >>> scores.summary().pxap
    1.0
    """

    def __init__(self) -> None:
        self.pictures = 0
        self._masks = 0
        self._pointing = 0
        self._histograms: Counts = np.zeros((2, _EDGES.size), np.int64)
        self._ious: Float64 = np.zeros(THRESHOLDS.size)
        self._boxed = 0
        self._box_hits: Counts = np.zeros((len(IOU_LEVELS), THRESHOLDS.size), np.int64)
        self._own_masks = 0
        self._mask_ious = 0.0

    def add(
        self,
        score_map: npt.ArrayLike,
        truth: Mask,
        valid: Mask | None = None,
        boxes: Sequence[Sequence[float]] = (),
        mask: Mask | None = None,
        tolerance: float = 0.0,
    ) -> PictureScore:
        """Measure a picture as `score_picture` does, and add it."""
        score = score_picture(score_map, truth, valid, boxes, mask, tolerance)
        self.include(score)
        return score

    def include(self, score: PictureScore) -> None:
        """Add a picture that was measured before, for instance to cross-validate over subsets."""
        self.pictures += 1
        self._pointing += score.pointing
        if score.histograms is not None:
            self._masks += 1
            self._histograms += score.histograms
            self._ious += iou_at_thresholds(score.histograms)
        if score.box_hits is not None:
            self._boxed += 1
            self._box_hits += score.box_hits
        if score.mask_iou is not None:
            self._own_masks += 1
            self._mask_ious += score.mask_iou

    def summary(self) -> Summary:
        """Return the measures of the pictures added so far.

        Raises
        ------
        DatasetError
            No picture was added.
        """
        if self.pictures == 0:
            raise DatasetError("Expected at least one picture. Received none. Add a row to the index.")
        best = int(self._ious.argmax())
        accuracies = None
        if self._boxed:
            accuracies = tuple(float(hits.max() / self._boxed) for hits in self._box_hits)
        return Summary(
            pictures=self.pictures,
            masks=self._masks,
            boxed=self._boxed,
            pointing=self._pointing / self.pictures,
            pxap=pxap(self._histograms) if self._masks else None,
            max_box_acc_v2=math.fsum(accuracies) / len(accuracies) if accuracies else None,
            max_box_acc=accuracies,
            mean_iou=float(self._ious[best] / self._masks) if self._masks else None,
            threshold=float(THRESHOLDS[best]) if self._masks else None,
            mask_iou=self._mask_ious / self._own_masks if self._own_masks else None,
        )


def _checked(
    score_map: npt.ArrayLike, truth: Mask, valid: Mask | None
) -> tuple[npt.NDArray[np.floating], Mask, Mask]:
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
