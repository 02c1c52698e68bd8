"""How maps are coloured: the widgets under "Display", and what follows from them."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.state import caches, selection, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.ui.figures import Look
from fcn_core import render
from fcn_core.maps.heatmap import Heatmap, MapKind
from fcn_core.maps.region import contours_of
from fcn_core.pipeline import Analysis

_EVIDENCE_TOP = (
    20.0  # 2 % of four samples' cells exceed it, a fifth at 200x320; those cells get the last colour
)
MAP_LABELS = {"probability": "probability", "evidence": "evidence in logits"}

Span = tuple[float, float]


def draw() -> None:
    """Draw the widgets under "Display"."""
    choices = session.explore().choices
    chosen, widget = choices.now, choices.widget
    st.segmented_control(
        "Large heatmap", selection.HEATMAPS, required=True, **widget("heatmap", initial="default"),
        help="Fine: how surely each part of the photo belongs to the thing, along the edges in the photo. Mean: the "
        "mean of the scales, cell by cell.",
    )  # fmt: skip
    st.segmented_control(
        "Map", selection.MAPS, required=True, **widget("map", initial="default"),
        help="Probability: the softmax, summed over the synset's classes. Evidence: the positive part of the largest "
        "logit of the synset's classes, which does not depend on other classes.",
    )  # fmt: skip
    st.segmented_control(
        "Range", selection.RANGES, required=True, **widget("range", initial="default"),
        help="Fixed: a colour means the same on every map and every picture. Shared: from 0 to the highest value of "
        "these maps. Per map: each map from its own lowest to its own highest value.",
    )  # fmt: skip
    st.selectbox("Colours", render.COLOUR_MAPS, render.COLOUR_MAPS.index(chosen.colours),
        **widget("colours", initial=""),
        help="Viridis, cividis and magma are perceptually uniform and safe for colour-blind readers. "
        "Jet is neither.")  # fmt: skip
    st.slider("Opacity of the highest value", 0.0, 1.0, step=0.05, **widget("opacity"))
    st.segmented_control(
        "Cells", selection.CELLS, required=True, **widget("cells", initial="default"),
        help="Smooth: values between two cells lie between theirs. Blocks: each cell is one block, as it was computed.",
    )  # fmt: skip
    st.segmented_control(
        "Cell placement", selection.PLACES, required=True, **widget("place", initial="default"),
        help="Centres: each cell at the centre of its receptive field. Even: cells spread evenly over the picture, as "
        "in the notebook, which is wrong by up to half a cell.",
    )  # fmt: skip
    st.segmented_control(
        "Scale cards", selection.CARDS, required=True, **widget("cards", initial="default"),
        help="Overlay: the small maps lie over the photo. Plain: the maps alone.",
    )  # fmt: skip


def look_of(chosen: Selection) -> Look:
    """Return how maps are coloured."""
    return Look(
        chosen.colours,
        chosen.opacity,
        chosen.cells == "Smooth",
        "centres" if chosen.place == "Centres" else "even",
    )


def photo(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture at the size (height, width) at which it is shown."""
    return caches.photo(picture.sha256, *size, picture.working)


def card_photo(picture: Picture, size: tuple[int, int], chosen: Selection) -> NDArray[np.uint8] | None:
    """Return the picture below the small maps, or None if they are shown alone."""
    return photo(picture, size) if chosen.cards == "Overlay" else None


def span_of(maps: Analysis, chosen: Selection) -> Span | None:
    """Return the values of the first and the last colour, or None if each map has its own."""
    if chosen.range == "Per map":
        return None
    if chosen.range == "Shared":
        shown = [*maps.heatmaps.values(), maps.arithmetic, maps.geometric]
        return 0.0, max(1e-6, *(heatmap.peak for heatmap in shown))
    return fixed_span(maps.kind)


def fixed_span(kind: MapKind) -> Span:
    """Return the values of the first and the last colour that are the same on every map and every picture."""
    return 0.0, 1.0 if kind == "probability" else _EVIDENCE_TOP


def own_span(heatmap: Heatmap, span: Span | None) -> Span:
    """Return `span`, or without one the lowest and the highest value of a map."""
    return span if span is not None else (float(heatmap.values.min()), max(heatmap.peak, 1e-6))


def marked_map(analysis: Analysis) -> Heatmap:
    """Return the fine map, 0 everywhere if nothing is marked: it is high somewhere in any case."""
    fine = analysis.fine if analysis.marked else np.zeros_like(analysis.fine)
    return Heatmap(fine, analysis.kind)


def outlined(analysis: Analysis, size: tuple[int, int], *, veil: bool, boxes: bool) -> NDArray[np.uint8]:
    """Draw the region, if one is marked, on the photo at the working size; then resize it to (height, width)."""
    pixels = analysis.image.pixels
    if not analysis.marked:
        return caches.resized(pixels, size)
    line = max(2, round(max(pixels.shape[:2]) / 240))
    drawn = render.draw_mask(pixels, analysis.mask) if veil else pixels
    drawn = render.draw_contours(drawn, contours_of(analysis.mask), width=line)
    if boxes:
        drawn = render.draw_boxes(drawn, analysis.boxes, width=line)
    return caches.resized(drawn, size)
