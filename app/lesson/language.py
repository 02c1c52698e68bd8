"""Say labels and numbers in the language that the learner chose.

Labels stand in the code in English. The other languages have them in ``assets/lesson/<language>/labels.toml``, a line
each: the English text, and what it is in that language. Text in braces is replaced by values and stays as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache

from app.lesson.session import lesson_state
from app.lesson.text import FOLDER

NO_BREAK = "\N{NO-BREAK SPACE}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def current() -> str:
    """Return the language of this session's lesson."""
    return lesson_state().choices.now.lang


def translated(text: str, **values: object) -> str:
    """Return a label in the learner's language, with values in the places of its braces.

    Parameters
    ----------
    text : str
        English, in the code a literal: a test looks for it in the files of all languages.
    """
    return translated_to(current(), text, **values)


def translated_to(language: str, text: str, **values: object) -> str:
    """Return a label in a given language: what runs outside a session, as a download does, has no learner."""
    found = labels(language).get(text, text)
    return found.format(**values) if values else found


def marked(text: str) -> str:
    """Return a label as it is: it is translated where it is shown, and a test finds it here."""
    return text


@cache
def labels(language: str) -> Mapping[str, str]:
    """Return the labels of a language by their English text; English has none."""
    path = FOLDER / language / "labels.toml"
    if language == "en":
        return {}
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {english: text for table in tables.values() for english, text in table.items()}


def number(value: float, digits: str = "") -> str:
    """Format a number for the text; without `digits`, a format such as ".2f", short.

    Returns
    -------
    str
        With a minus sign, a power of ten where the format gives one, and a decimal comma in French.
    """
    if not digits:
        digits = ".3g" if 0 < abs(value) < 0.1 or abs(value) >= 1000 else ".2f"
    text, _sign, exponent = format(value, digits).partition("e")
    if exponent:
        text += f" × 10{str(int(exponent)).translate(_RAISED)}".replace(" ", NO_BREAK)
    text = text.replace("-", "\N{MINUS SIGN}")
    return text.replace(".", ",") if current() == "fr" else text


def listed(parts: Iterable[str]) -> str:
    """Join numbers to a list: with semicolons where a number has a comma itself."""
    return f"{NO_BREAK}; ".join(parts) if current() == "fr" else ", ".join(parts)


def localized() -> str | None:
    """Return the ``format`` of a slider for numbers with decimals: in French with the decimal sign of the browser."""
    return "localized" if current() == "fr" else None


def percent(share: float) -> str:
    """Format a share as a percentage."""
    text = number(100 * share, ".1f" if 0 < share < 0.1 else ".0f")
    return f"{text}{NO_BREAK}%" if current() == "fr" else f"{text}%"
