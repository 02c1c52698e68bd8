"""Taught synsets: the weighted sum in windows of hand-made class maps, the shipped file, and a real photograph."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from fcn_core.maps.findings import findings
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.presence import ReadOut, presence, presences
from fcn_core.maps.taught import Taught, from_json, pool, taught_synset, taught_synsets
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.synsets.class_labels import numbered
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.assets import asset
from tests.maps.hand_made import patches

PERSON, BALLPLAYER = "n00007846", "n09835506"
JERSEY, SUNGLASSES, ESPRESSO, TABBY, EGYPTIAN_CAT = 610, 837, 967, 281, 285
CLASSES = 1000
IMAGENET, OTHER = Ontology.load(), numbered(10)


def of_logits(logits):
    height, width = logits.shape[:2]
    grid = CellGrid(CellAxis(32 * height, height, 32, 16, 100), CellAxis(32 * width, width, 32, 16, 100))
    return ClassMap(logits.astype(np.float32), grid, patches([{}]).scale, 0.0)


def by_hand(logits, weights):
    """The mean over each window of the weighted sum of standardised logits, window by window."""
    standing = (logits - logits.mean(-1, keepdims=True)) / logits.std(-1, keepdims=True)
    cells = standing @ weights
    tops, lefts = ((0, 2, 3), (0, 2, 4, 5))
    return np.array([cells[top : top + 4, left : left + 4].mean() for top in tops for left in lefts])


def a_synset(seed=0, slope=1.0, intercept=0.0):
    weights = np.zeros(CLASSES)
    weights[[JERSEY, SUNGLASSES, ESPRESSO]] = np.random.default_rng(seed).normal(size=3)
    return Taught(PERSON, frozenset({1, 2, 3}), weights, slope, intercept)


def test_evidence_is_the_mean_weighted_sum_in_each_window():
    logits = np.random.default_rng(0).normal(1, 3, (7, 9, CLASSES))
    taught = a_synset()
    np.testing.assert_allclose(
        taught.evidence(of_logits(logits)), by_hand(logits, taught.weights), rtol=1e-3, atol=1e-4
    )


def test_presence_is_the_log_odds_of_the_mean_over_the_scales():
    rng = np.random.default_rng(1)
    maps = [of_logits(rng.normal(0, 3, (7, 9, CLASSES))) for _ in range(2)]
    taught = a_synset(slope=0.7, intercept=-0.3)
    means = [np.log(np.exp(taught.evidence(each)).mean()) for each in maps]
    assert taught.presence(maps) == pytest.approx(1 / (1 + np.exp(0.3 - 0.7 * np.mean(means))), abs=1e-9)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [([2.0], 2.0), ([1.0, 1.0, 1.0], 1.0), ([0.0, 1000.0], 1000 - np.log(2)), ([-800.0, -800.0], -800.0)],
)
def test_pooling_is_a_smooth_maximum(evidence, expected):
    assert pool(np.array(evidence)) == pytest.approx(expected)


def test_the_shipped_file_says_how_it_was_made_and_names_classes():
    document = json.loads(asset("taught.json").read_text(encoding="utf-8"))
    assert {"made", "by", "model", "labels", "data"} <= set(document["provenance"])
    assert set(document["synsets"]) == {PERSON}
    weights = document["synsets"][PERSON]["weights"]
    assert len(weights) <= 1000
    ontology = Ontology.load()
    assert all(name == f"{wnid} {ontology.label(wnid)}" for name in weights for wnid in name.split()[:1])
    assert all(high >= low for high, low in pairwise(weights.values()))


def test_weights_of_no_class_are_refused():
    with pytest.raises(ValueError, match="Expected weights of ImageNet's classes"):
        from_json(PERSON, {"weights": {"n00007846": 1.0}, "slope": 1.0, "intercept": 0.0})


def test_a_taught_synset_is_known_by_its_classes_in_a_network_of_imagenets():
    ids = Ontology.load().class_ids(PERSON)
    found = taught_synset(list(reversed(ids)), IMAGENET)
    assert found is not None
    assert found.wnid == PERSON
    assert taught_synset(ids[:-1], IMAGENET) is None
    assert taught_synset(ids, OTHER) is None
    assert not taught_synsets(OTHER)


@pytest.fixture
def clothes(monkeypatch):
    """A person that jerseys and sunglasses tell of, and coffee does not."""
    weights = np.zeros(CLASSES)
    weights[[JERSEY, SUNGLASSES, ESPRESSO]] = 0.5, 0.5, -0.5
    taught = Taught(PERSON, frozenset(Ontology.load().class_ids(PERSON)), weights, 1.0, -3.0)
    monkeypatch.setattr("fcn_core.maps.taught.shipped", lambda: {PERSON: taught})


def test_clothes_tell_of_a_person_and_coffee_does_not(clothes):
    assert presence([patches([{JERSEY: 0.6, SUNGLASSES: 0.3}])], PERSON) > 0.9
    assert presence([patches([{ESPRESSO: 0.9}])], PERSON) < 0.1


def test_the_larger_answer_counts():
    maps = [patches([{ESPRESSO: 0.9}])]
    ids = Ontology.load().class_ids(PERSON)
    least, most = (ReadOut(np.zeros(6), intercept) for intercept in (-30.0, 30.0))
    assert presences(maps, [ids], least)[0] == taught_synsets(IMAGENET)[PERSON].presence(maps)
    assert presences(maps, [ids], most)[0] == pytest.approx(1)


def test_a_group_alone_and_among_others_gets_the_same():
    maps = [patches([{JERSEY: 0.5}])]
    of = Ontology.load().class_ids
    groups = [of("n02121620"), of(PERSON), (JERSEY,)]
    together = presences(maps, groups)
    assert together.tolist() == pytest.approx([presences(maps, [group])[0] for group in groups])


def labels(maps, **options):
    return [Ontology.load().label(each.synset.wnid) for each in findings(maps, **options)]


def test_findings_name_the_person_and_what_it_wears(clothes):
    maps = [patches([{JERSEY: 0.9}])]
    assert labels(maps, least=0.5)[:2] in (["person", "jersey"], ["jersey", "person"])


def test_findings_name_a_kind_of_person_instead_of_it(clothes):
    ballplayer = Ontology.load().class_ids(BALLPLAYER)[0]
    maps = [patches([{ballplayer: 0.6, JERSEY: 0.35}])]
    sure = ReadOut(np.zeros(6), 2.5)  # 0.92 for all that is not taught
    assert presence(maps, PERSON) > 0.95
    found = labels(maps, least=0.5, read_out=sure)
    assert "ballplayer" in found
    assert "person" not in found
    assert "person" not in labels([patches([{TABBY: 0.9}])])


def region_numbers(logits, ids, taught, monkeypatch):
    from fcn_core.maps import region_features
    from fcn_core.maps.fine_map import describe
    from tests.maps.pictures import two_coloured

    monkeypatch.setattr(region_features, "taught_synset", lambda *_: taught)
    scene = describe(two_coloured(224, 288)[0], [of_logits(logits)])
    return region_features.region_features(scene, ids)


def test_a_taught_synset_is_one_class_more_for_the_numbers_about_a_region(monkeypatch):
    """A class with the same odds in each cell, and the others as they were, gives the same numbers."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (7, 9, CLASSES)).astype(np.float32)
    taught = a_synset(intercept=-1.0)
    odds = taught.log_odds(of_logits(logits))
    rest = np.delete(logits, TABBY, axis=-1)
    appended = logits.copy()
    appended[..., TABBY] = odds + np.log(np.exp(rest).sum(-1))
    logits[..., TABBY] = -30  # the class whose place it takes
    odds_of_the_rest = Taught(PERSON, taught.class_ids, taught.weights, 1.0, -1.0)
    monkeypatch.setattr(Taught, "log_odds", lambda self, class_map: odds)
    expected = region_numbers(appended, [TABBY], None, monkeypatch)
    found = region_numbers(logits, [TABBY], odds_of_the_rest, monkeypatch)
    assert found.keys() == expected.keys()
    for name, most in dict.fromkeys(
        ["probability", "evidence", "log-odds", "margin", "best other"], 2e-3
    ).items():
        np.testing.assert_allclose(
            found[f"fine {name}"], expected[f"fine {name}"], atol=most, rtol=most, err_msg=name
        )
    for name in ("clothing", "dog"):  # the mean of a product is about the product of the means
        np.testing.assert_allclose(found[f"fine {name}"], expected[f"fine {name}"], atol=0.05, err_msg=name)


def test_a_person_is_there_and_on_the_photograph_of_a_cat_is_none(chelsea, lite2):
    import skimage.data

    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import NOTEBOOK_SCALES
    from fcn_core.maps.fine_map import fine_map
    from fcn_core.pipeline import compute_class_maps

    astronaut = skimage.data.astronaut()
    maps = compute_class_maps(image_from_array(astronaut, "astronaut"), lite2, NOTEBOOK_SCALES[:2])
    for used in (list(maps.values())[:1], maps):
        assert presence(used, "person") > 0.7
    assert "person" in labels(maps)
    ids = Ontology.load().class_ids(PERSON)
    fine = fine_map(astronaut, list(maps.values()), ids)
    assert fine[150:450, 120:300].mean() > 2 * fine[:200, 400:].mean()  # the suit, and the rocket behind it
    cat = compute_class_maps(image_from_array(chelsea, "cat"), lite2, NOTEBOOK_SCALES[:2])
    assert presence(cat, "person") < 0.3
    assert "person" not in labels(cat)
