"""The tab "Inspect": one cell at every scale: its classes, the pixels that influence it, the path to the root."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.state import caches, session
from app.state.selection import Selection
from app.state.session import session_id
from app.state.shared_queue import queue
from app.state.view import View
from app.ui import figures, notices
from fcn_core import render
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.region import Box
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.pipeline import Analysis

# Okabe and Ito's colours, one a scale: readers with any kind of colour blindness can tell them apart.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))
_TOP = 5


def top_classes(view: View, cells: CellGrid | None) -> tuple[NDArray[np.intp], list[str]]:
    """Return the strongest class of every cell of the finest scale, as an index into a list of names."""
    maps = list(view.class_maps.values())
    finest = next((m for m in maps if m.cells == cells), maps[-1])
    ids, index = np.unique(finest.logits.argmax(axis=-1), return_inverse=True)
    synsets = view.ontology
    return index.reshape(finest.grid), [synsets.label(synsets.classes[i]) for i in ids.tolist()]


def cell_of(chosen: Selection, maps: Analysis) -> tuple[int, int]:
    """Return the chosen cell, or the one with the highest value if none is chosen or the grid is too small for it."""
    rows, columns = maps.arithmetic.grid
    if chosen.row is None or chosen.column is None or chosen.row >= rows or chosen.column >= columns:
        return maps.arithmetic.peak_cell
    return chosen.row, chosen.column


def marked_cell(chosen: Selection, maps: Analysis) -> tuple[int, int] | None:
    """Return the cell to mark on the large map, if any: a chosen one, or the one that this tab shows."""
    is_chosen = chosen.row is not None and chosen.column is not None
    return cell_of(chosen, maps) if is_chosen or chosen.inspects else None


def pick() -> None:
    """Choose the cell that was clicked on the large map."""
    cell = st.session_state["stage"].get("cell")
    if isinstance(cell, list | tuple) and len(cell) == 2:
        session.explore().choices.choose(row=max(0, int(cell[0])), column=max(0, int(cell[1])))


def _inputs(cell: tuple[int, int], grid: tuple[int, int]) -> None:
    """Draw the inputs of row and column; either chooses the cell."""
    choices = session.explore().choices
    row, column = cell
    left, right = st.columns(2)
    left.number_input(
        "Row",
        0,
        grid[0] - 1,
        **choices.widget("row", row, choose=lambda value: choices.choose(row=value, column=column)),
    )
    right.number_input(
        "Column",
        0,
        grid[1] - 1,
        **choices.widget("column", column, choose=lambda value: choices.choose(row=row, column=value)),
    )


def draw(chosen: Selection, view: View, maps: Analysis) -> None:
    """Draw the tab."""
    rows, columns = maps.arithmetic.grid
    cells = maps.arithmetic.cells
    if cells is None:
        return
    class_maps = view.class_maps
    row, column = cell_of(chosen, maps)
    left, right = st.columns([2, 3])
    with left:
        _inputs((row, column), (rows, columns))
        notices.note(
            f"One cell of the finest grid, {rows} × {columns} cells: what the network says of this patch of the photo. "
            + ("" if chosen.view == "Heatmap" else 'To choose another, first choose "Heatmap" above. ')
            + "Click the large heatmap, or walk over it with the arrow keys and press Enter."
        )
        at = {
            key: (
                round(m.cells.y.index(cells.y.centre(row), cells.y.input_size)),
                round(m.cells.x.index(cells.x.centre(column), cells.x.input_size)),
            )
            for key, m in class_maps.items()
        }
        _frames(view, at)
    with right:
        here = {key: _one_cell(m, at[key]) for key, m in class_maps.items()}
        _strongest(view, here, maps, at)
        _path(view, list(here.values()), chosen.synset)


def _one_cell(class_map: ClassMap, cell: tuple[int, int]) -> ClassMap:
    """Return the class map of one cell."""
    row, column = cell
    return replace(class_map, logits=class_map.logits[row : row + 1, column : column + 1], middle=())


def _frames(view: View, at: Mapping[str, tuple[int, int]]) -> None:
    """Draw the photo with one frame a scale around the pixels that influence its cell, once that is measured."""
    model, class_maps, image = view.job.key.model, view.class_maps, view.picture.working
    height, width = figures.shown_size(image, 460, 460)
    drawn = caches.photo(image.sha256, height, width, image)
    measured = queue().field(model, session=session_id())
    failure = measured.exception() if measured.done() else None
    if not measured.done() or failure is not None:
        st.html(figures.figure(drawn, "The picture"))
        notices.note(
            f"The pixels that influence a cell could not be measured. {failure}"
            if failure is not None
            else "Measuring which pixels influence a cell of this model, once …"
        )
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
    st.html(figures.figure(drawn, "The picture with one frame a scale around the pixels of its cell"))
    dots = "".join(
        f'<span style="color:rgb{_COLOURS[i % len(_COLOURS)]}" aria-hidden="true">■</span> {key} &ensp;'
        for i, key in enumerate(class_maps)
    )
    st.html(f'<p class="fcn-note">{dots}</p>')
    extent = next(iter(class_maps.values())).cells.y.extent
    notices.note(describe(field, extent))


def describe(field: EffectiveField, extent: int) -> str:
    """Describe the frames; `extent` is the side of the theoretical receptive field, in pixels."""
    return (
        f"Frames: {field.side} × {field.side} pixels of the network's input around the cell's centre. They carry about "
        f"90 % of the influence on the cell (measured on a sample picture; {field.low} to {field.high} for single "
        f"cells). The other pixels of the {extent} × {extent} around it have far less influence. A cell at the "
        f"picture's border depends on pixels up to {field.inward} pixels further inside than its centre."
    )


def frame(axis: CellAxis, cell: int, side: int, pixels: int) -> tuple[int, int]:
    """Return the first and the last pixel (exclusive) of a cell's frame along one side of the shown picture.

    Parameters
    ----------
    axis : CellAxis
    cell : int
    side : int
        Length of the frame in pixels of the network's input; it is clipped to the picture.
    pixels : int
        Length of the shown picture along this axis.
    """
    low, high = map(round, axis.span(cell, side, pixels))
    return low, max(high, min(low + 1, pixels))


def _strongest(
    view: View, here: Mapping[str, ClassMap], maps: Analysis, at: Mapping[str, tuple[int, int]]
) -> None:
    synsets = view.ontology
    probabilities = {key: cell.probabilities[0, 0] for key, cell in here.items()}
    st.markdown("**Strongest classes here**")
    best = {key: np.argsort(-p)[:_TOP].tolist() for key, p in probabilities.items()}
    rows = [
        [
            f"{synsets.label(synsets.classes[best[key][rank]])} {p[best[key][rank]]:.2f}"
            for key, p in probabilities.items()
        ]
        for rank in range(min(_TOP, len(synsets.classes)))
    ]
    st.html(figures.table([key.replace("x", " × ") for key in probabilities], rows))
    name = notices.escape_markdown(maps.synset.name)
    values = ", ".join(f"{maps.heatmaps[k].values[at[k]]:.2f}" for k in probabilities)
    st.markdown(f"**{name}** here: {values}")


def _path(view: View, here: Sequence[ClassMap], wnid: str) -> None:
    """Draw the probabilities from the root down to the strongest class, averaged over the scales."""
    synsets = view.ontology
    mean = np.mean([cell.probabilities[0, 0] for cell in here], axis=0)
    leaf = synsets.classes[int(mean.argmax())]
    how = "the sum over" if view.info.outputs.exclusive else "the largest of"
    st.markdown(
        "**From the root to the strongest class**",
        help=f"The probability of a synset is {how} its classes, so it never grows on the way down. Averaged over the "
        "scales.",
    )
    lines = []
    for step in synsets.breadcrumb(leaf):
        ids = np.asarray(synsets.class_ids(step))
        value = float(np.mean([cell.probability_of_any(ids)[0, 0] for cell in here]))
        label = html.escape(synsets.label(step))
        shown = f"<b>{label}</b>" if step == wnid else label
        lines.append(
            f'<tr><td>{shown}</td><td class="n">{synsets.count(step)}</td>'
            f'<td class="fcn-bar"><span style="width:{value:.1%}"></span></td><td class="n">{value:.2f}</td></tr>'
        )
    st.html(
        '<div class="fcn-scroll"><table class="fcn-table"><thead><tr><th>synset</th><th class="n">classes</th>'
        f'<td></td><th class="n">mean</th></tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )
