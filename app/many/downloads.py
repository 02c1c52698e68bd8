"""The table of the page as files: CSV, Parquet, COCO, and the masks in a ZIP archive."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence

import streamlit as st

from app.state.many import Entry
from app.state.shared_queue import memory_for_a_file
from fcn_core import render
from fcn_core.batch.derived import write_coco_to
from fcn_core.batch.parts import write_parquet
from fcn_core.batch.picture_files import FOLDERS
from fcn_core.batch.rows import COLUMNS, Row
from fcn_core.export.rle import mask_of, run_lengths_of
from fcn_core.images.read import clean_name
from fcn_core.system.installed import is_installed

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_LEFT_OUT = {*FOLDERS, "state"}  # of files on a disk; here there are none


def draw(entries: Sequence[Entry], vocabulary: str) -> None:
    """Draw the buttons for what was found in these pictures.

    Parameters
    ----------
    entries : sequence of Entry
    vocabulary : str
        Whose classes they are; see :class:`fcn_core.engines.base.ModelInfo`.
    """
    rows = rows_of(entries)
    with st.popover("Download", icon=":material/download:", disabled=not rows):
        _button("CSV, for a spreadsheet", lambda: table_csv(rows), "pictures.csv", "text/csv")
        if is_installed("pyarrow"):
            _button(
                "Parquet", lambda: table_parquet(rows), "pictures.parquet", "application/vnd.apache.parquet"
            )
        _button("COCO, boxes and masks", lambda: coco(rows, vocabulary), "coco.json", "application/json")
        _button("Masks, ZIP", lambda: masks_zip(rows), "masks.zip", "application/zip")


def _button(label: str, make: Callable[[], bytes], file_name: str, mime: str) -> None:
    st.download_button(
        label, memory_for_a_file()(make), file_name, mime, key=f"export-{file_name}", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip


def rows_of(entries: Sequence[Entry]) -> list[Row]:
    """Return the rows of pictures, each under a name of its own; a picture with an error has one row."""
    names: dict[str, int] = {}
    rows = []
    for entry in entries:
        number = names[entry.name] = names.get(entry.name, 0) + 1
        path = entry.name if number == 1 else f"{entry.name} ({number})"
        failed: Row = dict.fromkeys(COLUMNS) | {"error": entry.error, "error_type": "ImageError"}
        rows += [row | {"path": path} for row in entry.rows or ([failed] if entry.error else [])]
    return rows


def table_csv(rows: Sequence[Row]) -> bytes:
    """Return rows as CSV; lists are JSON, and a text that a spreadsheet would take for a formula begins with "'"."""
    text = io.StringIO(newline="")
    names = [name for name in COLUMNS if name not in _LEFT_OUT]
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return text.getvalue().encode("utf-8-sig")  # spreadsheets take other UTF-8 for Latin-1


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return value


def table_parquet(rows: Sequence[Row]) -> bytes:
    """Return rows as Parquet, as ``fcn batch`` writes them."""
    file = io.BytesIO()
    write_parquet(file, rows)
    return file.getvalue()


def coco(rows: Sequence[Row], vocabulary: str) -> bytes:
    """Return rows as a data set of COCO, as ``fcn batch`` writes it."""
    text = io.StringIO()
    write_coco_to(text, lambda: iter(rows), vocabulary)
    return text.getvalue().encode()


def masks_zip(rows: Sequence[Row]) -> bytes:
    """Return the masks as PNG files of the pictures' sizes, named by picture and synset, in a ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # PNG files are compressed already
        for number, row in enumerate(rows, 1):
            if row["mask"] is None:
                continue
            mask = mask_of(run_lengths_of(row["mask"]["counts"]), *row["mask"]["size"])
            name = clean_name(f"{number:03d} {row['path'][:80]} {row['synset']}.png")
            archive.writestr(name, render.encode(mask, "png"))
    return file.getvalue()
