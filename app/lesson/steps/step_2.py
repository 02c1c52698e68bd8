"""Figures of step two: an editable example, the proof, and the order of softmax and average."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app.lesson import draw, experiments
from app.lesson.cell_by_cell import figure
from app.lesson.choices import TOY_LIMIT
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.language import marked, number
from app.lesson.language import translated as _
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from app.state import caches
from fcn_core.images.scales import Scale

_TOY_SIDE, _TOY_CHANNELS = 4, 3
_TOY_CLASSES = (marked("cat"), marked("dog"), marked("boat"))
_PROOF_LIMIT = 1e-4


def toy(stage: Stage) -> None:
    """Draw numbers to change, and the results of both orders of average and Dense."""
    features, kernel, bias = experiments.toy_features(1, _TOY_SIDE, _TOY_CHANNELS)
    first = tuple(features[..., 0].ravel().tolist())
    now = stage.chosen.toy or first
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.markdown(f"**{_('The first channel, in every cell')}**")
        for row in range(_TOY_SIDE):
            with st.container(horizontal=True, gap="xsmall", key=f"lesson-toy-row-{row}"):
                for column in range(_TOY_SIDE):
                    n = row * _TOY_SIDE + column
                    st.number_input(
                        _("Row {row}, column {column}", row=row + 1, column=column + 1),
                        -TOY_LIMIT, TOY_LIMIT, step=0.1, format="%.1f", label_visibility="collapsed", width=76,
                        **stage.widget("toy", now[n], str(n), partial(_change, first, n)),
                    )  # fmt: skip
    features[..., 0] = np.reshape(now, (_TOY_SIDE, _TOY_SIDE))
    one, other = (
        experiments.dense_of_mean(features, kernel, bias),
        experiments.convolution_1x1(features, kernel, bias).mean((0, 1)),
    )
    ways = _("average, then Dense"), _("Dense, then average")
    with right:
        st.markdown(f"**{_('Logits, both ways')}**")
        draw.table(
            stage,
            [
                {_("Class"): _(c), ways[0]: a, ways[1]: b}
                for c, a, b in zip(_TOY_CLASSES, one.tolist(), other.tolist(), strict=True)
            ],
            _("The logits of both orders, which are equal."),
        )
    stage.checks["order"] = experiments.order_check(features, kernel, bias)
    stage.say(toy_grid=grid(_TOY_SIDE, _TOY_SIDE), toy_features=_TOY_CHANNELS, toy_classes=len(_TOY_CLASSES))


def _change(first: tuple[float, ...], n: int, value: float | None) -> None:
    record = lesson_state().choices
    now = list(record.now.toy or first)
    now[n] = first[n] if value is None else round(value, 4)
    record.choose(toy=() if tuple(now) == first else tuple(now))


def proof(stage: Stage) -> bool:
    """Compare the real network with the real classifier, on request."""
    proved = lesson_state().proved
    if stage.model.name not in proved:
        st.button(
            _("Run the proof"),
            key="lesson_prove",
            icon=":material/science:",
            type="primary",
            on_click=proved.add,
            args=(stage.model.name,),
            help=_(
                "Loads the original classifier in a separate process. This takes up to a minute and 1 GB of memory."
            ),
        )
        return False
    future = caches.proof_of(stage.model.name)
    try:
        found = stage.result_of(future, _("the original classifier is loading and running"))
    except Exception:
        if future.done():  # the user may try again
            caches.proof_of.clear(stage.model.name)
            proved.discard(stage.model.name)
        raise
    first, second, third = st.columns(3)
    first.metric(_("Cells averaged"), grid(*found.grid))
    second.metric(_("Largest minus smallest logit"), number(found.span, ".2f"))
    third.metric(_("Largest difference"), number(found.relative * found.span, ".1e"))
    stage.say(
        proof_grid=grid(*found.grid),
        proof_span=found.span,
        proof_engine=found.engine,
        proof_backend=found.backend,
    )
    stage.checks["proof"] = Check(found.relative, _PROOF_LIMIT)
    return True


def after(stage: Stage) -> None:
    """Compare the softmax of the mean with the mean of the softmaxes, for the five most probable classes."""
    size = stage.spec.input_size
    (class_map,) = stage.class_maps("native", stage.source, (Scale(size, size),), "exact").values()
    first, second = experiments.two_answers(class_map)
    order = np.argsort(-(first + second))[:5]
    ontology = stage.ontology
    names = [ontology.label(ontology.classes[i]) for i in order]
    draw.pairs(
        stage,
        names,
        {
            _("average the logits, then softmax"): first[order].tolist(),
            _("softmax, then average"): second[order].tolist(),
        },
        _("probability"),
        _("Bars: for five classes, the probabilities in both orders."),
    )
    stage.say(after_class=names[0], after_first=float(first[order[0]]), after_second=float(second[order[0]]))


FIGURES = {"toy": toy, "proof": proof, "cell_by_cell": figure.draw, "after": after}
