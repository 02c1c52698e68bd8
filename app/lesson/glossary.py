"""Short explanations of terms, for the lesson and for the help of other pages."""

from __future__ import annotations

import re
from functools import cache

from app.lesson.text import FOLDER


@cache
def entries(language: str = "en") -> dict[str, str]:
    """Return all terms in alphabetical order, with their Markdown."""
    source = (FOLDER / language / "glossary.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", source, flags=re.MULTILINE)[1:]
    found = {term.strip(): text.strip() for term, text in zip(parts[::2], parts[1::2], strict=True)}
    return dict(sorted(found.items(), key=lambda entry: entry[0].casefold()))


def anchor(term: str) -> str:
    """Return the anchor of a term on the glossary page."""
    return re.sub(r"[^a-z0-9]+", "-", term.casefold()).strip("-")


def glossary(term: str) -> str:
    """Return a term's explanation and a link to the glossary page, for the help of a widget.

    Raises
    ------
    KeyError
        The glossary has no such term.
    """
    return f"{entries()[term]}\n\n[Glossary](learn?step=glossary#{anchor(term)})"
