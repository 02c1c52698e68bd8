"""Figures of step six: four sizes, the centres of cells, and their effective receptive fields."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.lesson import draw, experiments, svg
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.language import listed, marked, number, percent
from app.lesson.language import translated as _
from app.lesson.located import Located, agreement, locate, object_mask, program_analysis
from app.lesson.stage import Stage
from app.state import shared_queue
from app.state.session import session_id
from fcn_core import render
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, plan_scales
from fcn_core.maps.heatmap import place, synset_heatmap
from fcn_core.networks.geometry import CellGrid

_FITS: dict[Fit, str] = {
    "aspect": marked("proportions kept"),
    "exact": marked("stretched, as the notebook does"),
}


def _fit(stage: Stage) -> Fit:
    return "exact" if stage.chosen.fit == "exact" else "aspect"


def pyramid(stage: Stage) -> None:
    """Draw the heatmaps of the four sizes side by side."""
    fit: Fit = st.segmented_control(
        _("Fit"), tuple(_FITS), required=True, format_func=lambda fit: _(_FITS[fit]),
        **stage.widget("fit", initial="default"),
    )  # fmt: skip
    maps = stage.class_maps("pyramid", stage.source, NOTEBOOK_SCALES, fit)
    picture, ids = stage.picture, stage.ontology.class_ids(stage.synset)
    heatmaps = [(key.replace("x", " × "), m, synset_heatmap(m, ids)) for key, m in maps.items()]
    truth, drawn = object_mask(stage)
    located = {name: locate(heatmap, truth) for name, _map, heatmap in heatmaps}
    for column, (name, class_map, heatmap) in zip(st.columns(len(heatmaps)), heatmaps, strict=True):
        spread = place(heatmap, picture.height, picture.width, smooth=False)
        draw.photo(
            stage,
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            _(
                "The picture under the heatmap of the size {name}; its peak is {peak}.",
                name=name,
                peak=number(heatmap.peak, ".2f"),
            ),
            place=column,
        )
        shown = grid(class_map.scale.height, class_map.scale.width)
        lines = (
            f"**{name}**",
            _("input {size}", size=shown),
            _("{grid} cells", grid=grid(*heatmap.grid)),
            _("peak **{peak}**", peak=number(heatmap.peak, ".2f")),
            _("on the object **{share}**", share=percent(located[name].on)),
        )
        column.caption("  \n".join(lines))
    first, last = heatmaps[0], heatmaps[-1]
    stage.say(
        fit_word=_(_FITS[fit]),
        truth_source=_truth_source(stage, drawn),
        object_share=percent(float(truth.mean())),
        on_object_shares=listed(percent(each.on) for each in located.values()),
        on_object_scale=max(located, key=lambda name: located[name].on),
        notebook_grids=listed(grid(*stage.geometry().grid(s.height, s.width)) for s in NOTEBOOK_SCALES),
        peak_first=first[2].peak,
        peak_last=last[2].peak,
        grid_first=grid(*first[2].grid),
        grid_last=grid(*last[2].grid),
    )


def beside(stage: Stage) -> None:
    """Draw for each size how much of the map lies on the object, and how high it is beside it."""
    ids, (truth, _drawn) = stage.ontology.class_ids(stage.synset), object_mask(stage)
    maps = stage.class_maps("pyramid", stage.source, NOTEBOOK_SCALES, _fit(stage))
    heatmaps = {key.replace("x", " × "): synset_heatmap(m, ids) for key, m in maps.items()}
    located = {name: locate(heatmap, truth) for name, heatmap in heatmaps.items()}
    located_bars(stage, located)
    worst = max(located, key=lambda name: located[name].beside)
    false_one, false_two = agreement(heatmaps.values(), ~truth)
    true_one, true_two = agreement(heatmaps.values(), truth)
    largest, height = list(maps.values())[-1].scale.height, stage.source.height
    stage.say(
        beside_scale=worst,
        beside_most=number(located[worst].beside, ".2f"),
        false_one=percent(false_one),
        false_two=percent(false_two),
        true_one=percent(true_one),
        true_two=percent(true_two),
        detail_word=_(
            "The picture had to be enlarged for this size, and has no more detail than its {size} pixels.",
            size=stage.values["picture_size"],
        )
        if largest > height
        else _("It does not know what is around it."),
    )


def located_bars(stage: Stage, located: Mapping[str, Located]) -> None:
    """Draw bars for several maps: the share on the object, and the highest value beside it."""
    draw.pairs(
        stage,
        list(located),
        {
            _("share of the sum on the object"): [each.on for each in located.values()],
            _("highest value beside it ÷ highest on it"): [each.beside for each in located.values()],
        },
        _("value"),
        _("Bars: for each map, the share of its sum on the object, and its highest value beside it."),
    )


def _truth_source(stage: Stage, drawn: bool) -> str:
    """Say what is taken for the true place of the object."""
    if drawn:
        return _("The outline was drawn by hand.")
    if program_analysis(stage).present:
        return _(
            "No outline was drawn for this picture and word. So the program's own mask takes its place: it is not the "
            "truth, only the best guess at hand."
        )
    return _(
        "The program thinks that it is not in the picture. So that there is something to compare with, the place that "
        "looks most like it is marked: read the numbers as those of a false alarm."
    )


def centres(stage: Stage) -> None:
    """Draw the centres of the cells at one size, and where an even grid would put them."""
    choices = [str(s) for s in NOTEBOOK_SCALES[:3]]
    chosen = st.segmented_control(
        _("Size"),
        choices,
        required=True,
        format_func=lambda size: size.replace("x", " × "),
        **stage.widget("centres", initial="default"),
    )
    geometry = stage.geometry()
    scale = NOTEBOOK_SCALES[choices.index(chosen)]
    (plan,) = plan_scales(stage.source.height, stage.source.width, [scale])
    cells = geometry.cells(plan.height, plan.width)
    picture, said = centres_drawing(stage, cells)
    draw.drawing(stage, picture, said, width=640)
    stage.say(
        placed_grid=grid(cells.y.size, cells.x.size),
        placed_scale=grid(plan.height, plan.width),
        shift_y=percent(experiments.placement_shift(cells.y)),
        shift_x=percent(experiments.placement_shift(cells.x)),
    )
    stage.checks["centres"] = Check(
        max(
            abs(axis.centre(i) - sum(experiments.field_by_counting(geometry, name, axis.input_size, i)) / 2)
            for name, axis in (("y", cells.y), ("x", cells.x))
            for i in (0, axis.size // 2, axis.size - 1)
        ),
        0,
    )


def centres_drawing(stage: Stage, cells: CellGrid) -> tuple[str, str]:
    """Return SVG with dots at the centres of cells and rings on an even grid, and a description."""
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
    shown = svg.reduced(stage.picture.pixels)
    alt = _(
        "The picture, with a dot at the centre of each cell's field, and a ring where an even grid would put it."
    )
    return svg.picture(shown, marks, alt, size=(height, width), margin=cells.y.stride * 0.75), alt


def field(stage: Stage) -> None:
    """Draw the measured effective receptive fields of two cells."""
    geometry = stage.geometry()
    measured = stage.result_of(
        shared_queue.queue().field(stage.model, session=session_id()),
        _("the effective receptive field is being measured"),
    )
    (plan,) = plan_scales(stage.source.height, stage.source.width, NOTEBOOK_SCALES[1:2])
    cells = geometry.cells(plan.height, plan.width)
    drawn, said = field_drawing(stage, cells, measured)
    draw.drawing(stage, drawn, said, width=640)
    stage.say(
        field_scale=grid(plan.height, plan.width),
        field_side=measured.side,
        field_low=measured.low,
        field_high=measured.high,
        field_extent=cells.y.extent,
        field_inward=measured.inward,
    )


def field_drawing(stage: Stage, cells: CellGrid, measured: EffectiveField) -> tuple[str, str]:
    """Return SVG with the effective field of a cell inside and of one in the last column, and a description."""
    height, width = cells.y.input_size, cells.x.input_size
    row, half = cells.y.size // 2, measured.side / 2
    marks = []
    for column in (cells.x.size // 3, cells.x.size - 1):
        y, x = cells.y.centre(row) + 0.5, cells.x.centre(column) + 0.5
        marks.append(
            svg.rectangle(
                max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half), 3, fill=0.15
            )
        )
        marks.append(svg.dots([(x, y)], 6))
    shown = svg.reduced(stage.picture.pixels)
    alt = _(
        "The picture with a frame of {side} pixels a side around a cell, and another one cut off by the border.",
        side=measured.side,
    )
    return svg.picture(shown, marks, alt, size=(height, width), margin=12), alt


FIGURES = {"pyramid": pyramid, "beside": beside, "centres": centres, "field": field}
