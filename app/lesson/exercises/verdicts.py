"""Judge one answer: right, or what is wrong with it. Typical mistakes are recognised and named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.lesson.exercises.reading import Value, read_numbers, read_shape, read_value
from app.lesson.language import marked

Shape = tuple[int | None, ...]

TWO_DECIMALS = 0.0051  # what is rounded, or cut off, to two decimals lies within
ONE_PERCENT = 0.01


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer.

    Attributes
    ----------
    right : bool
    said : str
        An English label, to be translated where it is shown.
    values : mapping
        What stands in its braces.
    """

    right: bool
    said: str
    values: Mapping[str, object] = field(default_factory=dict)


RIGHT = Verdict(True, marked("Right."))
MISSING = Verdict(False, marked("Not answered yet."))

_NO_SHAPE = marked("Write a shape as Python does: whole numbers with commas between, in brackets.")
_NO_NUMBER = marked("This is not a number. A decimal point and a decimal comma are both understood.")
_NO_VALUE = marked("Write a whole number, or numbers and None in brackets, as in Python.")
_LENGTH = marked("Expected {expected} numbers, one for each axis. This has {received}.")
_AXES = marked("Not yet. Look again at: {axes}.")
_OTHER = marked("Not yet.")


def shape(
    text: str, right: Shape, axes: Sequence[str], mistakes: Iterable[tuple[Sequence[int | None], str]]
) -> Verdict:
    """Judge the shape of an array.

    Parameters
    ----------
    axes : sequence of str
        Names of the axes, English labels.
    mistakes : pairs of shape and label
        The first that fits is said.
    """
    if not text.strip():
        return MISSING
    try:
        read = read_shape(text)
    except ValueError:
        return Verdict(False, _NO_SHAPE)
    if read == right:
        return RIGHT
    for wrong, said in mistakes:
        if read == tuple(wrong):
            return Verdict(False, said)
    if len(read) != len(right):
        return Verdict(False, _LENGTH, {"expected": len(right), "received": len(read)})
    differ = [axis for axis, a, b in zip(axes, read, right, strict=True) if a != b]
    return Verdict(False, _AXES, {"axes": tuple(differ)})


def number(
    text: str,
    right: float | Sequence[float],
    mistakes: Iterable[tuple[float, str]] = (),
    *,
    absolute: float = 0.0,
    relative: float = 0.0,
    loose: float = 0.02,
) -> Verdict:
    """Judge a number.

    Parameters
    ----------
    right : float or sequence of float
        The number, or several that are right.
    mistakes : pairs of number and label
        The first that fits is said.
    absolute, relative : float
        How far a right answer may be away.
    loose : float
        How far a mistake may be away, as a share of it.
    """
    if not text.strip():
        return MISSING
    try:
        read = read_numbers(text)
    except ValueError:
        return Verdict(False, _NO_NUMBER)

    def near(wanted: float, absolute: float, relative: float) -> bool:
        return any(abs(each - wanted) <= absolute + relative * abs(wanted) + 1e-9 for each in read)

    if any(near(each, absolute, relative) for each in ([right] if isinstance(right, float | int) else right)):
        return RIGHT
    return next(
        (Verdict(False, said) for wrong, said in mistakes if near(wrong, 0, loose)), Verdict(False, _OTHER)
    )


def value(text: str, right: Sequence[Value], mistakes: Iterable[tuple[Value, str]]) -> Verdict:
    """Judge a value in Python code; several ways to write it may be right."""
    if not text.strip():
        return MISSING
    try:
        read = read_value(text)
    except ValueError:
        return Verdict(False, _NO_VALUE)
    if any(_same(read, each) for each in right):
        return RIGHT
    return next(
        (Verdict(False, said) for wrong, said in mistakes if _same(read, wrong)), Verdict(False, _OTHER)
    )


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and a == b


def choice(text: str, right: str, mistakes: Mapping[str, str]) -> Verdict:
    """Judge a choice among given answers."""
    if not text:
        return MISSING
    return RIGHT if text == right else Verdict(False, mistakes.get(text, _OTHER))
