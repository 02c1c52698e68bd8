"""The lesson's keys of the session are listed."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from app.lesson.session import STATE, WIDGETS
from tests.places import ROOT

FILES = [*sorted((ROOT / "app" / "lesson").rglob("*.py")), ROOT / "app" / "pages" / "learn.py"]


def pattern(node: ast.expr) -> str:
    """Return a key as a pattern: what is computed is a star."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return "*"


def keys(path: Path) -> set[str]:
    """Return the keys of widgets and of ``st.session_state`` in a file; containers keep no state."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):  # the component of a figure
            found |= {pattern(word.value) for word in node.keywords if word.arg == "key"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in ("container", "fragment"):
                found |= {pattern(word.value) for word in node.keywords if word.arg == "key"}
            of = node.func.value
            if isinstance(of, ast.Attribute) and of.attr == "session_state" and node.args:
                found.add(pattern(node.args[0]))
        elif isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "session_state":
            found.add(pattern(node.slice))
    return found - {"*"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_is_listed(path: Path) -> None:
    for key in keys(path):
        assert any(fnmatchcase(key, listed) for listed in (*STATE, *WIDGETS)), key


@pytest.mark.parametrize("listed", [*STATE, *WIDGETS])
def test_every_listed_key_is_used(listed: str) -> None:
    used = set().union(*map(keys, FILES))
    assert any(fnmatchcase(key, listed) for key in used)
