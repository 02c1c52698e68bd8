"""What is probably not in the picture is marked nowhere: on no page, in no file, by no command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fcn_core as fcn
from fcn_core.cli import entry
from fcn_core.export import files, original
from fcn_core.pipeline import PRESENCE_FLOOR, Analysis
from tests.app.compare_page import compared
from tests.app.explore_page import opened, settled, stages, text

ABSENT = ("missile", "airship", "shark")  # the picture shows a cat
SCALES = "200x320,100x160"


@pytest.fixture(scope="module")
def cat(chelsea: np.ndarray) -> fcn.RGBImage:
    """A cat, larger than a working copy."""
    large = Image.fromarray(chelsea).resize((1353, 900), Image.Resampling.BICUBIC)
    return fcn.image_from_array(np.asarray(large), "cat.png")


def analysis(cat: fcn.RGBImage, model: Any, word: str, **options: Any) -> Analysis:
    return fcn.analyse(cat, word, model, fcn.parse_scales(SCALES), **options)


@pytest.mark.parametrize("word", ABSENT)
@pytest.mark.parametrize("options", [{}, {"snap": False}, {"threshold": 0.0}, {"kind": "evidence"}], ids=str)
def test_files_mark_nothing(cat: fcn.RGBImage, lite2: Any, word: str, options: dict[str, Any]) -> None:
    found = analysis(cat, lite2, word, **options)
    assert found.presence < PRESENCE_FLOOR
    for each in (found, found.at_working_size):
        assert not each.marked and not each.mask.any() and each.boxes == () and each.coverage == 0
    manifest = files.manifest(found)
    assert (manifest["present"], manifest["boxes"]) == (False, [])
    assert original.boxes(found) == ()
    assert json.loads(files.coco_json(found))["annotations"] == []
    assert not np.asarray(Image.open(io.BytesIO(files.mask_png(found)))).any()
    assert "fcn-outline" not in files.html_report(found).decode()
    asked = analysis(cat, lite2, word, **options, always_mark=True)
    assert asked.boxes and asked.coverage > 0, "unless it is asked for"


def test_the_command_marks_nothing(
    cat: fcn.RGBImage, lite2: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(cat.pixels).save(path, compress_level=1)
    words = ["heatmap", str(path), "--synset", ABSENT[0], "--model", "efficientnet-lite2", "--scales", SCALES]
    assert entry.main([*words, "--out", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "cat" / "manifest.json").read_text(encoding="utf-8"))
    assert (written["present"], written["boxes"]) == (False, [])
    assert not np.asarray(Image.open(tmp_path / "out" / "cat" / "mask.png")).any()
    assert f"no {written['synset']['words'][0]} found" in capsys.readouterr().out


@pytest.mark.usefixtures("prepared_app")
def test_compare_marks_nothing() -> None:
    page = opened(synset=ABSENT[1], scales="200x320").switch_page("app/pages/compare.py").run()
    settled(page)
    page.segmented_control("compare-compare").set_value("Synsets").run()
    settled(page)
    compared(page)
    body = text(page)
    assert "found here (" in body, "the absent half says so"
    assert "Their masks overlap" not in body
    absent, other = ([shape["name"] for shape in each["shapes"]] for each in stages(page)[:2])
    assert absent == [] and len(other) <= 1
    mask = next(row for row in body.split("<tr>") if ">mask<" in row)
    assert ">0%<" in mask


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("threshold", ["", "0"])
def test_explore_marks_nothing(threshold: str) -> None:
    given = {"threshold": threshold} if threshold else {}
    page = opened(synset=ABSENT[2], scales="200x320", tab="Mask", view="Mask", **given)
    assert f"No {page.session_state['synset'] and ABSENT[2]} found here" in text(page)
    assert "The mask covers" not in text(page)
