"""The large photograph of Explore: what was found outlined on it, or a heatmap over it."""

from __future__ import annotations

import streamlit as st

from app.explore import inspect_tab
from app.state import session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View
from app.ui import figures, stage
from app.ui.display import MAP_LABELS, look_of, marked_map, own_span, photo, span_of
from app.ui.stage import CellMap, Outline, Stage
from fcn_core.maps.heatmap import Heatmap, combine
from fcn_core.pipeline import Analysis

_SIZE = (880, 520)
MOST_OUTLINES = len(stage.OUTLINE_COLOURS)


def draw(chosen: Selection, view: View | None, picture: Picture, analysis: Analysis | None) -> None:
    """Draw the picture, and below it what the colours mean."""
    size = figures.shown_size(picture, *_SIZE)
    pixels = photo(picture, size)
    if view is None or analysis is None or chosen.view == "Photo":
        stage.draw(Stage(pixels, f"The photo: {picture.name}"), "stage")
        return
    if chosen.view == "Outline":
        outlines = outlines_of(chosen, view)
        names = ", ".join(outline.name for outline in outlines if outline.polygons)
        alt = f"The photo with outlines of: {names}" if names else "The photo: nothing is outlined on it"
        stage.draw(Stage(pixels, alt, outlines=outlines), "stage", on_choose=_choose)
        return
    look, name = look_of(chosen), chosen.ontology[chosen.synset].name
    if chosen.heatmap == "Fine":
        heatmap, span = marked_map(analysis), (0.0, 1.0)
    else:
        heatmap = live_mean(chosen, analysis)
        span = own_span(heatmap, span_of(analysis, chosen))
    over = figures.paint(pixels, heatmap, size, span, look)
    classes, names_ = inspect_tab.top_classes(view, analysis.arithmetic.cells)
    cells = CellMap(
        analysis.arithmetic.values,
        classes,
        names_,
        analysis.arithmetic.cells if look.placement == "centres" else None,
        inspect_tab.marked_cell(chosen, analysis),
        name=name,
    )
    lossless = chosen.heatmap == "Mean" and not look.smooth
    alt = f"Heatmap of {name} over the photo, highest value {figures.number(heatmap.peak)}"
    if heatmap.peak <= 0:
        alt = f"The photo: no {name} is marked on it"
    stage.draw(Stage(pixels, alt, over, lossless=lossless, map=cells), "stage", on_pick=inspect_tab.pick)
    st.html(figures.legend(span, chosen.colours, _meaning(chosen, analysis), opacity=chosen.opacity))


def live_mean(chosen: Selection, analysis: Analysis) -> Heatmap:
    """Return the mean of the scales with the chosen power and weights; equal weights if all are 0."""
    weights = [chosen.weight(key) for key in analysis.heatmaps]
    if chosen.power == 1 and len(set(weights)) == 1:
        return analysis.arithmetic
    return combine(tuple(analysis.heatmaps.values()), chosen.power, weights if any(weights) else None)


def outlines_of(chosen: Selection, view: View) -> tuple[Outline, ...]:
    """Return what to outline: what the user asks for, or else what is found; those keep their colours."""
    synsets = view.ontology
    found = [each.synset.wnid for each in view.findings[:MOST_OUTLINES]]
    colours = dict(zip(found, stage.OUTLINE_COLOURS, strict=False))
    wnids = [chosen.synset] if session.explore().choices.now.synset else found
    return tuple(
        Outline(
            wnid,
            synsets[wnid].name,
            colours.get(wnid, stage.ASKED_COLOUR),
            view.outlined(chosen, wnid, tuple(other for other in wnids if other != wnid)).polygons,
        )
        for wnid in wnids
    )


def _choose() -> None:
    """Ask for the thing whose name was clicked on the photo."""
    wnid = st.session_state["stage"].get("chosen")
    if isinstance(wnid, str):
        session.choose_synset(wnid)


def _meaning(chosen: Selection, analysis: Analysis) -> str:
    if chosen.heatmap == "Fine":
        if chosen.snap:
            return "how surely this part of the photo belongs to it"
        return f"fine map: {MAP_LABELS[analysis.kind]}, stretched from its lowest to its highest"
    how = {"Fixed": "fixed", "Shared": "shared by these maps", "Per map": "each map's own"}[chosen.range]
    return f"mean of the scales: {MAP_LABELS[analysis.kind]}, {how} range"
