from __future__ import annotations

import re

from fcn_core.synsets.labels import picker_labels
from fcn_core.synsets.ontology import Ontology
from tests.synsets.places import CAT, DOG, toy


def test_the_picker_lists_every_distinct_map_once_under_a_label_of_its_own() -> None:
    ontology = Ontology.load()
    labels = picker_labels(ontology)
    assert set(labels) == {ontology.collapse(synset.wnid) for synset in ontology}
    assert len(set(labels.values())) == len(labels)
    counts = [ontology.count(wnid) for wnid in labels]
    assert counts == sorted(counts, reverse=True)
    for wnid, label in labels.items():
        assert label.startswith(ontology[wnid].name)
        (shown,) = re.findall(r" · ([0-9]+) class", label)
        assert int(shown) == ontology.count(wnid)
    assert labels[DOG] == "dog · 118 classes"
    assert labels[CAT] == "cat · 7 classes"


def test_synsets_of_the_same_name_are_told_apart_by_their_parent() -> None:
    ontology = Ontology.load()
    labels = picker_labels(ontology)
    cranes = sorted(labels[ontology.collapse(s.wnid)] for s in ontology.senses("crane"))
    assert cranes == ["crane (lifting device) · 1 class", "crane (wading bird) · 1 class"]


def test_synsets_of_the_same_name_and_parent_are_told_apart_by_their_wnid() -> None:
    labels = picker_labels(toy(("1", "top", "234"), ("2", "bar", ""), ("3", "bar", ""), ("4", "leaf", "")))
    assert labels == {
        "n00000001": "top · 3 classes",
        "n00000002": "bar (top) · 1 class · n00000002",
        "n00000003": "bar (top) · 1 class · n00000003",
        "n00000004": "leaf · 1 class",
    }
