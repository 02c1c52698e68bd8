"""The environment variables: valid and invalid values, and that they are read in one place."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.state import caches, predictors, shared_queue
from app.state.queue.jobs import ModelKey
from fcn_core import logs, settings
from fcn_core.cli.entry import main
from fcn_core.errors import SettingInvalid
from fcn_core.networks.applications import APPLICATIONS
from fcn_core.networks.zoo import MODELS
from fcn_core.settings import SETTINGS, check
from tests.places import ROOT
from tests.waiting import PATIENCE

# Setting, text, value
GOOD = [
    ("FCN_MODEL", "resnet50", "resnet50"),
    ("FCN_MODEL", " EfficientNet-Lite0 ", "efficientnet-lite0"),
    ("FCN_MODELS", "resnet50", ("resnet50",)),
    ("FCN_MODELS", " VGG16 , efficientnet-lite0,", ("efficientnet-lite0", "vgg16")),
    ("FCN_MODELS", "ALL", (*MODELS, *APPLICATIONS)),
    ("FCN_ENGINE", "auto", "auto"),
    ("FCN_ENGINE", "OpenVINO", "openvino"),
    ("FCN_ENGINE", "tensorflow", "tensorflow"),
    ("FCN_MEMORY_MB", "160", 160),
    ("FCN_MEMORY_MB", " 0690 ", 690),
    ("FCN_MEMORY_MB", "16777216", 16777216),
    ("FCN_MAX_UPLOAD_MB", "1", 1),
    ("FCN_MAX_UPLOAD_MB", "1024", 1024),
    ("FCN_MAX_MEGAPIXELS", " 0.5 ", 0.5),
    ("FCN_MAX_MEGAPIXELS", "1e-6", 1e-6),
    ("FCN_MAX_MEGAPIXELS", "89", 89.0),
    ("FCN_ALLOW_URLS", "0", False),
    ("FCN_ALLOW_URLS", " 1", True),
    ("FCN_ALLOW_REMOVE", "1", True),
    ("FCN_ALLOW_EXPORT", "0", False),
    ("FCN_ALLOW_MODELS", "1", True),
    ("FCN_ALLOW_ROOMS", "0", False),
    ("FCN_LOG", "JSON", "json"),
    ("FCN_LOG", "off", "off"),
]

# Setting, texts that mean nothing, words of the refusal
BAD = [
    ("FCN_MODEL", ["alexnet", "lite0", "resnet50,resnet50", "x" * 5000], " or a model of FCN_MODELS_DIR"),
    (
        "FCN_MODELS", ["alexnet", "resnet50 vgg16", "resnet50,lite0", "none", ",", "x" * 5000],
        "names of models with commas between, or all",
    ),
    ("FCN_ENGINE", ["abacus", "cuda", "auto openvino", "1"], "auto, openvino or tensorflow"),
    (
        "FCN_MEMORY_MB",
        ["many", "0", "-1", "690.5", "690 MB", "2GB", "nan", "inf", "1e3", "0x400", "1_000", "٦٩٠", "²", "734003200",
         "9" * 5000],
        "a whole number of megabytes from 160 to",
    ),
    (
        "FCN_MAX_UPLOAD_MB", ["many", "0", "-5", "2.5", "25MB", "1e99", "1025", "26214400"],
        "a whole number of megabytes from 1 to 1024",
    ),
    (
        "FCN_MAX_MEGAPIXELS", ["many", "0", "-1", "nan", "inf", "1e99", "90", "1e-9", "64 MP"],
        "a number above 0 and at most 89",
    ),
    ("FCN_ALLOW_URLS", ["no", "off", "false", "yes", "2", "00", "01", "-0"], "Expected 0 or 1"),
    ("FCN_ALLOW_REMOVE", ["no", "true", "2"], "Expected 0 or 1"),
    ("FCN_ALLOW_EXPORT", ["yes", "false"], "Expected 0 or 1"),
    ("FCN_ALLOW_MODELS", ["yes", "false"], "Expected 0 or 1"),
    ("FCN_ALLOW_ROOMS", ["no", "true"], "Expected 0 or 1"),
    ("FCN_LOG", ["xml", "debug", "1", "json,text"], "json, text or off"),
    ("FCN_CACHE_DIR", ["~nobody-of-this-name/x"], "the path of a "),
    ("FCN_WEIGHTS_DIR", ["~nobody-of-this-name/x"], "the path of a "),
    ("FCN_MODELS_DIR", ["~nobody-of-this-name/x"], "the path of a "),
]  # fmt: skip
BAD_PAIRS = [(name, text, words) for name, texts, words in BAD for text in texts]

# Read well enough by those who need them, and yet of no use on this machine
USELESS = [
    ("FCN_MEMORY_MB", "159", "Received '159', which is too little for any model."),
    ("FCN_MEMORY_MB", "1", ", which is too little for any model"),
    ("FCN_CACHE_DIR", "{file}", "{file}' is not a folder"),
    ("FCN_CACHE_DIR", "{file}/cache", "{file}' is not a folder"),
    ("FCN_CACHE_DIR", "{link}", "{link}' is not a folder"),
    ("FCN_CACHE_DIR", "/" + "x" * 300, ", which cannot be created ("),
    ("FCN_WEIGHTS_DIR", "{empty}/nowhere", ", which does not exist"),
    ("FCN_MODELS_DIR", "{empty}/nowhere", ", which does not exist"),
    ("FCN_WEIGHTS_DIR", "{link}", ", which does not exist"),
    ("FCN_WEIGHTS_DIR", "{file}/weights", ", which cannot be read (Not a directory)"),
]


def setting(name: str) -> settings.Setting[Any]:
    (found,) = (s for s in SETTINGS if s.name == name)
    return found


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    return {name: str(tmp_path / name) for name in ("file", "empty", "link")}


def test_every_setting_has_its_cases() -> None:
    names = {s.name for s in SETTINGS}
    assert {name for name, *_ in [*BAD, *USELESS]} == names
    assert {name for name, *_ in GOOD} == names - {"FCN_CACHE_DIR", "FCN_WEIGHTS_DIR", "FCN_MODELS_DIR"}
    assert len(names) == len(SETTINGS)
    assert tuple(MODELS) == settings.MODEL_NAMES
    assert tuple(APPLICATIONS) == settings.APPLICATION_NAMES


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [pytest.param(*row, marks=[pytest.mark.tensorflow] if "tensorflow" in row else []) for row in GOOD],
)
def test_good_values(name: str, text: str, value: object) -> None:
    found = setting(name).value({name: text})
    assert (found, type(found)) == (value, type(value))
    assert check({name: text}) == ()


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize("name", [s.name for s in SETTINGS])
def test_an_empty_value_counts_as_not_set(name: str, blank: str) -> None:
    assert setting(name).value({name: blank}) == setting(name).value({}) == setting(name).default
    assert not setting(name).given({name: blank})
    assert check({name: blank}) == check({}) == ()


@pytest.mark.parametrize(("name", "text", "words"), BAD_PAIRS, ids=[f"{n}={t[:20]}" for n, t, _ in BAD_PAIRS])
def test_invalid_values_are_refused_and_reported_by_check(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingInvalid) as refusal:
        setting(name).value({name: text})
    (line,) = check({name: text})
    assert line == str(refusal.value)
    assert line.startswith("Expected ") and f" in {name}. Received {text[:60]!r}"[:-1] in line
    assert words in line
    assert line.endswith(" Correct it or remove it.")
    assert "\n" not in line
    assert len(line) < 350


@pytest.mark.parametrize(("name", "text", "words"), USELESS)
def test_values_that_cannot_work_on_this_machine_are_reported(
    name: str, text: str, words: str, places: dict[str, str]
) -> None:
    text = text.format(**places)
    assert setting(name).value({name: text}) is not None
    (line,) = check({name: text})
    assert line.startswith("Expected ") and f" in {name}. Received '" in line
    assert words.format(**places) in line
    assert line.endswith(" Correct it or remove it.")


def test_usable_folders(tmp_path: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FCN_CACHE_DIR", "FCN_WEIGHTS_DIR", "FCN_MODELS_DIR"):
        assert check({name: places["empty"]}) == ()
    assert check({"FCN_CACHE_DIR": f"{places['empty']}/new/deep"}) == ()
    assert list(Path(places["empty"]).iterdir()) == [], "looking makes nothing"
    assert check({"FCN_WEIGHTS_DIR": places["file"]}) == (), "the file itself"
    monkeypatch.chdir(tmp_path)
    assert check({"FCN_CACHE_DIR": "new/deep", "FCN_WEIGHTS_DIR": "empty"}) == ()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert check({"FCN_CACHE_DIR": "~/new", "FCN_WEIGHTS_DIR": "~/empty"}) == ()


@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_cache_with_graphs_is_usable(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def refused(dir: Path) -> None:  # as for anybody but root, or on a disc that is mounted to be read
        assert dir == (cache if there else tmp_path)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(settings.tempfile, "TemporaryFile", refused)
    if there:
        (cache / "graphs").mkdir(parents=True)
    (line,) = check({"FCN_CACHE_DIR": str(cache)})
    assert f"which cannot be {'written' if there else 'created'} (Read-only file system). Correct" in line
    if there:
        (cache / "graphs" / "model").mkdir()
        assert len(check({"FCN_CACHE_DIR": str(cache)})) == 1
        (cache / "graphs" / "model" / "meta.json").touch()
        assert check({"FCN_CACHE_DIR": str(cache)}) == ()


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else name)
    assert check({"FCN_ENGINE": "openvino"}) == check({"FCN_ENGINE": "auto"}) == ()
    assert "Received 'tensorflow', which is not installed." in check({"FCN_ENGINE": "tensorflow"})[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FCN_MEMROY_MB", "FCN_MEMORY_MB"),
        ("FCN_MEMORY", "FCN_MEMORY_MB"),
        ("FCN_ENGIN", "FCN_ENGINE"),
        ("FCN_MODLE", "FCN_MODEL"),
        ("FCN_MODELLS", "FCN_MODELS"),
        ("FCN_CACHE", "FCN_CACHE_DIR"),
        ("FCN_UPLOAD_MB", "FCN_MAX_UPLOAD_MB"),
        ("FCN_ALLOW_URL", "FCN_ALLOW_URLS"),
        ("FCN_", "one of FCN_MODEL, "),
        ("FCN_ZZZZZZZZZZZZZZZ", "one of FCN_MODEL, "),
        ("FCN_A\nB\x1b[31m", "one of FCN_MODEL, "),
    ],
)
def test_unknown_names_are_reported_with_the_nearest_setting(name: str, expected: str) -> None:
    (line,) = check({name: "1"})
    assert re.match(
        rf"Expected {expected}.*\. Received {re.escape(repr(name))}, which is not a setting", line
    )
    assert line.isprintable()


def test_names_of_other_programs_and_of_the_tests_are_ignored() -> None:
    assert check(dict.fromkeys([*settings.FOR_TESTS, "PATH", "OTHER_FCN_MODEL", "FCNX"], "x")) == ()


ALL_WRONG = {name: texts[0] for name, texts, _ in BAD} | {"FCN_MEMROY_MB": "690"}


def test_all_problems_are_reported_at_once() -> None:
    lines = check(ALL_WRONG)
    found = [re.search(r"(?: in |Received ')(FCN_\w+)", line) for line in lines]
    names = [match[1] for match in found if match]
    assert names == [*(s.name for s in SETTINGS), "FCN_MEMROY_MB"]


@pytest.mark.parametrize(
    "arguments",
    [("--check",), ("synset", "dog"), ("synsets", "dog"), ("models",), ("verify",), ("evaluate", "x.csv"),
     ("heatmap", "x.png", "--synset", "dog", "--out", "x")],
    ids=" ".join,
)  # fmt: skip
def test_every_command_checks_the_settings_first(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in ALL_WRONG.items():
        monkeypatch.setenv(name, text)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"fcn_core: {line}" for line in check(ALL_WRONG)]


def test_help_needs_no_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FCN_ENGINE", "abacus")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0


def test_check_loads_nothing_heavy(fresh_python: Any) -> None:
    code = "import sys; from fcn_core import settings; settings.check(); "
    code += "print({'numpy', 'PIL', 'openvino', 'tensorflow', 'keras', 'platformdirs'} & set(sys.modules))"
    assert fresh_python(code, FCN_ENGINE="tensorflow").stdout == "set()\n"


# The app


def _page() -> AppTest:
    caches.wrong_settings.clear()
    return AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=PATIENCE).run()


def test_the_page_shows_the_problems_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in ALL_WRONG.items():
        monkeypatch.setenv(name, text)
    try:
        page = _page()
    finally:
        caches.wrong_settings.clear()
    assert not page.exception
    shown = [error.value.replace("\\", "") for error in page.error]
    assert shown == [line.replace("\\", "") for line in check(ALL_WRONG)]
    assert not page.tabs and not page.checkbox and len(page.button) == 1
    assert [r.getMessage() for r in caplog.records if r.name == "app.state.caches"] == list(check(ALL_WRONG))


@pytest.mark.parametrize("engine", [None, "", "auto", "openvino", "tensorflow"])
def test_the_engine_is_the_apps(engine: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(predictors, "load_model", lambda *arguments, **_: asked.append(arguments))
    if engine is not None:
        monkeypatch.setenv("FCN_ENGINE", engine)
    key = ModelKey("resnet50")
    predictors.Predictors(capacity=1).load(key)
    assert asked == [("resnet50", engine or "auto")]
    assert ModelKey("resnet50", engine="openvino").engine == "openvino"


@pytest.mark.parametrize(("engine", "adopted"), [("auto", True), ("openvino", True), ("tensorflow", False)])
def test_the_sample_computed_beforehand_is_shown_for_its_own_engine(
    engine: str, adopted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_ENGINE", engine)
    kept: list[tuple[ModelKey, str]] = []
    monkeypatch.setattr(
        shared_queue.Queue, "add_precomputed", lambda _, key, info, *rest: kept.append((key, info.engine))
    )
    monkeypatch.setattr(shared_queue.Queue, "prepare", lambda *_: None)
    shared_queue._queue.cache_clear()
    try:
        shared_queue.queue().close()
    finally:
        shared_queue._queue.cache_clear()
        logs.configure("off")
    assert kept == ([(ModelKey(settings.MODEL.default, engine=engine), "openvino")] if adopted else [])


@pytest.mark.parametrize(
    ("memory", "upload", "right"),
    [
        ("450", "112", True),
        ("450", "113", False),
        ("160", "40", True),
        ("160", None, True),
        (None, "1024", True),
    ],
)
def test_uploads_must_fit_into_memory(memory: str | None, upload: str | None, right: bool) -> None:
    given = {"FCN_MEMORY_MB": memory, "FCN_MAX_UPLOAD_MB": upload}
    problems = check({name: text for name, text in given.items() if text is not None})
    assert [("a quarter of FCN_MEMORY_MB" in problem) for problem in problems] == ([] if right else [True])


# Nobody else reads them


def _names_in(path: Path) -> set[str]:
    """Names of settings that stand for themselves in a source, not within a sentence."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return {text for text in texts if re.fullmatch(r"FCN_\w*", text.strip())}


def _mentioned_in(path: Path) -> set[str]:
    return set(re.findall(r"\bFCN_[A-Z_]+\b", path.read_text(encoding="utf-8")))


# It sets them for the programs that it starts, and reads none.
SETS_THEM = ROOT / "scripts" / "measure_install.py"
SOURCES = [
    *(p for folder in ("fcn_core", "app", "scripts") for p in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "streamlit_app.py",
]
SOURCES.remove(SETS_THEM)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_settings_are_read_in_one_place(path: Path) -> None:
    names = {s.name for s in SETTINGS}
    if path == ROOT / "fcn_core" / "settings.py":
        assert _names_in(path) == {"FCN_", *names, *settings.FOR_TESTS}
    else:
        assert _names_in(path) == set()
        assert _mentioned_in(path) <= names


def test_a_read_elsewhere_is_found(tmp_path: Path) -> None:
    source = tmp_path / "reads.py"
    for line in ('os.environ.get("FCN_X")', 'os.getenv("FCN_X", 1)', 'os.environ["FCN_X"]', 'f"FCN_{x}"'):
        source.write_text(f"import os\nx = 1\ny = {line}\n", encoding="utf-8")
        assert _names_in(source), line


def test_names_in_tests_and_benchmarks_are_those_of_settings() -> None:
    """Those here that are none on purpose excepted."""
    names = {s.name for s in SETTINGS} | settings.FOR_TESTS
    own = {Path(__file__), ROOT / "tests" / "conftest.py"}
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py")]:
        if path not in own:
            assert _mentioned_in(path) <= names, path


def test_the_environment_of_these_tests_is_valid() -> None:
    assert check({name: text for name, text in os.environ.items() if name != "FCN_CACHE_DIR"}) == ()
