"""What an earlier run left, checked before it is trusted: anyone may have written into the folder since."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from fcn_core.batch.picture_files import FOLDERS
from fcn_core.batch.rows import COLUMNS, Row
from fcn_core.errors import DatasetError

#: What reading a damaged file may raise, besides the errors of its format.
DAMAGES = (OSError, ValueError, RecursionError)

_SYNSET = re.compile(r"n[0-9]{8}|class-[0-9]{1,9}")
_WHOLE = 2**63
_SIDES = ("x0", "y0", "x1", "y1", "area")
_LONGEST = 200  # characters of a reason


def damaged(path: Path, what: str, error: Exception) -> DatasetError:
    """Return the error for a file of an earlier run that cannot be read."""
    why = " ".join(str(error).split())[:_LONGEST]
    return DatasetError(
        f"Expected {what} that an earlier run wrote. Received {path}, which cannot be read ({why}). Delete it, and its "
        "pictures are analysed again."
    )


def checked_row(value: Any, columns: Collection[str] | None = None) -> Row:
    """Return the wanted columns of a row (None: all) as they may be trusted.

    Raises
    ------
    ValueError
        It is no row of a batch.
    """
    if not isinstance(value, dict):
        raise ValueError("a row is no object")  # noqa: TRY004 - what it is read from is damaged
    row: Row = {}
    for name in COLUMNS if columns is None else columns:
        if name not in value:
            raise ValueError(f"a row has no {name}")
        row[name] = each = value[name]
        if each is None:
            if name in _ALWAYS:
                raise ValueError(f"a row has {name} null")
        elif not _CHECKS[name](each):
            raise ValueError(f"a row has another {name} than a batch writes: {str(each)[:80]!r}")
    _check_together(row)
    return row


def checked_picture(value: Any) -> list[Row]:
    """Return the rows of one picture, as a journal holds them.

    Raises
    ------
    ValueError
        They are none.
    """
    if not isinstance(value, list) or not value:
        raise ValueError("a line is no list of rows")
    rows = [checked_row(each) for each in value]
    if any(row["path"] != rows[0]["path"] for row in rows):
        raise ValueError("a line has rows of several pictures")
    return rows


def inside(folder: Path, name: str) -> bool:
    """Return whether the place of a file that a row names is in its folder of the batch, also if links are followed."""
    home = folder.resolve() / name.partition("/")[0]
    return (folder / name).parent.resolve().is_relative_to(home)


def _check_together(row: Row) -> None:
    """Check what must be there if something else is."""
    needed: tuple[str, ...] = ()
    if row.get("wnid") is not None:
        needed += ("synset", "presence", "present")
    elif row.get("mask") is not None or row.get("boxes") or row.get("threshold") is not None:
        raise ValueError("a row marks no synset")
    if row.get("mask") is not None:
        needed += ("boxes",)
        if row["mask"]["size"] != [row.get("height"), row.get("width")]:
            raise ValueError("a row has a mask of another size than its picture")
    if row.get("error", "") is None:
        needed += ("width", "height")
    if missing := [name for name in needed if name in row and row[name] is None]:
        raise ValueError(f"a row has {missing[0]} null")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(
        value.isascii() or value.encode()
    )  # half a character raises ValueError


def _is_number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or _is_whole(value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and -_WHOLE <= value < _WHOLE


def _is_length(value: Any) -> bool:
    return _is_whole(value) and value > 0


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_synset(value: Any) -> bool:
    return isinstance(value, str) and _SYNSET.fullmatch(value) is not None


def _are_peaks(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and _is_text(each.get("scale")) and _is_number(each.get("peak"))
        for each in value
    )


def _are_boxes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(box, dict)
        and all(_is_whole(box.get(side)) for side in _SIDES)
        and _is_number(box.get("score"))
        for box in value
    )


def _is_mask(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("counts"), str):
        return False
    size = value.get("size")
    return (
        isinstance(size, list) and len(size) == 2 and all(map(_is_length, size)) and value["counts"].isascii()
    )


def _is_file_of(kind: str) -> Callable[[Any], bool]:
    """Return the check of the name of a file in one folder of the batch, and in no other on any system."""

    def check(value: Any) -> bool:
        if not _is_text(value) or set(value) & set("\\:\0"):
            return False
        first, *others = value.split("/")
        return first == kind and bool(others) and not set(others) & {"", ".", ".."}

    return check


_ALWAYS = frozenset({"path", "state"})
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(COLUMNS, _is_text),
    **dict.fromkeys(("presence", "threshold", "seconds"), _is_number),
    **dict.fromkeys(("width", "height", "output_stride"), _is_length),
    **dict.fromkeys(("asked", "present"), _is_bool),
    "area": _is_whole,
    "wnid": _is_synset,
    "peaks": _are_peaks,
    "boxes": _are_boxes,
    "mask": _is_mask,
    **{column: _is_file_of(kind) for column, kind in FOLDERS.items()},
}
