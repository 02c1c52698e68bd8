"""The contact sheet: pages of thumbnails with what was found in each picture, and the reasons of bad ones.

A page is the template ``templates/contact_sheet.html`` beside this module. It has no script, loads nothing from
elsewhere, and all text in it is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import jinja2

from fcn_core import render
from fcn_core.batch.parts import remove, replace_with
from fcn_core.batch.rows import Row
from fcn_core.batch.store import pictures

FOLDER = "contact-sheet"
_ON_A_PAGE = 500
_SHOWN = 4  # synsets below a thumbnail

#: The columns of the rows that it needs.
COLUMNS = ("path", "wnid", "synset", "presence", "present", "threshold", "error", "thumbnail_file")

_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("fcn_core.batch"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class _Entry:
    """A picture of the sheet."""

    path: str
    thumbnail: str | None
    error: str | None
    lines: tuple[tuple[str, str], ...]  # the colour of its marks, and the synset


def write_contact_sheet(folder: Path, rows: Callable[[], Iterator[Row]], note: str) -> None:
    """Write the sheet into ``contact-sheet/``, beginning with ``index.html``.

    Parameters
    ----------
    folder : Path
        That of the batch.
    rows : callable
        Returns the rows of the table.
    note : str
        What the pictures were analysed with.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    count = sum(1 for _ in pictures(rows()))
    pages = max(1, math.ceil(count / _ON_A_PAGE))
    template = _PAGES.get_template("contact_sheet.html")
    entries = map(_entry, pictures(rows()))
    for number in range(1, pages + 1):
        page = template.render(
            number=number, pages=pages, near=_near(number, pages), name=_name, note=note,
            entries=list(islice(entries, _ON_A_PAGE)),
        )  # fmt: skip
        replace_with(folder / FOLDER / _name(number), lambda path, page=page: path.write_bytes(page.encode()))  # type: ignore[misc]
    wanted = {_name(number) for number in range(1, pages + 1)}
    for path in (folder / FOLDER).glob("page-*.html"):
        if path.name not in wanted:
            remove(path)


def _name(number: int) -> str:
    return "index.html" if number == 1 else f"page-{number:05d}.html"


def _near(number: int, pages: int) -> list[int | None]:
    """Return the numbers of the pages to link: the first, the last and the neighbours; None for a gap."""
    wanted = sorted({1, pages, *range(max(1, number - 2), min(pages, number + 2) + 1)})
    found: list[int | None] = []
    for page in wanted:
        if found and found[-1] != page - 1:
            found.append(None)
        found.append(page)
    return found


def _entry(rows: list[Row]) -> _Entry:
    first = rows[0]
    marked = [row["wnid"] for row in rows if row["threshold"] is not None]
    colours = dict(zip(marked, render.segment_colours(len(marked)), strict=True))  # as in the thumbnail
    there = sorted((row for row in rows if row["present"]), key=lambda row: -row["presence"])
    lines = [
        ("rgb({}, {}, {})".format(*colours[row["wnid"]]), f"{row['synset']} {row['presence']:.0%}")
        for row in there[:_SHOWN]
    ]
    if len(there) > _SHOWN:
        lines.append(("transparent", f"and {len(there) - _SHOWN} more"))
    if not there and first["error"] is None:
        lines.append(("transparent", "nothing found"))
    thumbnail = first["thumbnail_file"]
    return _Entry(first["path"], thumbnail and quote(thumbnail), first["error"], tuple(lines))
