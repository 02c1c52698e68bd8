"""The README, and the console sessions of all documents, held to what the program does."""

import os
import re
import shlex

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fcn_core.cli.entry import main
from tests.docs.pages import PAGES, blocks, rows, section
from tests.places import ROOT

README = "README.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the README's picture; the current one."""
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "astronaut.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sessions() -> list[tuple[str, str]]:
    """Every command of the console blocks with the output that is shown."""
    text = "".join(block for page in PAGES for block in blocks(page, "console"))
    return [(c, o) for c, o in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?(?: s\b)?")


def _needs(command: str) -> list[pytest.MarkDecorator]:
    """The proof shown runs on TensorFlow, and the check says where that is missing."""
    return [pytest.mark.tensorflow] if {"verify", "--check"} & set(shlex.split(command)) else []


@pytest.mark.parametrize(
    ("command", "shown"), [pytest.param(c, o, id=c, marks=_needs(c)) for c, o in sessions()]
)
def test_commands_print_what_is_shown(command, shown, workplace, capsys, lite2):
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "fcn_core"]
    assert main(words[3:]) == 0
    out = capsys.readouterr().out.replace("\\", "/")
    mask = "#" if "verify" not in words else "##"
    assert _spaced(NUMBER.sub(mask, out)) == _spaced(NUMBER.sub(mask, shown))
    for found, expected in zip(NUMBER.findall(out), NUMBER.findall(shown), strict=True):
        if not expected.endswith(" s") and "verify" not in words:  # rounding errors differ between processors
            assert float(found) == pytest.approx(float(expected), abs=0.02)


def _spaced(text: str) -> str:
    return re.sub(r"[ ]+", " ", text)


def test_the_sessions_are_found():
    shown = {shlex.split(command)[3] for command, _ in sessions()}
    assert shown == {"heatmap", "synset", "synsets", "verify", "--check"}


def test_the_library_example_runs(workplace, capsys, lite2):
    (code,) = blocks(README, "python")
    assert len([line for line in code.splitlines() if line]) <= 10
    scope: dict = {}
    exec(code, scope)  # noqa: S102
    assert capsys.readouterr().out.startswith("200x320 (8, 8) 0.17\n400x640 (16, 16) 1.0\n")
    assert scope["result"].boxes


def test_the_line_that_saves_the_picture_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = [b for b in blocks(README, "sh") if b.startswith("python -c")]
    exec(shlex.split(line)[2])  # noqa: S102
    np.testing.assert_array_equal(np.asarray(Image.open("astronaut.png")), skimage.data.astronaut())


def test_the_two_commands_are_in_the_makefile_with_the_plain_lines_behind_them():
    make, plain, *_ = blocks(README, "sh")
    targets = re.findall(r"^make (\w+)", make, re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    recipe = MAKEFILE.replace("$(PIP)", ".venv/bin/python -m pip").replace("$(BIN)", ".venv/bin")
    (windows,) = blocks(README, "bat")
    lines = [line for line in plain.splitlines() if line.startswith(".venv")]
    assert len(lines) == 5
    for line in lines:
        assert f"\t{line}\n" in recipe
        assert line.replace(".venv/bin/", ".venv\\Scripts\\") in windows
    for name in re.findall(r"-r (\S+)", plain):
        assert (ROOT / name).is_file()


def test_the_python_versions_are_those_of_the_project():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    first, end = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', project, re.MULTILINE).groups()
    versions = f"3.{first} to 3.{int(end) - 1}"
    assert f"You need Python {versions}.\n" in PAGES[README]
    for page in (README, "docs/deploy.md"):
        assert set(re.findall(r"Python (3\.\d+ to 3\.\d+)", PAGES[page])) == {versions}


def test_it_begins_with_one_sentence_and_one_picture():
    title, sentence, picture, *_ = PAGES[README].split("\n\n")
    assert title.startswith("# ")
    assert sentence.count(".") == 1
    assert sentence.endswith(".")
    assert picture.startswith("![")
    assert PAGES[README].count("![") == 1
    assert len(PAGES[README].splitlines()) <= 150


def test_the_three_figures_are_those_of_the_benchmarks():
    table = rows(section(README, "Three figures"))
    assert len(table) == 3
    measured = {cell for row in rows(PAGES["docs/benchmarks.md"]) for cell in row}
    for _, figures in table:
        for figure in figures.split(", "):
            assert figure.removesuffix(" s") in measured, figure


def test_the_picture_is_what_the_program_makes(tmp_path, lite2):
    import runpy

    script = runpy.run_path(str(ROOT / "scripts" / "make_readme_pictures.py"))
    fresh = np.asarray(Image.open(script["make"](tmp_path)).convert("RGB")).astype(int)
    shown = Image.open(ROOT / "assets" / "readme" / "space-shuttle.webp")
    assert fresh.shape[1::-1] == shown.size
    # The times in the captions differ from run to run, and nothing else.
    assert np.abs(fresh - np.asarray(shown.convert("RGB"))).mean() < 0.5


@pytest.mark.skipif(os.name == "nt", reason="bash")
def test_the_checks_require_browser_and_nginx_and_end_with_the_tests():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert "\nexport FCN_REQUIRE_BROWSER=1 FCN_REQUIRE_NGINX=1\n" in script
    assert script.rstrip().endswith("make test")
