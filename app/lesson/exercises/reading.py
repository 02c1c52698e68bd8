"""Read what a learner typed: numbers, shapes and short Python values. Nothing that is typed is ever executed."""

from __future__ import annotations

import ast
import re

MOST_CHARACTERS = 60

Value = int | bool | None | tuple[int | None, ...]

_NUMBER = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,.]\d{3})+")
_SIZE = re.compile(r"-?\d{1,6}|none|\?", re.IGNORECASE)
_SPACES = re.compile(r"(?<=\d)[\s\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}](?=\d)")
_KEYWORD = re.compile(r"^\s*[A-Za-z_]{1,20}\s*=(?!=)")
_PAIRS = {"(": ")", "[": "]"}


def read_numbers(text: str) -> tuple[float, ...]:
    """Read a number as people write it.

    A decimal comma, a percent sign and a fraction such as ``1/32`` are understood. ``1,024`` may mean two numbers.

    Returns
    -------
    tuple of float
        What the text can mean, the likelier first.

    Raises
    ------
    ValueError
        It is no number.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(text)
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    share = text.endswith("%")
    text = _SPACES.sub("", text.removesuffix("%").strip())
    over, _, under = text.partition("/")
    plain = _one_number(over)
    if "/" in text:
        divisor = _one_number(under)
        if not divisor:
            raise ValueError(text)
        plain /= divisor
    plain = plain / 100 if share else plain
    if _THOUSANDS.fullmatch(text):
        return plain, float(re.sub(r"[,.]", "", text))
    return (plain,)


def _one_number(text: str) -> float:
    text = text.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    elif text.count(",") + text.count(".") > 1 and _THOUSANDS.fullmatch(text):
        text = re.sub(r"[,.]", "", text)
    text = re.sub(r"^([+-]?)\.", r"\g<1>0.", text)
    if not text.isascii() or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def read_shape(text: str) -> tuple[int | None, ...]:
    """Read the shape of an array, such as ``(1, 7, 7, 1000)``; brackets may be missing, and x or × may be between.

    Raises
    ------
    ValueError
        It is no shape.
    """
    text = text.strip()
    if not 0 < len(text) <= MOST_CHARACTERS or not text.replace("×", "x").isascii():
        raise ValueError(text)
    if text[0] in _PAIRS:
        if text[-1] != _PAIRS[text[0]]:
            raise ValueError(text)
        text = text[1:-1]
    sizes = re.split(r"\s*[,;x×*]\s*|\s+", text.strip().rstrip(",").strip())
    if not all(_SIZE.fullmatch(size) for size in sizes):
        raise ValueError(text)
    return tuple(None if size.lower() in ("none", "?") else int(size) for size in sizes)


def read_value(text: str) -> Value:
    """Read a whole number, True, False, None, or a tuple of them, written in Python; ``name=`` before it is left out.

    Raises
    ------
    ValueError
        It is something else.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(text)
    try:
        value = ast.literal_eval(_KEYWORD.sub("", text).strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(text) from error
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, tuple) and all(size is None or type(size) is int for size in value):
        return value
    if value is None or type(value) in (int, bool):
        return value  # type: ignore[no-any-return]
    raise ValueError(text)


def read_order(text: str, letters: str) -> str:
    """Read an order of letters, such as ``C, A, B`` or ``cab``.

    Raises
    ------
    ValueError
        It has other characters.
    """
    order = re.sub(r"[\s,;>→-]+", "", text).upper()
    if len(text) > MOST_CHARACTERS or not order or set(order) - set(letters):
        raise ValueError(text)
    return order
