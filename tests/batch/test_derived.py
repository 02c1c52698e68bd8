"""What is made of the table: data sets of COCO and YOLO, other formats, the contact sheet."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from fcn_core.batch import contact_sheet
from fcn_core.batch.contact_sheet import write_contact_sheet
from fcn_core.batch.derived import write_coco, write_derived, write_yolo
from fcn_core.batch.inputs import Source
from fcn_core.batch.parts import PART_FORMATS
from fcn_core.export.rle import compressed, run_lengths, run_lengths_of
from fcn_core.images.read import RGBImage
from tests.batch.tables import CAT, DOG, row, run, table_of

MASK = np.zeros((6, 8), bool)
MASK[1:3, 2:5] = MASK[4:, 6:] = True
BOXES = [(2, 1, 5, 3), (6, 4, 8, 6)]


@pytest.fixture
def rows():
    picture = RGBImage(np.zeros((6, 8, 3), np.uint8), "p", "")
    mask = {"size": [6, 8], "counts": compressed(run_lengths(MASK, picture))}
    boxes = [
        {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "area": (x1 - x0) * (y1 - y0), "score": 0.9 - x0 / 10}
        for x0, y0, x1, y1 in BOXES
    ]
    marked = {"mask": mask, "boxes": boxes, "threshold": 0.5, "present": True, "presence": 0.8}
    made = [
        row("a & <b>.png", DOG, thumbnail_file="thumbnails/a %.webp", **marked),
        row("a & <b>.png", CAT, thumbnail_file="thumbnails/a %.webp"),
        row("bad.png", None, error="Expected <a>.", error_type="ImageError"),
        row("empty.png", None),
        row("z.png", CAT, **(marked | {"boxes": boxes[:1]})),
    ]
    return lambda: iter(made)


def test_coco_has_an_annotation_for_each_box_with_its_own_region(tmp_path, rows):
    write_coco(tmp_path / "coco.json", rows, "imagenet")
    data = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in data["images"]] == ["a & <b>.png", "empty.png", "z.png"]
    assert [(c["id"], c["name"], c["wnid"]) for c in data["categories"]] == [
        (2084071, "dog", DOG),
        (2121620, "cat", CAT),
    ]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in data["annotations"]] == [
        (1, 1, 2084071),
        (2, 1, 2084071),
        (3, 3, 2121620),
    ]
    for annotation, (x0, y0, x1, y1) in zip(data["annotations"], [*BOXES, BOXES[0]], strict=True):
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        counts = run_lengths_of(annotation["segmentation"]["counts"])
        inside = np.repeat(np.arange(counts.size) % 2, counts).reshape(8, 6).T
        expected = np.zeros((6, 8), int)
        expected[y0:y1, x0:x1] = 1
        np.testing.assert_array_equal(inside, expected)
        assert annotation["area"] == expected.sum()


def test_yolo_has_a_file_for_each_picture_and_a_line_for_each_box(tmp_path, rows):
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo" / "old.txt").touch()
    write_yolo(tmp_path / "yolo", rows)
    index = (tmp_path / "yolo" / "images.txt").read_text(encoding="utf-8")
    labels = dict(line.split("\t") for line in index.splitlines())
    assert list(labels) == ["a & <b>.png", "empty.png", "z.png"]
    lines = {path: (tmp_path / "yolo" / name).read_text(encoding="utf-8") for path, name in labels.items()}
    assert (
        lines["a & <b>.png"]
        == "0 0.437500 0.333333 0.375000 0.333333\n0 0.875000 0.833333 0.250000 0.333333\n"
    )
    assert lines["empty.png"] == ""
    assert lines["z.png"].startswith("1 ")
    names = (tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8")
    assert f'  0: "dog"  # {DOG}\n  1: "cat"  # {CAT}\n' in names
    assert not (tmp_path / "yolo" / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["yolo"]


def test_the_other_table_follows_the_one_that_is_kept(tmp_path):
    pytest.importorskip("pyarrow")
    kept = PART_FORMATS["jsonl"]
    sources = [Source(f"{number}.png", "1") for number in range(4)]
    for state in ("1", "2"):
        run(tmp_path, [Source("0.png", state), *sources[1:]], {})
        write_derived(tmp_path, kept, ("parquet", "jsonl"), "imagenet")
        assert table_of(tmp_path, "parquet") == table_of(tmp_path)
    assert {each["state"] for each in table_of(tmp_path, "parquet") if each["path"] == "0.png"} == {"2"}
    run(tmp_path, sources, {"another": 1})
    write_derived(tmp_path, kept, ("parquet",), "imagenet")
    assert table_of(tmp_path, "parquet") == table_of(tmp_path)


def test_the_contact_sheet_names_everything_and_escapes_it(tmp_path, rows):
    write_contact_sheet(tmp_path, rows, "a <note>")
    page = (tmp_path / "contact-sheet" / "index.html").read_text(encoding="utf-8")
    assert "a &amp; &lt;b&gt;.png" in page
    assert "Expected &lt;a&gt;." in page
    assert "a &lt;note&gt;" in page
    assert 'src="../thumbnails/a%20%25.webp"' in page
    assert "dog 80%" in page
    assert page.count("nothing found") == 1
    assert "<script" not in page
    assert not re.search(r"https?:", page)


def test_the_contact_sheet_has_pages_that_lead_to_each_other(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(contact_sheet, "_ON_A_PAGE", 1)
    write_contact_sheet(tmp_path, rows, "")
    folder = tmp_path / "contact-sheet"
    pages = sorted(path.name for path in folder.iterdir())
    assert pages == ["index.html", "page-00002.html", "page-00003.html", "page-00004.html"]
    for name in pages:
        linked = re.findall(r'href="(.*?)"', (folder / name).read_text(encoding="utf-8"))
        assert set(linked) <= set(pages) - {name}
        assert linked
    monkeypatch.setattr(contact_sheet, "_ON_A_PAGE", 500)
    write_contact_sheet(tmp_path, rows, "")
    assert [path.name for path in folder.iterdir()] == ["index.html"]
