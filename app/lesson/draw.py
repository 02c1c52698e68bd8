"""Draw pictures, charts and tables on the page, and add them as HTML to the handout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import altair as alt
import numpy as np
import numpy.typing as npt
import streamlit as st

from app.lesson.stage import Stage
from app.lesson.svg import ACCENT
from app.ui import figures

QUIET = "#8a94a6"
_CELL_PIXELS = 560  # cells are enlarged to about this width, because browsers blur enlarged pictures
_LARGE, _LARGE_HEIGHT = 21, 330  # of letters and of charts on a slide, in pixels of its 1280 × 720

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
    place.image(pixels, width=width, caption=caption, output_format="JPEG", alt=alt_text)
    _on_paper(stage, figures.uri(pixels), alt_text, caption)


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
    place.image(large, width=width, caption=caption, output_format="PNG", alt=alt_text)
    _on_paper(stage, figures.uri(large, lossless=True), alt_text, caption)


def _on_paper(stage: Stage, uri: str, alt_text: str, caption: str | None) -> None:
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    stage.paper.append(f'<figure><img src="{uri}" alt="{escape(alt_text)}">{below}</figure>')


def table(
    stage: Stage,
    rows: Sequence[Mapping[str, Any]],
    alt_text: str,
    *,
    place: Place = st,
    columns: Mapping[str, Any] | None = None,
    height: int | Literal["content"] = "content",
) -> None:
    """Draw a table of rows with named columns."""
    plain = figures.table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    if stage.large:  # the size of the letters of a data frame cannot be chosen
        place.html(plain)
    else:
        place.dataframe(
            list(rows), hide_index=True, height=height, column_config=dict(columns or {}), alt=alt_text
        )
    stage.paper.append(plain)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


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
    """Draw vertical bars by name, in the given order; one may be marked."""
    rows = [{"name": k, title: float(v), "marked": k == marked} for k, v in values.items()]
    low = min(0.0, *values.values())
    # On a phone, more than five names do not fit side by side, and every second one would be omitted.
    names = alt.Axis(labelAngle=0 if len(values) <= 5 else -35, labelOverlap=False)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(size=alt.Undefined if stage.large else 28, cornerRadiusEnd=3)
        .encode(
            x=alt.X("name:N", sort=list(values), title=None, axis=names),
            y=alt.Y(
                f"{title}:Q",
                scale=alt.Scale(domain=[low, top]) if top is not None else alt.Undefined,
                axis=alt.Axis(tickCount=4),
            ),
            color=alt.condition("datum.marked", alt.value(ACCENT), alt.value(QUIET)),
            tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip(f"{title}:Q", format=".4g")],
        )
    )
    place.altair_chart(_sized(chart, stage, 220), alt=alt_text)
    _bars_on_paper(stage, {title: dict(values)})


def pairs(
    stage: Stage, names: Sequence[str], series: Mapping[str, Sequence[float]], title: str, alt_text: str
) -> None:
    """Draw horizontal bars in groups: for each name one bar per series."""
    rows = [
        {"name": name, "series": s, title: float(v)}
        for s, vs in series.items()
        for name, v in zip(names, vs, strict=True)
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y(
                "name:N",
                sort=list(names),
                title=None,
                axis=alt.Axis(labelLimit=120 if not stage.large else 320),
            ),
            yOffset=alt.YOffset("series:N", sort=list(series)),
            x=alt.X(f"{title}:Q", axis=alt.Axis(tickCount=5)),
            color=_series_colour(list(series)),
            tooltip=["name:N", "series:N", alt.Tooltip(f"{title}:Q", format=".4g")],
        )
    )
    st.altair_chart(_sized(chart, stage, 58 * len(names)), alt=alt_text)
    _bars_on_paper(stage, {s: dict(zip(names, vs, strict=True)) for s, vs in series.items()})


def curves(
    stage: Stage,
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    titles: tuple[str, str],
    alt_text: str,
    *,
    place: Place = st,
    at: float | None = None,
) -> None:
    """Draw curves with both axes from 0 to 1, and a vertical line at `at`."""
    x_title, y_title = titles
    rows = [
        {x_title: float(a), "series": s, y_title: float(v)}
        for s, vs in series.items()
        for a, v in zip(x, vs, strict=True)
    ]
    chart: Any = (
        alt.Chart(alt.Data(values=rows))
        .mark_line()
        .encode(
            x=alt.X(f"{x_title}:Q", axis=alt.Axis(tickCount=5)),
            y=alt.Y(f"{y_title}:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)),
            color=_series_colour(list(series)),
        )
    )
    if at is not None:
        rule = alt.Chart(alt.Data(values=[{x_title: at}])).mark_rule(strokeDash=[4, 3], color=QUIET)
        chart += rule.encode(x=f"{x_title}:Q")
    place.altair_chart(_sized(chart, stage, 260), alt=alt_text)
    paths = "".join(
        f'<polyline points="{" ".join(f"{100 * a:.1f},{100 - 100 * v:.1f}" for a, v in zip(x, vs, strict=True))}" '
        f'fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for (_, vs), colour in zip(series.items(), (ACCENT, QUIET), strict=False)
    )
    stage.paper.append(
        f'<figure><svg viewBox="-2 -2 104 104" role="img" aria-label="{escape(alt_text)}" style="max-width:16rem">'
        f'<path d="M0 0V100H100" fill="none" stroke="#666" stroke-width=".5"/>{paths}</svg>'
        f"<figcaption>{escape(y_title)} over {escape(x_title)}, both from 0 to 1</figcaption></figure>"
    )


def _sized(chart: Any, stage: Stage, height: int) -> Any:
    """Give a chart its height in pixels; for a lecture room with large letters."""
    if not stage.large:
        return chart.properties(height=height)
    ink = "#d3d8de" if st.context.theme.type == "dark" else "#3a414c"
    font = {"labelFontSize": _LARGE, "titleFontSize": _LARGE, "labelColor": ink, "titleColor": ink}
    large = chart.properties(height=max(height, _LARGE_HEIGHT)).configure_axis(**font, titlePadding=14)
    return large.configure_legend(**font, symbolSize=300)


def _series_colour(series: list[str]) -> Any:
    legend = alt.Legend(orient="top", title=None, labelLimit=320, direction="vertical")
    return alt.Color(
        "series:N",
        sort=series,
        scale=alt.Scale(domain=series, range=[ACCENT, QUIET][: len(series)]),
        legend=legend if len(series) > 1 else None,
    )


def _bars_on_paper(stage: Stage, groups: Mapping[str, Mapping[str, float]]) -> None:
    largest = max((abs(v) for values in groups.values() for v in values.values()), default=1.0) or 1.0
    for title, values in groups.items():
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{value:.3g}</td>"
            f'<td class="bar"><i style="width:{100 * abs(value) / largest:.1f}%"></i></td></tr>'
            for name, value in values.items()
        )
        stage.paper.append(f'<table class="bars"><caption>{escape(title)}</caption>{rows}</table>')
