"""The index of an evaluation: which synset is in which picture, and the true masks and boxes.

The index is a CSV file with the columns ``image`` and ``synset_wnid``, and ``mask``, ``boxes`` or both; a row needs a
mask or boxes. Paths are relative to the index. In a mask 255 is the object, 0 the background and 128 void: void pixels
are ignored (see :mod:`fcn_core.evaluation.masks`). Boxes are ``x0 y0 x1 y1`` in pixels, separated by semicolons.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_core.errors import DatasetError, SynsetError


@dataclass(frozen=True)
class Case:
    """One row of an index: one synset in one picture.

    Attributes
    ----------
    image : Path
    synset : str
        Wnid or word.
    mask : Path or None
    boxes : tuple of (x0, y0, x1, y1)
        Empty if the row has none; it then has a mask.
    line : int
        Line of the index, for messages.
    name : str
        The picture's path as the index gives it.
    """

    image: Path
    synset: str
    mask: Path | None
    boxes: tuple[tuple[float, ...], ...]
    line: int
    name: str


def read_index(path: Path) -> tuple[Case, ...]:
    """Read an index of pictures, synsets, masks and boxes.

    Raises
    ------
    DatasetError
        It cannot be read, lacks a column, or names a file that does not exist.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            _check_columns(columns, path.name)
            reader.fieldnames = columns
            cases = []
            for row in reader:
                with line_in_message(reader.line_num, path):
                    cases.append(_case(row, path, reader.line_num))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"Expected a CSV file in UTF-8 with the columns image, synset_wnid and mask or boxes. Received {path}, "
            f"which cannot be read ({error}). Correct the file or its name."
        ) from error
    if not cases:
        raise DatasetError(
            f"Expected at least one row below the head of {path.name}. Received none. Add a row for each picture."
        )
    return tuple(cases)


def _check_columns(columns: Sequence[str], name: str) -> None:
    missing = [column for column in ("image", "synset_wnid") if column not in columns]
    if not {"mask", "boxes"} & set(columns):
        missing.append("mask or boxes")
    if missing:
        separated = (
            " Separate them with commas." if len(columns) == 1 and re.search(r"[;\t|]", columns[0]) else ""
        )
        raise DatasetError(
            f"Expected the columns image, synset_wnid and mask or boxes (or both) in {name}. Received "
            f"{', '.join(columns)[:200] or 'an empty file'}. Add: {', '.join(missing)}.{separated}"
        )


@contextmanager
def line_in_message(line: int, index: Path) -> Iterator[None]:
    """Put the line of the index before the message of an error."""
    try:
        yield
    except (DatasetError, SynsetError) as error:
        raise DatasetError(f"Line {line} of {index.name}: {error}") from error


def _case(row: dict[Any, Any], index: Path, line: int) -> Case:
    if None in row:
        raise DatasetError(
            "Expected as many fields as columns. Received more. Put quotes around a field that has a comma."
        )
    image, synset, mask, boxes = (
        (row.get(name) or "").strip() for name in ("image", "synset_wnid", "mask", "boxes")
    )
    if not (image and synset and (mask or boxes)):
        raise DatasetError(
            "Expected an image, a synset, and a mask or boxes. Received less. Complete the row or remove it."
        )
    for name in filter(None, (image, mask)):
        if not (index.parent / name).is_file():
            raise DatasetError(
                f"Expected a path relative to the index. Received {name!r}, which does not exist. Correct it."
            )
    known = index.parent / mask if mask else None
    return Case(index.parent / image, synset, known, _boxes(boxes), line, image)


def _boxes(text: str) -> tuple[tuple[float, ...], ...]:
    try:
        boxes = tuple(tuple(float(n) for n in box.split()) for box in text.split(";") if box.strip())
    except ValueError:
        boxes = ((),)
    if any(len(b) != 4 or not (b[0] < b[2] and b[1] < b[3]) for b in boxes) or (text and not boxes):
        raise DatasetError(
            f"Expected boxes as 'x0 y0 x1 y1' with x0 < x1 and y0 < y1. Received {text[:60]!r}. Separate several boxes "
            f"by semicolons."
        )
    return boxes
