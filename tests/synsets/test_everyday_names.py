"""What people call a synset whose first word in WordNet is another."""

from __future__ import annotations

import csv

import pytest

from fcn_core.synsets.ontology import NAMES, Ontology

with NAMES.open(encoding="utf-8", newline="") as file:
    TABLE = [(row["wnid"], row["name"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("class_id", "name"),
    [
        (339, "horse"),
        (412, "trash can"),
        (466, "train"),
        (665, "motorcycle"),
        (980, "volcano"),
        (285, "Egyptian cat"),
    ],
)
def test_a_class_has_the_name_that_people_use(class_id: int, name: str) -> None:
    ontology = Ontology.load()
    assert ontology[ontology.classes[class_id]].name == name


def test_the_table_names_each_synset_once_and_never_by_its_first_word() -> None:
    ontology = Ontology.load()
    assert len({wnid for wnid, _ in TABLE}) == len(TABLE) > 80
    assert [wnid for wnid, name in TABLE if name == ontology.label(wnid)] == []
    for synset in ontology:
        assert synset.name == dict(TABLE).get(synset.wnid, synset.words[0])


@pytest.mark.parametrize(("wnid", "name"), TABLE)
def test_whoever_types_a_name_finds_what_it_names(wnid: str, name: str) -> None:
    """It is a word of the synset, or the search leads from it to the same classes, or to a part of them."""
    ontology = Ontology.load()
    meaning = ontology.look_up(name)
    found = [meaning.synset] if meaning.synset else list(meaning.others)
    same = [s for s in found if set(ontology.class_ids(s.wnid)) <= set(ontology.class_ids(wnid))]
    assert same, f"{name}: {[s.words[0] for s in found]}"


def test_no_two_synsets_of_different_classes_share_an_everyday_name() -> None:
    ontology = Ontology.load()
    names = {name: wnid for wnid, name in TABLE}
    for synset in ontology:
        if synset.name in names and synset.wnid != names[synset.name]:
            ids, others = set(ontology.class_ids(synset.wnid)), set(ontology.class_ids(names[synset.name]))
            assert ids & others, f"{synset.wnid} and {names[synset.name]} are both {synset.name}"
