"""What a second run does: nothing of it twice, and what changed anew."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from fcn_core.batch import journal
from fcn_core.batch.inputs import Source
from fcn_core.batch.layout import Layout, table_format
from fcn_core.batch.parts import PART_FORMATS
from fcn_core.batch.store import Store
from fcn_core.errors import DatasetError, OutputError
from tests.batch.tables import row, run, table_of

SOURCES = [Source(f"p{number}.png", "1-1") for number in range(7)] + [Source("bad.png", "1-1")]
SETTINGS = {"model": "a", "scales": ["64x96"]}


def paths(rows):
    return [each["path"] for each in rows]


@pytest.mark.parametrize("table", ["jsonl", "parquet"])
@pytest.mark.parametrize("most", [0, 3, None])
def test_a_second_run_does_what_is_left(tmp_path, table, most):
    pytest.importorskip("pyarrow")
    first = run(tmp_path, SOURCES, SETTINGS, table=table, most=most)
    assert len(first) == (len(SOURCES) if most is None else most)
    second = run(tmp_path, SOURCES, SETTINGS, table=table)
    assert sorted(first + second) == sorted(source.path for source in SOURCES)
    assert run(tmp_path, SOURCES, SETTINGS, table=table) == []
    whole = tmp_path / "whole"
    run(whole, SOURCES, SETTINGS, table=table)
    assert table_of(tmp_path, table) == table_of(whole, table)
    assert len(table_of(whole, table)) == 2 * 7 + 1


def test_both_formats_hold_the_same_rows(tmp_path):
    pytest.importorskip("pyarrow")
    box = {"x0": 1, "y0": 2, "x1": 3, "y1": 4, "area": 4, "score": 0.25}
    rows = [
        row("a", boxes=[box], mask={"size": [6, 8], "counts": "0P1"}, threshold=0.5, present=True),
        row("ä\n犬", None, error="x", error_type="ImageError", boxes=None, peaks=None),
    ]
    for table in PART_FORMATS.values():
        path = tmp_path / f"part{table.suffix}"
        table.write(path, rows)
        assert list(table.read(path, None)) == rows
        assert list(table.read(path, ("path", "wnid"))) == [
            {"path": each["path"], "wnid": each["wnid"]} for each in rows
        ]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_that_is_not_complete_is_done_again(tmp_path, cut):
    run(tmp_path, SOURCES, SETTINGS, most=3)
    (path,) = (tmp_path / "state").glob("journal-*")
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - cut)
    assert len(run(tmp_path, SOURCES, SETTINGS)) == len(SOURCES) - 2
    assert len(table_of(tmp_path)) == 2 * 7 + 1


def test_a_journal_that_is_a_part_already_counts_once(tmp_path):
    run(tmp_path, SOURCES, SETTINGS, most=3)
    (path,) = (tmp_path / "state").glob("journal-*")
    text = path.read_text(encoding="utf-8")
    run(tmp_path, SOURCES, SETTINGS)
    path.write_text(text, encoding="utf-8")
    assert run(tmp_path, SOURCES, SETTINGS) == []
    assert not path.exists()
    assert len(table_of(tmp_path)) == 2 * 7 + 1


@pytest.mark.parametrize("most", [3, None])
def test_pictures_that_changed_are_done_anew_and_their_old_files_are_gone(tmp_path, most):
    run(tmp_path, SOURCES, SETTINGS, most=most)
    mask = tmp_path / "masks" / "p1.png"
    assert mask.read_text(encoding="utf-8") == "1-1"
    changed = [Source(s.path, "2-2") if s.path in ("p1.png", "bad.png") else s for s in SOURCES]
    done = run(tmp_path, changed, SETTINGS)
    assert {"p1.png", "bad.png"} <= set(done)
    assert len(done) == (2 if most is None else 2 + len(SOURCES) - most - 1)
    assert mask.read_text(encoding="utf-8") == "2-2"
    rows = table_of(tmp_path)
    assert len(rows) == 2 * 7 + 1
    assert {each["state"] for each in rows if each["path"] in ("p1.png", "bad.png")} == {"2-2"}


@pytest.mark.parametrize("most", [3, None])
def test_other_settings_do_everything_anew(tmp_path, most):
    run(tmp_path, SOURCES, SETTINGS, most=most)
    other = SETTINGS | {"scales": ["128x96"]}
    with Store(Layout(tmp_path, (1, 1), PART_FORMATS["jsonl"]), other) as store:
        assert store.changed_settings() == ["scales"]
    assert run(tmp_path, SOURCES[:2], other) == ["p0.png", "p1.png"]
    assert set(paths(table_of(tmp_path))) == {"p0.png", "p1.png"}
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["p0.png", "p1.png"]
    assert json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["settings"] == other


def test_pictures_of_another_input_stay(tmp_path):
    run(tmp_path, SOURCES[:3], SETTINGS)
    assert run(tmp_path, SOURCES[3:], SETTINGS) == [source.path for source in SOURCES[3:]]
    assert len(table_of(tmp_path)) == 2 * 7 + 1


def test_what_did_not_answer_is_asked_again_and_what_is_bad_is_not(tmp_path, monkeypatch):
    from tests.batch import tables

    bad = {"away": "FetchError", "bad": "ImageError", "huge": "MemoryBudgetError"}
    with monkeypatch.context() as patch:
        patch.setattr(
            tables, "rows_of", lambda s: [row(s.path, None, error="why", error_type=bad[s.path], state="")]
        )
        assert run(tmp_path, [Source(name) for name in bad], SETTINGS) == list(bad)
    assert run(tmp_path, [Source(name) for name in bad], SETTINGS) == ["away", "huge"]


def test_parts_have_a_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MOST_PICTURES", 3)
    run(tmp_path, SOURCES, SETTINGS)
    parts = sorted((tmp_path / "jsonl").iterdir())
    assert [len(p.read_text(encoding="utf-8").splitlines()) for p in parts] == [6, 6, 3]
    monkeypatch.setattr(journal, "MOST_PICTURES", 1000)
    monkeypatch.setattr(journal, "MOST_BYTES", 10)
    run(tmp_path / "other", SOURCES, SETTINGS)
    assert len(list((tmp_path / "other" / "jsonl").iterdir())) == len(SOURCES)


def in_shard(number, count):
    from fcn_core.batch.inputs import in_shard

    return [source for source in SOURCES if in_shard(source.key, (number, count))]


def test_shards_share_a_folder_and_a_run_without_shards_finds_all_done(tmp_path):
    done = [run(tmp_path, in_shard(number, 3), SETTINGS, (number, 3)) for number in (1, 2, 3)]
    assert sorted(chain(*done)) == sorted(source.path for source in SOURCES)
    assert len([names for names in done if names]) > 1
    assert run(tmp_path, SOURCES, SETTINGS) == []
    assert len(table_of(tmp_path)) == 2 * 7 + 1


def test_another_number_of_shards_continues_what_a_killed_run_left(tmp_path):
    first = run(tmp_path, SOURCES, SETTINGS, most=4)
    second = [run(tmp_path, in_shard(number, 2), SETTINGS, (number, 2)) for number in (1, 2)]
    assert sorted(chain(first, *second)) == sorted(source.path for source in SOURCES)
    assert run(tmp_path, SOURCES, SETTINGS) == []
    assert len(table_of(tmp_path)) == 2 * 7 + 1


def test_shards_of_other_settings_or_older_pictures_are_no_ground_to_build_on(tmp_path):
    run(tmp_path, SOURCES, SETTINGS)
    with pytest.raises(DatasetError, match="same settings"):
        run(tmp_path, in_shard(1, 2), SETTINGS | {"model": "b"}, (1, 2))
    changed = [Source(source.path, "2-2") for source in in_shard(1, 2)]
    with pytest.raises(DatasetError, match="has changed"):
        run(tmp_path, changed, SETTINGS, (1, 2))
    assert len(table_of(tmp_path)) == 2 * 7 + 1


def test_two_processes_do_not_work_on_the_same_shard(tmp_path):
    pytest.importorskip("fcntl")
    with Store(Layout(tmp_path, (1, 1), PART_FORMATS["jsonl"]), SETTINGS):
        with pytest.raises(DatasetError, match="no other process"):
            run(tmp_path, SOURCES, SETTINGS)
        run(tmp_path, in_shard(1, 2), SETTINGS, (1, 2))
    run(tmp_path, SOURCES, SETTINGS)


def test_the_table_keeps_the_format_that_it_has(tmp_path):
    assert table_format(tmp_path, ("coco",)).name == "jsonl"
    assert table_format(tmp_path, ("coco", "parquet", "jsonl")).name == "parquet"
    run(tmp_path, SOURCES, SETTINGS)
    assert table_format(tmp_path, ("parquet",)).name == "jsonl"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", "{", "cannot be read"),
        ("manifest.json", '{"schema": "fcn-heatmap/1"}', "something else"),
        ("jsonl/part-00001-of-00001-000000.jsonl", "{}\n", "cannot be read"),
        ("jsonl/part-00001-of-00001-000000.jsonl", "nonsense", "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_continued_is_refused(tmp_path, name, content, words):
    (tmp_path / "jsonl").mkdir()
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=words):
        run(tmp_path, SOURCES, SETTINGS)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file, which cannot .* Choose another --out"):
        run(tmp_path / "file", SOURCES, SETTINGS)
