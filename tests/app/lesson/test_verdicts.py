"""The verdicts on answers to the exercises: right ones, typical mistakes, and whatever people type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from app.lesson.exercises import of_maps, of_network
from app.lesson.exercises.exercise import Facts
from app.lesson.exercises.reading import read_numbers, read_order, read_shape, read_value
from app.lesson.exercises.tasks import BY_NAME, EXERCISES
from app.lesson.exercises.verdicts import Verdict

MAP = ((0.1, 0.2, 0.3), (0.1, 0.9, 0.2))
FACTS = Facts(
    1280, 224, 32, (450, 600), maps={"n1": MAP},
    candidates={"A": "mirrored", "B": "sum", "C": "rest", "D": "any"},
)  # fmt: skip

# Exercise, part, what is typed, words of the verdict ("Right." if it is right)
CASES = [
    ("kernel", "course", "(1, 1, 2048, 1000)", "Right."),
    ("kernel", "course", "1x1x2048x1000", "Right."),
    ("kernel", "course", " [1,1,2048, 1000 ] ", "Right."),
    ("kernel", "course", "1 × 1 × 2048 × 1000", "Right."),
    ("kernel", "course", "(2048, 1000)", "Dense kernel"),
    ("kernel", "course", "(1, 1, 1000, 2048)", "swapped"),
    ("kernel", "course", "(1000, 2048, 1, 1)", "PyTorch"),
    ("kernel", "course", "(1, 1, 1280, 1000)", "other network"),
    ("kernel", "course", "(1, 1, 2048)", "axis of the classes is missing"),
    ("kernel", "course", "(7, 7, 2048, 1000)", "whole map"),
    ("kernel", "course", "(1000,)", "bias"),
    ("kernel", "course", "(1, 2048, 1000)", "one axis is missing"),
    ("kernel", "course", "(1, 1, 2048, 1000, 1)", "Expected 4 numbers"),
    ("kernel", "course", "(1, 3, 2048, 999)", "width of the window, classes out"),
    ("kernel", "course", "2048 channels", "Write a shape"),
    ("kernel", "course", "", "Not answered yet."),
    ("kernel", "here", "(1, 1, 1280, 1000)", "Right."),
    ("kernel", "here", "(1, 1, 2048, 1000)", "other network"),
    ("kernel", "here", "(1, 7, 7, 1280)", "not of the weights"),
    ("gaps", "top", "False", "Right."),
    ("gaps", "top", "True", "places are gone"),
    ("gaps", "size", "(None, None, 3)", "Right."),
    ("gaps", "size", "[None,None,3]", "Right."),
    ("gaps", "size", "input_shape=(None, None, 3)", "Right."),
    ("gaps", "size", "(224, 224, 3)", "this one size only"),
    ("gaps", "size", "(None, None, None, 3)", "axis of the batch"),
    ("gaps", "size", "(3, None, None)", "last axis"),
    ("gaps", "size", "(None, None)", "colours is missing"),
    ("gaps", "size", "__import__('os').system('true')", "Write a whole number"),
    ("gaps", "filters", "1000", "Right."),
    ("gaps", "filters", "2048", "channels that come in"),
    ("gaps", "filters", "1000.0", "Write a whole number"),
    ("gaps", "window", "1", "Right."),
    ("gaps", "window", "(1, 1)", "Right."),
    ("gaps", "window", "kernel_size=1", "Right."),
    ("gaps", "window", "True", "Not yet."),
    ("gaps", "window", "3", "neighbouring cells"),
    ("gaps", "window", "7", "gives one cell"),
    ("gaps", "axis", "-1", "Right."),
    ("gaps", "axis", "3", "Right."),
    ("gaps", "axis", "1", "rows"),
    ("gaps", "axis", "4", "no such axis"),
    ("lines", "order", "F, C, E, A, D", "Right."),
    ("lines", "order", "eafcd", "Right."),
    ("lines", "order", "F > E > C > A > D", "Right."),
    ("lines", "order", "F, C, B, E, A, D", "Line B takes the average"),
    ("lines", "order", "C, F, E, A, D", "Line C uses `kernel`, but line F"),
    ("lines", "order", "F, C, A, E, D", "Line A uses `x`, but line E"),
    ("lines", "order", "F, E, A, D, C", "not have the shape"),
    ("lines", "order", "F, C, D, E, A", "no model yet"),
    ("lines", "order", "F, C, E, A", "random weights"),
    ("lines", "order", "E, A", "random weights"),
    ("lines", "order", "F, F, C", "twice"),
    ("lines", "order", "first F", "Write the letters"),
    ("shape", "asked", "(1, 19, 29, 1000)", "Right."),
    ("shape", "asked", "(1, 29, 19, 1000)", "height comes first"),
    ("shape", "asked", "(1, 18, 28, 1000)", "Rounded down"),
    ("shape", "asked", "(1, 19, 28, 1000)", "Rounded to the nearest"),
    ("shape", "asked", "(1, 28, 18, 1000)", "swapped, and rounded down"),
    ("shape", "asked", "(1, 19, 29)", "axis of the classes is missing"),
    ("shape", "asked", "(19, 29)", "of the pictures and of the classes"),
    ("shape", "asked", "(19, 29, 1000)", "axis of the pictures"),
    ("shape", "asked", "(1, 19, 29, 3)", "colours are gone"),
    ("shape", "asked", "(1, 19, 29, 1280)", "before the last layer"),
    ("shape", "asked", "(1, 1000, 19, 29)", "classes last"),
    ("shape", "asked", "(1, 1000)", "classifier's answer"),
    ("shape", "asked", "(1, 7, 7, 1000)", "own size"),
    ("shape", "asked", "(1, 600, 900, 1000)", "divide by the stride"),
    ("shape", "asked", "(1, 600, 900, 3)", "shape of the input"),
    ("shape", "asked", "(1, 20, 29, 1000)", "Look again at: rows"),
    ("shape", "own", "(1, 15, 19, 1000)", "Right."),
    ("shape", "own", "(1, 14, 18, 1000)", "Rounded down"),
    ("smaller", "side", "32", "Right."),
    ("smaller", "side", "1/32", "Right."),
    ("smaller", "side", "0,031", "Right."),
    ("smaller", "side", "5", "Each halving doubles"),
    ("smaller", "side", "10", "multiply"),
    ("smaller", "side", "1024", "one side"),
    ("smaller", "side", "224", "side of the classifier's input"),
    ("smaller", "side", "1/0", "not a number"),
    ("smaller", "area", "1024", "Right."),
    ("smaller", "area", "1 024", "Right."),
    ("smaller", "area", "1,024", "Right."),
    ("smaller", "area", "64", "not added"),
    ("smaller", "area", "32", "one side"),
    ("heat", "peak", "0,9", "Right."),
    ("heat", "peak", "90 %", "Right."),
    ("heat", "peak", "90", "from 0 to 1"),
    ("heat", "peak", "0.3", "a larger one"),
    ("heat", "peak", "0.300001", "Not yet."),
    ("heat", "row", "2", "Right."),
    ("heat", "row", "1", "Count from 1"),
    ("heat", "column", "2", "Right."),
    ("heat", "column", "1", "Count from 1"),
    ("which", "map", "B", "Right."),
    ("which", "map", "A", "mirrored"),
    ("which", "map", "C", "all other classes"),
    ("which", "map", "D", "any class"),
    ("means", "arithmetic", "0.46", "Right."),
    ("means", "arithmetic", "0,4625", "Right."),
    ("means", "arithmetic", "0.47", "Not yet."),
    ("means", "arithmetic", "1.85", "sum"),
    ("means", "arithmetic", "0.5", "median"),
    ("means", "arithmetic", "0.29", "geometric mean"),
    ("means", "geometric", "0,29", "Right."),
    ("means", "geometric", ".294", "Right."),
    ("means", "geometric", "0.4625", "arithmetic mean"),
    ("means", "geometric", "0.0864", "square root"),
    ("means", "geometric", "0.0075", "Take the root"),
    ("means", "geometric", "0", "only if one of the values"),
    ("means", "geometric", "zero", "not a number"),
    ("resized", "sizes", "200x320+400x640+800x1280", "Right."),
    ("resized", "sizes", "200x320+400x640+800x1280+1600x2560", "already"),
    ("resized", "sizes", "1600x2560", "other way round"),
    ("resized", "sizes", "200x320", "More of them"),
    ("resized", "factor", "7,14", "Right."),
    ("resized", "factor", "50/7", "Right."),
    ("resized", "factor", "0.14", "becomes larger"),
    ("resized", "factor", "8", "factor of the pictures"),
    ("resized", "factor", "43", "Divide instead"),
]  # fmt: skip


def said(verdict: Verdict) -> str:
    values = {name: ", ".join(v) if isinstance(v, tuple) else v for name, v in verdict.values.items()}
    return verdict.said.format(**values) if values else verdict.said


@pytest.mark.parametrize(("name", "part", "typed", "words"), CASES, ids=lambda each: str(each)[:30])
def test_answers_are_judged(name: str, part: str, typed: str, words: str) -> None:
    given = {part: typed} | ({"synset": "n1"} if name == "heat" else {})
    verdict = BY_NAME[name].verdicts(given, FACTS)[part]
    assert words in said(verdict)
    assert verdict.right is (words == "Right.")


def test_every_part_has_cases() -> None:
    parts = {(e.name, p.name) for e in EXERCISES for p in e.parts} - {("heat", "synset")}
    assert {(name, part) for name, part, _, words in CASES if words == "Right."} == parts
    assert {(name, part) for name, part, _, words in CASES if words not in ("Right.", "Not yet.")} == parts


def test_a_heatmap_must_be_chosen_first() -> None:
    found = BY_NAME["heat"].verdicts({"peak": "0.9", "row": "2", "column": "2"}, FACTS)
    assert {said(verdict) for verdict in found.values()} == {"Choose first what to look for."}


def test_row_and_column_are_of_the_same_peak() -> None:
    facts = Facts(1280, 224, 32, (64, 64), maps={"n1": ((0.5, 0.1), (0.1, 0.5))})
    found = BY_NAME["heat"].verdicts({"synset": "n1", "peak": "0.5", "row": "1", "column": "2"}, facts)
    assert "at once" in said(found["column"])
    swapped = Facts(1280, 224, 32, (64, 96), maps={"n1": (*MAP[:1], (0.1, 0.2, 0.95))})
    found = BY_NAME["heat"].verdicts({"synset": "n1", "peak": "0.95", "row": "3", "column": "2"}, swapped)
    assert "This is the column" in said(found["row"])
    assert "This is the row" in said(found["column"])


HOSTILE = [
    *(
        "9" * 10**5,
        "(" * 10**5,
        "9**9**9",
        "[" * 50,
        "{}",
        "lambda: 0",
        "nan",
        "inf",
        "1e999",
        "²",
        "٣",
        "0x10",
        "\0",
    ),
    *("1" * 59, "-" * 60, "None" * 15, "(1,)*9", "x=" * 30, "1/" * 30, ",", "()", "1,,2", "%"),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.name)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_nothing_that_is_typed_does_harm(exercise: Any, text: str) -> None:
    given = {part.name: text for part in exercise.parts}
    assert not any(v.right for v in exercise.verdicts(given, FACTS).values())
    for read in (read_numbers, read_shape, read_value, lambda typed: read_order(typed, "AB")):
        try:
            read(text)  # type: ignore[operator]
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,5", (1.5,)), ("1.5", (1.5,)), ("1 024,5", (1024.5,)), ("1\u202f024", (1024.0,)), ("\u22120.5", (-0.5,)),
        ("12%", (0.12,)), ("12,5 %", (0.125,)), ("1,024", (1.024, 1024.0)), ("1.024.000", (1024000.0, 1024000.0)),
        ("3 / 4", (0.75,)),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, numbers: tuple[float, ...]) -> None:
    assert read_numbers(text) == pytest.approx(numbers)


def test_the_lines_of_the_right_order_are_in_their_text() -> None:
    assert set(of_network.LINES) - {of_network.TOO_MUCH} == set("FCEAD")
    assert math.prod(of_maps.CELLS) ** 0.25 == pytest.approx(math.sqrt(0.9 * 0.8 * 0.6 * 0.2))


@pytest.mark.tensorflow
def test_the_code_of_the_exercises_builds_the_network() -> None:
    import keras

    from fcn_core.networks.layers import SoftmaxMap

    names: dict[str, Any] = {"keras": keras, "SoftmaxMap": SoftmaxMap}
    # ResNet50 with its published weights is not on every machine
    code = of_network.GAPS.replace("include_top=", "weights=None, include_top=")
    gaps = {"top": "False", "size": "(None, None, 3)", "filters": "1000", "window": "1", "axis": "-1"}
    exec(code.format(**gaps), names)  # noqa: S102
    assert names["model"].output_shape == (None, None, None, 1000)
    assert names["model"].get_layer("conv1000").kernel.shape == (1, 1, 2048, 1000)
    assert "Right." in said(BY_NAME["shape"].verdicts({"asked": "(1, 19, 29, 1000)"}, FACTS)["asked"])
    assert names["model"].compute_output_shape((1, *of_network.ASKED, 3)) == (1, 19, 29, 1000)
    names["features"] = keras.Model(names["base"].input, names["base"].output)
    names["classifier"] = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(1000)])
    exec("\n".join(of_network.LINES[letter] for letter in "FCEAD"), names)  # noqa: S102
    kernel, _ = names["model"].get_layer("conv1000").get_weights()
    assert np.array_equal(kernel[0, 0], names["classifier"].get_weights()[0])
