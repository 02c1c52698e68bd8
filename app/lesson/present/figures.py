"""Figures that only slides have, and all figures that a slide can show, by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app.lesson import draw, experiments, svg
from app.lesson.facts import ASKED, CLASSES, grid
from app.lesson.frame import Draw
from app.lesson.language import marked
from app.lesson.language import translated as _
from app.lesson.pictures import SHOWN, first_synset
from app.lesson.stage import Stage
from app.lesson.steps import since_2020, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8
from app.ui.figures import uri
from fcn_core import render
from fcn_core.images.scales import Scale
from fcn_core.maps.heatmap import combine, place

WHERE: Mapping[str, str] = {
    "dog": marked("Where is the dog?"),
    "hen": marked("Where are the hens?"),
    "horse": marked("Where are the horses?"),
    "cattle": marked("Where is the cow?"),
    "duck": marked("Where is the duck?"),
    "pig": marked("Where is the pig?"),
    "sheep": marked("Where is the sheep?"),
    "cat": marked("Where is the cat?"),
}
_ELSE = marked("Where is the object?")
_SIDE, _SMALL, _GAP = 190, 96, 36  # of a map in a drawing, of a single place, and between maps
_STYLE = 'font-family="sans-serif" text-anchor="middle" fill="#8a94a6" font-weight="600"'


def where(stage: Stage) -> str:
    """Return the question of the lecture, for the learner's picture."""
    name = stage.chosen.picture
    same = name in SHOWN and stage.synset == first_synset(name, stage.ontology)
    return _(WHERE[SHOWN[name]] if same else _ELSE)


def photo(stage: Stage) -> None:
    """Draw the picture alone."""
    draw.photo(stage, stage.picture.pixels, _("The picture of the lesson."))


def answer(stage: Stage) -> None:
    """Draw the classifier's answer: its five most probable classes."""
    size = stage.spec.input_size
    (class_map,) = stage.class_maps("native", stage.source, (Scale(size, size),), "exact").values()
    first, _mean = experiments.two_answers(class_map)
    order = np.argsort(-first)[:5]
    names = [stage.ontology.label(stage.ontology.classes[i]) for i in order]
    draw.pairs(
        stage, names, {_("probability"): first[order].tolist()}, _("probability"),
        _("Bars: the five most probable classes."),
    )  # fmt: skip
    stage.say(answer_class=names[0], answer_share=float(first[order[0]]))


def positions(stage: Stage) -> None:
    """Draw how many places the maps have that get smaller, down to the single one of the mean.

    The picture itself stands for the maps: each place has the mean colour of its part of the picture. The map with half
    as many rows as the picture is left out: nobody could tell it from the picture.
    """
    size = stage.spec.input_size
    rows = step_1.shrinking(experiments.layer_table(stage.geometry(), size, size)[:-1])
    channels = {size: 3, **{row.shape[0]: row.shape[2] for row in rows if row.stride > 2}}
    square = svg.stretched(stage.picture.pixels, size, size)
    parts = [
        _map(square, side, n * (_SIDE + _GAP), _SIDE, (grid(side, side), _channels(count, first=not n)))
        for n, (side, count) in enumerate(channels.items())
    ]
    end = len(channels) * (_SIDE + _GAP)
    parts.append(_map(square, 1, end + 30, _SMALL, (_("mean"), str(stage.spec.features))))
    parts += [_arrow(n * (_SIDE + _GAP) - _GAP + 3, n * (_SIDE + _GAP) - 3) for n in range(1, len(channels))]
    parts.append(_arrow(end - _GAP + 3, end + 27))
    last = list(channels)[-1]
    said = _(
        "The picture in fewer and fewer squares, down to {grid}; after the mean, one square is left.",
        grid=grid(last, last),
    )
    draw.drawing(stage, _sheet(parts, end + 30 + _SMALL + 10, said), said, width="stretch")


def _channels(count: int, first: bool = False) -> str:
    return _("{count} colours", count=count) if first else _("{count} channels", count=count)


def _map(
    square: svg.UInt8, side: int, x: float, size: float, lines: tuple[str, str], letters: int = 23
) -> str:
    """Return SVG of a square picture in side × side places, with two lines of text below."""
    pixels = uri(svg.enlarged(svg.averaged(square, side), 380), lossless=True)
    return (
        f'<image href="{pixels}" x="{x:g}" y="{(_SIDE - size) / 2:g}" width="{size:g}" height="{size:g}"/>'
        f"{_words(x + size / 2, lines[0], letters=letters)}{_words(x + size / 2, lines[1], 1, letters)}"
    )


def _words(x: float, text: str, line: int = 0, letters: int = 18) -> str:
    y = _SIDE + 1.5 * letters + 1.3 * letters * line
    return f'<text x="{x:g}" y="{y:g}" font-size="{letters}" {_STYLE}>{text}</text>'


def _arrow(x0: float, x1: float) -> str:
    y = _SIDE / 2
    return (
        f'<path d="M{x0:g} {y:g}H{x1 - 4:g}M{x1 - 12:g} {y - 9:g}L{x1 - 3:g} {y:g}L{x1 - 12:g} {y + 9:g}" '
        f'fill="none" stroke="{svg.ACCENT}" stroke-width="5"/>'
    )


def _sheet(parts: list[str], width: float, said: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -2 {width:g} {_SIDE + 84}" width="{width:g}" '
        f'height="{_SIDE + 84}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
    )


def convolution(stage: Stage) -> None:
    """Draw how the table of weights turns the features of one cell into its logits."""
    side = -(-stage.spec.input_size // stage.model.output_stride)
    row, column, cell = side // 3, side - side // 3, _SIDE / side
    square = svg.stretched(stage.picture.pixels, 380, 380)
    lines = svg.lines([k * cell for k in range(1, side)], [k * cell for k in range(1, side)], _SIDE, _SIDE, 1)
    marked_cell = svg.rectangle(column * cell, row * cell, (column + 1) * cell, (row + 1) * cell, 4, fill=0.4)
    steps = (190, 310, 510, 640)  # where the arrows and what is between them begin
    parts = [
        _map(square, side, 0, _SIDE, (grid(side, side), _channels(stage.spec.features)), 18), lines, marked_cell,
        _arrow(steps[0] + 6, steps[0] + 60),
        _stack(steps[0] + 70, 0), _words(steps[0] + 88, str(stage.spec.features)),
        f'<text x="{steps[1] + 10}" y="{_SIDE / 2 + 10}" font-size="34" {_STYLE}>×</text>',
        f'<rect x="{steps[1] + 30}" y="25" width="{steps[2] - steps[1] - 30}" height="{_SIDE - 50}" rx="8" '
        f'fill="#8a94a6" fill-opacity=".2" stroke="#8a94a6" stroke-width="2.5"/>'
        f'<text x="{(steps[1] + steps[2]) / 2 + 15}" y="{_SIDE / 2 + 14}" font-size="42" {_STYLE}>W</text>',
        _words((steps[1] + steps[2]) / 2 + 15, grid(stage.spec.features, CLASSES)),
        _arrow(steps[2] + 8, steps[2] + 60),
        _stack(steps[2] + 70, 3), _words(steps[2] + 88, str(CLASSES)),
        _arrow(steps[3] + 8, steps[3] + 60),
        f'<g transform="translate({steps[3] + 70} 0)"><rect width="{_SIDE}" height="{_SIDE}" fill="#8a94a6" '
        f'fill-opacity=".45"/>{lines}{marked_cell}</g>',
        _words(steps[3] + 70 + _SIDE / 2, grid(side, side)),
        _words(steps[3] + 70 + _SIDE / 2, _("{count} logits", count=CLASSES), 1),
    ]  # fmt: skip
    said = _("One cell of the features, times the table of weights, gives the logits of the same cell.")
    draw.drawing(stage, _sheet(parts, steps[3] + 70 + _SIDE, said), said, width="stretch")


def _stack(x: float, seed: int) -> str:
    """Return SVG of numbers one above the other, as shades."""
    shades = np.random.default_rng(seed).uniform(0.15, 1, 10)
    high = _SIDE / len(shades)
    return "".join(
        f'<rect x="{x:g}" y="{n * high:g}" width="36" height="{high - 2:g}" fill="{svg.ACCENT}" '
        f'fill-opacity="{shade:.2f}"/>'
        for n, shade in enumerate(shades)
    )


def asked(stage: Stage) -> None:
    """Draw the picture at the size that the question asks for; with its cells when the answer is revealed."""
    height, width = ASKED
    shown = svg.stretched(stage.picture.pixels, 2 * height, 2 * width)
    cells, marks = stage.geometry().cells(height, width), []
    said = _("The picture at {size} pixels.", size=grid(height, width))
    if "slide.cells" in stage.chosen.shown:
        stride = cells.y.stride
        marks.append(
            svg.lines(
                [k * stride for k in range(1, cells.x.size)], [k * stride for k in range(1, cells.y.size)],
                height, width, 0.8,
            )
        )  # fmt: skip
        said += " " + _("It is divided into {grid} cells.", grid=grid(cells.y.size, cells.x.size))
    draw.drawing(stage, svg.picture(shown, marks, said, size=ASKED), said, width="stretch")


def found(stage: Stage) -> None:
    """Draw the picture under the mean of the four sizes."""
    picture = stage.picture
    mean = combine(tuple(step_7.heatmaps(stage).values()), 1.0)
    spread = place(mean, picture.height, picture.width)
    said = _("The picture under the mean of the four sizes.")
    draw.photo(stage, render.overlay(picture.pixels, render.colourise(spread), 0.75), said)


def shuffled(stage: Stage) -> None:
    """Draw the places of the last map in order, and the same places shuffled: their mean is the same."""
    side = -(-stage.spec.input_size // stage.model.output_stride)
    tile = 60
    square = svg.stretched(stage.picture.pixels, side * tile, side * tile)
    tiles = square.reshape(side, tile, side, tile, 3).swapaxes(1, 2).reshape(side * side, tile, tile, 3)
    order = np.random.default_rng(0).permutation(side * side)
    mixed = tiles[order].reshape(side, side, tile, tile, 3).swapaxes(1, 2).reshape(square.shape)
    weight = side * tile / 300
    lines = svg.lines(
        [k * tile for k in range(1, side)],
        [k * tile for k in range(1, side)],
        side * tile,
        side * tile,
        weight,
    )
    columns = st.columns(2)
    for side_by_side, pixels, name in (
        (columns[0], square, _("the cells in order")),
        (columns[1], mixed, _("the cells shuffled: the mean is the same")),
    ):
        said = _("The picture in {grid} squares: {name}.", grid=grid(side, side), name=name)
        draw.drawing(stage, svg.picture(pixels, [lines], said), said, place=side_by_side, width="stretch")
        side_by_side.caption(f"**{name}**")
    stage.say(shuffled_cells=side * side, shuffled_classes=CLASSES)


OWN: Mapping[str, Draw] = {
    "photo": photo,
    "answer": answer,
    "positions": positions,
    "convolution": convolution,
    "asked": asked,
    "found": found,
    "shuffled": shuffled,
    "noise_map": step_4.noise_map,
}

FIGURES: Mapping[str, Draw] = {
    name: drawn
    for figures in (
        *(s.FIGURES for s in (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, since_2020)),
        OWN,
    )
    for name, drawn in figures.items()
}
"""All figures by name: those of the steps, and those of :data:`OWN`."""
