"""The measure of named regions: which names are right, and the IoU of their union."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import regions
from fcn_core.evaluation.index import Case
from fcn_core.images.read import image_from_array
from fcn_core.maps.findings import Finding
from fcn_core.maps.segmentation import Segment, Segmentation
from fcn_core.synsets.ontology import Ontology

ONTOLOGY = Ontology.load()


@pytest.mark.parametrize(
    ("name", "synset", "right"),
    [
        ("dog", "dog", True),
        ("Egyptian cat", "cat", True),
        ("n02084071", "Great Pyrenees", True),  # dog: an everyday kind
        ("corgi", "Pembroke", True),  # above, with two classes
        ("hunting dog", "beagle", True),  # below an everyday kind
        ("animal", "dog", False),
        ("carnivore", "dog", False),
        ("container", "vase", False),
        ("cat", "dog", False),
        ("Pembroke", "Great Pyrenees", False),
        ("vehicle", "n02958343", True),
    ],
)
def test_a_name_is_right_at_a_level_that_says_what_it_is(name, synset, right):
    name, synset = ONTOLOGY.find(name).wnid, ONTOLOGY.find(synset).wnid
    assert regions.is_right(name, synset, ONTOLOGY) is right


def segmentation(labels, *words):
    named = [Finding(ONTOLOGY.find(word), 0.9) for word in words]
    segments = tuple(Segment(k, c.synset, c.presence, 0, (0, 0, 0, 0)) for k, c in enumerate(named, start=1))
    return Segmentation(np.asarray(labels, np.uint8), segments, tuple(named), 10, 40).resized(10, 40)


@pytest.mark.parametrize(
    ("labels", "words", "iou", "named"),
    [
        ([[1, 1, 0, 0]], ("dog",), 1.0, True),
        ([[1, 2, 0, 0]], ("beagle", "Pembroke"), 1.0, True),  # the union of what lies below
        ([[1, 1, 1, 0]], ("dog",), 1.0, True),  # the third quarter is void
        ([[1, 1, 0, 1]], ("dog",), 2 / 3, True),
        ([[1, 2, 0, 0]], ("dog", "cat"), 0.5, True),
        ([[1, 1, 0, 0]], ("cat",), 0.0, False),
        ([[0, 0, 0, 0]], (), 0.0, False),
    ],
)
def test_a_row_counts_the_union_of_the_right_names_without_void_pixels(tmp_path, labels, words, iou, named):
    mask = np.repeat(np.array([[255, 255, 128, 0]], np.uint8), 10, axis=1).repeat(10, axis=0)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    image = image_from_array(np.zeros((10, 40, 3), np.uint8), "black")
    case = Case(tmp_path / "picture.png", "dog", tmp_path / "mask.png", (), 2, "picture.png")
    row = regions.score(case, image, segmentation(labels, *words), ONTOLOGY)
    assert (row.iou, row.named) == (pytest.approx(iou), named)
    assert row.share == pytest.approx(2 / 3)


def test_segments_with_a_right_name_are_counted_among_those_that_concern_a_listed_synset():
    found = segmentation([[1, 2, 3, 0]], "dog", "cat", "espresso")
    present = {ONTOLOGY.find(w).wnid: there for w, there in (("dog", True), ("cat", False), ("laptop", True))}
    assert regions.right_names(found, present, ONTOLOGY) == (2, 1)


def test_the_summary_is_by_size_and_has_a_spread():
    rows = [
        regions.Row("a", 0.2, 0.02, True),
        regions.Row("b", 0.8, 0.5, True),
        regions.Row("b", 0.0, 0.5, False),
    ]
    found = regions.summary(rows)
    assert (found["rows"], found["pictures"]) == (3, 2)
    assert found["mean_iou"] == pytest.approx(1 / 3)
    assert found["named"] == pytest.approx(2 / 3)
    assert [(s["from"], s["rows"], s["mean_iou"]) for s in found["by_size"]] == [(0.0, 1, 0.2), (0.4, 2, 0.4)]
    assert 0 < found["spread"] < 0.5
    assert regions.table({"names found": found}).count("\n") == 1
