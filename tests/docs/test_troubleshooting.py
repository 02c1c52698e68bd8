"""Messages that the page on troubleshooting quotes are those that the program and others print."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, rows
from tests.places import ROOT

PAGE = PAGES["docs/troubleshooting.md"]
BEHIND_NGINX = "## Behind nginx"
#: Beginnings of messages that other programs print, and where they are written.
OTHERS = {
    "Python 3.11": ROOT / "Makefile",
    "Port ": Path(importlib.util.find_spec("streamlit").origin).parent
    / "web/server/starlette/starlette_server.py",
}


@cache
def texts() -> tuple[str, ...]:
    """Every text that the code holds, but for docstrings; ``\\0`` where a value is filled in."""
    helpers = ("conftest.py", "browser/conftest.py", "deploy/machine.py")
    files = [
        *ROOT.glob("fcn_core/**/*.py"),
        *ROOT.glob("app/**/*.py"),
        *(ROOT / "tests" / h for h in helpers),
    ]
    found = []
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found += [" ".join(_text(node).split()) for node in nodes if id(node) not in docstrings]
    return tuple(text for text in found if text)


def _text(node: ast.AST) -> str:
    """What a text says; nothing where the node is none."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "\0" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def quoted() -> list[str]:
    """What the first column of each table quotes, those of nginx and browsers left out."""
    before, _, after = PAGE.partition(BEHIND_NGINX)
    ours = before + after.partition("\n## ")[2]
    return [text for row in rows(ours) for text in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize("message", quoted())
def test_quoted_messages_are_printed(message: str) -> None:
    parts = [re.escape(part.strip()) for part in message.split("…")]
    pattern = re.compile(".*".join(parts))
    other = next((path for begin, path in OTHERS.items() if message.startswith(begin)), None)
    if other is not None:
        source = other.read_text(encoding="utf-8").replace("%s", "…").replace("{port}", "…")
        assert pattern.search(source)
    else:
        assert any(pattern.search(text) for text in texts())


def test_there_is_a_table_for_each_kind_of_trouble() -> None:
    assert len(quoted()) > 40
    for title in ("Installing and starting", "Memory", "Pictures", "Disk and cache", "Behind nginx"):
        assert f"## {title}\n" in PAGE
