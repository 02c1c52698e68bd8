"""The script that writes the signs of French."""

from __future__ import annotations

import runpy

import pytest

from app.lesson.text import FOLDER
from tests.places import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "french_signs.py"))
N = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Pourquoi ? « oui » : 5 %", f"Pourquoi{N}? «{N}oui{N}»{N}: 5{N}%"),
        ("l'image et l'`iou` d'{{an_object}}", "l’image et l’`iou` d’{{an_object}}"),
        ("`a ? b : 'c'` et $x : y$ ; non", f"`a ? b : 'c'` et $x : y${N}; non"),
        ("[page](http://a.b?c=d) : [[answer x]]", f"[page](http://a.b?c=d){N}: [[answer x]]"),
        (
            "```python after\nx = 'y' if a else b  # c ?\n```",
            "```python after\nx = 'y' if a else b  # c ?\n```",
        ),
    ],
)
def test_signs_are_written_and_code_stays(text: str, written: str) -> None:
    assert SCRIPT["written"](text) == written


def test_only_the_french_side_of_a_label_is_written() -> None:
    line = '# A note : so\n"Is it ? {a}" = "Est-ce l\'un ? {a}"\n'
    assert SCRIPT["labels_written"](line) == f'# A note : so\n"Is it ? {{a}}" = "Est-ce l’un{N}? {{a}}"\n'


def test_the_lesson_is_written_so() -> None:
    for path in (FOLDER / "fr").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert SCRIPT["written"](text) == text, path.name
    labels = (FOLDER / "fr" / "labels.toml").read_text(encoding="utf-8")
    assert SCRIPT["labels_written"](labels) == labels
