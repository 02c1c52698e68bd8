"""The messages of all errors that a user can cause: expected, received, what to do."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from fcn_core import errors
from tests.places import ROOT

KINDS = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
# Rooms whose messages all have the same form.
ROOMS = ("settings.py", "system/*.py", "synsets/*.py", "images/*.py", "cli/*.py")
FILES = sorted(path for room in ROOMS for path in (ROOT / "fcn_core").glob(room))


def text_of(node: ast.expr) -> str | None:
    """Return the text of a message, with {} for each value that is put in; None if it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None and right is None else (left or "{}") + (right or "{}")
    return None


def messages_in(source: str) -> list[tuple[int, str]]:
    """Return the line and the text of every message that a module gives to an error of `KINDS`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in KINDS
            and node.args
        ):
            text = text_of(node.args[0])
            if text is not None:
                found.append((node.lineno, text))
    return found


def follows_the_grammar(text: str) -> bool:
    """Return whether a message says what was expected, what was received and what to do."""
    match = re.fullmatch(r"Expected .+? Received .+?[.:] (\S.*)", text, re.DOTALL)
    return match is not None and (match[1].endswith((".", "}")))


MESSAGES = [
    pytest.param(text, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in FILES
    for line, text in messages_in(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("text", MESSAGES)
def test_messages_say_what_was_expected_what_was_received_and_what_to_do(text: str) -> None:
    assert follows_the_grammar(text)


def test_the_messages_are_found() -> None:
    """A message that is a variable, or that a function makes, is tested with its own module."""
    assert len(MESSAGES) > 40
    source = 'raise ImageError(f"Expected a {x}. " + y)\nraise ValueError("other")\nraise ScaleError(text)\n'
    assert messages_in(source) == [(1, "Expected a {}. {}")]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Expected a picture. Received {}. Choose another.", True),
        ("Expected a picture. Received {}: {}. Choose another.", True),
        ("Expected a picture. Received {}.", False),
        ("Received {}. Expected a picture. Choose another.", False),
        ("It went wrong.", False),
    ],
)
def test_the_grammar(text: str, right: bool) -> None:
    assert follows_the_grammar(text) is right


def test_the_tree_at_the_top_of_errors_is_the_real_one() -> None:
    drawn = re.findall(r"^ +[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    assert set(drawn) == KINDS
    assert len(drawn) == len(KINDS)
