"""Figures of step six: four sizes, and where cells look."""

from __future__ import annotations

import streamlit as st

from app.lesson import svg
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
    heatmaps = [(m, synset_heatmap(m, ids)) for m in maps.values()]
    for column, (class_map, heatmap) in zip(st.columns(len(heatmaps)), heatmaps, strict=True):
        spread = place(heatmap, picture.height, picture.width, smooth=False)
        size = grid(class_map.scale.height, class_map.scale.width)
        column.image(
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            width="stretch",
            alt=f"The cat under the heatmap of {size} pixels; its peak is {heatmap.peak:.2f}.",
        )
        column.caption(f"**{size}** pixels  \n{grid(*heatmap.grid)} cells  \npeak **{heatmap.peak:.2f}**")
    first, last = heatmaps[0], heatmaps[-1]
    stage.say(
        fit_word=_FITS[fit],
        peak_first=first[1].peak,
        peak_last=last[1].peak,
        grid_first=grid(*first[1].grid),
        grid_last=grid(*last[1].grid),
    )


def centres(stage: Stage) -> None:
    """Where the cells of one size look, and where even spreading would put them."""
    choices = [str(s) for s in NOTEBOOK_SCALES[:3]]
    chosen = st.segmented_control("Size", choices, default=choices[0], required=True, key="lesson_centres")
    picture, geometry = stage.picture, stage.geometry()
    scale = NOTEBOOK_SCALES[choices.index(chosen)]
    (plan,) = plan_scales(picture.height, picture.width, [scale])
    cells = geometry.cells(plan.height, plan.width)
    st.html(centres_drawing(stage, cells))
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


def centres_drawing(stage: Stage, cells: CellGrid) -> str:
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
    return svg.picture(shown, marks, alt, size=(height, width), margin=cells.y.stride * 0.75, widest="44rem")


FIGURES = {"pyramid": pyramid, "centres": centres}
