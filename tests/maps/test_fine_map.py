import tracemalloc

import numpy as np
import pytest

from fcn_core.maps.fine_map import describe, fine_map
from fcn_core.maps.heatmap import place, synset_heatmap
from fcn_core.maps.read_out import object_probability
from fcn_core.maps.region import normalise, suggest_threshold, threshold_mask
from tests.maps.pictures import class_map, seen_in_part, two_coloured


def test_the_fine_map_completes_an_object_that_the_network_sees_in_part():
    pixels, disc = two_coloured()
    maps = [class_map(seen_in_part())]
    overlap = {}
    for snap in (True, False):
        fine = fine_map(pixels, maps, [0], snap=snap)
        assert fine.shape == disc.shape
        assert fine.dtype == np.float32
        assert fine.min() < 0.05
        assert fine.max() > 0.8
        found = threshold_mask(fine, suggest_threshold(fine))
        overlap[snap] = (found & disc).sum() / (found | disc).sum()
    assert overlap[True] > 0.9
    assert overlap[False] < 0.6


def test_each_pixel_has_the_probability_of_its_region():
    pixels, _ = two_coloured(160, 240)
    logits = np.random.default_rng(0).normal(0, 3, (5, 8, 6))
    scene = describe(pixels, [class_map(logits)])
    fine = fine_map(pixels, [class_map(logits)], [0], scene=scene)
    np.testing.assert_allclose(fine, object_probability(scene, [0])[scene.regions.labels], atol=1e-6)


@pytest.mark.parametrize("kind", ["probability", "evidence"])
def test_without_snapping_the_fine_map_is_the_mean_of_the_placed_heatmaps(kind):
    pixels, _ = two_coloured(60, 80)
    maps = [class_map(seen_in_part(h, w)) for h, w in ((3, 4), (6, 8))]
    placed = [place(synset_heatmap(m, [0, 2], kind), 60, 80) for m in maps]
    found = fine_map(pixels, maps, [0, 2], snap=False, kind=kind)
    np.testing.assert_allclose(found, normalise(placed[0] + placed[1]), atol=1e-6)


def test_a_given_scene_does_not_change_the_map():
    pixels, _ = two_coloured()
    maps = [class_map(seen_in_part())]
    again = fine_map(pixels, maps, [0], scene=describe(pixels, maps))
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
    assert np.abs(fine - turned).mean() < 0.05  # the superpixels differ a little


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
