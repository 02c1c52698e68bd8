"""Outlines that the read-out learns from: what the file holds, and photographs in their proportions."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from fcn_core.synsets.ontology import Ontology
from scripts import outlines


@pytest.fixture
def photographs(tmp_path):
    """Squares of 60 pixels in the places of all photographs, one blue half each."""
    picture = np.full((60, 60, 3), (200, 180, 90), np.uint8)
    picture[:, 30:] = 40, 60, 160
    for row in json.loads(outlines.FILE.read_text(encoding="utf-8"))["rows"]:
        file = tmp_path / row["image"]
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            Image.fromarray(picture).save(file)
    return tmp_path


def test_each_outline_is_of_a_thing_that_is_known(photographs):
    ontology = Ontology.load()
    found = list(outlines.read_outlines(photographs))
    assert len({(each.image, each.synset) for each in found}) == len(found) > 100
    for each in found:
        assert ontology.class_ids(each.synset)
        assert each.inside.shape == each.valid.shape
        assert each.inside.sum() >= 30
        assert not (each.inside & ~each.valid).any()
    names = [row["image"] for row in json.loads(outlines.FILE.read_text(encoding="utf-8"))["rows"]]
    assert not any(PurePosixPath(name).is_absolute() or ".." in name for name in names)


def test_a_squeezed_photograph_gets_its_proportions_back(photographs):
    tall = next(each for each in outlines.read_outlines(photographs) if each.inside.shape == (160, 107))
    picture = tall.picture()
    assert (picture.height, picture.width) == (500, 334)
    assert picture.pixels[250, 60].tolist() == pytest.approx([200, 180, 90], abs=1)
    assert picture.pixels[250, 280].tolist() == pytest.approx([40, 60, 160], abs=1)
    square = next(each for each in outlines.read_outlines(photographs) if each.inside.shape == (160, 160))
    assert square.picture().pixels.shape == (60, 60, 3)


def test_a_photograph_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"boxes/ILSVRC2012_val_\d+\.jpg"):
        list(outlines.read_outlines(tmp_path))
