import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.filters import threshold_otsu

from fcn_core.maps.region import (
    Box,
    boxes_of,
    contours_of,
    hysteresis_mask,
    normalise,
    polygon_area,
    suggest_threshold,
    threshold_mask,
)


def drawn(*rows):
    return np.array([[sign == "#" for sign in row] for row in rows])


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[2, 4], [3, 6]], [[0, 0.5], [0.25, 1]]),
        ([[-1, 1]], [[0, 1]]),
        ([[5, 5]], [[0, 0]]),
        ([[0, np.nan, 2]], [[0, np.nan, 1]]),
        ([[np.nan]], [[0]]),
    ],
)
def test_normalise(values, expected):
    found = normalise(values)
    assert np.allclose(found, expected, equal_nan=True)
    assert found.dtype == np.float32


def test_threshold_mask_includes_the_threshold_and_never_nan():
    fine = np.array([[0.2, 0.5, 0.7, np.nan]], np.float32)
    assert threshold_mask(fine, 0.5).tolist() == [[False, True, True, False]]


def test_the_suggested_threshold_separates_object_from_background():
    rng = np.random.default_rng(0)
    fine = np.clip(rng.normal(0.15, 0.05, (300, 1700)), 0, 1).astype(np.float32)
    fine[100:200, 300:900] = np.clip(rng.normal(0.8, 0.05, (100, 600)), 0, 1)
    threshold = suggest_threshold(fine)
    assert 0.25 < threshold < 0.7
    mask = threshold_mask(fine, threshold)
    assert mask[100:200, 300:900].mean() > 0.99
    assert mask.sum() < 61_000


def test_suggested_threshold_is_otsus():
    rng = np.random.default_rng(1)
    fine = np.concatenate([rng.beta(2, 8, 5000), rng.beta(9, 3, 2000)]).reshape(70, 100).astype(np.float32)
    bin_width = np.ptp(fine) / 256
    assert abs(suggest_threshold(fine) - threshold_otsu(fine)) <= bin_width


def test_all_values_of_the_last_background_bin_are_background():
    fine = np.repeat(np.float32([0, 0.003, 1]), [500, 500, 100]).reshape(10, 110)  # a bin is 0.0039 wide
    np.testing.assert_array_equal(threshold_mask(fine, suggest_threshold(fine)), fine == 1)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_map_has_a_threshold_too(value):
    assert suggest_threshold(np.full((5, 6), value, np.float32)) == 0.5


@pytest.mark.parametrize(
    ("eighths", "kept"),
    [
        (["8.4.", "8..4"], ["#...", "#..."]),  # what is nowhere sure is left out
        (["8.67", "4..."], ["#.##", "#..."]),  # another object stays, and what hangs on one
        (["8.4.", ".4.6"], ["#.#.", ".#.#"]),  # corners connect
        (["4.5.", "4..."], ["#.#.", "#..."]),  # sure is relative to the surest
        (["8.6.", "..5."], ["#.#.", "..#."]),  # exactly three quarters are enough
        (["8.5.", "..5."], ["#...", "...."]),
        (["1.2.", "...."], ["....", "...."]),  # below the threshold
    ],
    ids=str,
)
def test_parts_of_a_mask_that_are_nowhere_sure_are_left_out(eighths, kept):
    fine = np.array([[0 if sign == "." else int(sign) / 8 for sign in row] for row in eighths], np.float32)
    np.testing.assert_array_equal(hysteresis_mask(fine, 3 / 8), drawn(*kept))


def test_where_nothing_is_known_nothing_is_marked():
    fine = np.full((3, 5), np.nan, np.float32)
    assert not hysteresis_mask(fine, 0.5).any()
    fine[0, 0], fine[2, 4] = 0.9, 0.6
    np.testing.assert_array_equal(hysteresis_mask(fine, 0.5), drawn("#....", ".....", "....."))


def test_boxes_largest_first_with_exclusive_ends():
    mask = drawn(
        "##......",
        "##......",
        "....####",
        "....####",
        "#.......",
    )
    fine = mask * np.linspace(0.1, 1, 40, dtype=np.float32).reshape(5, 8)
    first, second, third = boxes_of(mask, fine)
    assert (first.x0, first.y0, first.x1, first.y1, first.area) == (4, 2, 8, 4, 8)
    assert first.peak == pytest.approx(fine[3, 7])
    assert (second.x0, second.y0, second.x1, second.y1, second.area) == (0, 0, 2, 2, 4)
    assert third.area == 1
    assert boxes_of(mask, min_share=0.05) == boxes_of(mask, min_share=0.03)[:2]


def test_pixels_touching_at_a_corner_are_one_region():
    (box,) = boxes_of(drawn("#..", ".#.", "..#"))
    assert (box.x0, box.y0, box.x1, box.y1, box.area) == (0, 0, 3, 3, 3)
    assert np.isnan(box.peak)


def test_a_mask_without_regions_has_no_boxes():
    assert boxes_of(np.zeros((4, 4), bool)) == ()
    assert contours_of(np.zeros((4, 4), bool)) == ()


def test_the_outline_of_one_pixel_is_its_square():
    (outline,) = contours_of(drawn("...", "..#"))
    assert outline.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]
    assert polygon_area(outline) == 1


def test_outlines_of_holes_run_counter_clockwise():
    outer, hole = contours_of(drawn("####", "#..#", "####"))
    assert polygon_area(outer) == 12
    assert polygon_area(hole) == -2
    assert outer[:, 0].max() == 4


@settings(deadline=None, max_examples=200)
@given(masks)
def test_outlines_enclose_exactly_the_mask(mask):
    outlines = contours_of(mask)
    assert sum(polygon_area(outline) for outline in outlines) == mask.sum()
    signs = [polygon_area(outline) > 0 for outline in outlines]
    assert sum(signs) == ndimage.label(mask, np.ones((3, 3)))[1]
    outside = np.pad(~mask, 1, constant_values=True)
    assert len(signs) - sum(signs) == ndimage.label(outside)[1] - 1
    for outline in outlines:  # every edge is horizontal or vertical, and closed
        steps = np.roll(outline, -1, axis=0) - outline
        assert np.all((steps == 0).sum(axis=1) == 1)


@settings(deadline=None, max_examples=100)
@given(masks)
def test_boxes_contain_their_regions(mask):
    boxes = boxes_of(mask, min_share=0)
    assert sum(box.area for box in boxes) == mask.sum()
    covered = np.zeros_like(mask)
    for box in boxes:
        covered[box.y0 : box.y1, box.x0 : box.x1] = True
        inside = mask[box.y0 : box.y1, box.x0 : box.x1]
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
    assert not (mask & ~covered).any()


def test_tolerance_thins_the_outline():
    y, x = np.mgrid[:200, :200]
    disc = (y - 100) ** 2 + (x - 100) ** 2 < 80**2
    (exact,), (simple,) = contours_of(disc), contours_of(disc, tolerance=1.5)
    assert len(simple) < len(exact) / 8
    assert polygon_area(simple) == pytest.approx(polygon_area(exact), rel=0.02)


def test_large_pictures_are_thinned_and_scaled_back():
    mask = np.zeros((3000, 4001), bool)  # 12 megapixels: every second row and column
    mask[1001:2000, 501:4001] = True
    (box,) = boxes_of(mask)
    assert abs(box.x0 - 501) <= 1 and abs(box.y0 - 1001) <= 1
    assert (box.x1, abs(box.y1 - 2000) <= 1) == (4001, True)
    assert box.area == pytest.approx(mask.sum(), rel=0.005)
    (outline,) = contours_of(mask)
    assert outline.max(axis=0).tolist() == [4001, 2000]
    assert polygon_area(outline) == pytest.approx(mask.sum(), rel=0.005)


def test_boxes_are_plain_records():
    assert Box(0, 0, 1, 1, 1, 0.5) == Box(0, 0, 1, 1, 1, 0.5)


def test_a_range_too_narrow_for_single_precision_still_has_a_threshold():
    fine = np.full((20, 20), 0.0071, np.float32)
    fine[5] = np.nextafter(np.float32(0.0071), np.float32(1))
    assert fine.min() <= suggest_threshold(fine) <= fine.max()
