"""Figures of step seven: power means, a veto, and the contribution of each size."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import streamlit as st

from app.lesson import draw, experiments
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.language import listed, localized, number, percent
from app.lesson.language import translated as _
from app.lesson.located import Located, locate, object_mask
from app.lesson.stage import Stage
from app.lesson.steps.step_6 import located_bars
from fcn_core import render
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.heatmap import Heatmap, combine, place, synset_heatmap


def heatmaps(stage: Stage) -> dict[str, Heatmap]:
    """Return the heatmaps of the object at the four sizes."""
    ids = stage.ontology.class_ids(stage.synset)
    maps = stage.class_maps("mean", stage.source, NOTEBOOK_SCALES, "aspect")
    return {key.replace("x", " × "): synset_heatmap(m, ids) for key, m in maps.items()}


def word(q: float) -> str:
    """Name a power mean, or the named means around it: power means grow with q."""
    named = {-1.0: _("the harmonic mean"), 0.0: _("the geometric mean"), 1.0: _("the arithmetic mean")}
    if q in named:
        return named[q]
    below = [name for power, name in named.items() if power < q]
    above = [name for power, name in named.items() if power > q]
    return _(
        "between {low} and {high}",
        low=below[-1] if below else _("the smallest value"), high=above[0] if above else _("the largest value"),
    )  # fmt: skip


def power(stage: Stage) -> None:
    """Draw the mean at a chosen power beside the geometric and the arithmetic mean."""
    maps = tuple(heatmaps(stage).values())
    q = float(
        st.slider(
            "q",
            -5.0,
            5.0,
            step=0.25,
            format=localized(),
            help=_("1 is arithmetic, 0 geometric."),
            **stage.widget("power"),
        )
    )
    picture = stage.picture
    shown = {
        _("geometric"): combine(maps, 0.0),
        f"q = {number(q, 'g')}": combine(maps, q),
        _("arithmetic"): combine(maps, 1.0),
    }
    for column, (name, mean) in zip(
        st.columns([2, 3, 2], vertical_alignment="center"), shown.items(), strict=True
    ):
        spread = place(mean, picture.height, picture.width)
        draw.photo(
            stage,
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            _("The picture under the mean of the four sizes: {name}.", name=name),
            place=column,
            caption=_("{name}, peak {peak}", name=name, peak=number(mean.peak, ".2f")),
        )
    chosen = combine(maps, q)
    stage.say(power=number(q, "g"), power_word=word(q), power_peak=chosen.peak, power_mean=chosen.mean)
    stage.checks["means"] = experiments.means_check(maps)


def notebook_means(stage: Stage) -> None:
    """Draw both means as the notebook computes them: at its exact sizes, resized with scikit-image."""
    ids, scales = stage.ontology.class_ids(stage.synset), NOTEBOOK_SCALES
    maps = stage.class_maps("exact", stage.source, scales, "exact").values()
    each = tuple(synset_heatmap(m, ids) for m in maps)
    finest = each[-1].grid
    arithmetic, geometric = experiments.notebook_means([h.values for h in each], finest)
    named = ((_("arithmetic"), arithmetic), (_("geometric"), geometric))
    for column, (name, mean) in zip(st.columns(2), named, strict=True):
        draw.cells(
            stage,
            render.colourise(mean.astype(np.float32)),
            _("The cells of the mean of the four sizes: {name}.", name=name),
            place=column,
            caption=_("{name}, peak {peak}", name=name, peak=number(float(mean.max()), ".2f")),
        )
    stage.say(
        notebook_grids=listed(grid(*h.grid) for h in each),
        notebook_finest=grid(*finest),
        notebook_arithmetic=float(arithmetic.max()),
        notebook_geometric=float(geometric.max()),
    )
    stage.checks["notebook_means"] = Check(
        max(
            float(np.abs(combine(each, q).values - mean).max())
            for q, mean in ((1.0, arithmetic), (0.0, geometric))
        ),
        1e-6,
    )


def agree(stage: Stage) -> None:
    """Draw for each size and both means how much lies on the object, and how high the map is beside it."""
    each, (truth, _drawn) = heatmaps(stage), object_mask(stage)
    sizes = {name: locate(heatmap, truth) for name, heatmap in each.items()}
    one, other = (locate(combine(tuple(each.values()), q), truth) for q in (1.0, 0.0))
    located_bars(stage, {**sizes, _("arithmetic mean"): one, _("geometric mean"): other})
    best = max(sizes, key=lambda name: sizes[name].on)
    stage.say(
        beside_sizes=listed(number(size.beside, ".2f") for size in sizes.values()),
        beside_arithmetic=number(one.beside, ".2f"),
        beside_geometric=number(other.beside, ".2f"),
        beside_verdict=_beside_verdict(sizes.values(), one, other),
        on_arithmetic=percent(one.on),
        on_geometric=percent(other.on),
        on_object_scale=best,
        on_object_most=percent(sizes[best].on),
        sum_verdict=_("So by this measure, one size is better than both means.")
        if sizes[best].on > max(one.on, other.on)
        else _("So by this measure, a mean is better than every size."),
    )


def _beside_verdict(sizes: Collection[Located], one: Located, other: Located) -> str:
    """Say how many sizes have a higher value beside the object than each mean."""
    above = [sum(size.beside > mean.beside for size in sizes) for mean in (one, other)]
    if min(above) == len(sizes):
        return _("Both are lower than at every single size: the false alarms fade, and the object stays.")
    return _(
        "The arithmetic mean is lower than {first} of the {count} sizes, "
        "the geometric mean lower than {second} of them.",
        first=above[0], second=above[1], count=len(sizes),
    )  # fmt: skip


def veto(stage: Stage) -> None:
    """Draw the four values in the cell where the means differ most."""
    maps = heatmaps(stage)
    found = experiments.strongest_veto(maps)
    no = min(found.values, key=lambda k: found.values[k])
    values = {**found.values, _("arithmetic"): found.arithmetic, _("geometric"): found.geometric}
    draw.bars(
        stage,
        values,
        _("probability"),
        _("Bars: the value of each size in that cell, and both means."),
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
        geometric_peak=combine(tuple(maps.values()), 0.0).peak,
    )


def contribution(stage: Stage) -> None:
    """Draw how much the mean changes without each size."""
    changes = experiments.leave_one_out(heatmaps(stage), stage.chosen.power)
    most = max(changes, key=lambda k: changes[k])
    draw.bars(
        stage,
        changes,
        _("change of the mean"),
        _("Bars: how much the mean changes without each size."),
        marked=most,
    )
    stage.say(contribution_most=most)


FIGURES = {
    "power": power, "notebook_means": notebook_means, "agree": agree, "veto": veto, "contribution": contribution,
}  # fmt: skip
