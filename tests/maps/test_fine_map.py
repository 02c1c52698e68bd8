import tracemalloc

import numpy as np
import pytest

from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps import fine_map as internals
from fcn_core.maps.fine_map import fine_map, segment
from fcn_core.maps.heatmap import ClassMap, place, synset_heatmap
from fcn_core.maps.region import normalise, suggest_threshold, threshold_mask
from fcn_core.networks.geometry import CellAxis, CellGrid


def class_map(logits, stride=32):
    """Return a class map with adjacent cells of `stride` input pixels."""
    h, w, _ = logits.shape
    cells = CellGrid(*(CellAxis(n * stride, n, stride, (stride - 1) / 2, stride) for n in (h, w)))
    plan = PlannedScale(Scale(h * stride, w * stride), h * stride, w * stride, False)
    return ClassMap(np.asarray(logits, np.float32), cells, plan, 0.0)


def two_coloured(height=240, width=320):
    """Return a picture of a bluish disc on a noisy yellowish ground, and the mask of the disc."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((height, width))
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (0.3 * height) ** 2
    pixels = np.where(disc[..., None], (40, 60, 160), (180, 170, 90)) + rng.normal(0, 8, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8), disc


def seen_in_part(h=13, w=20, classes=6):
    """Return logits that are high in the disc's left half and low in its right half; class 1 is the ground."""
    logits = np.zeros((h, w, classes), np.float32)
    logits[..., 1] = 6
    rows, columns = (np.indices((h, w)) + 0.5) / np.array((h, w))[:, None, None]
    disc = ((rows - 0.5) * 0.75) ** 2 + (columns - 0.5) ** 2 < 0.225**2
    logits[disc] = (2, 0, 5, 5, 0, 0)
    logits[disc & (columns < 0.5)] = (9, 0, 5, 5, 0, 0)
    return logits


def test_the_fine_map_completes_an_object_that_the_network_sees_in_part():
    pixels, disc = two_coloured()
    maps = [class_map(seen_in_part())]
    overlap = {}
    for snap in (True, False):
        fine = fine_map(pixels, maps, [0], snap=snap)
        assert fine.shape == disc.shape
        assert fine.dtype == np.float32
        assert (fine.min(), fine.max()) == (0, 1)
        found = threshold_mask(fine, suggest_threshold(fine))
        overlap[snap] = (found & disc).sum() / (found | disc).sum()
    assert overlap[True] > 0.9
    assert overlap[False] < 0.6


@pytest.mark.parametrize("kind", ["probability", "evidence"])
def test_without_snapping_the_fine_map_is_the_mean_of_the_placed_heatmaps(kind):
    pixels, _ = two_coloured(60, 80)
    maps = [class_map(seen_in_part(h, w)) for h, w in ((3, 4), (6, 8))]
    placed = [place(synset_heatmap(m, [0, 2], kind), 60, 80) for m in maps]
    found = fine_map(pixels, maps, [0, 2], snap=False, kind=kind)
    np.testing.assert_allclose(found, normalise(placed[0] + placed[1]), atol=1e-6)


def test_given_regions_do_not_change_the_map():
    pixels, _ = two_coloured()
    maps = [class_map(seen_in_part())]
    again = fine_map(pixels, maps, [0], regions=segment(pixels))
    np.testing.assert_array_equal(again, fine_map(pixels, maps, [0]))


@pytest.mark.parametrize(
    ("height", "width"), [(2, 2), (2, 3), (7, 5), (30, 31), (2, 900), (900, 3), (1200, 1600)]
)
@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (4, 3)])
def test_the_fine_map_fits_pictures_and_grids_of_any_size(height, width, grid):
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    fine = fine_map(pixels, [class_map(rng.normal(0, 3, (*grid, 5)))], [4, 0])
    assert fine.shape == (height, width)
    assert np.isfinite(fine).all()
    assert 0 <= fine.min() <= fine.max() <= 1


@pytest.mark.parametrize("value", [-8.0, 0.0, 8.0])
def test_equal_cells_give_a_finite_map(value):
    pixels, _ = two_coloured(60, 80)
    fine = fine_map(pixels, [class_map(np.full((3, 4, 7), value))], range(7))
    assert np.isfinite(fine).all()


def test_a_picture_of_one_colour_and_a_synset_of_all_classes():
    pixels = np.full((50, 70, 3), 128, np.uint8)
    logits = np.random.default_rng(0).normal(0, 2, (4, 6, 1000))
    for ids in ([7], range(1000)):
        fine = fine_map(pixels, [class_map(logits), class_map(logits[:1, :1])], ids)
        assert np.isfinite(fine).all()


def test_a_rotated_picture_gives_the_rotated_map():
    pixels, _ = two_coloured(160, 160)
    logits = seen_in_part(8, 8)
    fine = fine_map(pixels, [class_map(logits)], [0])
    turned = fine_map(pixels[::-1, ::-1].copy(), [class_map(logits[::-1, ::-1])], [0])[::-1, ::-1]
    assert np.abs(fine - turned).mean() < 0.02  # the superpixels differ a little


def test_regions_cover_the_picture():
    pixels, disc = two_coloured(480, 640)
    regions = segment(pixels)
    count = regions.sizes.size
    assert regions.labels.shape == (240, 320)
    assert 300 < count < 700
    np.testing.assert_array_equal(np.unique(regions.labels), np.arange(count))
    assert regions.sizes.sum() == 240 * 320
    rows, columns = np.indices((240, 320))
    np.testing.assert_allclose(regions.centres, np.stack([regions.mean(rows), regions.mean(columns)], 1))
    share = regions.mean(disc[::2, ::2])
    assert ((share < 0.1) | (share > 0.9)).mean() > 0.95  # few regions cross the edge of the disc
    assert abs(np.diff(regions.colours[[share.argmin(), share.argmax()], 2]).item()) > 50  # yellow to blue


def test_a_walker_on_three_regions_by_hand():
    # 1 - 2 - 3 in a row; the network is sure of the object in 1, of the background in 2 and 3.
    steps = np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    found = internals._walk(steps, np.array([0.1, 0, 0]), np.array([0, 0.2, 0.2]))
    # 1.1 x - y = 0.1;  1.2 y = 0.5 (x + z);  1.2 z = y:  x : y : z = 0.2166 : 0.1382 : 0.1152
    np.testing.assert_allclose(found, [1, 5 / 22, 0], atol=1e-6)


def test_steps_are_probabilities_and_prefer_similar_regions():
    pixels, disc = two_coloured()
    regions = segment(pixels)
    steps = internals._steps(regions, [class_map(seen_in_part())], internals.SNAPPING)
    assert steps.min() >= 0
    assert steps.sum(axis=1).max() <= 1
    assert steps.sum(axis=1).min() > 0.8  # some regions have no similar region far away
    inside = regions.mean(disc) > 0.5
    assert steps[inside][:, inside].sum() > 0.99 * steps[inside].sum()


def test_confidence_is_saturated_and_small_scales_are_weighted_by_their_pixels():
    pixels, _ = two_coloured()
    regions = segment(pixels)
    coarse, fine = np.zeros((8, 10, 2)), np.zeros((16, 20, 2))
    coarse[:, 5:, 0] = 6
    fine[:, :5, 0] = 6
    found = internals._confidence(regions, [class_map(coarse), class_map(fine)], [0], internals.SNAPPING)
    assert (found.min(), found.max()) == (0, 1)
    left, right = regions.centres[:, 1] < 60, regions.centres[:, 1] > 200
    # 256x320 pixels are 0.32 of 400x640, 512x640 count fully
    assert abs(found[right].mean() / found[left].mean() - 0.32) < 0.02


def test_logits_are_interpolated_between_cell_centres():
    pixels, _ = two_coloured(64, 96)
    regions = segment(pixels)
    rows, columns = np.indices((4, 6)) * 16 + 7.5
    found = internals._logits_at(class_map(np.stack([rows, columns], -1), stride=16), regions)
    np.testing.assert_allclose(found, np.clip(regions.centres, 7.5, (55.5, 87.5)), atol=1e-3)


@pytest.mark.parametrize("snap", [True, False])
def test_a_large_map_is_in_memory_little_more_than_once(snap):
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    maps = [class_map(seen_in_part()), class_map(seen_in_part(6, 10))]
    fine_map(pixels[:200, :300], maps, [0])  # imports
    tracemalloc.start()
    try:
        fine = fine_map(pixels, maps, [0], snap=snap)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (1.5 if snap else 2.5) * fine.nbytes + 40e6
