"""Which pictures inputs name: files, folders, patterns, lists, addresses; and shards of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_core.batch import inputs
from fcn_core.batch.inputs import Source, read_picture, sources
from fcn_core.errors import DatasetError, FetchError, ImageError
from fcn_core.images.limits import Limits

NAMES = ("a.jpg", "b/c.PNG", "b/d/e.webp", "b/notes.txt", "b/.hidden.jpg", ".git/x.jpg", "[1].jpg", "plain")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with pictures and other things; the current one."""
    tmp_path = tmp_path / "photos"
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("\ufeffa.jpg\n\n  b\nnowhere.jpg\na.jpg\n", encoding="utf-8")
    (tmp_path / "commented.txt").write_text("# these\na.jpg\n  #b\n./#.jpg\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*given: str) -> list[str]:
    return [source.path.replace(os.sep, "/") for source in sources(given)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["a.jpg"], ["a.jpg"]),
        (["plain"], ["plain"]),
        (["nowhere.jpg"], ["nowhere.jpg"]),
        (["."], ["[1].jpg", "a.jpg", "b/c.PNG", "b/d/e.webp"]),
        (["b/", "a.jpg", "b/"], ["b/c.PNG", "b/d/e.webp", "a.jpg"]),
        (["b/*"], ["b/c.PNG", "b/notes.txt"]),
        (["**/*.webp", "?.jpg"], ["b/d/e.webp", "a.jpg"]),
        (["[1].jpg"], ["[1].jpg"]),
        (["b/", "./b", "b/../b", "../photos/b", "b/./d/../c.PNG"], ["b/c.PNG", "b/d/e.webp"]),
        (["./b/d", "b/d/*", "nowhere/../b/d//e.webp"], ["b/d/e.webp"]),
        (["../photos/a.jpg", "a.jpg"], ["../photos/a.jpg"]),
        (["@commented.txt"], ["a.jpg", "#.jpg"]),
        (["@list.txt"], ["a.jpg", "b/c.PNG", "b/d/e.webp", "nowhere.jpg"]),
    ],
)
def test_an_input_names_pictures_in_order_and_each_once(folder, given, found):
    assert paths(*given) == found


def test_an_address_of_this_machine_is_a_path(folder):
    assert paths(f"file://{folder.as_posix()}/b") == [
        f"{folder.as_posix()}/b/{name}" for name in ("c.PNG", "d/e.webp")
    ]


@pytest.mark.parametrize("given", ["b/d/*.png", "@nowhere.txt", "empty", "@binary"])
def test_an_input_that_names_nothing_is_refused(folder, given):
    (folder / "empty").mkdir()
    (folder / "binary").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(DatasetError, match=given.removeprefix("@").replace("*", ".")):
        sources([given])


def test_the_state_tells_that_a_file_has_changed(folder):
    (first,) = sources(["a.jpg"])
    os.utime(folder / "a.jpg", ns=(1, 1))
    (touched,) = sources(["a.jpg"])
    (folder / "a.jpg").write_bytes(b"xy")
    os.utime(folder / "a.jpg", ns=(1, 1))
    (longer,) = sources(["a.jpg"])
    assert len({first.state, touched.state, longer.state}) == 3
    assert sources(["nowhere.jpg"]) == [Source("nowhere.jpg", "")]


@pytest.mark.parametrize("given", [".", "**/*.*", "@list.txt"])
def test_results_are_no_input(folder, given):
    found = [source.path for source in sources([given], out=folder / "b")]
    assert any(path.endswith("a.jpg") for path in found)
    assert not any("c.PNG" in path for path in found)


@pytest.mark.parametrize("given", ["b", "b/d", "./b/c.PNG", "b/**/*", "@inside.txt"])
@pytest.mark.parametrize("out", ["b", ".", "", "../photos", "b/"])
def test_an_input_that_lies_in_the_folder_of_results_is_refused_as_that(folder, given, out):
    (folder / "inside.txt").write_text("b\nb/c.PNG\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"outside of the folder .* Choose another --out"):
        sources([given], out=Path(out))


def test_an_empty_input_and_a_list_in_a_list_are_refused_with_what_to_do(folder):
    (folder / "lists.txt").write_text("a.jpg\n@list.txt\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="empty text"):
        sources([""])
    with pytest.raises(DatasetError, match=r"Received @list.txt in @lists.txt\. Name that list"):
        sources(["@lists.txt"])


def test_a_detour_over_a_link_stays_as_it_is(folder):
    try:
        (folder / "link").symlink_to(folder / "b" / "d", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    (folder / "c.PNG").write_bytes(b"another")
    assert paths("link/../c.PNG", "c.PNG", "b/d/../c.PNG") == ["link/../c.PNG", "c.PNG", "b/c.PNG"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shards_share_the_pictures_and_keep_theirs_when_others_come(tmp_path, count):
    names = [str(tmp_path / f"{number}.jpg") for number in range(60)]
    shards = [sources(names, (number, count)) for number in range(1, count + 1)]
    assert sorted(source.path for shard in shards for source in shard) == sorted(names)
    assert all(len(shard) > 60 / count / 3 for shard in shards)
    assert set(sources(names[:30], (1, count))) <= set(shards[0])


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux only")
def test_a_name_that_is_no_text_has_a_key_that_is(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    try:
        os.close(os.open(path, os.O_CREAT))
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    (source,) = sources([str(tmp_path)])
    assert source.key.endswith("\\xff.jpg")
    assert os.path.exists(source.path)  # noqa: PTH110


@pytest.fixture
def store():
    """A file system in memory, by its addresses."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install fsspec")
    system = fsspec.filesystem("memory")
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    for name in ("photos/a.png", "photos/b/c.png", "photos/.x/d.png", "photos/notes.txt", "other.png"):
        with system.open(f"/{name}", "wb") as file:
            Image.fromarray(picture).save(file, "PNG")
    yield system
    system.store.clear()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("memory://photos", ["photos/a.png", "photos/b/c.png"]),
        ("memory://photos/", ["photos/a.png", "photos/b/c.png"]),
        ("memory://photos/*.png", ["photos/a.png"]),
        ("memory://photos/a.png", ["photos/a.png"]),
        ("memory://photos/notes.txt", ["photos/notes.txt"]),
    ],
)
def test_addresses_name_files_folders_and_patterns(store, given, found):
    assert paths(given) == [f"memory://{name}" for name in found]


def test_addresses_lie_in_no_folder_of_this_machine(store):
    assert len(sources(["memory://photos"], out=Path())) == 2


def test_a_listed_address_has_a_state_and_a_named_one_has_none(store):
    (listed,) = sources(["memory://photos/*.png"])
    (named,) = sources(["memory://photos/a.png"])
    assert listed.state
    assert named.state == ""


def test_files_in_an_archive_keep_its_address(store, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("in/a.png", store.cat("/photos/a.png"))
    (source,) = sources([f"zip://in::{tmp_path / 'photos.zip'}"])
    assert source.path == f"zip://in/a.png::{tmp_path / 'photos.zip'}"
    assert read_picture(source.path, Limits()).name == "a.png"


def test_a_picture_at_an_address_is_that_of_a_file(store, tmp_path):
    (tmp_path / "a.png").write_bytes(store.cat("/photos/a.png"))
    there = read_picture("memory://photos/a.png", Limits())
    here = read_picture(f"file://{tmp_path / 'a.png'}", Limits())
    assert (there.sha256, there.name) == (here.sha256, "a.png") == (there.sha256, here.name)


def test_a_picture_at_an_address_is_bounded_before_it_is_decoded(store):
    size = store.size("/photos/a.png")
    with pytest.raises(ImageError, match="MB"):
        read_picture("memory://photos/a.png", Limits(max_bytes=size - 1))
    with pytest.raises(ImageError, match="megapixels"):
        read_picture("memory://photos/a.png", Limits(max_pixels=20))


@pytest.mark.parametrize("address", ["memory://nowhere.png", "nonsense://a.png"])
def test_an_address_that_does_not_answer_is_named(store, address):
    with pytest.raises((FetchError, ImageError), match=address):
        read_picture(address, Limits())


def test_what_is_missing_is_named_with_how_to_get_it(store, monkeypatch):
    monkeypatch.setattr(inputs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match="pip install fsspec"):
        sources(["memory://photos"])
