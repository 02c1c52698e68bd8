"""Presence: the six numbers of hand-made class maps, what the weights make of them, and a real photograph."""

from __future__ import annotations

import gc
import json
import math
from itertools import pairwise

import numpy as np
import pytest

from fcn_core.errors import AmbiguousSynset, ScaleError, UnknownSynset
from fcn_core.maps import windows as module
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.presence import FEATURES, ReadOut, features, presence, presences, shipped
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.assets import asset
from tests.maps.hand_made import class_map, patches

CAT, TABBY, EGYPTIAN, ESPRESSO = "n02121620", 281, 285, 967
BOTH = (TABBY, EGYPTIAN)
NONE = dict.fromkeys(BOTH, 1e-9)


def log_odds(share):
    return math.log(share / (1 - share))


def column(maps, name, groups=(BOTH,)):
    return features(maps, groups)[:, FEATURES.index(name)].tolist()


@pytest.mark.parametrize(
    ("name", "maps", "expected"),
    [
        ("odds", [patches([{TABBY: 0.5, EGYPTIAN: 0.2}])], log_odds(0.7)),
        ("odds", [patches([{}, {TABBY: 0.5, EGYPTIAN: 0.2}])], log_odds(0.7)),
        ("odds", [patches([{TABBY: 0.7}]), patches([{TABBY: 0.1}])], (log_odds(0.7) + log_odds(0.1)) / 2),
        ("odds", [class_map([[{TABBY: 0.7}]])], log_odds(0.7)),  # smaller than a window
        ("odds", [class_map([[{TABBY: 1 - 1e-12}]])], log_odds(1 - 1e-6)),
        ("one_class", [patches([{TABBY: 0.6, EGYPTIAN: 0.2}])], log_odds(0.75)),
        ("one_class", [patches([{TABBY: 0.1, EGYPTIAN: 0.1}, {TABBY: 0.6, EGYPTIAN: 0.2}])], log_odds(0.75)),
        ("spread", [patches([{TABBY: 0.8}, NONE, NONE, NONE])], log_odds(0.25)),
        ("spread", [patches([{TABBY: 0.4}, {TABBY: 0.4}])], log_odds(1 - 1e-4)),
        ("area", [patches([{TABBY: 0.8}])], log_odds(1 - 1e-4)),
        ("area", [patches([{TABBY: 0.09}])], log_odds(1e-4)),
        ("area", [patches([{TABBY: 0.09}]), patches([{TABBY: 0.11}])], log_odds(1 - 1e-4)),  # the larger
        ("classes", [patches([{}])], math.log(2)),
    ],
)
def test_the_numbers_of_hand_made_maps(name, maps, expected):
    assert column(maps, name) == [pytest.approx(expected, abs=0.02)]
    named = {str(number): each for number, each in enumerate(maps)}
    assert column(named, name) == column(maps, name)


def test_standing_is_how_far_the_best_class_stands_above_its_cell():
    maps = [patches([{}, {TABBY: 0.9}]), patches([{EGYPTIAN: 0.5}])]
    expected = []
    for each in maps:
        logits = each.logits.astype(np.float64)
        standing = (logits - logits.mean(-1, keepdims=True)) / logits.std(-1, keepdims=True).clip(1e-6)
        expected.append(standing[..., BOTH].max())
    assert column(maps, "standing") == [pytest.approx(np.mean(expected), rel=1e-4)]


def random_map(seed, height=9, width=14):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (height, width, 1000)).astype(np.float32)
    grid = CellGrid(CellAxis(32 * height, height, 32, 16, 100), CellAxis(32 * width, width, 32, 16, 100))
    return ClassMap(logits, grid, patches([{}]).scale, 0.0)


def test_a_window_is_the_mean_of_the_logits_of_its_cells_and_the_last_one_ends_at_the_edge():
    each = random_map(0)
    best = 0.0
    for top in (0, 2, 4, 5):
        for left in (0, 2, 4, 6, 8, 10):
            logits = each.logits[top : top + 4, left : left + 4].mean((0, 1)).astype(np.float64)
            odds = np.exp(logits - logits.max())
            best = max(best, odds[list(BOTH)].sum() / odds.sum())
    assert column([each], "odds") == [pytest.approx(log_odds(best), rel=1e-4)]


def test_many_groups_at_once_give_what_each_gives_alone():
    ontology = Ontology.load()
    groups = [ontology.class_ids(wnid) for wnid in (CAT, "n02084071", "n00001740", ontology.classes[7])]
    maps = [random_map(1), random_map(2, 3, 5)]
    together = features(maps, groups)
    assert together.shape == (4, len(FEATURES))
    for row, group in zip(together, groups, strict=True):
        np.testing.assert_allclose(features(maps, [group])[0], row, rtol=1e-5, atol=1e-5)


def test_log_odds_are_the_weighted_sum_of_the_named_numbers():
    weights = {name: 0.1 * (number + 1) for number, name in enumerate(FEATURES)}
    read_out = ReadOut.from_json({"intercept": -2.0, "weights": dict(reversed(weights.items()))})
    table = np.arange(12, dtype=float).reshape(2, 6)
    expected = [sum(weights[n] * v for n, v in zip(FEATURES, row, strict=True)) - 2 for row in table]
    np.testing.assert_allclose(np.log(1 / read_out.probability(table) - 1), -np.array(expected), atol=1e-9)


@pytest.mark.parametrize("changed", [{"odds": None}, {"height": 1.0}])
def test_weights_of_other_numbers_are_refused(changed):
    weights = dict.fromkeys(FEATURES, 1.0) | changed
    kept = {name: value for name, value in weights.items() if value is not None}
    with pytest.raises(ValueError, match="Expected the weights of"):
        ReadOut.from_json({"intercept": 0.0, "weights": kept})


def test_the_shipped_file_says_how_it_was_made():
    document = json.loads(asset("presence.json").read_text(encoding="utf-8"))
    assert {"made", "by", "model", "weights_sha256", "data", "pairs"} <= set(document["provenance"])
    assert document["provenance"]["by"].startswith("scripts/train_presence.py")
    assert shipped().weights.shape == (len(FEATURES),)


def test_more_of_a_synset_is_more_likely_there():
    found = [presence([patches([{}, {TABBY: share}])], CAT) for share in (1e-4, 0.01, 0.1, 0.5, 0.9)]
    assert all(low < high for low, high in pairwise(found))
    assert found[0] < 0.1 < 0.5 < found[-1] < 1


@pytest.mark.parametrize(
    ("maps", "synset", "error"),
    [
        ([], CAT, ScaleError),
        ({}, CAT, ScaleError),
        (None, "florp", UnknownSynset),
        (None, "crane", AmbiguousSynset),
    ],
)
def test_what_cannot_be_answered_is_refused(maps, synset, error):
    with pytest.raises(error, match=r"Expected .* Received"):
        presence([patches([{}])] if maps is None else maps, synset)


@pytest.mark.parametrize("synset", ["cat", CAT, Ontology.load()[CAT]], ids=["word", "wnid", "synset"])
def test_a_synset_may_be_given_in_three_ways(synset):
    each = patches([{TABBY: 0.5}])
    assert presence({"1": each}, synset) == presences([each], [Ontology.load().class_ids(CAT)])[0]


def test_what_is_kept_of_a_class_map_goes_with_it():
    gc.collect()
    before = len(module._KEPT)
    each = patches([{TABBY: 0.5}])
    first = presence([each], CAT)
    assert len(module._KEPT) == before + 1
    assert presence([each], CAT) == first
    assert len(module._KEPT) == before + 1
    del each
    gc.collect()
    assert len(module._KEPT) == before


def test_a_cat_is_there_and_an_espresso_is_not(chelsea, lite2):
    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import NOTEBOOK_SCALES
    from fcn_core.pipeline import compute_class_maps

    maps = compute_class_maps(image_from_array(chelsea, "cat"), lite2, NOTEBOOK_SCALES[:2])
    for used in (list(maps.values())[:1], maps):
        assert presence(used, "cat") > 0.7
        assert presence(used, "espresso") < 0.1
        assert presence(used, "dog") < 0.5
