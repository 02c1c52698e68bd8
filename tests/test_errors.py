"""The messages of all errors that a user can cause: expected, received, what to do."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from fcn_core import errors
from tests.places import ROOT

KINDS = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
FILES = sorted(
    path
    for package in ("fcn_core", "app")
    for path in (ROOT / package).rglob("*.py")
    if path != Path(inspect.getfile(errors))
)
SUBCLASS = re.compile(rf"^class (\w+)\((?:{'|'.join(KINDS)})\)", re.MULTILINE)
# Nobody reads the message of `Cancelled`: the user stopped the work.
CHECKED = KINDS.union(*(SUBCLASS.findall(path.read_text("utf-8")) for path in FILES)) - {"Cancelled"}
# Texts of another form.
EXCEPTIONS = {"Line {} of {}: {}": "puts the place before another message"}


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
    """Return the line and the text of every message that a module gives to an error of `CHECKED`.

    A message may be written in place, or returned by a function of the module.
    """
    tree, found = ast.parse(source), list[tuple[int, str]]()
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and _name_of(node.func) in CHECKED and node.args):
            continue
        written = [node.args[0]]
        if isinstance(node.args[0], ast.Call) and (maker := functions.get(_name_of(node.args[0].func))):
            written = [each.value for each in ast.walk(maker) if isinstance(each, ast.Return) and each.value]
        texts = ((each.lineno, text_of(each)) for each in written)
        found += [(line, text) for line, text in texts if text is not None]
    return sorted(set(found))


def _name_of(function: ast.expr) -> str:
    """Return the last part of a function's name; "" for a function without a name."""
    return getattr(function, "id", "") or getattr(function, "attr", "")


def follows_the_grammar(text: str) -> bool:
    """Return whether a message says what was expected, what was received and what to do."""
    return re.fullmatch(r"Expected .+\. Received .+\. [A-Z{].*[.}]", text, re.DOTALL) is not None


MESSAGES = [
    pytest.param(text, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in FILES
    for line, text in messages_in(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("text", MESSAGES)
def test_messages_say_what_was_expected_what_was_received_and_what_to_do(text: str) -> None:
    assert text in EXCEPTIONS or follows_the_grammar(text)


def test_the_exceptions_are_needed() -> None:
    assert EXCEPTIONS.keys() <= {text for path in FILES for _, text in messages_in(path.read_text("utf-8"))}


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('raise ImageError(f"Expected a {x}. " + y)', ["Expected a {}. {}"]),
        ('raise errors.ImageError("Expected")', ["Expected"]),
        ('raise PictureGone("Expected")', ["Expected"]),
        ('raise ImageError(self._why(x))\ndef _why(x):\n    return "Expected"', ["Expected"]),
        (
            'raise ImageError(why(x))\ndef why(x):\n    if x:\n        return "a"\n    return f"{x}"',
            ["a", "{}"],
        ),
        ('raise ValueError("other")', []),
        ('raise Cancelled("other")', []),
        ("raise ScaleError(text)", []),
    ],
)
def test_the_messages_are_found(source: str, texts: list[str]) -> None:
    """A message that is a variable, or that another module makes, is tested with its own module."""
    assert [text for _, text in messages_in(source)] == texts


def test_there_are_messages_of_every_room() -> None:
    assert len(MESSAGES) > 120


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Expected a picture. Received {}. Choose another.", True),
        ("Expected a picture. Received {}: {}. Choose another.", True),
        ("Expected a picture. Received {}. Run: pip install {}", True),
        ("Expected a picture. Received {}.", False),
        ("Expected a picture. Received {}: {}.", False),
        ("Expected a picture. Received {}; choose another.", False),
        ("Expected a picture, received {}. Choose another.", False),
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
