"""The words of the field in a sentence or two, for the lesson and for the help of other pages."""

from __future__ import annotations

import re
from functools import cache

from app.lesson.text import FOLDER


@cache
def entries() -> dict[str, str]:
    """Every term, in the order of the alphabet, with its Markdown."""
    source = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", source, flags=re.MULTILINE)[1:]
    found = {term.strip(): text.strip() for term, text in zip(parts[::2], parts[1::2], strict=True)}
    return dict(sorted(found.items(), key=lambda entry: entry[0].casefold()))


def anchor(term: str) -> str:
    """The name of a term's place on the glossary's page."""
    return re.sub(r"[^a-z0-9]+", "-", term.casefold()).strip("-")


def glossary(term: str) -> str:
    """Explain a term, for a ``?`` beside a widget: its entry, and a link to the lesson's glossary.

    Raises
    ------
    KeyError
        The glossary has no such term.
    """
    return f"{entries()[term]}\n\n[Glossary](learn?step=glossary#{anchor(term)})"
