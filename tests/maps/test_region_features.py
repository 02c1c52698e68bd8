import numpy as np
import pytest

from fcn_core.maps.heatmap import synset_heatmap
from fcn_core.maps.region_features import KINDS, nearest_scale, read_scene, region_features
from fcn_core.maps.superpixels import segment
from fcn_core.networks.middle import MiddleMap
from fcn_core.synsets.ontology import Ontology
from tests.maps.pictures import class_map, grid, seen_in_part, two_coloured

ONTOLOGY = Ontology.load()
DOG = ONTOLOGY.class_ids("n02084071")


@pytest.fixture(scope="module")
def regions():
    return segment(two_coloured(160, 240)[0])


def noise(h, w, seed=0, middle=()):
    return class_map(np.random.default_rng(seed).normal(0, 3, (h, w, 1000)), middle=middle)


def test_probability_and_evidence_are_means_over_the_regions(regions):
    maps = [noise(6, 10), noise(12, 20, 1), noise(25, 40, 2)]
    found = region_features(read_scene(regions, maps), DOG)
    for slot, seen in zip(("coarse", "middle", "fine"), maps, strict=True):
        for kind in ("probability", "evidence"):
            values = synset_heatmap(seen, DOG, kind).values.ravel()
            expected = regions.pooling(seen.cells) @ values
            np.testing.assert_allclose(found[f"{slot} {kind}"], expected, rtol=1e-4, atol=1e-5)


def test_kinds_leave_the_classes_of_the_synset_out(regions):
    seen = noise(6, 10)
    found = region_features(read_scene(regions, [seen]), DOG)
    probabilities = seen.probabilities.reshape(-1, 1000)
    for kind, wnid in KINDS.items():
        others = sorted(set(ONTOLOGY.class_ids(wnid)) - set(DOG))
        expected = regions.pooling(seen.cells) @ probabilities[:, others].sum(axis=1)
        np.testing.assert_allclose(found[f"coarse {kind}"], expected, atol=1e-5)
    assert found["coarse dog"].max() < 1e-6


def test_the_best_other_class_is_not_of_the_synset(regions):
    logits = np.zeros((6, 10, 1000), np.float32)
    logits[..., DOG[0]], logits[..., 999] = 9, 5
    found = region_features(read_scene(regions, [class_map(logits)]), DOG)
    expected = np.exp(5) / (np.exp(9) + np.exp(5) + 998)
    np.testing.assert_allclose(found["fine best other"], expected, rtol=1e-4)
    np.testing.assert_allclose(found["fine margin"], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(200, 320)], [0, 0, 0]),
        ([(200, 320), (400, 640)], [0, 1, 1]),
        ([(200, 320), (400, 640), (800, 1280), (1600, 2560)], [0, 1, 2]),
        ([(1600, 2560)], [0, 0, 0]),
    ],
)
def test_scales_take_the_nearest_slot(sides, expected):
    maps = [class_map(np.zeros((h // 32, w // 32, 2))) for h, w in sides]
    found = [maps.index(nearest_scale(maps, p)) for p in (200 * 320, 400 * 640, 800 * 1280)]
    assert found == expected


def test_middle_maps_tell_alike_regions(regions):
    disc = two_coloured(160, 240)[1]
    share = regions.mean(disc)
    h, w = 10, 15
    inside = disc[8::16, 8::16]
    values = np.random.default_rng(0).normal(0, 0.1, (h, w, 4)) + np.where(inside[..., None], 1, -1)
    middle = MiddleMap("layer", values.astype(np.float16), grid(h, w, 16))
    seen = class_map(seen_in_part(5, 8, 1000), middle=(middle,))
    scene = read_scene(regions, [seen])
    assert scene.layers == ("layer",)
    found = region_features(scene, [0])
    np.testing.assert_allclose(found["layer 2"], scene.middle[0].values[:, 2])
    np.testing.assert_allclose(scene.middle[0].alike.sum(axis=1), 1, rtol=1e-5)
    like = found["layer like object"]
    assert np.median(like[share > 0.9]) > 0.9
    assert np.median(like[share < 0.1]) < -0.9


def test_names_do_not_depend_on_the_scales_or_the_synset(regions):
    one = region_features(read_scene(regions, [noise(6, 10)]), DOG)
    more = region_features(read_scene(regions, [noise(6, 10), noise(12, 20), noise(25, 40)]), [7])
    assert list(one) == list(more)
    assert all(np.isfinite(v).all() and v.shape == regions.sizes.shape for v in one.values())


def test_classes_that_are_not_of_imagenet_have_no_kinds(regions):
    found = region_features(read_scene(regions, [class_map(seen_in_part(5, 8))]), [0])
    assert all(found[f"coarse {kind}"].max() == 0 for kind in KINDS)
