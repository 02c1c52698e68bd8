"""Figures of step three: one cell of the random tensor, overflow, temperature."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.lesson import draw, experiments
from app.lesson.choices import FACTORS
from app.lesson.language import localized, number
from app.lesson.language import translated as _
from app.lesson.stage import Stage


def _bars(values: list[float]) -> dict[str, float]:
    return {_("class {number}", number=k): v for k, v in enumerate(values, start=1)}


def cell(stage: Stage) -> None:
    """Draw one cell's values before and after the softmax."""
    logits = experiments.random_logits()
    after = experiments.softmax(logits)
    places = st.columns(3)
    index = tuple(
        int(place.slider(label, 1, count, **stage.widget(name))) - 1
        for place, name, label, count in zip(
            places,
            ("sample", "row", "column"),
            (_("Sample"), _("Row"), _("Column")),
            logits.shape[:3],
            strict=True,
        )
    )
    left, right = st.columns(2, gap="large")
    winner = _("class {number}", number=int(logits[index].argmax()) + 1)
    before = _bars(logits[index].tolist())
    draw.bars(stage, before, _("logit"), _("Bars: the cell's logits."), place=left, marked=winner)
    result = _bars(after[index].tolist())
    draw.bars(
        stage,
        result,
        _("probability"),
        _("Bars: the cell's probabilities."),
        place=right,
        top=1.0,
        marked=winner,
    )
    stage.say(
        cell_sum_before=float(logits[index].sum()),
        cell_sum_after=float(after[index].sum()),
        kept=experiments.ranks_kept(logits, after),
    )
    stage.checks["sums"] = experiments.sums_check(after)


def sums(stage: Stage) -> None:
    """Draw the sums of all cells of the chosen sample, and their largest classes, before and after the softmax."""
    sample = stage.chosen.sample - 1
    before = experiments.random_logits()[sample]
    after = experiments.softmax(before)
    largest = before.argmax(axis=-1), after.argmax(axis=-1)
    tables = (
        (_("Sums before the softmax"), before.sum(axis=-1), 2),
        (_("Sums after the softmax"), after.sum(axis=-1), 7),
        (_("Largest class before"), largest[0] + 1, 0),
        (_("Largest class after"), largest[1] + 1, 0),
    )
    for place, (title, values, digits) in zip((*st.columns(2), *st.columns(2)), tables, strict=True):
        place.markdown(f"**{title}**")
        draw.matrix(stage, values, title, place=place, digits=digits)
    stage.say(
        sample=sample + 1,
        sample_cells=largest[0].size,
        same_classes=_("the same") if np.array_equal(*largest) else _("not the same"),
    )


def overflow(stage: Stage) -> None:
    """Multiply the logits until the plain formula overflows."""
    factor = st.select_slider(_("Multiply all logits by"), FACTORS, **stage.widget("factor"))
    logits = experiments.random_logits() * np.float32(factor)
    plain, stable = experiments.naive_softmax(logits), experiments.softmax(logits)
    row = np.unravel_index(int(logits.argmax()), logits.shape)[:3]
    draw.table(
        stage,
        [
            {
                _("Values"): name,
                **{
                    _("class {number}", number=k): number(v, ".3g")
                    for k, v in enumerate(values[row].tolist(), start=1)
                },
            }
            for name, values in (
                (_("logit"), logits),
                (_("plain formula"), plain),
                (_("stable formula"), stable),
            )
        ],
        _("The cell with the largest logit: its logits, the plain formula's result and the stable one's."),
    )
    stage.say(
        factor=factor,
        largest_logit=number(float(logits.max()), ".1f"),
        broken=int((~np.isfinite(plain).all(axis=-1)).sum()),
        stable_broken=int((~np.isfinite(stable).all(axis=-1)).sum()),
    )
    stage.checks["stable"] = experiments.sums_check(stable)


def temperature(stage: Stage) -> None:
    """Draw the probabilities of one cell at a chosen temperature."""
    warmth = st.slider(
        _("Temperature T"), 0.1, 5.0, step=0.1, format=localized(), **stage.widget("temperature")
    )
    logits = experiments.random_logits()[0, 0, 0]
    result = experiments.softmax(logits, warmth)
    draw.bars(
        stage,
        _bars(result.tolist()),
        _("probability"),
        _("Bars: the probabilities at this temperature."),
        top=1.0,
        marked=_("class {number}", number=int(logits.argmax()) + 1),
    )
    stage.say(
        temperature=number(warmth, ".1f"),
        top_probability=float(result.max()),
        top_plain=float(experiments.softmax(logits).max()),
    )


FIGURES = {"cell": cell, "sums": sums, "overflow": overflow, "temperature": temperature}
