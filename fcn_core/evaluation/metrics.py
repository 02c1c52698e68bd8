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
Own mask
    The mask that the program itself makes of a map, without the truth: its IoU, averaged over the pictures, and the
    shares of pictures in which that IoU is below 0.1 and below 0.3.
Size of the object
    Pixels of the object by pixels of the picture. Mean IoU and own IoU are also stated for four groups of sizes.

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
from fcn_core.evaluation.pixels import (
    SCORE_EDGES,
    checked,
    iou,
    iou_at_thresholds,
    pixel_histograms,
    pointing_hit,
    pxap,
)
from fcn_core.maps.region import normalise

__all__ = [
    "IOU_LEVELS",
    "SIZE_EDGES",
    "THRESHOLDS",
    "PictureScore",
    "Scores",
    "SizeGroup",
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

SIZE_EDGES = (0.0, 0.1, 0.2, 0.4, 1.0)
"""The shares of the picture between which objects are grouped by size; a group contains its lower edge."""

_LOW_IOUS = (0.1, 0.3)  # an own mask below these has missed the object, or most of it


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
    share : float or None
        The object's share of the picture's pixels; None if the object's pixels are not known.
    """

    pointing: bool
    histograms: Counts | None
    box_hits: Mask | None = None
    mask_iou: float | None = None
    share: float | None = None


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
        The mask that was made of the map without the truth.
    tolerance : float
        Tolerance of the pointing game, in pixels.

    Raises
    ------
    DatasetError
        The truth has no pixel of an object.
    ValueError
        Shapes differ, or the map has values that are not finite.
    """
    array, truth, valid = checked(score_map, truth, valid)
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
        share=float(truth.mean()),
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
    array, inside, valid = checked(array, inside, None)
    return PictureScore(
        pointing=pointing_hit(array, inside, valid, tolerance),
        histograms=None,
        box_hits=box_hits_at_thresholds(normalise(array), boxes),
    )


def _middles(start: float, stop: float) -> slice:
    """Return the pixels along one side whose centres are between two edges."""
    return slice(max(math.ceil(start - 0.5), 0), max(math.ceil(stop - 0.5), 0))


@dataclass(frozen=True)
class SizeGroup:
    """The measures of the pictures whose object is of about one size.

    Attributes
    ----------
    at_least, below : float
        The object's share of the picture; the last group includes 1.
    pictures : int
        Number of pictures.
    mean_iou, mask_iou : float or None
        As in `Summary`, at the best single threshold of the whole data set; None without a picture.
    """

    at_least: float
    below: float
    pictures: int
    mean_iou: float | None
    mask_iou: float | None


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
    below_0_1, below_0_3 : float or None
        Shares of these masks with an IoU below 0.1 and below 0.3.
    by_size : tuple of SizeGroup
        Small objects first; empty without masks.
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
    below_0_1: float | None
    below_0_3: float | None
    by_size: tuple[SizeGroup, ...]


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
        groups = len(SIZE_EDGES) - 1
        self.pictures = 0
        self._pointing = 0
        self._histograms: Counts = np.zeros((2, SCORE_EDGES.size), np.int64)
        self._boxed = 0
        self._box_hits: Counts = np.zeros((len(IOU_LEVELS), THRESHOLDS.size), np.int64)
        # one row for each group of sizes
        self._masks: Counts = np.zeros(groups, np.int64)
        self._ious: Float64 = np.zeros((groups, THRESHOLDS.size))
        self._own_masks: Counts = np.zeros(groups, np.int64)
        self._own_ious: Float64 = np.zeros(groups)
        self._below: Counts = np.zeros(len(_LOW_IOUS), np.int64)

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
        if score.histograms is not None and score.share is not None:
            group = int(np.searchsorted(SIZE_EDGES[1:-1], score.share, side="right"))
            self._masks[group] += 1
            self._histograms += score.histograms
            self._ious[group] += iou_at_thresholds(score.histograms)
            if score.mask_iou is not None:
                self._own_masks[group] += 1
                self._own_ious[group] += score.mask_iou
                self._below += np.less(score.mask_iou, _LOW_IOUS)
        if score.box_hits is not None:
            self._boxed += 1
            self._box_hits += score.box_hits

    def summary(self) -> Summary:
        """Return the measures of the pictures added so far.

        Raises
        ------
        DatasetError
            No picture was added.
        """
        if self.pictures == 0:
            raise DatasetError("Expected at least one picture. Received none. Add a row to the index.")
        ious, masks, own_masks = self._ious.sum(axis=0), int(self._masks.sum()), int(self._own_masks.sum())
        best = int(ious.argmax())
        below = tuple(float(n / own_masks) for n in self._below) if own_masks else (None, None)
        accuracies = None
        if self._boxed:
            accuracies = tuple(float(hits.max() / self._boxed) for hits in self._box_hits)
        return Summary(
            pictures=self.pictures,
            masks=masks,
            boxed=self._boxed,
            pointing=self._pointing / self.pictures,
            pxap=pxap(self._histograms) if masks else None,
            max_box_acc_v2=math.fsum(accuracies) / len(accuracies) if accuracies else None,
            max_box_acc=accuracies,
            mean_iou=float(ious[best] / masks) if masks else None,
            threshold=float(THRESHOLDS[best]) if masks else None,
            mask_iou=float(self._own_ious.sum() / own_masks) if own_masks else None,
            below_0_1=below[0],
            below_0_3=below[1],
            by_size=tuple(self._size_group(group, best) for group in range(self._masks.size))
            if masks
            else (),
        )

    def _size_group(self, group: int, best: int) -> SizeGroup:
        """Return the measures of one group of sizes, at the threshold with this index."""
        masks, own_masks = int(self._masks[group]), int(self._own_masks[group])
        return SizeGroup(
            at_least=SIZE_EDGES[group],
            below=SIZE_EDGES[group + 1],
            pictures=masks,
            mean_iou=float(self._ious[group, best] / masks) if masks else None,
            mask_iou=float(self._own_ious[group] / own_masks) if own_masks else None,
        )
