"""Python finds the project because it is installed (``pip install -e .``), never by an altered search path."""

from __future__ import annotations

import ast
import tomllib

import pytest

from tests.places import ROOT

FOLDERS = ("fcn_core", "app", "scripts", "benchmarks", "fuzz", "tests")
SOURCES = sorted(
    [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
)
OTHERS = (
    "Makefile",
    "pyproject.toml",
    ".ci/run",
    "deploy/Dockerfile",
    "deploy/fcn.env",
    "deploy/fcn@.service",
)
# Files that run a command which is documented for the checkout's folder: Streamlit reads .streamlit/ there, pytest its
# tests, MkDocs its settings. They may name that folder as the working directory.
IN_THE_CHECKOUT = {
    "benchmarks/served.py",
    "benchmarks/load.py",
    "scripts/take_screenshots.py",
    "tests/app/audited_server.py",
    "tests/batch/test_cluster.py",
    "tests/batch/test_killed.py",
    "tests/browser/conftest.py",
    "tests/browser/test_security.py",
    "tests/deploy/conftest.py",
    "tests/deploy/test_plain_script.py",
    "tests/deploy/test_replicas.py",
    "tests/docs/test_site.py",
    "tests/test_tests.py",
}
# Tests of what another search path does, and this file.
ABOUT_SEARCH_PATHS = {"tests/system/test_child.py", "tests/test_wheel.py", "tests/test_search_paths.py"}
_VARIABLE = "PYTHONPATH"
_CHANGES = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}


def tricks(source: str) -> list[str]:
    """Return what a source does to a search path: its own process's, or that of a child."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _alters(node) or _names(node)]


def _is_search_path(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return _is_search_path(node.value)
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"


def _alters(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        if ast.unparse(called) in ("site.addsitedir", "addsitedir", "monkeypatch.syspath_prepend"):
            return True
        if ast.unparse(called).endswith("setattr") and [ast.unparse(a) for a in node.args[:2]] == [
            "sys",
            "'path'",
        ]:
            return True
        return isinstance(called, ast.Attribute) and called.attr in _CHANGES and _is_search_path(called.value)
    if isinstance(node, ast.Assign | ast.Delete):
        return any(_is_search_path(target) for target in node.targets)
    return isinstance(node, ast.AugAssign | ast.AnnAssign) and _is_search_path(node.target)


def _names(node: ast.AST) -> bool:
    """In a dictionary, a keyword, a call or a comparison; prose may mention it."""
    if isinstance(node, ast.keyword):
        return node.arg == _VARIABLE
    return isinstance(node, ast.Constant) and node.value == _VARIABLE


def folders(source: str) -> list[str]:
    """Return the working directories of child processes that are the checkout's folder."""
    return [
        ast.unparse(node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword)
        and node.arg == "cwd"
        and {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
        & {"ROOT", "root", "machine"}
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import sys; sys.path.insert(0, '.')", True),
        ("sys.path.append(str(ROOT))", True),
        ("sys.path += [here]", True),
        ("sys.path[:0] = [here]", True),
        ("sys.path = [here]", True),
        ("del sys.path[0]", True),
        ("monkeypatch.setattr(sys, 'path', [])", True),
        ("monkeypatch.syspath_prepend(here)", True),
        ("site.addsitedir(here)", True),
        ("run(command, env={**os.environ, 'PYTHONPATH': str(ROOT)})", True),
        ("os.environ['PYTHONPATH'] = here", True),
        ("dict(os.environ, PYTHONPATH=here)", True),
        ("print(sys.path, sys.path[0])", False),
        ("'''It does not depend on PYTHONPATH.'''", False),
    ],
)
def test_what_counts_as_a_trick(source: str, found: bool) -> None:
    assert bool(tricks(source)) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run(command, cwd=ROOT)", True),
        ("run(command, cwd=machine.ROOT)", True),
        ("run(c, cwd=tmp_path)", False),
    ],
)
def test_what_counts_as_the_checkouts_folder(source: str, found: bool) -> None:
    assert bool(folders(source)) == found


def test_no_source_alters_a_search_path() -> None:
    found = {path.relative_to(ROOT).as_posix(): tricks(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 100
    assert {name for name, what in found.items() if what} <= ABOUT_SEARCH_PATHS


def test_the_working_directory_is_no_search_path() -> None:
    found = {path.relative_to(ROOT).as_posix(): folders(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name for name, what in found.items() if what} == IN_THE_CHECKOUT


@pytest.mark.parametrize("name", OTHERS)
def test_no_command_or_setting_does_it_either(name: str) -> None:
    assert _VARIABLE not in (ROOT / name).read_text(encoding="utf-8")


def test_pytest_has_no_path_of_its_own() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"][
        "ini_options"
    ]
    assert "pythonpath" not in options
