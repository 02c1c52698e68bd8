"""Text is read and written in an encoding that the code names, not in the machine's."""

import ast

import pytest

from tests.places import ROOT

FOLDERS = ("fcn_core", "app", "scripts", "benchmarks", "fuzz", "tests")
FILES = sorted([*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])
_MODE = set("rwaxt+")


def unnamed(source: str) -> list[str]:
    """Calls that leave the encoding to the machine. Ruff's PLW1514 sees those whose type it can tell, no others."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and _open(node)
    ]


def _open(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given or None in given:
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) <= (name == "write_text")
    if name in ("open", "fdopen"):
        modes = [k.value for k in call.keywords if k.arg == "mode"]
        modes += call.args[1:2] if isinstance(call.func, ast.Name) or name == "fdopen" else call.args[:1]
        if isinstance(call.func, ast.Name) and not modes:
            return True
        texts = [
            mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)
        ]
        return any(text and set(text) <= _MODE for text in texts)
    return name == "TextIOWrapper"


def test_every_file_is_read_and_written_in_a_named_encoding():
    found = {str(path.relative_to(ROOT)): unnamed(path.read_text(encoding="utf-8")) for path in FILES}
    assert len(found) > 100
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_what_child_processes_print_is_read_in_a_named_encoding():
    for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("fcn_core/**/*.py")]:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                given = {keyword.arg for keyword in call.keywords}
                assert not given & {"text", "universal_newlines"} or "encoding" in given, ast.unparse(call)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("(folder / name).read_text(errors='replace')", True),
        ("path.write_text(text)", True),
        ("path.write_text(text, 'utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, mode='w')", True),
        ("path.open('w')", True),
        ("path.open('wb')", False),
        ("path.open('a', encoding='utf-8')", False),
        ("os.fdopen(number, 'w')", True),
        ("Image.open(file)", False),
        ("Image.open('picture.png')", False),
        ("io.TextIOWrapper(stream)", True),
    ],
)
def test_what_counts_as_named(call, found):
    assert bool(unnamed(call)) == found
