"""Short explanations of terms, for the lesson and for the help of other pages.

A term is a heading ``## Term`` of the file ``glossary.md`` of a language, and the text below it is its Markdown. A term
has the same anchor in all languages, so that a link to it works in each: English terms have one made of their name,
the others say whose it is, as in ``## Champ réceptif [[receptive-field]]``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from app.lesson.language import labels
from app.lesson.text import FOLDER

_HEADING = re.compile(r"^## (.+?)(?: \[\[([a-z0-9-]+)\]\])?$", re.MULTILINE)


@dataclass(frozen=True)
class Term:
    """A term in one language, and its explanation in Markdown."""

    name: str
    text: str


@cache
def entries(language: str = "en") -> Mapping[str, Term]:
    """Return all terms by their anchors, in the alphabetical order of the language."""
    source = (FOLDER / language / "glossary.md").read_text(encoding="utf-8")
    parts = _HEADING.split(source)[1:]
    found = {
        own or anchor(name): Term(name, text.strip())
        for name, own, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }
    return dict(sorted(found.items(), key=lambda entry: _sorted_as(entry[1].name)))


def _sorted_as(name: str) -> str:
    """Return a name as dictionaries sort it: accents do not count."""
    return unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()


def anchor(term: str) -> str:
    """Return the anchor of an English term on the glossary page."""
    return re.sub(r"[^a-z0-9]+", "-", term.casefold()).strip("-")


def glossary(term: str, language: str = "en") -> str:
    """Return a term's explanation and a link to the glossary page, for the help of a widget.

    Parameters
    ----------
    term : str
        The English term.

    Raises
    ------
    KeyError
        The glossary has no such term.
    """
    found, page = entries(language)[anchor(term)], "" if language == "en" else f"&lang={language}"
    title = labels(language).get("Glossary", "Glossary")
    return f"{found.text}\n\n[{title}](learn?step=glossary{page}#{anchor(term)})"
