"""A folder of results into which somebody wrote: nothing of others is removed, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fcn_core.batch.checked import checked_row
from fcn_core.batch.derived import write_derived, write_yolo
from fcn_core.batch.inputs import Source
from fcn_core.batch.layout import ENTRIES, YOLO_BEGINS, digest, require_own, table_format
from fcn_core.batch.parts import PART_FORMATS, write_parquet
from fcn_core.batch.picture_files import FOLDERS
from fcn_core.errors import DatasetError, OutputError
from fcn_core.export.rle import compressed
from tests.batch.tables import names_in, row, run, table_of

SOURCES = [Source("p0.png", "1-1"), Source("p1.png", "1-1")]
SETTINGS = {"model": "a"}
PART = "jsonl/part-00001-of-00001-000000.jsonl"
JOURNAL = "state/journal-00001-of-00001-000000.jsonl"
ELSEWHERE = [
    "{victim}",
    "../victim",
    "masks/../../victim",
    "masks/../state/lock-00001-of-00001",
    "manifest.json",
    "overlays/p1.png",
    "masks//victim",
    "masks/./p1.png",
    "masks\\..\\..\\victim",
    "masks/C:victim",
    "masks",
    "",
    "masks/\0",
    7,
    "link/victim",
    "masks/link/victim",
]
CHANGES = {
    "other settings": lambda folder: run(folder, SOURCES, {"model": "b"}),
    "a changed picture": lambda folder: run(folder, [Source("p1.png", "2-2")], SETTINGS),
}


def edit(path, number, **values):
    """Change a row of a part, or of the last picture of a journal."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    edited = lines[number]
    (edited[0] if isinstance(edited, list) else edited).update(values)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize("kept", [PART, JOURNAL])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_file_is_removed_that_is_not_of_the_batch(tmp_path, kept, change, name):
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.touch()
    run(folder, SOURCES, SETTINGS, most=None if kept == PART else 2)
    if isinstance(name, str):
        name = name.format(victim=victim)
        if "link" in name:
            place = folder / name.rpartition("/")[0]
            place.symlink_to(tmp_path, target_is_directory=True)
    edit(folder / kept, -2 if kept == PART else -1, mask_file=name)
    before = names_in(tmp_path)
    with pytest.raises(DatasetError, match=rf"{kept}, which cannot be read .* Delete it"):
        CHANGES[change](folder)
    assert names_in(tmp_path) == before


def test_a_link_in_place_of_a_folder_of_results_is_not_followed(tmp_path):
    folder = tmp_path / "out"
    run(folder, SOURCES, SETTINGS)
    (folder / "masks").rename(tmp_path / "mine")
    (folder / "masks").symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(DatasetError, match="leads out of"):
        run(folder, SOURCES, {"model": "b"})
    assert names_in(tmp_path / "mine") == ["p0.png", "p1.png"]


LINKS = [
    JOURNAL,
    "state/.journal-00001-of-00001-000000.jsonl.part",
    ".manifest.json.part",
    ".yolo.part",
    ".coco.json.part",
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("whole", [True, False])
def test_nothing_is_written_through_a_link(tmp_path, link, whole):
    victim, folder = tmp_path / "victim", tmp_path / "out"
    if link == ".yolo.part":
        victim.mkdir()
        victim = victim / "images.txt"
    victim.write_text("mine", encoding="utf-8")
    run(folder, SOURCES, SETTINGS, most=None if whole else 1)
    (folder / link).unlink(missing_ok=True)
    (folder / link).symlink_to(victim.parent if link == ".yolo.part" else victim)
    if link == JOURNAL and not whole:
        with pytest.raises(DatasetError, match="it is no file"):
            run(folder, SOURCES, SETTINGS)
    else:
        run(folder, [SOURCES[0], Source("p1.png", "2-2")], SETTINGS)
        write_derived(folder, PART_FORMATS["jsonl"], ("coco", "yolo"), "imagenet")
    assert victim.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["masks/p1.png", "coco.json", ".coco.json.part", PART, JOURNAL])
def test_a_folder_in_place_of_a_file_is_named(tmp_path, name):
    run(tmp_path, SOURCES, SETTINGS)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    with pytest.raises(
        (OutputError, DatasetError),
        match=rf"{name.rpartition('/')[2].strip('.').removesuffix('.part')}.*cannot",
    ):
        run(tmp_path, [Source("p1.png", "2-2")], SETTINGS)
        write_derived(tmp_path, PART_FORMATS["jsonl"], ("coco",), "imagenet")


JOURNALS = {
    "no JSON": "{bad\n",
    "no list": "5\n",
    "no rows": "[]\n",
    "no row": "[1]\n",
    "a part of a row": '[{"path":"x"}]\n',
    "several pictures": json.dumps([row("a"), row("b")]) + "\n",
    "an empty line": "\n",
    "deep": "[" * 100_000 + "\n",
}
PARTS = {
    "a number": "5\n",
    "a list": "[]\n",
    "a part of a row": '{"path":"x","state":"","error_type":null}\n',
    "no text": json.dumps(row("x", synset="\ud800")) + "\n",
    "bytes": b"\xff\xfe\n",
}
WHOLE = {"schema": "fcn-batch/1", "digest": digest(SETTINGS), "table": "jsonl", "settings": SETTINGS}
MANIFESTS = {
    "only a schema": '{"schema":"fcn-batch/1"}',
    "a list": "[]",
    "deep": "[" * 100_000,
    **{f"no {name}": json.dumps({k: v for k, v in WHOLE.items() if k != name}) for name in WHOLE},
    **{
        f"{name} {value}": json.dumps(WHOLE | {name: value})
        for name in WHOLE
        for value in (None, [], 5, {"a": 1}, "other")
    },
}
DAMAGED = [
    *((JOURNAL, content) for content in JOURNALS.values()),
    *((PART, content) for content in PARTS.values()),
    *(("manifest.json", content) for content in MANIFESTS.values()),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED, ids=[*JOURNALS, *PARTS, *MANIFESTS])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, content):
    run(tmp_path, SOURCES, SETTINGS)
    (tmp_path / PART).unlink()
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        DatasetError, match=rf"(?s)^Expected .* Received [^ ]*{name}.* (Delete it|Choose another)"
    ):
        table_format(tmp_path, ())
        run(tmp_path, SOURCES, SETTINGS)
    assert (tmp_path / "masks" / "p0.png").exists()


def few_columns():
    return columns(path=["a"], state=["1-1"], error_type=[None])


def other_columns():
    return columns(**{name: [value] for name, value in row("a", state=1).items()})


def columns(**values):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(values), sink)
    return sink.getvalue().to_pybytes()


def cut():
    import io

    file = io.BytesIO()
    write_parquet(file, [row("p0.png")])
    return file.getvalue()[:-20]


@pytest.mark.parametrize("content", [lambda: b"nonsense", lambda: b"", few_columns, other_columns, cut])
def test_a_damaged_part_in_parquet_is_named(tmp_path, content):
    pytest.importorskip("pyarrow")
    run(tmp_path, SOURCES, SETTINGS, table="parquet")
    (path,) = (tmp_path / "parquet").glob("part-*")
    path.write_bytes(content())
    with pytest.raises(DatasetError, match=rf"{path.name}, which cannot be read .* Delete it"):
        run(tmp_path, SOURCES, SETTINGS, table="parquet")


def test_a_name_of_a_file_in_parquet_is_checked_too(tmp_path):
    pytest.importorskip("pyarrow")
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.touch()
    run(folder, SOURCES, SETTINGS, table="parquet")
    (path,) = (folder / "parquet").glob("part-*")
    write_parquet(path, [row("p0.png", mask_file="../victim", state="1-1")])
    with pytest.raises(DatasetError, match=rf"{path.name}, which cannot be read .* another mask_file"):
        run(folder, SOURCES, {"model": "b"}, table="parquet")
    assert victim.exists()


BOX = {"x0": 0, "y0": 0, "x1": 1, "y1": 1, "area": 1, "score": 0.5}
MASK = {"size": [6, 8], "counts": compressed([0, 1, 47])}


@pytest.mark.parametrize(
    "values",
    [
        {"path": None},
        {"path": 5},
        {"state": None},
        {"wnid": "dog"},
        {"wnid": "n02084071\n"},
        {"wnid": None, "mask": MASK},
        {"synset": None},
        {"presence": "much"},
        {"presence": float("nan")},
        {"presence": None},
        {"present": 1},
        {"width": 0},
        {"width": None},
        {"height": 2**63},
        {"boxes": [BOX | {"x0": None}]},
        {"boxes": [5]},
        {"boxes": None, "mask": MASK},
        {"mask": {"size": [6], "counts": ""}},
        {"mask": MASK | {"size": [8, 6]}},
        {"mask": MASK | {"size": [1, 10**12]}},
        {"mask": {"size": [6, 8], "counts": 5}},
        {"peaks": [{"scale": "64x96"}]},
        {"error": 5},
        *({column: f"elsewhere/{column}"} for column in FOLDERS),
    ],
)
def test_a_row_is_checked(values):
    whole = row("a.png", boxes=[BOX], mask=MASK, threshold=0.5)
    assert checked_row(whole) == whole
    with pytest.raises(ValueError, match="a row"):
        checked_row(whole | values)


@pytest.mark.parametrize(
    "counts", ["", "\x7f", "0P1o", *map(compressed, ([0, 2, 46], [0, 1, 46], [0, 1, 50, -3]))]
)
def test_a_mask_that_is_not_that_of_its_boxes_is_named(tmp_path, counts):
    folder = tmp_path / "jsonl"
    folder.mkdir()
    PART_FORMATS["jsonl"].write(
        tmp_path / PART, [row("a.png", boxes=[BOX], mask=MASK | {"counts": counts}, threshold=0.5)]
    )
    with pytest.raises(DatasetError, match=r"that of a.png, which cannot be read"):
        write_derived(tmp_path, PART_FORMATS["jsonl"], ("coco",), "imagenet")
    assert names_in(tmp_path) == [PART.partition("/")[2]]


@pytest.mark.parametrize("name", ENTRIES)
def test_a_folder_with_results_of_something_else_is_refused(tmp_path, name):
    mine = tmp_path / name if name.endswith(".json") else tmp_path / name / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.touch()
    with pytest.raises(
        DatasetError, match=rf"Received {tmp_path}: it has {name} of something else\. Choose another --out"
    ):
        require_own(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(WHOLE), encoding="utf-8")
    require_own(tmp_path)


@pytest.mark.parametrize("name", ["coco.json", "yolo/data.yaml", "yolo/mine.txt", "yolo/mine/a.txt"])
def test_a_data_set_of_something_else_in_the_folder_of_a_batch_is_refused(tmp_path, name):
    (tmp_path / "manifest.json").write_text(json.dumps(WHOLE), encoding="utf-8")
    formats = ("coco", "yolo")
    write_derived(tmp_path, PART_FORMATS["jsonl"], formats, "imagenet")
    require_own(tmp_path, formats)
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine", encoding="utf-8")
    which = name.partition("/")[0]
    with pytest.raises(DatasetError, match=rf"it has {which} of something else\. Choose another --out"):
        require_own(tmp_path, formats)
    require_own(tmp_path, ("jsonl",))  # what is not replaced may be anything


@pytest.fixture
def derived(tmp_path, monkeypatch):
    """A batch with its data sets, written where lines end with two characters unless it is said how."""
    opened = Path.open

    def on_windows(path, mode="r", buffering=-1, encoding=None, errors=None, newline=None):
        ends = "\r\n" if mode == "w" and newline is None else newline
        return opened(path, mode, buffering, encoding, errors, ends)

    (tmp_path / "manifest.json").write_text(json.dumps(WHOLE), encoding="utf-8")
    part = tmp_path / PART
    part.parent.mkdir(exist_ok=True)
    PART_FORMATS["jsonl"].write(part, [row("a.png")])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", on_windows)
        write_derived(tmp_path, PART_FORMATS["jsonl"], ("coco", "yolo"), "imagenet")
    return tmp_path


def test_the_data_sets_of_a_batch_are_its_own_on_every_system(derived):
    require_own(derived, ("coco", "yolo"))
    for name in ("coco.json", "yolo/data.yaml"):
        written = (derived / name).read_bytes()
        assert b"\r" not in written
        (derived / name).write_bytes(written.replace(b"\n", b"\r\n"))  # by an editor
    require_own(derived, ("coco", "yolo"))


def test_what_others_leave_in_a_data_set_does_not_matter(derived):
    for name in (".DS_Store", "labels.cache"):
        (derived / "yolo" / name).write_bytes(b"\x00")
    require_own(derived, ("yolo",))
    (derived / "yolo" / ".git").mkdir()
    with pytest.raises(DatasetError, match="it has yolo"):
        require_own(derived, ("yolo",))


def test_a_data_set_of_an_earlier_version_is_ones_own(derived):
    names = derived / "yolo" / "data.yaml"
    names.write_text(names.read_text(encoding="utf-8").removeprefix(YOLO_BEGINS), encoding="utf-8")
    assert names.read_text(encoding="utf-8").startswith("path: .\nnames:")
    require_own(derived, ("yolo",))
    index = derived / "yolo" / "images.txt"
    index.write_text("./images/a.png\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="it has yolo"):
        require_own(derived, ("yolo",))
    index.unlink()
    with pytest.raises(DatasetError, match="it has yolo"):
        require_own(derived, ("yolo",))


def test_a_new_folder_and_what_a_killed_run_left_are_no_others(tmp_path):
    require_own(tmp_path / "new")
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock-00001-of-00001").touch()
    require_own(tmp_path)
    with pytest.raises(OutputError, match=r"photo\.jpg, which cannot"):
        require_own(tmp_path / "photo.jpg")


def test_a_picture_is_known_however_its_path_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(run(tmp_path / "out", SOURCES, SETTINGS)) == 2
    for other in (f"{tmp_path}/", f"../{tmp_path.name}/", "./"):
        again = [Source(other + source.path, source.state) for source in SOURCES]
        assert run(tmp_path / "out", again, SETTINGS) == []
        assert run(tmp_path / "out", again, SETTINGS, (1, 2)) == [], "nor by other shards"
    changed = [Source(f"{tmp_path}/p0.png", "2-2"), SOURCES[1]]
    assert run(tmp_path / "out", changed, SETTINGS) == [f"{tmp_path}/p0.png"]
    assert {each["path"] for each in table_of(tmp_path / "out")} == {f"{tmp_path}/p0.png", "p1.png"}


def test_a_line_of_the_index_of_yolo_is_a_picture(tmp_path):
    names = ["a\nb.png", "a\tb.png", "a\u2028b.png", "ä b.png"]
    write_yolo(tmp_path / "yolo", lambda: map(row, names))
    lines = (tmp_path / "yolo" / "images.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["a\\nb.png", "a\\tb.png", "a\\u2028b.png", "ä b.png"]
    assert all((tmp_path / "yolo" / line.split("\t")[1]).is_file() for line in lines)
