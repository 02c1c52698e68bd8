"""Figures of step two: an editable example, the proof, and the order of softmax and average."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.lesson import draw, experiments
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from app.state import caches
from fcn_core.images.scales import Scale

_TOY_SIDE, _TOY_CHANNELS = 4, 3
_TOY_CLASSES = ("cat", "dog", "boat")
_PROOF_LIMIT = 1e-4


def toy(stage: Stage) -> None:
    """Draw an editable table, and the results of both orders of average and Dense."""
    features, kernel, bias = experiments.toy_features(1, _TOY_SIDE, _TOY_CHANNELS)
    left, right = st.columns([1, 1], gap="large")
    columns = [f"column {k + 1}" for k in range(_TOY_SIDE)]
    with left:
        st.markdown("**The first channel, in every cell**")
        edited = st.data_editor(
            [dict(zip(columns, row, strict=True)) for row in features[..., 0].tolist()],
            hide_index=True,
            key="lesson_toy",
            column_config={c: st.column_config.NumberColumn(c, required=True, step=0.1) for c in columns},
            alt="An editable map of numbers.",
        )
    features[..., 0] = [[float(row[c] or 0) for c in columns] for row in edited]
    one, other = (
        experiments.dense_of_mean(features, kernel, bias),
        experiments.convolution_1x1(features, kernel, bias).mean((0, 1)),
    )
    with right:
        st.markdown("**Logits, both ways**")
        draw.table(
            stage,
            [
                {"Class": c, "average, then Dense": a, "Dense, then average": b}
                for c, a, b in zip(_TOY_CLASSES, one.tolist(), other.tolist(), strict=True)
            ],
            "The logits of both orders, which are equal.",
            columns={
                k: st.column_config.NumberColumn(format="%.4f")
                for k in ("average, then Dense", "Dense, then average")
            },
        )
    stage.checks["order"] = experiments.order_check(features, kernel, bias)
    stage.say(toy_grid=grid(_TOY_SIDE, _TOY_SIDE), toy_features=_TOY_CHANNELS, toy_classes=len(_TOY_CLASSES))


def proof(stage: Stage) -> bool:
    """Compare the real network with the real classifier, on request."""
    proved = lesson_state().proved
    if stage.model.name not in proved:
        st.button(
            "Run the proof",
            key="lesson_prove",
            icon=":material/science:",
            type="primary",
            on_click=proved.add,
            args=(stage.model.name,),
            help="Loads the original classifier in a separate process. This takes up to a minute and 1 GB of memory.",
        )
        return False
    future = caches.proof_of(stage.model.name)
    try:
        found = stage.result_of(future, "the original classifier is loading and running")
    except Exception:
        if future.done():  # the user may try again
            caches.proof_of.clear(stage.model.name)
            proved.discard(stage.model.name)
        raise
    first, second, third = st.columns(3)
    first.metric("Cells averaged", grid(*found.grid))
    second.metric("Largest minus smallest logit", f"{found.span:.2f}")
    third.metric("Largest difference", f"{found.relative * found.span:.1e}")
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
    (class_map,) = stage.class_maps("native", stage.picture, (Scale(size, size),), "exact").values()
    first, second = experiments.two_answers(class_map)
    order = np.argsort(-(first + second))[:5]
    ontology = stage.ontology
    names = [ontology.label(ontology.classes[i]) for i in order]
    draw.pairs(
        stage,
        names,
        {
            "average the logits, then softmax": first[order].tolist(),
            "softmax, then average": second[order].tolist(),
        },
        "probability",
        "Bars: for five classes, the probabilities in both orders.",
    )
    stage.say(after_class=names[0], after_first=float(first[order[0]]), after_second=float(second[order[0]]))


FIGURES = {"toy": toy, "proof": proof, "after": after}
