"""The tab "Maps": the means of the scales, a live mean, and how far the scales disagree."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.explore.large_picture import live_mean
from app.explore.scale_row import times
from app.state import selection, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.ui import figures, notices
from app.ui.display import Span, card_photo, look_of, own_span, span_of
from fcn_core.maps.heatmap import Heatmap, spread
from fcn_core.pipeline import Analysis

_SIZE = (540, 420)


def draw(chosen: Selection, maps: Analysis, picture: Picture) -> None:
    """Draw the tab."""
    size = figures.shown_size(picture, *_SIZE)
    photo, look, span = card_photo(picture, size, chosen), look_of(chosen), span_of(maps, chosen)
    name = chosen.ontology[chosen.synset].name
    how = {"Fixed": "fixed range", "Shared": "shared range", "Per map": "its own range"}[chosen.range]

    def show(heatmap: Heatmap, title: str, about: str, over: Span | None = None) -> None:
        range_ = over if over is not None else own_span(heatmap, span)
        pixels = figures.paint(photo, heatmap, size, range_, look)
        caption = (
            f"{title}: {about}, peak {figures.number(heatmap.peak)}, mean {figures.number(heatmap.mean)}"
        )
        figure = figures.figure(pixels, f"{title} of {name}: {about}", caption, not look.smooth)
        legend = figures.legend(range_, look.colours, how if over is None else "0 to 0.5 or its peak")
        st.html(figure + legend)

    left, right = st.columns(2)
    with left:
        show(maps.arithmetic, "Arithmetic mean", "all scales count equally")
    with right:
        show(maps.geometric, "Geometric mean", "high where all scales are high")
    with st.expander("Your own mean, and where the scales disagree", key="own-mean"):
        left, right = st.columns(2)
        with left:
            st.slider(
                "Live mean: from geometric (0) to arithmetic (1)",
                0.0,
                1.0,
                step=0.05,
                help="The power mean of the scales. The heatmap above shows it, if it shows the mean of the scales.",
                **session.explore().choices.widget("power"),
            )
            _weights(chosen, tuple(maps.heatmaps))
            live = live_mean(chosen, maps)
            if not any(chosen.weight(key) for key in maps.heatmaps):
                notices.note("Every weight is 0, so there is nothing to average. Give a scale a weight.")
            elif live is not maps.arithmetic:
                show(live, "Live mean", f"power {chosen.power:g}")
        with right:
            apart = spread(tuple(maps.heatmaps.values()))
            show(apart, "Disagreement of the scales", "their standard deviation", (0.0, max(0.5, apart.peak)))


def _weights(chosen: Selection, scales: tuple[str, ...]) -> None:
    columns = st.columns(min(len(scales), 4))
    for index, scale in enumerate(scales):
        columns[index % len(columns)].slider(
            times(scale),
            0.0,
            selection.MAX_WEIGHT,
            step=0.25,
            help="Weight of this scale in the live mean. 0 excludes it." if index == 0 else None,
            **session.explore().choices.widget(
                "weight", chosen.weight(scale), scale, partial(_choose_weight, scale)
            ),
        )


def _choose_weight(scale: str, weight: float) -> None:
    choices = session.explore().choices
    weights = {str(each): choices.now.weight(str(each)) for each in choices.now.scales}
    choices.choose(weights=selection.weighted(choices.now, weights | {scale: weight}))
