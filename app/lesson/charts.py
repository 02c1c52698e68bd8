"""The lesson's few kinds of chart, alike in size, axes and colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

ACCENT = "#ffb000"
QUIET = "#8a94a6"


def bars(
    values: Mapping[str, float],
    title: str,
    *,
    top: float | None = None,
    marked: str | None = None,
    height: int = 220,
) -> Any:
    """Upright bars by name, in the order given; one may be marked."""
    rows = [{"name": k, title: float(v), "marked": k == marked} for k, v in values.items()]
    low = min(0.0, *values.values())
    scale = alt.Scale(domain=[low, top]) if top is not None else alt.Undefined
    colour = alt.condition("datum.marked", alt.value(ACCENT), alt.value(QUIET))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(size=28, cornerRadiusEnd=3)
        .encode(
            x=alt.X("name:N", sort=list(values), title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y(f"{title}:Q", scale=scale, axis=alt.Axis(tickCount=4)),
            color=colour,
            tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip(f"{title}:Q", format=".4g")],
        )
        .properties(height=height)
    )


def pairs(names: Sequence[str], series: Mapping[str, Sequence[float]], title: str, height: int = 260) -> Any:
    """Lying bars in pairs: for every name one bar a series."""
    rows = [
        {"name": n, "series": s, title: float(v)}
        for s, vs in series.items()
        for n, v in zip(names, vs, strict=True)
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("name:N", sort=list(names), title=None, axis=alt.Axis(labelLimit=140)),
            yOffset=alt.YOffset("series:N", sort=list(series)),
            x=alt.X(f"{title}:Q", axis=alt.Axis(tickCount=5)),
            color=alt.Color(
                "series:N",
                sort=list(series),
                scale=alt.Scale(range=[ACCENT, QUIET]),
                legend=alt.Legend(orient="top", title=None, labelLimit=320, direction="vertical"),
            ),
            tooltip=["name:N", "series:N", alt.Tooltip(f"{title}:Q", format=".4g")],
        )
        .properties(height=height)
    )


def curves(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    x_title: str,
    y_title: str,
    at: float,
    height: int = 260,
) -> Any:
    """Lines over a common axis, with a rule where the slider stands."""
    rows = [
        {x_title: float(a), "series": s, y_title: float(v)}
        for s, vs in series.items()
        for a, v in zip(x, vs, strict=True)
    ]
    line = (
        alt.Chart(alt.Data(values=rows))
        .mark_line()
        .encode(
            x=alt.X(f"{x_title}:Q"),
            y=alt.Y(f"{y_title}:Q", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "series:N",
                sort=list(series),
                scale=alt.Scale(range=[ACCENT, QUIET]),
                legend=alt.Legend(orient="top", title=None) if len(series) > 1 else None,
            ),
        )
    )
    rule = (
        alt.Chart(alt.Data(values=[{x_title: at}]))
        .mark_rule(strokeDash=[4, 3], color=QUIET)
        .encode(x=f"{x_title}:Q")
    )
    return (line + rule).properties(height=height)
