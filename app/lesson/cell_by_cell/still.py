"""The figure on paper: one drawing of the strongest cell, from its patch to the probability of the synset."""

from __future__ import annotations

from html import escape

import numpy as np

from app.lesson import svg
from app.lesson.cell_by_cell.numbers import Array, Cell, Cells
from app.lesson.language import number
from app.lesson.language import translated as _
from app.lesson.stage import Stage
from app.ui.figures import uri
from fcn_core import render
from fcn_core.engines.last_layer import LastLayer

_PHOTO = 560  # pixels of the picture's longer side
_WIDTH, _HEIGHT = 860, 226  # of the drawing, in its own units
_TOP, _PICTURE, _MAP, _GAP = 16, 250, 92, 28
_ENLARGED = 10  # pixels for each cell: viewers blur enlarged pictures
_INK, _QUIET, _LINE = "#1c1f24", "#555", "#c98700"
_DARKEST = 0.68


def still(stage: Stage, cells: Cells, last: LastLayer, field: Array | None) -> str:
    """Return HTML of the drawing.

    Parameters
    ----------
    stage : Stage
    cells : Cells
    last : LastLayer
    field : (h, w, h, w) ndarray or None
        What was measured of each cell; None shades nothing.
    """
    cell, ontology = cells.peak, stage.ontology
    known = cells.listed[cell][0]
    found = cells.logit(last, cell, known)
    name, synset = ontology.label(ontology.classes[known]), ontology.label(stage.synset)
    rows, columns = cells.grid
    photo = svg.reduced(stage.picture.pixels, _PHOTO)
    height = min(_PICTURE * photo.shape[0] / photo.shape[1], _HEIGHT - _TOP)
    width = height * photo.shape[1] / photo.shape[0]
    patch = _patch(cells, cell, height, width)
    parts = [
        f'<image href="{uri(photo)}" x="0" y="{_TOP}" width="{width:.1f}" height="{height:.1f}"/>',
        *_shades(cells, field, cell, height, width),
        _frame(*patch, 2.5),
        _text(0, 10, _("The picture")),
    ]
    map_height = min(_MAP * rows / columns, 96.0)
    side = map_height * columns / rows
    left = width + 40
    parts.append(_text(left, 10, _("Feature maps")))
    for n, (term, product) in enumerate(zip(found.terms, found.products, strict=True)):
        x, y = left + (n % 3) * (side + _GAP), _TOP + (n // 3) * (map_height + 34)
        at = _cell(cell, cells.grid, x, y, side, map_height)
        parts += [
            _map(last.features[..., term.channel], x, y, side, map_height),
            _beam(patch, at),
            _frame(*at, 1.5),
        ]
        parts.append(_text(x, y + map_height + 10, _("channel {channel}", channel=term.channel), quiet=True))
        factors = f"{number(term.feature, '.2f')} × {number(term.weight, '.3f')} = {_number(product)}"
        parts.append(_text(x, y + map_height + 21, factors))
    x, y = left + 2 * (side + _GAP), _TOP + map_height + 34
    more = last.features.shape[-1] - len(found.terms)
    for n, (label, value) in enumerate(
        [
            ("+ " + _("{count} more", count=more), found.rest),
            ("+ " + _("bias"), found.bias),
            ("", found.logit),
        ]
    ):
        label = label or "= " + _("logit")
        parts.append(_text(x, y + 14 + 16 * n, label, bold=n == 2))
        parts.append(_text(x + side + 16, y + 14 + 16 * n, _number(value), bold=n == 2, right=True))
    x = left + 3 * side + 2 * _GAP + 52
    logits = cells.class_map.logits[..., known]
    for n, (values, title, shown) in enumerate(
        [
            (logits, _("Logits of “{name}”", name=name), found.logit),
            (cells.heat, _("Probability of “{synset}”", synset=synset), cells.sum_below(cell).total),
        ]
    ):
        y = _TOP + n * (map_height + 34)
        at = _cell(cell, cells.grid, x, y, side, map_height)
        low, high = (float(logits.min()), float(logits.max())) if n == 0 else (0.0, 1.0)
        parts += [_map(values, x, y, side, map_height, (low, high)), _frame(*at, 1.5)]
        parts += [
            _text(x, y - 5, title, quiet=True),
            _text(x + side + 6, at[1] + 8, _number(shown), bold=True),
        ]
    alt = _("The picture with the cell in row {row}, column {column}.", row=cell[0] + 1, column=cell[1] + 1)
    return (
        f'<figure role="img" aria-label="{escape(alt)}"><svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="system-ui, sans-serif">{"".join(parts)}</svg></figure>'
    )


Box = tuple[float, float, float, float]


def _patch(cells: Cells, cell: Cell, height: float, width: float) -> Box:
    """Return left, top, right and bottom of a cell's part of the picture in the drawing."""
    ys, xs = cells.class_map.cells.y.edges(), cells.class_map.cells.x.edges()
    row, column = cell
    return xs[column] * width, _TOP + ys[row] * height, xs[column + 1] * width, _TOP + ys[row + 1] * height


def _cell(cell: Cell, grid: Cell, x: float, y: float, width: float, height: float) -> Box:
    """Return the place of a cell on a map."""
    (row, column), (rows, columns) = cell, grid
    step_x, step_y = width / columns, height / rows
    return x + column * step_x, y + row * step_y, x + (column + 1) * step_x, y + (row + 1) * step_y


def _shades(cells: Cells, field: Array | None, cell: Cell, height: float, width: float) -> list[str]:
    if field is None:
        return []
    bright = np.sqrt(field[cell] / (field[cell].max() or 1.0))
    found = []
    for other in cells.all:
        left, top, right, bottom = _patch(cells, other, height, width)
        found.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
            f'fill-opacity="{_DARKEST * (1 - bright[other]):.2f}"/>'
        )
    return found


def _map(
    values: Array, x: float, y: float, width: float, height: float, span: tuple[float, float] | None = None
) -> str:
    low, high = span or (0.0, float(values.max()))
    colours = render.colourise(values, low, max(high, low))
    large = np.repeat(np.repeat(colours, _ENLARGED, axis=0), _ENLARGED, axis=1)
    return (
        f'<image href="{uri(large, lossless=True)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" preserveAspectRatio="none"/>'
    )


def _frame(left: float, top: float, right: float, bottom: float, weight: float) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="none"'
    return (
        f'<rect {place} stroke="#000" stroke-width="{weight + 1.2:g}"/>'
        f'<rect {place} stroke="{svg.ACCENT}" stroke-width="{weight:g}"/>'
    )


def _beam(patch: Box, at: Box) -> str:
    """Return lines from the right side of the patch to a cell of a map."""
    _left, top, right, bottom = patch
    return (
        f'<path d="M{right:.1f} {top:.1f}L{at[0]:.1f} {at[1]:.1f}V{at[3]:.1f}L{right:.1f} {bottom:.1f}Z" '
        f'fill="{_LINE}" fill-opacity=".1" stroke="{_LINE}" stroke-width=".6" stroke-opacity=".8"/>'
    )


def _text(
    x: float, y: float, text: str, *, quiet: bool = False, bold: bool = False, right: bool = False
) -> str:
    look = f'fill="{_QUIET if quiet else _INK}" font-size="{9.5 if quiet else 10}"'
    look += ' font-weight="700"' if bold else ""
    look += ' text-anchor="end"' if right else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'


def _number(value: int) -> str:
    return number(value / 1000, ".3f")
