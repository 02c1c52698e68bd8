"""`analyse_many`: the same results as one picture at a time, in order, whatever the pictures are."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import skimage.data
from PIL import Image

import fcn_core as fcn
from fcn_core.errors import SynsetError, UnknownSynset

SCALES = fcn.parse_scales("64x96,200x320")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small cat, a large one, a cup, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("many")
    cat = Image.fromarray(skimage.data.chelsea())
    cat.save(folder / "cat.png")
    cat.resize((1353, 900)).save(folder / "large.png")
    Image.fromarray(skimage.data.coffee()[::2, ::2]).save(folder / "cup.png")
    (folder / "text.png").write_text("not a picture", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def names(folder):
    return [str(folder / name) for name in ("cat.png", "text.png", "nowhere.png", "large.png", "cup.png")]


@pytest.fixture(scope="module")
def results(names, lite0):
    return list(fcn.analyse_many(names, ["cat", "wooden spoon"], lite0, SCALES))


def test_there_is_a_result_for_every_path_in_their_order(results, names):
    assert [result.path for result in results] == names
    assert [len(result.analyses) for result in results] == [2, 0, 0, 2, 2]
    assert [a.synset.name for a in results[0].asked] == ["cat", "wooden spoon"]
    for bad, why in ((results[1], "unknown kind"), (results[2], "cannot be read")):
        assert bad.image is None
        assert why in bad.error


@pytest.mark.parametrize(("number", "name"), [(0, "cat.png"), (3, "large.png"), (4, "cup.png")])
def test_a_result_is_that_of_analyse(results, folder, lite0, number, name):
    many = results[number].asked[0]
    alone = fcn.analyse(fcn.read_image(folder / name), "cat", lite0, SCALES)
    assert many.image.sha256 == alone.image.sha256
    assert many.image.original == alone.image.original
    assert many.presence == alone.presence
    assert many.present is (name != "cup.png")
    np.testing.assert_array_equal(many.mask, alone.at_working_size.mask)
    assert many.boxes == alone.at_working_size.boxes
    assert many.threshold == alone.threshold


def test_each_picture_passes_the_network_once_for_all_synsets(folder, lite0, monkeypatch):
    passes, run = [], type(lite0).run
    monkeypatch.setattr(
        type(lite0), "run", lambda self, image, c: passes.append(image.height) or run(self, image, c)
    )
    made = list(
        fcn.analyse_many(
            [folder / "cat.png"] * 2, ["cat", "dog", "n02084071"], lite0, SCALES, everything=True
        )
    )
    assert len(passes) == 2 * len(SCALES)
    assert [a.synset.name for a in made[0].asked] == ["cat", "dog"], "each synset once"
    assert made[0].found == ()


def test_everything_adds_what_is_found(folder, lite0):
    (result,) = fcn.analyse_many([folder / "cat.png"], (), lite0, SCALES, everything=True)
    class_maps = result.analyses[0].class_maps
    assert [a.synset.wnid for a in result.found] == [f.synset.wnid for f in fcn.findings(class_maps)] != []
    assert result.asked == ()
    assert result.found[0].boxes


def test_regions_are_computed_once_and_only_where_something_is_marked(folder, lite0, monkeypatch):
    from fcn_core.batch import many

    described, describe = [], many.describe
    monkeypatch.setattr(many, "describe", lambda *a: described.append(threading.get_ident()) or describe(*a))
    paths = [folder / "cat.png", folder / "cup.png"]
    list(fcn.analyse_many(paths, ["cat", "Egyptian cat"], lite0, SCALES))
    assert len(described) == 1
    assert described[0] != threading.get_ident(), "while the network computes the next picture"


def test_wrong_questions_are_refused_before_any_picture_is_read(lite0):
    with pytest.raises(UnknownSynset):
        fcn.analyse_many(["a"], "qqxzzv", lite0)
    with pytest.raises(SynsetError, match="at least one synset"):
        fcn.analyse_many(["a"], (), lite0)
