"""Figures of step seven: power means, a veto, and the contribution of each size."""

from __future__ import annotations

import streamlit as st

from app.lesson import draw, experiments
from app.lesson.stage import SYNSET, Stage
from fcn_core import render
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.heatmap import Heatmap, combine, place, synset_heatmap


def heatmaps(stage: Stage) -> dict[str, Heatmap]:
    """Return the heatmaps of the cat at the four sizes."""
    ids = stage.ontology.class_ids(SYNSET)
    maps = stage.class_maps("pyramid", stage.picture, NOTEBOOK_SCALES, "aspect")
    return {key.replace("x", " × "): synset_heatmap(m, ids) for key, m in maps.items()}


_NAMED = {-1.0: "the harmonic mean", 0.0: "the geometric mean", 1.0: "the arithmetic mean"}


def word(q: float) -> str:
    """Name a power mean, or the named means around it: power means grow with q."""
    if q in _NAMED:
        return _NAMED[q]
    below = [name for power, name in _NAMED.items() if power < q]
    above = [name for power, name in _NAMED.items() if power > q]
    if not above:
        return f"between {below[-1]} and the largest value"
    if not below:
        return f"between the smallest value and {above[0]}"
    return f"between {below[-1]} and {above[0]}"


def power(stage: Stage) -> None:
    """Draw the mean at a chosen power beside the geometric and the arithmetic mean."""
    maps = tuple(heatmaps(stage).values())
    q = float(
        st.slider(
            "q",
            -5.0,
            5.0,
            1.0,
            0.25,
            key="lesson_power",
            persist_state="session",
            help="1 is arithmetic, 0 geometric.",
        )
    )
    picture = stage.picture
    shown = {
        "geometric": combine(maps, 0.0),
        f"q = {q:g}": combine(maps, q),
        "arithmetic": combine(maps, 1.0),
    }
    for column, (name, mean) in zip(
        st.columns([2, 3, 2], vertical_alignment="center"), shown.items(), strict=True
    ):
        spread = place(mean, picture.height, picture.width)
        draw.photo(
            stage,
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            f"The cat under the mean of the four sizes: {name}.",
            place=column,
            caption=f"{name}, peak {mean.peak:.2f}",
        )
    chosen = combine(maps, q)
    stage.say(power=f"{q:g}", power_word=word(q), power_peak=chosen.peak, power_mean=chosen.mean)
    stage.checks["means"] = experiments.means_check(maps)


def veto(stage: Stage) -> None:
    """Draw the four values in the cell where the means differ most."""
    maps = heatmaps(stage)
    found = experiments.strongest_veto(maps)
    no = min(found.values, key=lambda k: found.values[k])
    values = {**found.values, "arithmetic": found.arithmetic, "geometric": found.geometric}
    draw.bars(
        stage,
        values,
        "probability",
        "Bars: the value of each size in that cell, and both means.",
        top=1.0,
        marked=no,
    )
    last = list(maps.values())[-1]
    stage.say(
        veto_row=found.cell[0] + 1,
        veto_column=found.cell[1] + 1,
        veto_scale=no,
        veto_value=found.values[no],
        veto_arithmetic=found.arithmetic,
        veto_geometric=found.geometric,
        peak_last=last.peak,
    )


def contribution(stage: Stage) -> None:
    """Draw how much the mean changes without each size."""
    changes = experiments.leave_one_out(heatmaps(stage), float(st.session_state.get("lesson_power", 1.0)))
    most = max(changes, key=lambda k: changes[k])
    draw.bars(
        stage,
        changes,
        "change of the mean",
        "Bars: how much the mean changes without each size.",
        marked=most,
    )
    stage.say(contribution_most=most)


FIGURES = {"power": power, "veto": veto, "contribution": contribution}
