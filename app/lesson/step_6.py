"""Figures of step six: four sizes, and where cells look."""

from __future__ import annotations

import streamlit as st

from app.lesson import draw, svg
from app.lesson.facts import grid
from app.lesson.stage import SYNSET, Stage, percent
from fcn_core import lesson, render
from fcn_core.geometry import CellGrid
from fcn_core.heatmap import place, synset_heatmap
from fcn_core.lesson import Check
from fcn_core.pyramid import NOTEBOOK_SCALES, Fit, plan_scales

_FITS: dict[Fit, str] = {"aspect": "proportions kept", "exact": "stretched, as the notebook does"}


def pyramid(stage: Stage) -> None:
    """Heatmaps of the four sizes side by side."""
    fit: Fit = st.segmented_control(
        "Fit", tuple(_FITS), default="aspect", required=True, format_func=_FITS.__getitem__, key="lesson_fit"
    )
    maps = stage.class_maps("pyramid", stage.picture, NOTEBOOK_SCALES, fit)
    picture, ids = stage.picture, stage.ontology.class_ids(SYNSET)
    heatmaps = [(key.replace("x", " × "), m, synset_heatmap(m, ids)) for key, m in maps.items()]
    for column, (name, class_map, heatmap) in zip(st.columns(len(heatmaps)), heatmaps, strict=True):
        spread = place(heatmap, picture.height, picture.width, smooth=False)
        draw.photo(
            stage,
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            f"The cat under the heatmap of the size {name}; its peak is {heatmap.peak:.2f}.",
            place=column,
        )
        shown = grid(class_map.scale.height, class_map.scale.width)
        column.caption(
            f"**{name}**  \nshown {shown}  \n{grid(*heatmap.grid)} cells  \npeak **{heatmap.peak:.2f}**"
        )
    first, last = heatmaps[0], heatmaps[-1]
    stage.say(
        fit_word=_FITS[fit],
        peak_first=first[2].peak,
        peak_last=last[2].peak,
        grid_first=grid(*first[2].grid),
        grid_last=grid(*last[2].grid),
    )


def centres(stage: Stage) -> None:
    """Where the cells of one size look, and where even spreading would put them."""
    choices = [str(s) for s in NOTEBOOK_SCALES[:3]]
    chosen = st.segmented_control("Size", choices, default=choices[0], required=True, key="lesson_centres")
    geometry = stage.geometry()
    scale = NOTEBOOK_SCALES[choices.index(chosen)]
    (plan,) = plan_scales(stage.picture.height, stage.picture.width, [scale])
    cells = geometry.cells(plan.height, plan.width)
    picture, said = centres_drawing(stage, cells)
    draw.drawing(stage, picture, said, width=640)
    stage.say(
        placed_grid=grid(cells.y.size, cells.x.size),
        placed_scale=grid(plan.height, plan.width),
        shift_y=percent(lesson.placement_shift(cells.y)),
        shift_x=percent(lesson.placement_shift(cells.x)),
    )
    stage.checks["centres"] = Check(
        max(
            abs(axis.centre(i) - sum(lesson.field_by_counting(geometry, name, axis.input_size, i)) / 2)
            for name, axis in (("y", cells.y), ("x", cells.x))
            for i in (0, axis.size // 2, axis.size - 1)
        ),
        0,
    )


def centres_drawing(stage: Stage, cells: CellGrid) -> tuple[str, str]:
    """SVG: dots where cells look, rings at even spreading."""
    height, width = cells.y.input_size, cells.x.input_size
    radius = cells.y.stride / 6
    even = [
        ((j + 0.5) * width / cells.x.size, (i + 0.5) * height / cells.y.size)
        for i in range(cells.y.size)
        for j in range(cells.x.size)
    ]
    true = [
        (cells.x.centre(j) + 0.5, cells.y.centre(i) + 0.5)
        for i in range(cells.y.size)
        for j in range(cells.x.size)
    ]
    marks = [svg.dots(even, radius, ring=True), svg.dots(true, radius)]
    shown = svg.stretched(stage.picture.pixels, 300, 451)
    alt = "The cat; a dot where each cell looks, beside it a ring where even spreading would put it."
    return svg.picture(shown, marks, alt, size=(height, width), margin=cells.y.stride * 0.75), alt


FIGURES = {"pyramid": pyramid, "centres": centres}
