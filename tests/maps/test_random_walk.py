import numpy as np

from fcn_core.maps import random_walk
from fcn_core.maps.superpixels import segment
from tests.maps.pictures import class_map, seen_in_part, two_coloured


def test_a_walker_on_three_regions_by_hand():
    # 1 - 2 - 3 in a row; the network is sure of the object in 1, of the background in 2 and 3.
    steps = np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    found = random_walk._walk(steps, np.array([0.1, 0, 0]), np.array([0, 0.2, 0.2]))
    # 1.1 x - y = 0.1;  1.2 y = 0.5 (x + z);  1.2 z = y:  x : y : z = 0.2166 : 0.1382 : 0.1152
    np.testing.assert_allclose(found, [1, 5 / 22, 0], atol=1e-6)


def test_steps_are_probabilities_and_prefer_similar_regions():
    pixels, disc = two_coloured()
    regions = segment(pixels)
    seen = class_map(seen_in_part())
    steps = random_walk.steps(regions, regions.pooling(seen.cells) @ seen.logits.reshape(-1, 6))
    assert steps.min() >= 0
    assert steps.sum(axis=1).max() <= 1 + 1e-6
    assert steps.sum(axis=1).min() > 0.8  # some regions have no similar region far away
    inside = regions.mean(disc) > 0.5
    assert steps[inside][:, inside].sum() > 0.95 * steps[inside].sum()


def test_confidence_is_saturated_and_small_scales_are_weighted_by_their_pixels():
    sizes = np.ones(100)
    left, right = np.zeros(100), np.zeros(100)
    left[:20], right[80:] = 6, 6
    found = random_walk.confidence(sizes, (256 * 320, 512 * 640), [(right, right), (left, left)])
    assert (found.min(), found.max()) == (0, 1)
    # 256x320 pixels are 0.32 of 400x640, 512x640 count fully
    np.testing.assert_allclose(found[80:] / found[:20], 0.32, atol=1e-6)


def test_the_walk_completes_what_the_network_sees_in_part():
    pixels, disc = two_coloured()
    regions = segment(pixels)
    seen = class_map(seen_in_part())
    pool = regions.pooling(seen.cells)
    logits = pool @ seen.logits.reshape(-1, 6)
    evidence = logits[:, 0].astype(float)
    confident = random_walk.confidence(regions.sizes, (400 * 640,), [(evidence, evidence)])
    found = random_walk.walk(regions, random_walk.steps(regions, logits), confident)
    inside = regions.mean(disc)
    assert found.both[inside > 0.9].min() > found.both[inside < 0.1].max()
    assert found.first[inside < 0.1].max() < 0.3
    assert confident[inside > 0.9].min() < confident.max() / 2


def test_walkers_that_go_anywhere_still_stop_as_background():
    regions = segment(two_coloured()[0])
    count = regions.sizes.size
    confident = (np.arange(count) < count // 2).astype(float)
    found = random_walk.walk(regions, np.full((count, count), 1 / count), confident)
    assert found.first[confident == 1].min() > found.first[confident == 0].max()


def test_the_rim_is_at_the_border():
    pixels, _ = two_coloured()
    regions = segment(pixels)
    near = random_walk.rim(regions)
    y, x = regions.centres.T
    outer = (y < 10) | (x < 10) | (y > 229) | (x > 309)
    assert near[outer].min() > 0.3
    assert near[(y > 60) & (y < 180) & (x > 60) & (x < 260)].max() < 0.01
