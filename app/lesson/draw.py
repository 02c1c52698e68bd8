"""Draw pictures, charts and tables on the page, and add them as HTML to the handout.

Charts and tables are HTML of one's own: those of Streamlit load pandas, PyArrow and Altair, which take 110 MB.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import streamlit as st
from markupsafe import Markup

from app.lesson.language import number
from app.lesson.language import translated as _
from app.lesson.stage import Stage
from app.lesson.svg import ACCENT
from app.ui import figures
from fcn_core import render

QUIET = "#8a94a6"
_CELL_PIXELS = 560  # cells are enlarged to about this width, because browsers blur enlarged pictures

Place = Any  # st itself, or one of its columns


def drawing(
    stage: Stage, svg: str, alt_text: str, *, place: Place = st, width: int | Literal["stretch"] = 720
) -> None:
    """Draw an SVG picture."""
    place.image(svg, width=width, alt=alt_text)
    stage.paper.append(f'<figure role="img" aria-label="{escape(alt_text)}">{svg}</figure>')


def photo(
    stage: Stage,
    pixels: npt.NDArray[np.uint8],
    alt_text: str,
    *,
    place: Place = st,
    caption: str | None = None,
    width: int | Literal["stretch"] = "stretch",
) -> None:
    """Draw a picture."""
    _picture(stage, pixels, "jpeg", alt_text, place, caption, width)


def cells(
    stage: Stage,
    colours: npt.NDArray[np.uint8],
    alt_text: str,
    *,
    place: Place = st,
    caption: str | None = None,
    width: int | Literal["stretch"] = "stretch",
) -> None:
    """Draw a map of coloured cells, each a sharp square."""
    times = max(1, _CELL_PIXELS // colours.shape[1])
    large = np.repeat(np.repeat(colours, times, axis=0), times, axis=1)
    _picture(stage, large, "png", alt_text, place, caption, width)


def _picture(
    stage: Stage,
    pixels: npt.NDArray[np.uint8],
    kind: render.Format,
    alt_text: str,
    place: Place,
    caption: str | None,
    width: int | Literal["stretch"],
) -> None:
    """Encode a picture once, for the page and for the handout."""
    data = render.encode(pixels, kind, 88)
    place.image(data, width=width, caption=caption, output_format=kind.upper(), alt=alt_text)
    uri = render.data_uri(data, kind)
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    stage.paper.append(f'<figure><img src="{uri}" alt="{escape(alt_text)}">{below}</figure>')


def table(
    stage: Stage,
    rows: Sequence[Mapping[str, Any]],
    alt_text: str,
    *,
    place: Place = st,
    lengths: Mapping[str, float] | None = None,
    scrolls: bool = False,
) -> None:
    """Draw a table of rows with named columns.

    Parameters
    ----------
    lengths : mapping of str to float, optional
        Columns that are also drawn as bars, and the value of a full bar.
    scrolls : bool
        Whether a long table scrolls on the page.
    """
    cells = [
        [_bar_cell(v, (lengths or {})[k]) if k in (lengths or {}) else _cell(v) for k, v in row.items()]
        for row in rows
    ]
    found = figures.table(list(rows[0]), cells)
    kind = 'class="lesson-table scrolls" tabindex="0"' if scrolls else 'class="lesson-table"'
    drawn = f'<div {kind} role="group" aria-label="{escape(alt_text)}">{found}</div>'
    place.html(drawn)
    stage.paper.append(drawn)


def matrix(
    stage: Stage, values: npt.NDArray[Any], alt_text: str, *, place: Place = st, digits: int = 2
) -> None:
    """Draw a table of numbers (h, w) with the numbers of rows and columns, counted from 1."""
    form = "d" if values.dtype.kind == "i" else f".{digits}f"
    table(
        stage,
        [
            {
                _("Row"): r,
                **{_("Column {number}", number=c): number(v, form) for c, v in enumerate(row, start=1)},
            }
            for r, row in enumerate(values.tolist(), start=1)
        ],
        alt_text,
        place=place,
    )


def _cell(value: Any) -> str:
    return "" if value is None else number(value, ".4f") if isinstance(value, float) else str(value)


def _bar_cell(value: Any, full: float) -> Markup:
    return Markup('<span class="lesson-bar">{}<i style="width:{:.1f}%"></i></span>').format(
        f"{value:,}".replace(",", "\N{THIN SPACE}"), 100 * value / full
    )


def bars(
    stage: Stage,
    values: Mapping[str, float],
    title: str,
    alt_text: str,
    *,
    place: Place = st,
    top: float | None = None,
    marked: str | None = None,
) -> None:
    """Draw horizontal bars by name, in the given order; one may be marked.

    Parameters
    ----------
    top : float, optional
        Value of a full bar; by default the largest value.
    """
    rows = [(name, [(value, ACCENT if name == marked else QUIET)]) for name, value in values.items()]
    _chart(stage, rows, title, alt_text, place, top)


def pairs(
    stage: Stage, names: Sequence[str], series: Mapping[str, Sequence[float]], title: str, alt_text: str
) -> None:
    """Draw horizontal bars in groups: for each name one bar for each of two series."""
    colours = (ACCENT, QUIET)
    rows = [
        (name, [(float(vs[n]), colour) for vs, colour in zip(series.values(), colours, strict=True)])
        for n, name in enumerate(names)
    ]
    keys = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(series, colours, strict=True)
    )
    _chart(stage, rows, title, alt_text, st, None, keys)


def _chart(
    stage: Stage,
    rows: Sequence[tuple[str, Sequence[tuple[float, str]]]],
    title: str,
    alt_text: str,
    place: Place,
    top: float | None,
    keys: str = "",
) -> None:
    values = [value for _name, bars in rows for value, _colour in bars]
    low, high = min(0.0, *values), max(top or 0.0, *values, 1e-12)
    zero, span = -100 * low / (high - low), 100 / (high - low)
    largest = max(map(abs, values)) or 1.0
    decimals = min(
        3, max(0, 2 - math.floor(math.log10(largest)))
    )  # the same for all: the points stand in line

    def said(value: float) -> str:
        return number(value, f".{decimals}f" if value == 0 or abs(value) >= 10**-decimals else ".0e")

    lines = "".join(
        f'<div role="row"><span role="rowheader">{escape(name)}</span><span role="cell" class="bars">'
        + "".join(
            f'<span class="bar"><i style="left:{zero + min(0.0, value) * span:.2f}%;width:{abs(value) * span:.2f}%;'
            f'background:{colour}"></i></span><b>{said(value)}</b>'
            for value, colour in bars
        )
        + "</span></div>"
        for name, bars in rows
    )
    drawn = (
        f'<div class="lesson-chart"><div class="keys">{keys}</div>'
        f'<div role="table" aria-label="{escape(alt_text)}">{lines}</div><small>{escape(title)}</small></div>'
    )
    place.html(drawn)
    stage.paper.append(drawn)


def curve(
    stage: Stage,
    x: Sequence[float],
    y: Sequence[float],
    titles: tuple[str, str],
    alt_text: str,
    *,
    place: Place = st,
    at: float | None = None,
) -> None:
    """Draw a curve with both axes from 0 to 1, and a vertical line at `at`."""
    points = " ".join(f"{100 * a:.1f},{100 - 100 * v:.1f}" for a, v in zip(x, y, strict=True))
    line = (
        f'<path d="M{100 * at:.1f} 0V100" stroke="{QUIET}" stroke-dasharray="3 2"/>' if at is not None else ""
    )
    grid = "".join(f'<path d="M0 {k}H100" stroke="{QUIET}" stroke-opacity=".35"/>' for k in (0, 25, 50, 75))
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 102 102" preserveAspectRatio="none" fill="none" '
        f'stroke-width=".6">{grid}<path d="M0 0V100H100" stroke="{QUIET}"/>{line}'
        f'<polyline points="{points}" stroke="{ACCENT}" stroke-width="1.6"/></svg>'
    )
    marks = "".join(f"<span>{number(k / 4, 'g')}</span>" for k in range(5))
    text = (
        f'<figure class="lesson-curve"><figcaption>{escape(titles[1])}</figcaption><div class="y">{marks}</div>'
        f'<img src="data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}" alt="{escape(alt_text)}">'
        f'<div class="x">{marks}</div><figcaption class="below">{escape(titles[0])}</figcaption></figure>'
    )
    place.html(text)
    stage.paper.append(text)
