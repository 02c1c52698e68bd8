"""``fcn batch``: the table, the files beside it, resuming, and how bad pictures and wrong options are reported."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

import fcn_core as fcn
from fcn_core.batch import journal
from fcn_core.batch.layout import ENTRIES, digest
from fcn_core.batch.parts import PART_FORMATS
from fcn_core.engines import load
from fcn_core.export import files
from fcn_core.export.rle import run_lengths_of
from tests.batch.tables import names_in, table_of
from tests.cli.commands import MODEL, RECORD, one_line
from tests.waiting import PATIENCE

SCALES = (*MODEL, "--scales", "64x96,200x320")
FAST = (*MODEL, "--scales", "64x96", "--format", "jsonl")


@pytest.fixture
def loaded(monkeypatch, lite0):
    """The model of the other tests, instead of one for every command."""
    monkeypatch.setattr(load, "load_model", lambda *_: lite0)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    return lite0


@pytest.fixture(scope="module")
def photographs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    Image.fromarray(skimage.data.chelsea()).resize((1204, 800)).save(folder / "cat.jpg")
    Image.fromarray(skimage.data.coffee()[::2, ::2]).save(folder / "more" / "cup.png")
    (folder / "more" / "text.jpg").write_text("not a picture", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, photographs_folder, lite0):
    """One run with all that can be written: its folder, and the rows."""
    pytest.importorskip("pyarrow")
    out = tmp_path_factory.mktemp("out") / "batch"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "load_model", lambda *_: lite0)
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        from fcn_core.cli.entry import main

        wanted = ("--synset", "cat", "--synset", "wooden spoon", "--all", *SCALES)
        written = ("--format", "parquet,coco,yolo", "--write", "masks,overlays,maps")
        status = main(["batch", str(photographs_folder), *wanted, *written, "--out", str(out)])
    assert status == 2, "one of the pictures is bad"
    return out, table_of(out, "parquet")


def test_a_row_says_what_analyse_says(made, photographs_folder, lite0):
    _, rows = made
    path = str(photographs_folder / "cat.jpg")
    row = next(r for r in rows if r["path"] == path and r["synset"] == "cat")
    alone = fcn.analyse(fcn.read_image(path), "cat", lite0, fcn.parse_scales("64x96,200x320"))
    assert row["presence"] == alone.presence
    assert row["threshold"] == alone.threshold
    assert row["sha256"] == alone.image.sha256
    assert (row["width"], row["height"]) == (1204, 800)
    assert row["peaks"] == [{"scale": key, "peak": each.peak} for key, each in alone.heatmaps.items()]
    assert [(b["x0"], b["y0"], b["x1"], b["y1"]) for b in row["boxes"]] == [
        (b.x0, b.y0, b.x1, b.y1) for b in alone.boxes
    ]
    counts = run_lengths_of(row["mask"]["counts"])
    mask = np.repeat(np.arange(counts.size) % 2 == 1, counts).reshape(1204, 800).T
    np.testing.assert_array_equal(mask, alone.mask)
    assert row["area"] == alone.mask.sum()
    assert (row["model"], row["precision"], row["weights"]) == ("efficientnet-lite0", "f32", "imagenet")
    assert row["weights_sha256"] == lite0.info.weights_sha256


def test_there_is_a_row_for_each_picture_and_synset_and_one_for_a_bad_picture(made, photographs_folder):
    _, rows = made
    named = {(os.path.basename(r["path"]), r["synset"], r["asked"]) for r in rows}  # noqa: PTH119
    assert {("cat.jpg", "cat", True), ("cat.jpg", "wooden spoon", True), ("cup.png", "cat", True)} <= named
    (bad,) = (r for r in rows if r["path"].endswith("text.jpg"))
    assert bad["error_type"] == "ImageError"
    assert "unknown kind" in bad["error"]
    assert bad["wnid"] is None
    assert [r["mask"] for r in rows if not r["present"]] == [None] * sum(not r["present"] for r in rows)


def test_files_are_those_of_the_rows(made, photographs_folder):
    out, rows = made
    (row,) = (r for r in rows if r["synset"] == "cat" and r["present"])
    with Image.open(out / row["mask_file"]) as mask:
        assert mask.size == (1204, 800)
        assert int((np.asarray(mask) > 0).sum()) == row["area"]
    assert set(np.load(out / row["maps_file"]).files) == {
        "64x96",
        "200x320",
        "arithmetic",
        "geometric",
        "fine",
    }
    with (
        Image.open(out / row["overlay_file"]) as overlay,
        Image.open(out / row["thumbnail_file"]) as thumbnail,
    ):
        assert max(thumbnail.size) == 160
        assert overlay.size == (1097, 729), "the working copy"
    columns = ("mask_file", "overlay_file", "maps_file", "thumbnail_file")
    listed = {r[column] for r in rows for column in columns if r[column]}
    there = {
        path.relative_to(out).as_posix()
        for kind in ("masks", "overlays", "maps", "thumbnails")
        for path in (out / kind).rglob("*")
        if path.is_file()
    }
    assert there == listed


def test_the_other_formats_and_the_contact_sheet_are_there(made):
    out, rows = made
    data = json.loads((out / "coco.json").read_text(encoding="utf-8"))
    assert len(data["images"]) == 2
    assert len(data["annotations"]) == sum(len(r["boxes"] or ()) for r in rows)
    assert len(list((out / "yolo" / "labels").rglob("*.txt"))) == 2
    assert "not a picture" not in (out / "contact-sheet" / "index.html").read_text(encoding="utf-8")
    assert "text.jpg" in (out / "contact-sheet" / "index.html").read_text(encoding="utf-8")
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["settings"]["precision"] == "f32"


def test_a_second_run_does_nothing_and_another_format_is_made_of_the_rows(run, loaded, tmp_path, monkeypatch):
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save(tmp_path / "cat.png")
    command = ("batch", tmp_path / "cat.png", "--synset", "cat", *FAST, "--out", tmp_path / "out", "--json")
    status, text, err = run(*command)
    assert (status, err) == (0, "")
    first = json.loads(text)
    assert (first["pictures"], first["done"], first["failed"], first["rows"]) == (1, 1, 0, 1)
    monkeypatch.setattr(type(loaded), "run", None)
    status, text, _ = run(*command[:-1], "--format", "coco")
    assert status == 0
    assert "1 picture: 0 done, 1 done before, 0 bad, f32" in text
    assert (tmp_path / "out" / "coco.json").is_file()
    assert PART_FORMATS["jsonl"].name in {path.name for path in (tmp_path / "out").iterdir()}


def test_other_settings_are_named_and_done_anew(run, loaded, tmp_path):
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save(tmp_path / "cat.png")
    command = ("batch", tmp_path / "cat.png", *FAST, "--out", tmp_path / "out", "--no-contact-sheet")
    run(*command, "--synset", "cat")
    status, text, _ = run(*command, "--synset", "dog", "--map", "evidence")
    assert status == 0
    assert "1 done" in text
    assert "map and synsets changed" in text
    assert [row["synset"] for row in table_of(tmp_path / "out")] == ["dog"]
    assert not (tmp_path / "out" / "thumbnails").exists()


def test_shards_are_finished_by_a_run_without_shards(run, loaded, tmp_path):
    for number in range(6):
        Image.fromarray(skimage.data.chelsea()[::8, ::8] // (number + 1)).save(tmp_path / f"{number}.png")
    command = ("batch", tmp_path, "--synset", "cat", *FAST, "--out", tmp_path / "out")
    for shard in ("1/2", "2/2"):
        status, _, _ = run(*command, "--shard", shard)
        assert status == 0
    assert not (tmp_path / "out" / "contact-sheet").exists()
    _, text, _ = run("batch", *(tmp_path / f"{number}.png" for number in range(6)), *command[2:])
    assert "6 pictures: 0 done, 6 done before" in text
    assert (tmp_path / "out" / "contact-sheet" / "index.html").is_file()
    assert len(table_of(tmp_path / "out")) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--synset or --all"),
        (("--synset", "qqxzzv"), "qqxzzv"),
        (("--synset", "cat", "--shard", "0/4"), "3/16"),
        (("--synset", "cat", "--shard", "5/4"), "3/16"),
        (("--synset", "cat", "--format", "csv"), "'csv'"),
        (("--synset", "cat", "--write", "masks,boxes"), "'boxes'"),
        (("--synset", "cat", "--threshold", "2"), "--threshold"),
        (("--synset", "cat", "--scales", "nonsense"), "nonsense"),
    ],
)
def test_wrong_options_are_refused_before_a_model_is_loaded(run, tmp_path, monkeypatch, options, words):
    monkeypatch.setattr(load, "load_model", None)
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save(tmp_path / "cat.png")
    status, text, err = run("batch", tmp_path / "cat.png", *options, *MODEL, "--out", tmp_path / "out")
    assert (status, text) == (2, "")
    assert words in one_line(err)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_a_missing_package_are_refused(run, loaded, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    out = ("--synset", "cat", *SCALES, "--out", tmp_path / "out")
    status, _, err = run("batch", tmp_path / "empty", *out)
    assert status == 2
    assert "names none" in one_line(err)
    from fcn_core.batch import parts

    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda name: None)
    status, _, err = run("batch", tmp_path / "nowhere.png", *out)
    assert status == 2
    assert "pip install pyarrow" in one_line(err)


def test_many_bad_pictures_are_not_all_named(run, loaded, tmp_path):
    missing = [tmp_path / f"{number}.png" for number in range(25)]
    status, text, err = run("batch", *missing, "--synset", "cat", *FAST, "--out", tmp_path / "out")
    assert status == 2
    assert "25 bad" in text
    assert len(err.splitlines()) == 21


def test_precision_is_asked_of_the_model_and_named(run, loaded, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(type(loaded), "compute_in", lambda self, precision: asked.append(precision))
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save(tmp_path / "cat.png")
    command = ("batch", tmp_path / "cat.png", "--synset", "cat", *FAST, "--out", tmp_path / "out")
    _, text, _ = run(*command, "--precision", "bf16")
    assert asked == ["bf16"]
    assert "bf16 ->" in text


@pytest.mark.parametrize(
    ("inputs", "out", "words"),
    [
        (["cat.png"], "", "cat.png, whose pictures all lie in it"),
        (["."], ".", "Choose another --out"),
        ([""], "out", "empty text"),
        (["cat.png"], "cat.png", "Received cat.png, which cannot (it is a file)"),
        (
            ["cat.png"],
            "others",
            "Received others: it has coco.json and yolo of something else. Choose another --out.",
        ),
        (["cat.png"], "damaged", "damaged/manifest.json"),
    ],
)
def test_a_folder_that_results_would_spoil_is_refused_before_a_model_is_loaded(
    run, tmp_path, monkeypatch, inputs, out, words
):
    monkeypatch.setattr(load, "load_model", None)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save("cat.png")
    for name in ("others/yolo/mine.txt", "others/coco.json", "damaged/manifest.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before = names_in(tmp_path)
    status, text, err = run("batch", *inputs, "--synset", "cat", *FAST, "--out", out)
    assert (status, text) == (2, "")
    assert words in one_line(err)
    assert names_in(tmp_path) == before


def test_a_data_set_of_another_is_not_replaced_by_a_later_run(run, loaded, tmp_path, monkeypatch):
    Image.fromarray(skimage.data.chelsea()[::8, ::8]).save(tmp_path / "cat.png")
    command = ("batch", tmp_path / "cat.png", "--synset", "cat", *FAST, "--out", tmp_path / "out")
    assert run(*command)[0] == 0
    mine = tmp_path / "out" / "yolo" / "mine.txt"
    mine.parent.mkdir()
    mine.touch()
    monkeypatch.setattr(load, "load_model", None)
    status, _, err = run(*command[:-1], tmp_path / "out", "--format", "jsonl,yolo")
    assert status == 2
    assert "it has yolo of something else" in one_line(err)
    assert mine.is_file()


def test_the_log_has_a_record_for_each_picture_that_was_analysed(
    run, loaded, photographs_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("FCN_LOG", "json")
    command = (
        "batch",
        photographs_folder,
        "--synset",
        "cat",
        "--synset",
        "dog",
        *FAST,
        "--out",
        tmp_path / "out",
    )
    status, _, err = run(*command)
    assert status == 2
    records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    rows = {row["path"]: row["seconds"] for row in table_of(tmp_path / "out") if row["error"] is None}
    assert [record["seconds"] for record in records] == [round(rows[path], 3) for path in sorted(rows)]
    for record in records:
        assert set(record) == RECORD
        assert (record["event"], record["model"], record["scales"]) == (
            "analysis",
            "efficientnet-lite0",
            ["64x96"],
        )
    logged = "".join(json.dumps(record) for record in records)
    assert not any(secret in logged for secret in ("cat", "cup", str(tmp_path)))


def test_all_that_a_batch_writes_is_known_as_such(made):
    assert {path.name for path in made[0].iterdir()} - {"manifest.json"} == set(ENTRIES) - {"jsonl"}


@pytest.mark.parametrize(("most", "words"), [(0, "no picture done in this run"), (2, "2 of 5 pictures done")])
def test_a_command_that_is_stopped_says_how_far_it_came(run, loaded, tmp_path, monkeypatch, most, words):
    def stop(self, line):
        nonlocal most
        if not most:
            raise KeyboardInterrupt
        most -= 1

    monkeypatch.setattr(journal.Journal, "add", stop)
    pictures = [tmp_path / f"{number}.png" for number in range(5)]
    status, _, err = run("batch", *pictures, "--synset", "cat", *FAST, "--out", tmp_path / "out")
    assert status == 130
    assert err.splitlines()[-1] == f"fcn_core: stopped: {words}; the same command continues"


def test_a_setting_that_another_wrote_does_not_control_the_terminal(run, loaded, tmp_path):
    command = ("batch", tmp_path / "nowhere.png", "--synset", "cat", *FAST, "--out", tmp_path / "out")
    run(*command)
    path = tmp_path / "out" / "manifest.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about["settings"] |= {"\x1b[2J": 1}
    about["digest"] = digest(about["settings"])
    path.write_text(json.dumps(about), encoding="utf-8")
    _, text, _ = run(*command)
    assert "\\x1b[2J changed" in text
    assert "\x1b" not in text


KILLED = """
import os, signal, sys
from fcn_core.batch import journal
from fcn_core.cli.entry import main
add, left = journal.Journal.add, int(sys.argv[1])
def add_or_die(self, line):
    global left
    left -= 1
    if left == 0:
        add(self, line[: len(line) // 2])  # in the middle of a line
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, line)
journal.Journal.add = add_or_die
journal.MOST_PICTURES = 5
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_command_is_continued(run, loaded, tmp_path, lite0):
    """With the threads of the command; `tests/batch/test_killed.py` kills before every kind of operation."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(skimage.data.chelsea()[::9, ::9] // (number + 1)).save(folder / f"{number:02d}.png")
    (folder / "bad.png").touch()
    command = ["batch", str(folder), "--synset", "cat", *FAST, "--out"]
    for killed_at in (3, 7):
        child = subprocess.run(
            [sys.executable, "-c", KILLED, str(killed_at), *command, str(tmp_path / "out")],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert child.returncode == -signal.SIGKILL, child.stderr
    assert "13 pictures: 5 done" in run(*command, tmp_path / "out")[1], "2 and 6 are done"
    run(*command, tmp_path / "whole")
    whole, continued = (table_of(tmp_path / name) for name in ("whole", "out"))
    for row in (*whole, *continued):
        del row["seconds"]
    assert continued == whole
    sheets = [
        (tmp_path / name / "contact-sheet" / "index.html").read_text(encoding="utf-8")
        for name in ("out", "whole")
    ]
    assert sheets[0] == sheets[1]


def test_names_of_files_are_different_and_safe_everywhere():
    from fcn_core.batch.picture_files import file_stem

    stems = [
        file_stem(path)
        for path in ("a/x.png", "b/x.png", "s3://b/x.png", "..", "a/CON.png", "a/x?.png", "犬" * 99)
    ]
    assert len({stem.casefold() for stem in stems}) == len(stems)
    for stem in stems:
        folder, name = stem.split("/")
        assert len(folder) == 2
        assert len(name.encode()) < 120
        assert not set(name) & set('<>:"/\\|?*')
    assert files.file_stem("a/x.png") in stems[0]
