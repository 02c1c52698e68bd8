"""How good presences are: average precision, calibration, findings against the truth."""

import math

import numpy as np
import pytest

from fcn_core.evaluation.presence import (
    Truth,
    average_precision,
    calibration_error,
    calibration_error_by_chance,
    judge,
)


@pytest.mark.parametrize(
    ("answers", "truth", "expected"),
    [
        ([0.9, 0.5, 0.1], [1, 1, 0], 1),
        ([0.9, 0.5, 0.1], [0, 0, 1], 1 / 3),
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([0.5, 0.5], [1, 0], 1 / 2),  # equal answers are reached together, in any order
        ([0.5, 0.5], [0, 1], 1 / 2),
    ],
)
def test_average_precision(answers, truth, expected):
    assert average_precision(answers, truth) == pytest.approx(expected)


def test_average_precision_of_nothing_present_is_refused():
    with pytest.raises(ValueError, match="at least one that is present"):
        average_precision([0.1], [0])


@pytest.mark.parametrize(
    ("answers", "truth", "expected"),
    [
        ([0.75] * 4, [1, 1, 1, 0], 0),
        ([0.75] * 4, [0, 0, 0, 0], 0.75),
        ([0.75] * 4 + [0.05] * 96, [1, 1, 1, 0] + [1] * 96, 0),  # those of at most 0.1 are left out
        ([0.95, 0.25], [0, 1], (0.95 + 0.75) / 2),
        ([1.0], [1], 0),
    ],
)
def test_calibration_error(answers, truth, expected):
    assert calibration_error(answers, truth) == pytest.approx(expected)


def test_calibration_error_of_nothing_above_is_nan():
    assert math.isnan(calibration_error(np.zeros(3), np.ones(3)))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([1.0] * 10, (0, 0, 0)),
        ([0.5], (0.5, 0.5, 0.5)),
        ([0.9], (2 * 0.9 * 0.1, 0.1, 0.9)),  # off by 0.1 with probability 0.9, else by 0.9
        ([0.5] * 10_000, (math.sqrt(2 / math.pi) * 0.005, 0.0003, 0.0098)),  # as a normal distribution
        ([0.5] * 10_000 + [0.05], (math.sqrt(2 / math.pi) * 0.005, 0.0003, 0.0098)),
    ],
)
def test_exact_answers_show_an_error_by_chance(answers, expected):
    found = calibration_error_by_chance(answers)
    assert found == pytest.approx(expected, abs=0.001 if len(answers) != 1 else 0.03)


DOG, CAT, ROAD = frozenset({1, 2, 3}), frozenset({4, 5}), frozenset({8, 9})


@pytest.mark.parametrize(
    ("found", "right", "named"),
    [
        ([[1, 2, 3]], [True], [True]),
        ([[2]], [True], [True]),  # a kind of dog
        ([[4]], [False], [False]),
        ([[1, 2, 3, 4, 5]], [True], [True]),  # dog or cat: there is a dog
        ([[4, 5, 8]], [False], [False]),
        ([[3, 4]], [True], [True]),  # overlaps with both
        ([[7]], [], [False]),  # concerns no category
        ([], [], [False]),
        ([[2], [5], [7]], [True, False], [True]),
    ],
)
def test_what_is_found_is_judged_by_the_classes_in_common(found, right, named):
    truths = [Truth(DOG, True, 0.3), Truth(CAT, False, 0.0), Truth(ROAD, False, 0.0)]
    assert judge(found, truths) == (right, named)


def test_small_objects_need_not_be_named():
    assert judge([], [Truth(DOG, True, 0.04), Truth(CAT, True, 0.06)])[1] == [False]
