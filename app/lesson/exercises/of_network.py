"""Exercises on the network: its last layer, the code that builds it, and the shape of its result."""

from __future__ import annotations

import math
from collections.abc import Mapping

from app.lesson.exercises import verdicts
from app.lesson.exercises.exercise import Answers, Facts
from app.lesson.exercises.reading import read_order
from app.lesson.exercises.verdicts import MISSING, ONE_PERCENT, RIGHT, Shape, Verdict
from app.lesson.language import marked

COURSE_FEATURES = 2048  # of ResNet50, the network of the course
ASKED = (600, 900)  # height and width of a picture whose result is asked for

# --- 1  The kernel ----------------------------------------------------------------------------------------------

_KERNEL_AXES = (
    marked("height of the window"),
    marked("width of the window"),
    marked("channels in"),
    marked("classes out"),
)


def _kernel_of(text: str, features: int, other: int, facts: Facts) -> Verdict:
    classes, native = facts.classes, facts.input_size // facts.stride
    mistakes: list[tuple[Shape, str]] = [
        ((features, classes), marked("This is the Dense kernel. The convolution has two axes more: its window.")),
        ((1, 1, classes, features), marked("Channels in and classes out are swapped: Keras names the input first.")),
        ((classes, features, 1, 1), marked("This is PyTorch's order. Keras puts the window first, the classes last.")),
        ((1, 1, other, classes), marked("These are the channels of the other network.")),
        ((1, 1, features), marked("The axis of the classes is missing.")),
        ((1, 1, classes), marked("The axis of the channels that come in is missing.")),
        ((1, features, classes), marked("A window has a height and a width: one axis is missing.")),
        ((native, native, features, classes), marked("This window has the whole map. The one you need sees one cell.")),
        ((1, native, native, features), marked("This is the shape of the features, not of the weights.")),
        ((classes,), marked("This is the shape of the bias.")),
    ]  # fmt: skip
    return verdicts.shape(text, (1, 1, features, classes), _KERNEL_AXES, mistakes)


def kernel(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    return {
        "course": _kernel_of(answers["course"], COURSE_FEATURES, facts.features, facts),
        "here": _kernel_of(answers["here"], facts.features, COURSE_FEATURES, facts),
    }


# --- 2  The gaps ------------------------------------------------------------------------------------------------

GAPS = """\
base = keras.applications.ResNet50(
    include_top={top},
    input_shape={size},
)
x = keras.layers.Conv2D(
    {filters}, {window}, name="conv1000"
)(base.output)
output = keras.layers.Softmax(axis={axis})(x)
model = keras.Model(base.input, output)"""
"""The code with gaps, by the names of the parts."""


def gaps(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    side, c = facts.input_size, facts.colours
    incoming = marked("These are the channels that come in. The layer gives one number for each class.")
    return {
        "top": verdicts.choice(
            answers["top"], "False",
            {"True": marked("The top holds the average and Dense: with it, the places are gone before your layer.")},
        ),
        "size": verdicts.value(
            answers["size"], [(None, None, c)],
            [
                ((side, side, c), marked("So the network takes pictures of this one size only.")),
                ((224, 224, c), marked("So the network takes pictures of this one size only.")),
                ((None, None, None, c), marked("The axis of the batch is not part of input_shape.")),
                ((1, None, None, c), marked("The axis of the batch is not part of input_shape.")),
                ((None, None), marked("The axis of the colours is missing.")),
                ((c, None, None), marked("The colours are the last axis here.")),
                ((None, None, None), marked("The number of colours is known: the first layer needs it.")),
                ((None, None, 1), marked("The pictures are coloured.")),
                (None, marked("Say what is free and what is not: height and width are, the colours are not.")),
            ],
        ),
        "filters": verdicts.value(
            answers["filters"], [facts.classes],
            [
                (COURSE_FEATURES, incoming),
                (facts.features, incoming),
                (c, marked("These are the colours of the picture. The layer gives one number for each class.")),
                (1, marked("The layer gives one number for each class, not one in all.")),
            ],
        ),
        "window": verdicts.value(
            answers["window"], [1, (1, 1)],
            [
                (3, marked("Such a window mixes neighbouring cells. Dense knows nothing of neighbours.")),
                ((3, 3), marked("Such a window mixes neighbouring cells. Dense knows nothing of neighbours.")),
                (7, marked("Such a window sees the whole map of a small picture, and gives one cell.")),
                ((7, 7), marked("Such a window sees the whole map of a small picture, and gives one cell.")),
                (facts.classes, marked("That is the number of classes. Here the size of the window is asked for.")),
            ],
        ),
        "axis": verdicts.value(
            answers["axis"], [-1, 3],
            [
                (0, marked("Along this axis are the pictures of the batch: they would compete with each other.")),
                (1, marked("Along this axis are the rows: the classes must compete, not the places.")),
                (2, marked("Along this axis are the columns: the classes must compete, not the places.")),
                ((1, 2), marked("These are the places: the classes must compete, not the places.")),
                (4, marked("There is no such axis: Python counts them from 0.")),
            ],
        ),
    }  # fmt: skip


# --- 3  The lines -----------------------------------------------------------------------------------------------

LINES: Mapping[str, str] = {
    "A": "model = keras.Model(features.input, SoftmaxMap()(x))",
    "B": "x = keras.layers.GlobalAveragePooling2D()(features.output)",
    "C": "kernel = kernel.reshape(1, 1, 2048, 1000)",
    "D": 'model.get_layer("conv1000").set_weights([kernel, bias])',
    "E": 'x = keras.layers.Conv2D(1000, 1, name="conv1000")(features.output)',
    "F": "kernel, bias = classifier.layers[-1].get_weights()",
}
"""The lines that are put in order, by letter; `TOO_MUCH` is not needed."""

TOO_MUCH = "B"
NEEDS = {"C": "F", "A": "E", "D": "CA"}  # which lines each one needs before it
_NAMES = {"C": "kernel", "A": "x", "D": "kernel"}


def lines(answers: Answers, _: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    return {"order": _order(answers["order"])}


def _order(text: str) -> Verdict:
    if not text.strip():
        return MISSING
    try:
        order = read_order(text, "".join(LINES))
    except ValueError:
        return Verdict(False, marked("Write the letters of the lines in their order."))
    if len(set(order)) < len(order):
        return Verdict(False, marked("A line stands there twice."))
    if TOO_MUCH in order:
        said = marked("Line {line} takes the average over all cells: after it there are no places any more.")
        return Verdict(False, said, {"line": TOO_MUCH})
    for n, letter in enumerate(order):
        for needed in NEEDS.get(letter, ""):
            if needed in order[:n]:
                continue
            values = {"line": letter, "needed": needed}
            if letter == "D" and needed == "C":
                said = marked(
                    "Line {line} sets the weights, but they do not have the shape of a 1 × 1 kernel yet."
                )
            elif letter == "D":
                said = marked("Line {line} asks the model for a layer, but there is no model yet.")
            else:
                said = marked(
                    "Line {line} uses `{name}`, but line {needed}, which makes it, is not before it."
                )
                values["name"] = _NAMES[letter]
            return Verdict(False, said, values)
    missing = [letter for letter in LINES if letter not in order and letter != TOO_MUCH]
    if missing:
        said = marked("So far nothing is wrong, but a line is missing.")
        if "D" in missing:
            said = marked("So far nothing is wrong, but the new layer has random weights.")
        return Verdict(False, said)
    return RIGHT


# --- 4  The shape of the result ---------------------------------------------------------------------------------

_RESULT_AXES = (marked("pictures"), marked("rows"), marked("columns"), marked("classes"))


def _result_of(text: str, height: int, width: int, facts: Facts) -> Verdict:
    (h, w), c, s = facts.grid(height, width), facts.classes, facts.stride
    native = facts.input_size // s
    down, rounded = (height // s, width // s), (round(height / s), round(width / s))
    before = marked("These are the channels before the last layer. After it, there are the classes.")
    floor = marked(
        "Rounded down. A window that is only partly inside the picture makes a cell, too: round up."
    )
    mistakes: list[tuple[Shape, str]] = [
        ((1, w, h, c), marked("Rows and columns are swapped: the height comes first.")),
        ((1, *down, c), floor),
        ((1, *rounded, c), marked("Rounded to the nearest number. A cell that is only partly there counts: round up.")),
        ((1, *reversed(down), c), marked("Rows and columns are swapped, and rounded down.")),
        ((1, h, w), marked("The axis of the classes is missing: each cell has one number for each class.")),
        ((h, w), marked("The axes of the pictures and of the classes are missing.")),
        ((h, w, c), marked("The axis of the pictures is missing: Keras always takes and gives a batch.")),
        ((1, h, w, facts.colours), marked("The colours are gone after the first layer. Here are the classes.")),
        ((1, h, w, facts.features), before),
        ((1, h, w, COURSE_FEATURES), before),
        ((1, c, h, w), marked("This network has the classes last.")),
        ((1, c), marked("This is the classifier's answer. The fully convolutional network keeps the places.")),
        ((1, native, native, c), marked("This is the result at the classifier's own size. This picture is larger.")),
        ((1, height, width, c), marked("The network makes the map smaller on its way: divide by the stride.")),
        ((1, height, width, facts.colours), marked("This is the shape of the input.")),
    ]  # fmt: skip
    return verdicts.shape(text, (1, h, w, c), _RESULT_AXES, mistakes)


def result(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    return {
        "asked": _result_of(answers["asked"], *ASKED, facts),
        "own": _result_of(answers["own"], *facts.picture, facts),
    }


# --- 5  How much smaller ----------------------------------------------------------------------------------------


def smaller(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    s = facts.stride
    area = marked("That is the number of pixels of a cell. Here only one side is asked for.")
    return {
        "side": verdicts.number(
            answers["side"], (s, 1 / s),
            [
                (math.log2(s), marked("So often the network halves its map. Each halving doubles the factor.")),
                (2 * math.log2(s), marked("The halvings multiply, they do not add.")),
                (s * s, area), (1 / s**2, area),
                (facts.input_size, marked("This is the side of the classifier's input.")),
                (facts.input_size // s, marked("So many cells has the classifier's own map on a side.")),
            ],
            relative=2 * ONE_PERCENT,
        ),
        "area": verdicts.number(
            answers["area"], (s * s, 1 / s**2),
            [
                (s, marked("This is one side. A cell stands for a square.")),
                (2 * s, marked("The sides of the square are multiplied, not added.")),
                (4 * s, marked("This is the way around the square. Multiply its sides.")),
            ],
            relative=ONE_PERCENT,
        ),
    }  # fmt: skip
