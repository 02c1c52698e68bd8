"""Findings: hand-made class maps, and the real network on a cat."""

from __future__ import annotations

import numpy as np
import pytest

from fcn_core.errors import ScaleError
from fcn_core.maps.findings import Finding, findings
from fcn_core.maps.presence import FEATURES, ReadOut, presence
from fcn_core.synsets.ontology import Ontology
from tests.maps.hand_made import patches

EGYPTIAN_CAT, TABBY, ESPRESSO, MISSILE, SORREL, BEAGLE = 285, 281, 967, 657, 339, 162
TIMBER_WOLF = 269
AMBULANCE, JEEP, BACKPACK = 407, 609, 414
MUD_TURTLE, TERRAPIN = 35, 36
ALP, TUSKER, AFRICAN_ELEPHANT, INDIAN_ELEPHANT = 970, 101, 386, 385
HOT_POT, PLATE, POTPIE, STRAWBERRY, BROCCOLI = 926, 923, 964, 949, 937
# The presence is the largest probability of a window, and a little less the more classes there are.
PLAIN = ReadOut.from_json(
    {"intercept": 0.0, "weights": {name: {"odds": 1.0, "classes": -0.01}.get(name, 0.0) for name in FEATURES}}
)


@pytest.fixture(autouse=True)
def nothing_taught(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hand-made maps, where all other classes are equal, say nothing of a person; see test_taught.py."""
    if "chelsea" not in request.fixturenames:
        monkeypatch.setattr("fcn_core.maps.taught.shipped", dict)


def labels(found):
    return [each.synset.name for each in found]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([{EGYPTIAN_CAT: 0.98}], ["Egyptian cat"]),
        ([{EGYPTIAN_CAT: 0.5, TABBY: 0.45}], ["cat"]),  # the family is sure, the breed is not
        ([{ESPRESSO: 0.97}], ["coffee"]),
        ([{ESPRESSO: 0.95}, {MISSILE: 0.8}, {EGYPTIAN_CAT: 0.5, TABBY: 0.4}], ["coffee", "cat", "missile"]),
        ([{AMBULANCE: 0.45, JEEP: 0.45}], ["car"]),  # either alone is not worth saying
        ([{HOT_POT: 0.3, PLATE: 0.3, POTPIE: 0.3}], ["food"]),
        ([{HOT_POT: 0.25, PLATE: 0.2, STRAWBERRY: 0.25, BROCCOLI: 0.2}], []),  # only "matter" is sure
        ([{SORREL: 0.9, BEAGLE: 0.05}], ["horse"]),
        ([{BEAGLE: 0.75, TIMBER_WOLF: 0.2}], ["beagle"]),
        ([{BEAGLE: 0.5, TIMBER_WOLF: 0.45}], []),  # nobody says "canine"
        ([{SORREL: 0.9}, {BEAGLE: 0.9}], ["beagle", "horse"]),
        ([{MUD_TURTLE: 0.5, TERRAPIN: 0.45}], ["turtle"]),  # an everyday kind, not "reptile"
        ([{ALP: 0.9}], ["mountain"]),  # nobody says "alp"
        ([{AMBULANCE: 0.45, BACKPACK: 0.45}], []),  # nobody says "container"
        ([{TUSKER: 0.9}], []),  # which elephants and boars are
        ([{TUSKER: 0.1, AFRICAN_ELEPHANT: 0.85}], ["African elephant"]),
        ([{ESPRESSO: 0.69}], []),
        ([{}], []),
    ],
)
def test_each_thing_is_named_once_at_the_level_that_is_sure(places, expected):
    assert sorted(labels(findings([patches(places)], read_out=PLAIN))) == sorted(expected)


def test_two_names_for_the_same_cells_are_one_thing():
    place = {SORREL: 0.5, BEAGLE: 0.4}
    assert labels(findings([patches([place, {}])], read_out=PLAIN, least=0.2)) == ["horse"]
    apart = [{SORREL: 0.5}, {BEAGLE: 0.4}]
    assert labels(findings([patches(apart)], read_out=PLAIN, least=0.2)) == ["horse", "beagle"]


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        (4, ["elephant"]),  # in some cells the network sees the one, in some the other, in some both
        (0, ["African elephant", "Indian elephant"]),  # two animals apart
    ],
)
def test_two_kinds_that_share_cells_are_their_everyday_kind(shared, expected):
    both = [{AFRICAN_ELEPHANT: 0.5, INDIAN_ELEPHANT: 0.45}] * shared
    places = [{AFRICAN_ELEPHANT: 0.97}] * 2 + both + [{INDIAN_ELEPHANT: 0.97}] * 2
    assert sorted(labels(findings([patches(places)], read_out=PLAIN, least=0.9))) == expected


def test_the_presence_is_that_of_the_synset():
    maps = {"1": patches([{ESPRESSO: 0.97}]), "2": patches([{}, {ESPRESSO: 0.9}])}
    (finding,) = findings(maps, least=0.1, limit=1)
    assert finding == Finding(Ontology.load().find("espresso"), presence(maps, "espresso"))


@pytest.mark.parametrize("nothing", [[], {}])
def test_no_class_map_is_refused(nothing):
    with pytest.raises(ScaleError, match="at least one scale"):
        findings(nothing)


def test_findings_are_few_sorted_and_none_is_a_kind_of_another(chelsea: np.ndarray, lite2) -> None:  # type: ignore[no-untyped-def]
    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import NOTEBOOK_SCALES
    from fcn_core.pipeline import compute_class_maps

    ontology = Ontology.load()
    maps = compute_class_maps(image_from_array(chelsea, "cat"), lite2, NOTEBOOK_SCALES[:2])
    for used in (list(maps.values())[:1], list(maps.values())):
        for least in (0.0, 0.7):
            found = findings(used, least=least)
            wnids = [f.synset.wnid for f in found]
            assert set(ontology.class_ids(wnids[0])) <= set(ontology.class_ids("n02121620"))
            assert 1 <= len(found) <= 6
            assert [f.presence for f in found] == sorted((f.presence for f in found), reverse=True)
            assert all(f.presence >= least for f in found)
            assert not any(b in ontology.ancestors(a) for a in wnids for b in wnids)
    assert findings(maps, ontology, limit=1) == findings(list(maps.values()))[:1]
