"""The tables of an evaluation."""

from dataclasses import replace

import numpy as np
import pytest

from fcn_core.evaluation.evaluate import Evaluation
from fcn_core.evaluation.metrics import Scores, score_boxes
from fcn_core.evaluation.tables import measures, size_table, table


@pytest.fixture
def result():
    """Objects of 5 and 50 pixels of 100; the mask of the first is wrong."""
    scores = Scores()
    for pixels in (5, 5, 50):
        truth = np.arange(100)[None] < pixels
        scores.add(truth.astype(float), truth, boxes=[(0, 0, pixels, 1)], mask=np.arange(100)[None] < 50)
    return Evaluation("fine", scores.summary(), 0.3, 0.2, 0.25)


def cells(text):
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_measures_are_listed_one_a_line(result):
    assert measures(result).splitlines() == [
        "pointing accuracy  1.000",
        "PxAP               1.000",
        "MaxBoxAccV2        1.000",
        "mean IoU           1.000 at the best single threshold, 0.00",
        "own-threshold IoU  0.400",
        "own IoU below 0.1  0.000 of the rows",
        "own IoU below 0.3  0.667 of the rows",
        "seconds an image   0.30, 1.50 times the network's passes",
    ]


def test_the_table_has_a_column_for_each_measure(result):
    centre = replace(result, way="centre", forward_seconds=0.0, worse_than_plain=None)
    head, *rows = cells(table([result, centre]))
    names = ["pointing", "PxAP", "MaxBoxAccV2", "mean IoU", "at", "own IoU", "below 0.1", "below 0.3"]
    assert head == [*names, "worse", "s/image", "passes"]
    figures = ["1.000"] * 4 + ["0.001", "0.400", "0.000", "0.667"]
    assert rows[0] == ["fine map (ours)", *figures, "0.250", "0.30", "1.50"]
    assert rows[1] == ["Gaussian at the centre", *figures, "-", "0.30", "-"]


def test_sizes_of_one_way_and_of_several(result):
    assert cells(size_table([result])) == [
        ["object's share of the picture", "rows", "mean IoU", "own IoU"],
        ["below 10 %", "2", "1.000", "0.100"],
        ["10 % to 20 %", "0", "-", "-"],
        ["20 % to 40 %", "0", "-", "-"],
        ["40 % and above", "1", "1.000", "1.000"],
    ]
    assert cells(size_table([result, replace(result, way="cam")])) == [
        [
            *("mean IoU by object's share of the picture", "below 10 %", "10 % to 20 %", "20 % to 40 %"),
            "40 % and above",
        ],
        ["rows", "2", "0", "0", "1"],
        ["fine map (ours)", "1.000", "-", "-", "1.000"],
        ["CAM, mean of the scales", "1.000", "-", "-", "1.000"],
    ]


def test_without_masks_the_measures_of_pixels_are_left_out():
    scores = Scores()
    scores.include(score_boxes(np.eye(9), [(0, 0, 9, 9)]))
    result = Evaluation("fine", scores.summary(), 0.3, 0.2, None)
    names = [line[:18].strip() for line in measures(result).splitlines()]
    assert names == ["pointing accuracy", "MaxBoxAccV2", "seconds an image"]
    assert size_table([result]) == ""
    assert cells(table([result]))[1][1:] == ["1.000", "-", "1.000", *["-"] * 6, "0.30", "1.50"]
