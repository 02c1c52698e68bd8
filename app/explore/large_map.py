"""The large map of Explore, which responds to the pointer, and its legend."""

from __future__ import annotations

import streamlit as st

from app.explore import inspect_tab
from app.state import caches
from app.state.selection import Selection
from app.state.view import View
from app.ui import figures
from app.ui.display import MAP_LABELS, look_of, outlined, own_span, photo, span_of
from app.ui.pointer_map import PointerMap, pointer_map
from fcn_core.maps.heatmap import Heatmap
from fcn_core.pipeline import Analysis


def draw(chosen: Selection, view: View, analysis: Analysis, size: tuple[int, int]) -> None:
    """Draw the map at a size (height, width)."""
    look, picture = look_of(chosen), view.picture
    lossless = False
    if chosen.view == "Mean":
        span = own_span(analysis.arithmetic, span_of(analysis, chosen))
        pixels = figures.paint(photo(picture, size), analysis.arithmetic, size, span, look)
        lossless = not look.smooth
    elif chosen.view == "Fine":
        fine = Heatmap(analysis.fine, analysis.kind)
        pixels = figures.paint(photo(picture, size), fine, size, (0.0, 1.0), look)
    else:
        mask = chosen.view == "Mask"
        pixels = outlined(analysis, size, veil=mask, boxes=not mask)
    name = caches.ontology().label(chosen.synset)
    classes, names = inspect_tab.top_classes(view.class_maps, analysis.arithmetic.cells)
    shown = PointerMap(
        pixels,
        lossless,
        f"{chosen.view} of {name}: peak {figures.number(analysis.arithmetic.peak)}",
        analysis.arithmetic.values,
        classes,
        names,
        analysis.arithmetic.cells if look.placement == "centres" else None,
    )
    pointer_map(shown, inspect_tab.marked_cell(chosen, analysis), key="pointer", on_pick=inspect_tab.pick)


def absence(analysis: Analysis) -> str:
    """Say that the synset was not found."""
    name = caches.ontology().label(analysis.synset.wnid)
    return f"No {name} found here: the probability that there is one is {analysis.presence:.0%}."


def draw_trace(analysis: Analysis) -> None:
    """Offer to mark the strongest trace of a synset that was not found."""
    if not analysis.present:
        st.toggle(
            "Show the strongest trace",
            key="trace",
            persist_state="session",
            help="Marks where the synset would be if it were in the picture.",
        )


def draw_legend(chosen: Selection, analysis: Analysis) -> None:
    """Draw what the colours, or the outlines, mean."""
    note = "" if analysis.present else absence(analysis)
    if chosen.view == "Fine":
        label = (
            "fine map: probability that a region belongs to it"
            if chosen.snap
            else f"fine map: {MAP_LABELS[analysis.kind]}, stretched from its lowest to its highest"
        )
        st.html(figures.legend((0.0, 1.0), chosen.colours, label, note))
        return
    if chosen.view == "Mean":
        how = {"Fixed": "fixed", "Shared": "shared by these maps", "Per map": "each map's own"}[chosen.range]
        label = f"{MAP_LABELS[analysis.kind]}, {how} range"
        st.html(figures.legend(span_of(analysis, chosen), chosen.colours, label, note))
        return
    count = len(analysis.boxes)
    text = (
        "nothing is marked"
        if not analysis.marked
        else (
            f"threshold {analysis.threshold:.2f}, {analysis.coverage:.0%} of the picture, "
            f"{count} region{'' if count == 1 else 's'}"
        )
    )
    st.html(
        f'<div class="fcn-legend"><span class="fcn-muted">{text}</span><span class="fcn-warn">{note}</span></div>'
    )
