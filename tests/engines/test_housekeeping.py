"""Which graphs are removed: by name, age, version and number."""

import json
import os
import time

import pytest

from fcn_core.engines import housekeeping
from fcn_core.engines.housekeeping import cached_bytes, mark_used, remove_abandoned, tidy

OURS = {"format": 6, "keras": "3.12", "openvino": "2026.1"}
THEIRS = {**OURS, "openvino": "2025.1"}
HOUR, DAY = 3600, 86400
NAME = "resnet50-32-0123456789abcdef"


def aged(path, seconds):
    """Set the times of a path and of its contents to the past."""
    then = time.time() - seconds
    for each in [*path.rglob("*"), path]:
        os.utime(each, (then, then))


def put(folder, made_by, seconds):
    folder.mkdir(parents=True)
    (folder / "graph.bin").write_bytes(b"0" * 100)
    if made_by is not None:
        (folder / "meta.json").write_text(json.dumps({"made_by": made_by}), encoding="utf-8")
    aged(folder, seconds)
    return folder


# Name, made by, seconds since it was used, whether it stays.
CASES = [
    (NAME, OURS, 0, True),
    (NAME, OURS, 400 * DAY, True),
    (NAME, THEIRS, 0, True),
    (NAME, THEIRS, 29 * DAY, True),
    (NAME, THEIRS, 31 * DAY, False),
    (NAME, THEIRS, -HOUR, True),
    (NAME, THEIRS, -2 * DAY, False),  # from the future: the clock was moved back
    (NAME, None, 29 * DAY, True),  # of a version that does not write it, or damaged
    (NAME, None, 31 * DAY, False),
    (NAME, [], 31 * DAY, False),
    ("efficientnet-lite0-8-ffffffffffffffff", THEIRS, 31 * DAY, False),
    ("efficientnet-lite2-16-0000000000000000", THEIRS, 31 * DAY, False),
    ("resnet50-32-0123456789abcde", THEIRS, 400 * DAY, True),  # no name of ours from here on
    ("resnet50-32-0123456789abcdef0", THEIRS, 400 * DAY, True),
    ("resnet50-32-0123456789ABCDEF", THEIRS, 400 * DAY, True),
    ("resnet50-31-0123456789abcdef", THEIRS, 400 * DAY, True),
    ("alexnet-32-0123456789abcdef", THEIRS, 400 * DAY, True),
    ("my resnet50-32-0123456789abcdef", THEIRS, 400 * DAY, True),
    ("holiday", THEIRS, 400 * DAY, True),
    (".making-x", None, 0, True),
    (".making-x", None, HOUR / 2, True),
    (".making-x", None, -HOUR / 2, True),
    (".making-x", None, 2 * HOUR, False),
    (".making-x", None, 2 * DAY, False),
    (".making-x", None, -2 * DAY, False),
    (".made-x", None, 2 * DAY, True),
]


@pytest.mark.parametrize(("name", "made_by", "seconds", "stays"), CASES)
def test_which_graphs_are_kept(name, made_by, seconds, stays, tmp_path):
    folder = put(tmp_path / name, made_by, seconds)
    new = put(tmp_path / "efficientnet-lite0-32-0000000000000000", OURS, 0)
    tidy(tmp_path, OURS)
    assert folder.exists() == stays
    assert sorted(tmp_path.iterdir()) == sorted([new, folder] if stays else [new])


@pytest.mark.parametrize("times", ["the folder's", "the reading of its weights"])
def test_either_time_counts_as_use(times, tmp_path):
    """Versions that do not set the modification time change the access time."""
    folder = put(tmp_path / NAME, THEIRS, 400 * DAY)
    if times == "the folder's":
        mark_used(folder)
    else:
        then = time.time() - 400 * DAY
        os.utime(folder / "graph.bin", (time.time() - DAY, then))
    tidy(tmp_path, OURS)
    assert folder.exists()
    aged(folder, 400 * DAY)
    tidy(tmp_path, OURS)
    assert not folder.exists()


def test_beyond_a_number_the_least_recently_used_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(housekeeping, "MOST", 3)
    folders = [put(tmp_path / f"{NAME[:-1]}{i}", OURS, (5 - i) * 2 * DAY) for i in range(6)]
    tidy(tmp_path, OURS)
    assert [folder.exists() for folder in folders] == [False] * 3 + [True] * 3
    for folder in folders[3:]:
        aged(folder, HOUR)
    more = [put(tmp_path / f"{NAME[:-1]}{i}", THEIRS, 20 * HOUR) for i in range(6, 9)]
    tidy(tmp_path, OURS)
    assert all(folder.exists() for folder in more), "used within a day"


@pytest.mark.parametrize("name", [NAME, ".making-x"])
@pytest.mark.parametrize("where", ["a folder", "a graph elsewhere", "nowhere"])
def test_links_are_not_followed(name, where, tmp_path):
    elsewhere = put(tmp_path / "elsewhere" / "graph", THEIRS, 400 * DAY)
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    link = graphs / name
    target = {"a folder": elsewhere.parent, "a graph elsewhere": elsewhere, "nowhere": tmp_path / "none"}[
        where
    ]
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    if os.utime in os.supports_follow_symlinks:
        os.utime(link, (0, 0), follow_symlinks=False)
    tidy(graphs, OURS)
    assert link.is_symlink()
    assert (elsewhere / "graph.bin").exists()


def test_links_within_a_graph_are_removed_but_not_their_targets(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    folder = put(tmp_path / "graphs" / NAME, THEIRS, 0)
    try:
        (folder / "link").symlink_to(precious, target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    aged(folder, 400 * DAY)
    tidy(tmp_path / "graphs", OURS)
    assert not folder.exists()
    assert (precious / "file").exists()


@pytest.mark.parametrize("obstacle", ["none there", "a file", "read-only"])
def test_a_folder_that_cannot_be_removed_is_ignored(obstacle, tmp_path, monkeypatch):
    graphs = tmp_path / "graphs"
    if obstacle == "a file":
        graphs.touch()
    if obstacle == "read-only":
        folder = put(graphs / NAME, THEIRS, 400 * DAY)
        refused = PermissionError(13, "Permission denied")

        def refuse(*_):
            raise refused

        monkeypatch.setattr("pathlib.Path.rename", refuse)
    tidy(graphs, OURS)
    if obstacle == "read-only":
        assert folder.exists()


def test_another_process_may_remove_graphs_at_the_same_time(tmp_path, monkeypatch):
    """Another process removes a graph between the check and the removal here."""
    folders = [put(tmp_path / f"{NAME[:-1]}{i}", THEIRS, 400 * DAY) for i in range(3)]
    look = housekeeping._made_by

    def and_gone(folder):
        found = look(folder)
        if folder == folders[1]:
            folder.rename(tmp_path / "taken")
        return found

    monkeypatch.setattr(housekeeping, "_made_by", and_gone)
    tidy(tmp_path, OURS)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners there")
def test_unfinished_graphs_of_other_users_are_kept(tmp_path, monkeypatch):
    folder = put(tmp_path / "fcn_core-making-x", None, 2 * DAY)
    another = os.getuid() + 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: another)
        remove_abandoned(tmp_path, "fcn_core-making-")
    assert folder.exists()
    remove_abandoned(tmp_path, "fcn_core-making-")
    assert not folder.exists()


def test_the_size_of_the_cache(tmp_path):
    assert cached_bytes(tmp_path / "none") == 0
    put(tmp_path / "graphs" / NAME, None, 0)
    put(tmp_path / "graphs" / "another", None, 0)
    assert cached_bytes(tmp_path) == 200
