"""Exercises on heatmaps: read one, recognise one, and average several."""

from __future__ import annotations

import math
from collections.abc import Mapping

from app.lesson.exercises import verdicts
from app.lesson.exercises.exercise import Answers, Facts
from app.lesson.exercises.reading import read_numbers
from app.lesson.exercises.verdicts import MISSING, ONE_PERCENT, RIGHT, TWO_DECIMALS, Verdict
from app.lesson.language import marked
from fcn_core.images.scales import NOTEBOOK_SCALES

CELLS = (0.81, 0.64, 0.36, 0.04)  # one cell at the four sizes

# --- 6  Another heatmap -----------------------------------------------------------------------------------------


def heat(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    shown = facts.maps.get(answers["synset"])
    if shown is None:
        first = Verdict(False, marked("Choose first what to look for."))
        return dict.fromkeys(("synset", "peak", "row", "column"), first)
    cells = {(i, j): v for i, row in enumerate(shown, 1) for j, v in enumerate(row, 1)}
    peak = max(cells.values())
    at = [cell for cell, v in cells.items() if v == peak]
    rows, columns = {i for i, _ in at}, {j for _, j in at}
    smaller = marked("This number is in the map, but there is a larger one.")
    mean = marked("This is the mean of the map. The peak is its largest value.")
    found = {
        "synset": RIGHT,
        "peak": verdicts.number(
            answers["peak"], peak,
            [(100 * peak, marked("Write it as in the map, from 0 to 1, or with a percent sign.")),
             *((v, smaller) for v in set(cells.values()) if v < peak), (sum(cells.values()) / len(cells), mean)],
            absolute=0.00051, loose=0.0,
        ),
        "row": verdicts.number(
            answers["row"], tuple(rows),
            [*((j, marked("This is the column. Rows are counted from the top.")) for j in columns),
             *((i - 1, marked("Count from 1, as the numbers beside the map do.")) for i in rows)],
        ),
        "column": verdicts.number(
            answers["column"], tuple(columns),
            [*((i, marked("This is the row. Columns are counted from the left.")) for i in rows),
             *((j - 1, marked("Count from 1, as the numbers above the map do.")) for j in columns)],
        ),
    }  # fmt: skip
    if found["row"].right and found["column"].right and not _is_at(answers, at):
        found["column"] = Verdict(False, marked("The peak is not in this row and this column at once."))
    return found


def _is_at(answers: Answers, cells: list[tuple[int, int]]) -> bool:
    row, column = (round(read_numbers(answers[name])[0]) for name in ("row", "column"))
    return (row, column) in cells


# --- 7  Which map is it -----------------------------------------------------------------------------------------

RIGHT_MAP = "sum"
WRONG_MAPS: Mapping[str, str] = {
    "rest": marked("This map adds up all other classes: it is dark where the right one is bright."),
    "mirrored": marked("This map is mirrored: columns are counted from the wrong side."),
    "turned": marked("This map stands on its head: rows are counted from the wrong side."),
    "any": marked("This map shows the largest probability of any class, whatever it is."),
    "shares": marked("Here the probabilities of the whole map add up to one. Those of each cell must."),
}


def which(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    letters = {kind: letter for letter, kind in facts.candidates.items()}
    mistakes = {letters[kind]: said for kind, said in WRONG_MAPS.items() if kind in letters}
    return {"map": verdicts.choice(answers["map"], letters.get(RIGHT_MAP, "?"), mistakes)}


# --- 8  Two means -----------------------------------------------------------------------------------------------


def means(answers: Answers, _: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    count, total, product = len(CELLS), sum(CELLS), math.prod(CELLS)
    arithmetic, geometric = total / count, product ** (1 / count)
    ordered = sorted(CELLS)
    swapped = marked("This is the geometric mean. Here the arithmetic one is asked for.")
    return {
        "arithmetic": verdicts.number(
            answers["arithmetic"], arithmetic,
            [
                (geometric, swapped),
                (total, marked("This is the sum. Divide it by how many values there are.")),
                (total / 2, marked("Divide by how many values there are.")),
                ((ordered[1] + ordered[2]) / 2, marked("This is the median, the middle of the sorted values.")),
                (max(CELLS), marked("This is the largest value.")),
            ],
            absolute=TWO_DECIMALS,
        ),
        "geometric": verdicts.number(
            answers["geometric"], geometric,
            [
                (arithmetic, marked("This is the arithmetic mean. Here the geometric one is asked for.")),
                (product ** (1 / 2), marked("This is the square root of the product. There are more values than two.")),
                (count / sum(1 / v for v in CELLS), marked("This is the harmonic mean.")),
                (product, marked("This is the product. Take the root of it.")),
                (product / count, marked("The product is not divided: take the root of it.")),
                (0.0, marked("It would be 0 only if one of the values were 0.")),
            ],
            absolute=TWO_DECIMALS,
        ),
    }  # fmt: skip


# --- 9  To the same size ----------------------------------------------------------------------------------------

SIZES = tuple(str(scale) for scale in NOTEBOOK_SCALES)


def resized(answers: Answers, facts: Facts) -> dict[str, Verdict]:
    """Judge the answers."""
    chosen = set(filter(None, answers["sizes"].split("+")))
    grids = [facts.grid(scale.height, scale.width) for scale in NOTEBOOK_SCALES]
    first_h, last_h = grids[0][0], grids[-1][0]
    if not chosen:
        sizes = MISSING
    elif chosen == set(SIZES[:-1]):
        sizes = RIGHT
    elif chosen == {SIZES[-1]}:
        sizes = Verdict(
            False, marked("It is the other way round: this one is the largest, and the others follow it.")
        )
    elif SIZES[-1] in chosen:
        sizes = Verdict(False, marked("One of them has this grid already: it stays as it is."))
    else:
        sizes = Verdict(False, marked("More of them have another grid: compute the cells of each size."))
    return {
        "sizes": sizes,
        "factor": verdicts.number(
            answers["factor"], last_h / first_h,
            [
                (first_h / last_h, marked("The other way round: the map becomes larger.")),
                (last_h - first_h, marked("This is the difference. Divide instead.")),
                (NOTEBOOK_SCALES[-1].height / NOTEBOOK_SCALES[0].height,
                 marked("This is the factor of the pictures. The rows of cells were rounded up, so theirs differs.")),
            ],
            relative=ONE_PERCENT,
        ),
    }  # fmt: skip
