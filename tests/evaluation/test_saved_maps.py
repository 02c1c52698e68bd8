"""Saved maps lie where the reference looks for them, and its lists say what the rows of the index say."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_core.errors import OutputError
from fcn_core.evaluation.evaluate import evaluate_index
from fcn_core.evaluation.saved_maps import SIDE, SavedMaps, Truth, image_ids, prepare_folder
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import Scale
from tests.evaluation.red_cat import RedIsCat

SCALES = (Scale(64, 96),)
BLOB = np.outer(np.hanning(40), np.hanning(60)).astype(np.float32)


def lists(folder, name):
    """The lists as the reference reads them: lines of fields, by file."""
    root = folder / "metadata" / name / "test"
    return {
        path.stem: [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        for path in root.iterdir()
    }


def maps_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))


# --- names


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a.jpg", "n1")], ["a.jpg"]),
        ([("x/a.jpg", "n1"), ("x/b.jpg", "n1")], ["x/a.jpg", "x/b.jpg"]),
        ([("a.jpg", "n1"), ("a.jpg", "n2")], ["a.jpg__n1", "a.jpg__n2"]),
        ([("a.jpg", "n1"), ("b.jpg", "n1"), ("a.jpg", "n1")], ["a.jpg__n1", "b.jpg", "a.jpg__n1__2"]),
        ([("A.jpg", "n1"), ("a.JPG", "n1")], ["A.jpg__n1", "a.JPG__n1__2"]),  # one file on some systems
        ([("../a.jpg", "n1"), ("a.jpg", "n2")], ["a.jpg__n1", "a.jpg__n2"]),
        ([("./x/../../a.jpg", "n1")], ["x/a.jpg"]),
        ([("/far/a.jpg", "n1")], ["far/a.jpg"]),
        ([("a,b\n.jpg", "n1")], ["a_b_.jpg"]),
        ([("a.jpg", "n1"), ("a.jpg", "n2"), ("a.jpg__n1", "n3")], ["a.jpg__n1", "a.jpg__n2", "a.jpg__n1__2"]),
        ([("Kätzchen 犬.png", "n1")], ["Kätzchen 犬.png"]),
    ],
)
def test_every_row_has_an_id_of_its_own_below_the_folder(rows, expected):
    ids = image_ids(*zip(*rows, strict=True))
    assert list(ids) == expected
    assert len({each.casefold() for each in ids}) == len(rows)


# --- the layout


def test_two_synsets_of_one_picture_are_two_maps(tmp_path):
    pixels = np.full((128, 192, 3), 90, np.uint8)
    pixels[30:90, 40:120] = (220, 40, 40)
    (tmp_path / "x").mkdir()
    Image.fromarray(pixels).save(tmp_path / "x" / "one.png")
    Image.fromarray(pixels[::-1]).save(tmp_path / "x" / "two.png")
    index, folder = tmp_path / "index.csv", tmp_path / "maps"
    rows = ["x/one.png,cat,40 30 120 90", "x/one.png,dog,1 2 3 4;5 6 7.6 8.4", "x/two.png,cat,40 38 120 98"]
    index.write_text("\n".join(["image,synset_wnid,boxes", *rows, ""]), encoding="utf-8")
    evaluate_index(index, RedIsCat(), ways=["evidence", "centre"], scales=SCALES, save_maps=folder)
    ids = ["x/one.png__n02121620", "x/one.png__n02084071", "x/two.png"]
    assert maps_in(folder) == sorted(f"{each}.npy" for each in ids)
    cat, dog, other = (np.load(folder / f"{each}.npy") for each in ids)
    assert not np.array_equal(cat, dog)
    np.testing.assert_allclose(cat, other[::-1], atol=0.1)
    found = lists(folder, "ILSVRC")
    assert [line[0] for line in found["image_ids"]] == ids
    assert found["image_sizes"] == [[each, "192", "128"] for each in ids]
    assert found["localization"] == [
        [ids[0], "40", "30", "120", "90"],
        *([ids[1], "1", "2", "3", "4"], [ids[1], "5", "6", "8", "8"]),
        [ids[2], "40", "38", "120", "98"],
    ]
    assert [int(label) for _, label in found["class_labels"]] == [281, 151, 281]
    assert not (folder / "metadata" / "OpenImages").exists()
    assert not (folder / "masks").exists()


def test_a_map_is_saved_at_the_size_at_which_the_reference_compares(tmp_path):
    saved = SavedMaps(tmp_path, ["a.png"])
    saved.add(BLOB * 7 - 3, Truth(((10, 10, 30, 30),)), 0)
    found = np.load(tmp_path / "a.png.npy")
    assert (found.shape, found.dtype) == ((SIDE, SIDE), np.float32)
    assert (found.min(), found.max()) == (0, 1)
    expected = resize_array(BLOB, SIDE, SIDE)
    np.testing.assert_allclose(found, expected / expected.max(), atol=1e-4)


@pytest.mark.parametrize("values", [np.zeros((9, 9), np.float32), np.full((9, 9), 4, np.float32)])
def test_a_constant_map_is_zero(tmp_path, values):
    SavedMaps(tmp_path, ["a"]).add(values, Truth(((0, 0, 9, 9),)), 0)
    assert not np.load(tmp_path / "a.npy").any()


def test_masks_are_written_with_what_is_ignored(tmp_path):
    truth, valid = np.zeros((40, 60), bool), np.ones((40, 60), bool)
    truth[10:20, 10:30], valid[5:12, 5:35] = True, False
    saved = SavedMaps(tmp_path, ["only boxes", "x/a.png"])
    saved.add(BLOB, Truth(((1, 2, 3, 4),)), 7)
    saved.add(BLOB, Truth(((10, 10, 30, 20),), truth, valid), 8)
    assert not (tmp_path / "metadata").exists()  # the lists are written last
    saved.finish()
    assert [line[0] for line in lists(tmp_path, "ILSVRC")["image_ids"]] == ["only boxes", "x/a.png"]
    found = lists(tmp_path, "OpenImages")
    assert (found["image_ids"], found["class_labels"]) == ([["x/a.png"]], [["x/a.png", "8"]])
    ((image_id, object_file, ignore_file),) = found["localization"]
    assert image_id == "x/a.png"
    root = tmp_path / "masks" / "OpenImages"
    layers = [np.asarray(Image.open(root / file)) for file in (object_file, ignore_file)]
    assert np.array_equal(layers[0] == 255, truth & valid)
    assert np.array_equal(layers[1] == 255, ~valid)
    assert all(set(np.unique(layer)) == {0, 255} for layer in layers)


# --- the folder


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    prepare_folder(tmp_path / "a" / "b")
    prepare_folder(tmp_path / "a" / "b")  # empty
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["old.npy", ".hidden", "sub/old.txt"])
def test_nothing_that_was_there_is_replaced(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="Expected a new or empty folder for --save-maps"):
        prepare_folder(tmp_path)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("nul\0byte")):
        with pytest.raises(OutputError, match="Expected a folder for --save-maps that can be made"):
            prepare_folder(path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(OutputError, match="Permission denied"):
        prepare_folder(tmp_path)


@pytest.mark.parametrize("method", ["write_bytes", "replace", "mkdir"])
def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch, method):
    def full(path, content=b"", *_, **__):
        if method == "write_bytes":
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    saved = SavedMaps(tmp_path, ["a", "b"])
    saved.add(BLOB, Truth(((0, 0, 9, 9),)), 0)
    monkeypatch.setattr(Path, method, full)
    with pytest.raises(OutputError, match=r"b\.npy, which cannot be written \(No space left on device\)"):
        saved.add(BLOB, Truth(((0, 0, 9, 9),)), 0)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
