"""The labels of a model of one's own: the forms of the file, and the hierarchy that they make."""

import json
import pickle

import numpy as np
import pytest

from fcn_core.errors import LabelsInvalid, UnknownSynset
from fcn_core.synsets.class_labels import (
    MAX_QUERY,
    MOST_BYTES,
    MOST_LABELS,
    hierarchy_of,
    numbered,
    read_labels,
    restricted,
)
from fcn_core.synsets.labels import picker_labels
from fcn_core.synsets.ontology import Ontology

DOG, CAT, CAR, POODLE = "n02084071", "n02121620", "n02958343", "n02113799"
PETS = (f"{DOG} dog", f"{CAT} cat", f"{CAR} car")


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("a.txt", "disc\n# not a class\n\n cross, plus \r\n", ("disc", "cross, plus")),
        ("a.txt", "\ufeffdisc\ncross", ("disc", "cross")),
        ("a.txt", f"{DOG}\n{CAT} cat\n", (DOG, f"{CAT} cat")),
        ("a.json", '["disc", "cross"]', ("disc", "cross")),
        ("a.json", json.dumps({"0": [DOG, "dog"], "1": [CAT, "cat"]}), (f"{DOG} dog", f"{CAT} cat")),
        ("a.json", json.dumps({"1": "cross", "0": "disc"}), ("disc", "cross")),
        ("a.json", json.dumps({"labels": ["disc"], "preprocessing": "tf"}), ("disc",)),
    ],
)
def test_forms_of_a_file(tmp_path, name, text, labels):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / name) == labels
    assert read_labels(str(tmp_path / name)) == labels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.txt", None),
        ("empty.txt", b"\n# nothing\n"),
        ("binary.txt", b"\xff\xfe\x00disc"),
        ("large.txt", b"x" * (MOST_BYTES + 1)),
        ("broken.json", b"[disc"),
        ("number.json", b"3"),
        ("gap.json", b'{"0": "disc", "2": "cross"}'),
        ("nested.json", b"[" * 100_000),
        ("numbers.json", b"[1, 2]"),
        ("text.json", b'"abc"'),
        ("text inside.json", b'{"labels": "abc"}'),
        ("objects.json", b'[{"a": 1}]'),
        ("no labels.json", b'{"preprocessing": "tf"}'),
        ("blank.json", b'["a", " "]'),
        ("escape.txt", b"a\x1b[31m"),
        ("surrogate.json", b'["a\\ud800"]'),
    ],
)
def test_a_file_without_labels_is_refused(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelsInvalid, match=name):
        read_labels(tmp_path / name)


@pytest.mark.parametrize("labels", [5, {0: "disc"}, ["disc", 3], ["disc", ""], ["a\u202eb"], []])
def test_a_list_that_is_none_is_refused(labels):
    with pytest.raises(LabelsInvalid):
        read_labels(labels)


def test_a_line_break_in_a_label_is_a_space():
    assert read_labels(np.array(["a\nx", " b\u2028"])) == ("a x", "b")


def test_many_classes_are_no_work():
    many = numbered(MOST_LABELS)
    assert many.membership().shape == (MOST_LABELS + 1, MOST_LABELS)
    assert many.class_ids(many.root) == tuple(range(MOST_LABELS))


def test_words_are_a_flat_list_below_one_root():
    shapes = hierarchy_of(["disc", "cross, plus sign", "dog"])
    assert shapes.classes == ("class-0", "class-1", "class-2")
    assert shapes.class_ids(shapes.root) == (0, 1, 2)
    assert shapes.find("plus signs") == shapes.find("class-1") == shapes["class-1"]
    assert [s.wnid for s in shapes.search("dis")] == ["class-0"]
    assert shapes.breadcrumb("class-0") == ("any-class", "class-0")
    assert picker_labels(shapes)["class-0"] == "disc · 1 class"
    assert not shapes.is_imagenet
    assert numbered(2).find("class 1").class_id == 1


def test_wnids_are_synsets_below_those_of_wordnet():
    pets = hierarchy_of(PETS)
    assert pets.classes == (DOG, CAT, CAR)
    assert pets["n02075296"].name == "carnivore"
    assert pets.class_ids("n02075296") == (0, 1)
    assert pets.class_ids(pets.root) == (0, 1, 2)
    assert pets.find("domestic dog").class_id == 0
    assert POODLE not in pets


def test_a_class_may_be_above_another():
    nested = hierarchy_of([POODLE, DOG, CAT])
    assert nested.class_ids(DOG) == (0, 1)
    assert nested.class_ids(POODLE) == (0,)


def test_they_can_be_pickled():
    nested = hierarchy_of([POODLE, DOG, CAT])
    again = pickle.loads(pickle.dumps(nested))
    assert (again.classes, again.class_ids(DOG), list(again)) == (nested.classes, (0, 1), list(nested))
    assert pickle.loads(pickle.dumps(Ontology.load())) is Ontology.load()


def test_imagenets_own_wnids_are_the_shipped_hierarchy():
    shipped = Ontology.load()
    assert hierarchy_of(shipped.classes) is shipped
    backwards = hierarchy_of(shipped.classes[::-1])
    assert not backwards.is_imagenet
    assert backwards.count(DOG) == shipped.count(DOG)
    assert restricted(shipped, shipped.classes).is_imagenet


@pytest.mark.parametrize(
    ("labels", "text", "line"),
    [
        (("disc", "dog"), "poodle", "The network never learned poodle. Nearest: dog."),
        (("disc", "cross"), "poodles", "The network never learned poodles, nor anything near it."),
        (("disc", "dog"), "Hund", "Hund: dog (German)."),
        (("disc", "dog"), "dsic", "dsic: read as disc."),
        (PETS, "standard poodle", "The network never learned standard poodle. Nearest: dog."),
        (PETS, "truck", "The network never learned truck. Nearest: car."),
        (PETS, "granny smith", "The network never learned granny smith, nor anything near it."),
        (PETS, POODLE, f"{POODLE} is none of its synsets."),
    ],
)
def test_what_such_a_network_never_learned_is_said(labels, text, line):
    assert hierarchy_of(labels).look_up(text).line == line


def test_the_error_names_the_classes_of_the_model():
    with pytest.raises(
        UnknownSynset, match=r"such as class-0 or disc\..*Give one of its classes: disc, cross\."
    ):
        hierarchy_of(["disc", "cross"]).find("tench")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["disc", "cross", "Disc"], "'Disc' as class 0 and as class 2"),
        ([DOG, f"{DOG} hound"], f"'{DOG}' as class 0 and as class 1"),
        (["disc", ","], "',' as class 1"),
        (["x" * (MAX_QUERY + 1)], "as class 0"),
        ([DOG, "n99999999"], "n99999999 as class 1"),
        ([DOG, "cat"], f"'{DOG}' as class 0"),
        (["class 1", "class-0"], "'class 1' as class 0"),
        (["disc", "Any class"], "'Any class' as class 1"),
    ],
)
def test_labels_that_cannot_be_told_apart_or_do_not_exist_are_refused(labels, said):
    with pytest.raises(LabelsInvalid) as refused:
        hierarchy_of(labels)
    assert said in str(refused.value)
