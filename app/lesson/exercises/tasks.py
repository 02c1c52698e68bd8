"""The exercises in their order.

The statements, hints and explanations are in ``assets/lesson/<language>/exercises.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.lesson.exercises import of_maps, of_network
from app.lesson.exercises.exercise import Exercise, Part
from app.lesson.language import marked

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "kernel",
        (Part("course", marked("Kernel for {course_network}")), Part("here", marked("Kernel for {other_network}"))),
        of_network.kernel,
    ),
    Exercise(
        "gaps",
        (
            Part("top", "include_top", ("True", "False")),
            Part("size", "input_shape"),
            Part("filters", "filters"),
            Part("window", "kernel_size"),
            Part("axis", "axis"),
        ),
        of_network.gaps,
    ),
    Exercise("lines", (Part("order", marked("Letters in order")),), of_network.lines),
    Exercise(
        "shape",
        (Part("asked", marked("Result for {asked_size} pixels")), Part("own", marked("Result for {own_size} pixels"))),
        of_network.result,
    ),
    Exercise(
        "smaller",
        (Part("side", marked("Factor along one side")), Part("area", marked("Pixels of the input for each cell"))),
        of_network.smaller,
    ),
    Exercise(
        "heat",
        (
            Part("synset", marked("What to look for")),
            Part("peak", marked("Peak")),
            Part("row", marked("Row of the peak")),
            Part("column", marked("Column of the peak")),
        ),
        of_maps.heat,
    ),
    Exercise("which", (Part("map", marked("The right map"), ("A", "B", "C", "D")),), of_maps.which),
    Exercise(
        "means",
        (Part("arithmetic", marked("Arithmetic mean")), Part("geometric", marked("Geometric mean"))),
        of_maps.means,
    ),
    Exercise(
        "resized",
        (
            Part("sizes", marked("Sizes whose map is resized"), of_maps.SIZES, several=True),
            Part("factor", marked("Factor of the height, first size")),
        ),
        of_maps.resized,
    ),
)  # fmt: skip
"""All exercises in their order."""

BY_NAME: Mapping[str, Exercise] = {exercise.name: exercise for exercise in EXERCISES}
