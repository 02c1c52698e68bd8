"""One place of the picture, looked at through every scale: classes, what moves the cell, the path to the root."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.state import cached
from app.state.queue.jobs import ModelKey
from app.ui import figures, notices
from fcn_core import render
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.images.read import RGBImage
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.region import Box
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.pipeline import Analysis

# Okabe and Ito's colours, told apart with every kind of colour blindness: one a scale.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))
_TOP = 5
_POLL = 0.5  # seconds


def top_classes(
    class_maps: Mapping[str, ClassMap], cells: CellGrid | None
) -> tuple[NDArray[np.intp], list[str]]:
    """The strongest class of every cell of the finest scale, as an index into a list of names."""
    finest = next((m for m in class_maps.values() if m.cells == cells), list(class_maps.values())[-1])
    ids, index = np.unique(finest.logits.argmax(axis=-1), return_inverse=True)
    synsets = cached.ontology()
    return index.reshape(finest.grid), [synsets.label(synsets.classes[i]) for i in ids.tolist()]


def picked(rows: int, columns: int) -> tuple[int, int] | None:
    """The cell that was picked, moved into the grid where that has changed; None before any was."""
    row, column = st.session_state.get("row"), st.session_state.get("column")
    if row is None or column is None:
        return None
    return min(int(row), rows - 1), min(int(column), columns - 1)


def pick() -> None:
    """Take over the cell clicked on the map."""
    cell = st.session_state["pointer"].get("cell")
    if isinstance(cell, list | tuple) and len(cell) == 2:
        st.session_state["row"], st.session_state["column"] = max(0, int(cell[0])), max(0, int(cell[1]))


def draw(class_maps: Mapping[str, ClassMap], maps: Analysis, image: RGBImage, model: ModelKey) -> None:
    """Draw the inspector of the picked cell, or of the strongest one."""
    rows, columns = maps.arithmetic.grid
    cells = maps.arithmetic.cells
    if cells is None:
        return
    row, column = picked(rows, columns) or maps.arithmetic.peak_cell
    st.session_state["row"], st.session_state["column"] = row, column
    left, right = st.columns([2, 3])
    with left:
        down, across = st.columns(2)
        down.number_input("Row", 0, rows - 1, key="row", bind="query-params")
        across.number_input("Column", 0, columns - 1, key="column", bind="query-params")
        notices.note(
            f"Of the finest grid, {rows} × {columns} cells. Click the large map above to choose another, or walk "
            "over it with the arrow keys."
        )
        at = {
            key: (
                round(m.cells.y.index(cells.y.centre(row), cells.y.input_size)),
                round(m.cells.x.index(cells.x.centre(column), cells.x.input_size)),
            )
            for key, m in class_maps.items()
        }
        _frames(image, class_maps, at, model)
    with right:
        probabilities = {key: _softmax(m.logits[at[key]]) for key, m in class_maps.items()}
        _strongest(probabilities, maps, at)
        _path(probabilities, maps.synset.wnid)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    weights: NDArray[np.float32] = np.exp(logits - logits.max())
    weights /= weights.sum()
    return weights


def _frames(
    image: RGBImage, class_maps: Mapping[str, ClassMap], at: Mapping[str, tuple[int, int]], model: ModelKey
) -> None:
    """The photo with a frame a scale around what moves its cell, once that is measured, and what it means."""
    height, width = figures.shown_size(image, 460, 460)
    drawn = cached.photo(image.sha256, height, width, image)
    measured = cached.queue().field(model, session=cached.session())
    failure = measured.exception() if measured.done() else None
    if not measured.done() or failure is not None:
        st.html(figures.figure(drawn, "The picture"))
        notices.note(
            f"What moves a cell could not be measured. {failure}"
            if failure is not None
            else "Measuring what moves a cell of this model, once …"
        )
        if failure is None:
            st.fragment(_wait, run_every=_POLL)(model)
        return
    field = measured.result()
    for index, (key, class_map) in enumerate(class_maps.items()):
        (y0, y1), (x0, x1) = (
            frame(axis, cell, field.side, pixels)
            for axis, cell, pixels in zip(
                (class_map.cells.y, class_map.cells.x), at[key], (height, width), strict=True
            )
        )
        drawn = render.draw_boxes(
            drawn, [Box(x0, y0, x1, y1, 0, 0.0)], _COLOURS[index % len(_COLOURS)], width=2
        )
    st.html(figures.figure(drawn, "The picture with a frame a scale around what moves its cell"))
    dots = "".join(
        f'<span style="color:rgb{_COLOURS[i % len(_COLOURS)]}" aria-hidden="true">■</span> {key} &ensp;'
        for i, key in enumerate(class_maps)
    )
    st.html(f'<p class="fcn-note">{dots}</p>')
    extent = next(iter(class_maps.values())).cells.y.extent
    notices.note(said_of(field, extent))


def _wait(model: ModelKey) -> None:
    if cached.queue().field(model, session=cached.session()).done():
        st.rerun()


def said_of(field: EffectiveField, extent: int) -> str:
    """What the frames are, in words; `extent` is the theoretical receptive field's side."""
    return (
        f"Frames: {field.side} × {field.side} pixels of the network's input around the cell's centre, which hold about "
        f"90 % of what moves it (measured on a sample picture; from cell to cell {field.low} to {field.high}). Far "
        f"weaker, all {extent} × {extent} pixels around it can. A cell at the picture's border looks up to "
        f"{field.inward} pixels further inside than its centre."
    )


def frame(axis: CellAxis, cell: int, side: int, pixels: int) -> tuple[int, int]:
    """First and last pixel (exclusive) of a frame around a cell along a side shown with so many pixels.

    Parameters
    ----------
    axis : CellAxis
    cell : int
    side : int
        Of the frame, in pixels of the network's input; it is clipped to the picture.
    pixels : int
        That the picture is shown with along this axis.
    """
    low, high = map(round, axis.span(cell, side, pixels))
    return low, max(high, min(low + 1, pixels))


def _strongest(
    probabilities: Mapping[str, NDArray[np.float32]], maps: Analysis, at: Mapping[str, tuple[int, int]]
) -> None:
    synsets = cached.ontology()
    st.markdown("**Strongest classes here**")
    best = {key: np.argsort(-p)[:_TOP].tolist() for key, p in probabilities.items()}
    rows = [
        [
            f"{synsets.label(synsets.classes[best[key][rank]])} {p[best[key][rank]]:.2f}"
            for key, p in probabilities.items()
        ]
        for rank in range(_TOP)
    ]
    st.html(figures.table([key.replace("x", " × ") for key in probabilities], rows))
    name = notices.escape_markdown(synsets.label(maps.synset.wnid))
    values = ", ".join(f"{maps.heatmaps[k].values[at[k]]:.2f}" for k in probabilities)
    st.markdown(f"**{name}** here: {values}")


def _path(probabilities: Mapping[str, NDArray[np.float32]], wnid: str) -> None:
    """Probability from the root down to the strongest class, averaged over the scales."""
    synsets = cached.ontology()
    mean = np.mean(list(probabilities.values()), axis=0)
    leaf = synsets.classes[int(mean.argmax())]
    st.markdown(
        "**From the root to the strongest class**",
        help="Each synset's probability is the sum over its classes, so it can only shrink on the way down. "
        "Averaged over the scales.",
    )
    lines = []
    for step in synsets.breadcrumb(leaf):
        value = float(mean[list(synsets.class_ids(step))].sum())
        label = html.escape(synsets.label(step))
        shown = f"<b>{label}</b>" if step == wnid else label
        lines.append(
            f'<tr><td>{shown}</td><td class="n">{synsets.count(step)}</td>'
            f'<td class="fcn-bar"><span style="width:{value:.1%}"></span></td><td class="n">{value:.2f}</td></tr>'
        )
    st.html(
        '<div class="fcn-scroll"><table class="fcn-table"><thead><tr><th>synset</th><th class="n">classes</th>'
        f'<th></th><th class="n">mean</th></tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )
