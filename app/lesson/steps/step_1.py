"""Figures of step one: the layers, and the grid of cells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.lesson import draw, experiments, resnet50, svg
from app.lesson.experiments import LayerRow
from app.lesson.facts import CLASSES, SIZES, cells_along, grid, shape
from app.lesson.language import number, percent
from app.lesson.language import translated as _
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from fcn_core.networks.geometry import CellGrid


def layers(stage: Stage) -> None:
    """Draw a table of the layers with window and output shape, ending with the classifier's last layers."""
    size = stage.spec.input_size
    rows = experiments.layer_table(stage.geometry(), size, size)
    table = [
        {
            _("Layer"): r.name,
            _("Window"): _window(r),
            _("Shape"): shape(*r.shape),
            _("Cells"): r.shape[0] * r.shape[1],
            _("Channels"): r.shape[2],
            _("Pixels per cell"): str(r.stride),
        }
        for r in rows[:-1]
    ]
    ending = [
        (_("global average pooling"), _("all cells"), stage.spec.features),
        ("Dense", "", CLASSES),
        ("softmax", "", CLASSES),
    ]
    table += [
        {
            _("Layer"): n,
            _("Window"): w,
            _("Shape"): f"({c},)",
            _("Cells"): 1,
            _("Channels"): c,
            _("Pixels per cell"): "",
        }
        for n, w, c in ending
    ]
    every = st.toggle(
        _("All {count} layers", count=len(table)),
        help=_("If off, only the layers that make the map smaller, and the last ones."),
        **stage.widget("all_layers"),
    )
    if not every:
        shown = {r.name for r in shrinking(rows[:-1])}
        table = [row for row in table if row[_("Layer")] in shown] + table[-len(ending) :]
    most = max(r.shape[0] * r.shape[1] for r in rows)
    draw.table(
        stage,
        table,
        _("Table of the network's layers with window, shape, cells and channels."),
        lengths={_("Cells"): most, _("Channels"): stage.spec.features},
        scrolls=every,
    )


def _window(row: LayerRow) -> str:
    """Describe the window of a layer."""
    if row.kind == "join":
        return _("join")
    if row.kind == "pad":
        return _("pad")
    if row.step == 2:
        return _("{window}, every 2nd", window=row.window)
    return row.window


def shrinking(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the layers that increase the stride, and the last layer."""
    before = [1, *(r.stride for r in rows)]
    return [r for r, stride in zip(rows, before, strict=False) if r.stride != stride or r is rows[-1]]


def grid_of_cells(stage: Stage) -> None:
    """Draw the picture at a chosen size under its grid of cells, and the receptive field of one cell."""
    geometry = stage.geometry()
    first, second = st.columns(2)
    height = first.slider(_("Height, in pixels"), 32, 800, **stage.widget("grid_height"))
    width = second.slider(_("Width, in pixels"), 32, 800, **stage.widget("grid_width"))
    cells = geometry.cells(height, width)
    row = _cell(stage, first, "grid_row", _("Row of the cell"), cells.y.size)
    column = _cell(stage, second, "grid_column", _("Column of the cell"), cells.x.size)
    whole = st.toggle(_("Show the cell's receptive field"), **stage.widget("field"))
    picture, said = grid_drawing(stage, cells, row, column, whole)
    draw.drawing(stage, picture, said, width=max(160, min(720, 520 * width // height)))
    (top, bottom), (left, right) = experiments.field_of(cells.y, row), experiments.field_of(cells.x, column)
    seen = (bottom - top + 1) * (right - left + 1) / (height * width)
    stage.say(
        grid_height=height,
        grid_width=width,
        grid=grid(cells.y.size, cells.x.size),
        cell_row=row + 1,
        cell_column=column + 1,
        extent=cells.y.extent,
        field_share=percent(seen),
    )
    stage.checks["grid"] = experiments.grid_check(geometry, *SIZES)


def _cell(stage: Stage, place: st.delta_generator.DeltaGenerator, name: str, label: str, cells: int) -> int:
    """Ask for a row or column and return it counted from zero; it starts in the middle."""
    if cells == 1:
        place.caption(_("{label}: there is only one.", label=label))
        return 0
    chosen = getattr(stage.chosen, name)
    shown = min(chosen, cells) if chosen else (cells + 1) // 2
    return (
        int(place.slider(label, 1, cells, **stage.widget(name, shown, str(cells), partial(_take, name)))) - 1
    )


def _take(name: str, value: int) -> None:
    lesson_state().choices.choose(**{name: value})


def grid_drawing(stage: Stage, cells: CellGrid, row: int, column: int, whole: bool) -> tuple[str, str]:
    """Return SVG of the picture at its size with the grid and one marked cell, and a description.

    With `whole` the drawing also contains the cell's whole receptive field.
    """
    height, width, stride = cells.y.input_size, cells.x.input_size, cells.y.stride
    margin = max(0.0, cells.y.extent / 2 - min(height, width) / 2) if whole else 0.0
    weight = (max(height, width) + 2 * margin) / 400
    y, x = cells.y.centre(row) + 0.5, cells.x.centre(column) + 0.5
    half = cells.y.extent / 2
    marks = [
        svg.lines(
            [k * stride for k in range(1, cells.x.size)],
            [k * stride for k in range(1, cells.y.size)],
            height,
            width,
            weight,
        ),
        svg.rectangle(
            column * stride,
            row * stride,
            min((column + 1) * stride, width),
            min((row + 1) * stride, height),
            2 * weight,
            fill=0.35,
        ),
        svg.dots([(x, y)], 4 * weight),
    ]
    if whole:
        marks.append(
            svg.rectangle(x - half, y - half, x + half, y + half, 1.5 * weight, fill=0.1, dashed=True)
        )
    shown = svg.stretched(stage.picture.pixels, min(height, 600), min(width, 600))
    said = _(
        "The picture under a grid of {rows} times {columns} cells; one cell is marked.",
        rows=cells.y.size, columns=cells.x.size,
    )  # fmt: skip
    if whole:
        said += " " + _("Around it is a dashed square of {extent} pixels a side.", extent=cells.y.extent)
    return svg.picture(shown, marks, said, size=(height, width), margin=margin), said


def resnet(stage: Stage) -> None:
    """Draw the shapes of ResNet50, the notebook's network, which need no weights."""
    size = resnet50.INPUT
    draw.table(
        stage,
        [
            {
                _("Layer"): s.name,
                _("Class in Keras"): s.kind,
                _("Shape for any size"): shape(*s.shape(None)),
                _("Shape at {size} × {size} pixels", size=size): shape(*s.shape(size)),
            }
            for s in resnet50.STAGES
        ],
        _("The layers of ResNet50 where the map changes, with their shapes."),
    )
    last = resnet50.STAGES[-1]
    cells = cells_along(size, last.stride)
    stage.say(
        resnet_layers=resnet50.LAYERS,
        resnet_parameters=_("{count} million", count=number(resnet50.WEIGHTS / 1e6, ".1f")),
        resnet_output=shape(*last.shape(None)),
        resnet_features=last.channels,
        resnet_last=last.kind,
        resnet_input=size,
        resnet_grid=grid(cells, cells),
    )


FIGURES = {"layers": layers, "resnet": resnet, "grid": grid_of_cells}
