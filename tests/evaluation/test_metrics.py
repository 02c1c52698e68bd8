import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fcn_core.errors import DatasetError
from fcn_core.evaluation.boxes import (
    IOU_LEVELS,
    THRESHOLDS,
    box_hits_at_thresholds,
    box_iou,
    boxes_at_thresholds,
)
from fcn_core.evaluation.metrics import (
    Scores,
    iou,
    iou_at_thresholds,
    pixel_histograms,
    pointing_hit,
    pxap,
    score_boxes,
    score_picture,
)
from fcn_core.maps.region import normalise


def mask(*rows):
    return np.array([[sign == "#" for sign in row] for row in rows])


# --- pointing game


@pytest.mark.parametrize(
    ("scores", "truth", "hit"),
    [
        ([[0, 1, 0]], ".#.", True),
        ([[0, 1, 0]], "#..", False),
        ([[1, 1, 1, 0, 0]], ".#...", True),  # the plateau's centroid, not its first pixel
        ([[1, 1, 1, 0, 0]], "#....", False),
        ([[1, 0, 1, 1, 1]], "...#.", True),  # of two plateaus the larger
        ([[1, 0, 1, 1, 1]], "#....", False),
        ([[0.9999999, 1, 0.9999999, 0, 0]], ".#...", True),  # ties in the last digit
    ],
)
def test_pointing_game(scores, truth, hit):
    assert pointing_hit(np.array(scores), mask(truth)) is hit


def test_a_square_plateau_points_at_its_middle():
    scores = np.zeros((9, 9))
    scores[2:7, 3:8] = 4.0
    truth = np.zeros((9, 9), bool)
    truth[4, 5] = True
    assert pointing_hit(scores, truth)


def test_void_pixels_cannot_be_the_maximum():
    scores = np.array([[0.5, 1.0, 0.2]])
    assert pointing_hit(scores, mask("#.."), np.array([[True, False, True]]))
    assert not pointing_hit(scores, mask("#.."))
    assert pointing_hit(np.array([[0.5, 1.0, 1.0]]), mask("#.."), np.array([[True, False, False]]))
    with pytest.raises(DatasetError, match="void"):
        pointing_hit(scores, mask("#.."), np.zeros((1, 3), bool))


@pytest.mark.parametrize(("tolerance", "hit"), [(0, False), (4.9, False), (5, True), (15, True)])
def test_tolerance_is_a_distance_in_pixels(tolerance, hit):
    scores, truth = np.zeros((20, 20)), np.zeros((20, 20), bool)
    scores[10, 10] = 1
    truth[7, 6] = True  # 3 up, 4 left
    assert pointing_hit(scores, truth, tolerance=tolerance) is hit


# --- IoU


@pytest.mark.parametrize(
    ("found", "truth", "valid", "expected"),
    [
        ("##..", ".##.", None, 1 / 3),
        ("##..", "##..", None, 1.0),
        ("##..", "..##", None, 0.0),
        ("....", "....", None, 1.0),
        ("##..", ".##.", ".###", 1 / 2),
        ("#...", ".#..", "..##", 1.0),
    ],
)
def test_iou(found, truth, valid, expected):
    assert iou(mask(found), mask(truth), None if valid is None else mask(valid)) == pytest.approx(expected)


def test_iou_requires_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        iou(mask("#"), mask("##"))


def test_box_iou():
    found = box_iou([[0, 0, 2, 2], [5, 5, 5, 9]], [[1, 0, 3, 2], [0, 0, 2, 2], [9, 9, 10, 10]])
    assert np.allclose(found, [[2 / 6, 1, 0], [0, 0, 0]])


# --- PxAP


def test_pxap_of_four_pixels_by_hand():
    scores = np.array([[1.0, 0.75, 0.5, 0.0]])
    truth = mask("#.#.")
    # thresholds from the top: 1 -> P 1, R 1/2; 0.75 -> P 1/2, R 1/2; 0.5 -> P 2/3, R 1; 0 -> P 1/2, R 1
    assert pxap(pixel_histograms(scores, truth)) == pytest.approx(1 * 0.5 + 2 / 3 * 0.5)


def test_pxap_of_ties_by_hand():
    # one threshold takes all three pixels in: P 2/3 over the whole recall
    assert pxap(pixel_histograms(np.full((1, 3), 0.4), mask("##."))) == pytest.approx(2 / 3)


def test_pxap_pools_the_pixels_of_all_pictures():
    first = pixel_histograms(np.array([[1.0, 0.0]]), mask("#."))
    second = pixel_histograms(np.array([[0.0, 1.0, 1.0]]), mask("#.."))
    # 1 -> 1 object, 2 background: P 1/3, R 1/2; 0 -> P 2/5, R 1
    assert pxap(first + second) == pytest.approx(1 / 3 * 0.5 + 2 / 5 * 0.5)


def test_pxap_ignores_the_void():
    scores, truth = np.array([[1.0, 0.9, 0.2]]), mask("#.#")
    assert pxap(pixel_histograms(scores, truth, mask("#.#"))) == 1.0
    assert pxap(pixel_histograms(scores, truth)) < 1.0


def test_pxap_of_chance_is_the_objects_share():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 400)) < 0.3
    assert pxap(pixel_histograms(rng.random((400, 400)), truth)) == pytest.approx(0.3, abs=0.01)


def test_pxap_without_an_object():
    with pytest.raises(DatasetError, match="pixels of an object"):
        pxap(pixel_histograms(np.array([[0.5]]), mask(".")))


@pytest.mark.parametrize(
    ("score", "column"), [(0.0, 0), (0.0009, 0), (0.001, 1), (0.57, 570), (0.9995, 999), (1.0, 1000)]
)
def test_histogram_columns(score, column):
    histograms = pixel_histograms(np.array([[score]]), mask("#"))
    assert histograms.shape == (2, 1001)
    assert np.flatnonzero(histograms[0]).tolist() == [column]
    assert histograms[1].sum() == 0


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_histograms_require_normalised_scores(score):
    with pytest.raises(ValueError, match="0 to 1"):
        pixel_histograms(np.array([[score]]), mask("#"))


# --- IoU over thresholds


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_iou_at_thresholds_is_the_iou_of_the_masks(seed):
    rng = np.random.default_rng(seed)
    scores, truth, valid = rng.random((6, 7)), rng.random((6, 7)) < 0.4, rng.random((6, 7)) < 0.9
    truth[0, 0] = valid[0, 0] = True
    curve = iou_at_thresholds(pixel_histograms(scores, truth, valid))
    assert curve.shape == (1000,)
    for k in range(0, 1000, 37):
        assert curve[k] == pytest.approx(iou(scores >= THRESHOLDS[k], truth, valid))


def test_one_threshold_serves_all_pictures():
    scores = Scores()
    # best alone: 1/1 at t in (0, 0.4], and 1/1 at t in (0.8, 1]; together t in (0.2, 0.4] gives (1 + 2/3) / 2
    scores.add(np.array([[0.0, 0.4, 0.4, 1.0]]), mask(".###"))
    scores.add(np.array([[0.0, 0.8, 1.0, 1.0]]), mask("..##"))
    summary = scores.summary()
    assert summary.mean_iou == pytest.approx((1 + 2 / 3) / 2)
    assert summary.threshold == pytest.approx(0.001)
    assert summary.pictures == 2


# --- boxes


def labelled_boxes(scores, threshold):
    labels, _ = ndimage.label(scores >= threshold, np.ones((3, 3)))
    return {(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]), st.booleans())
def test_boxes_at_all_thresholds_equal_those_of_labelling_at_each(seed, sigma, coarse):
    rng = np.random.default_rng(seed)
    scores = normalise(ndimage.gaussian_filter(rng.random(rng.integers(1, 16, 2)), sigma))
    if coarse:
        scores = np.round(scores * 4) / 4
    boxes, spans = boxes_at_thresholds(scores)
    for k in range(0, 1000, 31):
        alive = (spans[:, 0] <= k) & (k < spans[:, 1])
        assert {tuple(box) for box in boxes[alive].astype(int).tolist()} == labelled_boxes(
            scores, THRESHOLDS[k]
        )


def test_large_maps_give_boxes_to_the_pixel_step():
    scores = np.zeros((900, 1201), np.float32)
    scores[301:602, 100:1201] = 1
    boxes, spans = boxes_at_thresholds(scores)
    top = boxes[spans[:, 1] == 1000]
    assert np.abs(top - [100, 301, 1201, 602]).max() <= 4
    assert top.max() <= 1201


def test_box_hits_by_hand():
    # at t <= 0.25 the whole row 0..4; to 0.5 columns 1..2 (2 pixels); to 1 column 1 alone
    scores = np.array([[0.25, 1.0, 0.5, 0.25]])
    hits = box_hits_at_thresholds(scores, [[1, 0, 3, 1]])  # IoU 0.5, then 1, then 0.5
    assert hits.shape == (3, 1000)
    assert hits[0].all()
    assert hits[1].all()
    assert np.flatnonzero(hits[2]).tolist() == list(range(251, 501))
    assert IOU_LEVELS == (0.3, 0.5, 0.7)


def test_any_region_may_match_any_true_box():
    scores = np.array([[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]])
    assert box_hits_at_thresholds(scores, [[5, 0, 6, 1]])[2, 1:].all()
    assert box_hits_at_thresholds(scores, [[3, 0, 4, 1], [0, 0, 2, 1]])[2, 1:].all()
    assert not box_hits_at_thresholds(scores, [[2, 0, 5, 1]])[1, 1:].any()


def test_max_box_acc_v2_takes_the_best_threshold_of_the_data_set():
    scores = Scores()
    scores.add(
        np.array([[0.0, 1.0, 0.5, 0.0]]), mask(".##."), boxes=[(1, 0, 3, 1)]
    )  # IoU 1 up to 0.5, then 0.5
    scores.add(
        np.array([[0.0, 1.0, 0.5, 0.0]]), mask(".#.."), boxes=[(1, 0, 2, 1)]
    )  # IoU 0.5 up to 0.5, then 1
    scores.add(np.array([[0.0, 1.0]]), mask(".#"))  # no boxes: takes no part
    summary = scores.summary()
    assert summary.max_box_acc == (1.0, 1.0, 0.5)
    assert summary.max_box_acc_v2 == pytest.approx(2.5 / 3)
    assert summary.pictures == 3


# --- the whole


def test_a_perfect_map_scores_perfectly():
    truth = np.zeros((30, 40), bool)
    truth[5:20, 10:30] = True
    scores = Scores()
    found = scores.add(truth * 7.5 - 2, truth, boxes=[(10, 5, 30, 20)], mask=truth)
    summary = scores.summary()
    assert (summary.pointing, summary.pxap, summary.max_box_acc_v2, summary.mean_iou) == (1, 1, 1, 1)
    assert summary.mask_iou == found.mask_iou == 1


def test_maps_are_normalised_one_by_one():
    scores, alike = Scores(), Scores()
    values = np.random.default_rng(0).random((8, 9))
    truth = values > 0.6
    scores.add(values * 100 - 7, truth)
    alike.add(values, truth)
    assert scores.summary() == alike.summary()


def test_a_constant_map_is_measured_too():
    scores = Scores()
    scores.add(np.full((2, 2), 3.0), mask("#.", ".."), boxes=[(0, 0, 1, 1)])
    summary = scores.summary()
    assert summary.pxap == summary.mean_iou == pytest.approx(0.25)
    assert summary.max_box_acc_v2 == 0


def test_measured_pictures_can_be_added_again():
    rng = np.random.default_rng(1)
    truths = [rng.random((12, 12)) < 0.5 for _ in range(4)]
    whole, again = Scores(), Scores()
    parts = [whole.add(rng.random((12, 12)), truth, mask=truth) for truth in truths]
    for part in parts:
        again.include(part)
    assert whole.summary() == again.summary()


@pytest.mark.parametrize(
    ("scores", "truth", "valid", "error", "words"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2), bool), None, DatasetError, "pixels of an object"),
        (
            np.zeros((2, 2)),
            np.ones((2, 2), bool),
            np.zeros((2, 2), bool),
            DatasetError,
            "pixels of an object",
        ),
        (np.zeros((2, 3)), np.ones((2, 2), bool), None, ValueError, "one shape"),
        (np.zeros((2, 2)), np.ones((2, 2), np.uint8), None, ValueError, "bool"),
        (np.full((2, 2), np.nan), np.ones((2, 2), bool), None, ValueError, "finite"),
    ],
)
def test_what_cannot_be_measured_is_an_error(scores, truth, valid, error, words):
    with pytest.raises(error, match=words):
        score_picture(scores, truth, valid)


def test_an_empty_data_set_is_an_error():
    with pytest.raises(DatasetError, match="at least one picture"):
        Scores().summary()


# --- boxes alone


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ((4, 6, 6, 8), True),
        ((5, 7, 6, 8), True),  # that pixel alone
        ((5.4, 7.4, 5.6, 7.6), True),  # its middle
        ((5.6, 7, 6.6, 8), False),
        ((6, 6, 9, 9), False),
        ((0, 0, 5, 7), False),  # the far edges are exclusive
    ],
)
def test_with_only_boxes_the_maximum_must_be_in_one(box, hit):
    scores = np.zeros((12, 10))
    scores[7, 5] = 1
    for boxes in ([box], [(0, 0, 1, 1), box]):
        assert score_boxes(scores, boxes).pointing is hit
    assert score_boxes(scores, [box], tolerance=9).pointing


def test_with_only_boxes_measures_of_pixels_are_skipped():
    scores, values = Scores(), np.zeros((20, 20))
    values[5:15, 2:12] = 1
    found = score_boxes(values, [(2, 5, 12, 15)])
    assert found.histograms is found.mask_iou is None
    assert found.box_hits[:, 1:].all()
    scores.include(found)
    summary = scores.summary()
    assert (summary.pictures, summary.masks, summary.boxed) == (1, 0, 1)
    assert (summary.pointing, summary.max_box_acc_v2) == (1, 1)
    assert summary.pxap is summary.mean_iou is summary.threshold is summary.mask_iou is None
    truth = np.zeros((20, 20), bool)
    truth[5:15, 2:12] = True
    scores.add(values, truth)
    mixed = scores.summary()
    assert (mixed.pictures, mixed.masks, mixed.boxed) == (2, 1, 1)
    assert mixed.pxap == mixed.mean_iou == 1


@pytest.mark.parametrize("boxes", [[], [(0.1, 0.1, 0.2, 0.2)], [(30, 30, 40, 40)]])
def test_boxes_without_a_pixel_are_an_error(boxes):
    with pytest.raises(DatasetError, match="Expected boxes that contain"):
        score_boxes(np.zeros((20, 20)), boxes)


# --- own masks, and the size of the object


def strip(pixels):
    """A picture of 100 pixels whose first ones are the object."""
    truth = np.zeros((1, 100), bool)
    truth[:, :pixels] = True
    return truth


def own(truth, overlap):
    """A mask of the object's size that shares some of its pixels."""
    return np.roll(truth, int(truth.sum()) - overlap, axis=1)


@pytest.mark.parametrize(
    ("shared", "below_0_1", "below_0_3"),
    [
        ([10, 10], 0, 0),
        ([0, 10], 1 / 2, 1 / 2),
        ([1, 10, 10, 10], 1 / 4, 1 / 4),  # IoU 1/19
        ([4, 10, 10, 10], 0, 1 / 4),  # IoU 4/16
        ([0, 1, 4, 10], 1 / 2, 3 / 4),
        ([5], 0, 0),  # IoU 1/3
    ],
)
def test_shares_of_masks_that_miss(shared, below_0_1, below_0_3):
    scores, truth = Scores(), strip(10)
    for overlap in shared:
        scores.add(truth.astype(float), truth, mask=own(truth, overlap))
    s = scores.summary()
    assert (s.below_0_1, s.below_0_3) == (below_0_1, below_0_3)
    assert s.mask_iou == pytest.approx(np.mean([n / (20 - n) for n in shared]))


@pytest.mark.parametrize("iou_is", [0.1, 0.3])
def test_a_mask_at_the_limit_is_not_below_it(iou_is):
    scores, truth = Scores(), strip(10)
    scores.add(truth.astype(float), truth, mask=strip(round(10 * iou_is)))
    s = scores.summary()
    assert (s.below_0_1, s.below_0_3) == (0, iou_is < 0.3)


@pytest.mark.parametrize(
    ("pixels", "group"), [(1, 0), (9, 0), (10, 1), (19, 1), (20, 2), (39, 2), (40, 3), (41, 3), (100, 3)]
)
def test_an_object_belongs_to_the_group_of_its_share(pixels, group):
    scores = Scores()
    truth = strip(pixels)
    scores.add(truth.astype(float), truth, mask=truth)
    groups = scores.summary().by_size
    assert [(g.at_least, g.below) for g in groups] == [(0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1)]
    assert [g.pictures for g in groups] == [int(i == group) for i in range(4)]
    assert [g.mask_iou for g in groups] == [1.0 if i == group else None for i in range(4)]


def test_void_pixels_are_part_of_the_picture():
    truth, valid = strip(9), np.ones((1, 100), bool)
    valid[:, 50:] = False  # of the other pixels the object is 18 %
    assert score_picture(truth.astype(float), truth, valid).share == 0.09


def test_groups_are_measured_at_the_threshold_of_the_whole():
    scores, small, large = Scores(), strip(5), strip(50)
    for truth, at, count in ((large, 0.4, 3), (small, 0.8, 1)):
        values = np.where(truth, 1.0, np.where(np.arange(100) < 60, at - 0.05, 0.0))
        for _ in range(count):
            scores.add(values, truth, mask=own(truth, int(truth.sum()) - 1))
    s = scores.summary()
    assert s.threshold == pytest.approx(0.751)  # from here on both are perfect
    assert [g.mean_iou for g in s.by_size] == [1.0, None, None, 1.0]
    assert [g.mask_iou for g in s.by_size] == [4 / 6, None, None, pytest.approx(49 / 51)]
    assert s.mean_iou == pytest.approx(sum(g.pictures * (g.mean_iou or 0) for g in s.by_size) / s.masks)
    assert s.mask_iou == pytest.approx(sum(g.pictures * (g.mask_iou or 0) for g in s.by_size) / s.masks)


def test_without_masks_there_are_neither_shares_nor_groups():
    scores = Scores()
    scores.include(score_boxes(np.eye(9), [(0, 0, 9, 9)]))
    s = scores.summary()
    assert s.below_0_1 is s.below_0_3 is None
    assert s.by_size == ()
    scores.add(np.eye(9), np.eye(9, dtype=bool))  # a mask that nobody made of the map
    s = scores.summary()
    assert s.below_0_1 is s.below_0_3 is s.mask_iou is None
    assert [g.pictures for g in s.by_size] == [0, 1, 0, 0]
