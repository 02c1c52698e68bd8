"""Figures of step eight: ground truth, mask, saturation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.lesson import draw, experiments, svg
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.stage import SYNSET, Stage, cat_outline, percent
from fcn_core import render
from fcn_core.evaluation.metrics import iou, pointing_hit
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap, synset_heatmap
from fcn_core.maps.region import suggest_threshold, threshold_mask

_TRUTHS = ("the outline", "a box")


def _truth(stage: Stage) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the chosen ground truth as a mask, and its SVG mark."""
    height, width = stage.picture.height, stage.picture.width
    if st.session_state.get("lesson_truth", _TRUTHS[0]) == _TRUTHS[0]:
        return experiments.polygon_mask(cat_outline(), height, width), svg.polygon(cat_outline(), 2)
    x0, x1 = st.session_state.get("lesson_box_x", (30, 370))
    y0, y1 = st.session_state.get("lesson_box_y", (0, 300))
    return experiments.box_mask(x0, y0, x1, y1, height, width), svg.rectangle(x0, y0, x1, y1, 2)


def truth(stage: Stage) -> None:
    """Ask for the ground truth: the outline, or a box by its sides."""
    chosen = st.segmented_control(
        "Ground truth",
        _TRUTHS,
        default=_TRUTHS[0],
        required=True,
        key="lesson_truth",
        persist_state="session",
    )
    picture = stage.picture
    if chosen == _TRUTHS[1]:
        first, second = st.columns(2)
        first.slider(
            "From left to right, in pixels",
            0,
            picture.width,
            (30, 370),
            key="lesson_box_x",
            persist_state="session",
        )
        second.slider(
            "From top to bottom, in pixels",
            0,
            picture.height,
            (0, 300),
            key="lesson_box_y",
            persist_state="session",
        )
    mask, mark = _truth(stage)
    said = f"The cat with {chosen} that is the ground truth."
    draw.drawing(stage, svg.picture(picture.pixels, [mark], said), said, width=540)
    stage.say(truth_name=chosen, truth_share=percent(float(mask.mean())))


def _maps(stage: Stage) -> tuple[ClassMap, ...]:
    return tuple(stage.class_maps("pyramid", stage.picture, NOTEBOOK_SCALES, "aspect").values())


def _fine(stage: Stage, kind: str, snap: bool) -> npt.NDArray[np.float32]:
    return fine_map(
        stage.picture.pixels,
        _maps(stage),
        stage.ontology.class_ids(SYNSET),
        snap=snap,
        kind="evidence" if kind == "evidence" else "probability",
    )


def mask(stage: Stage) -> None:
    """Threshold the map and compare the mask with the ground truth."""
    first, second = st.columns(2)
    kind = first.segmented_control(
        "Map",
        ("evidence", "probability"),
        default="evidence",
        required=True,
        key="lesson_mask_kind",
        persist_state="session",
    )
    snap = second.toggle(
        "Follow the picture's regions",
        key="lesson_snap",
        persist_state="session",
        help="Find the object region by region, as the program does for its masks. This uses both probability "
        "and evidence, whichever map is chosen.",
    )
    fine = _fine(stage, kind, snap)
    suggested = round(float(suggest_threshold(fine)), 2)
    cut = st.slider(
        "Threshold", 0.0, 1.0, suggested, 0.01, key=f"lesson_threshold_{kind}_{snap}", persist_state="session"
    )
    picture, (wanted, mark) = stage.picture, _truth(stage)
    found = threshold_mask(fine, cut)
    left, right = st.columns(2)
    said = "The cat: everything outside the mask is grey, and the ground truth is outlined."
    veiled = svg.picture(render.draw_mask(picture.pixels, found), [mark], said)
    draw.drawing(stage, veiled, said, place=left, width="stretch")
    thresholds, scores = experiments.iou_curve(fine, wanted)
    draw.curves(
        stage,
        thresholds.tolist(),
        {"IoU": scores.tolist()},
        ("threshold", "IoU"),
        "A curve: IoU at every threshold, with a line at the chosen one.",
        place=right,
        at=cut,
    )
    score = iou(found, wanted)
    best = int(scores.argmax())
    hit = pointing_hit(fine, wanted)
    stage.say(
        threshold=f"{cut:.2f}",
        iou=score,
        best_threshold=f"{thresholds[best]:.2f}",
        best_iou=float(scores[best]),
        pointing="lies on" if hit else "misses",
    )
    neither, _, _, both = np.bincount((2 * found + wanted).ravel(), minlength=4).tolist()
    either = found.size - neither
    stage.checks["iou"] = Check(abs(score - (both / either if either else 1.0)), 1e-12)


def saturation(stage: Stage) -> None:
    """Draw probability and evidence of the same cells."""
    class_map, ids = _maps(stage)[0], stage.ontology.class_ids(SYNSET)
    wanted, _ = _truth(stage)
    columns = st.columns(2)
    said: dict[str, object] = {
        "saturation_scale": grid(class_map.scale.height, class_map.scale.width),
        "logit_mean": f"{class_map.logits.mean():.2f}",
        "logit_spread": f"{class_map.logits.std(axis=-1).mean():.2f}",
    }
    for column, kind in zip(columns, ("probability", "evidence"), strict=True):
        heatmap = synset_heatmap(class_map, ids, "evidence" if kind == "evidence" else "probability")
        top = 1.0 if kind == "probability" else heatmap.peak
        draw.cells(
            stage,
            render.colourise(heatmap.values, 0.0, top),
            f"The cat's cells: {kind}.",
            place=column,
            caption=f"{kind}, colours from 0 to {top:.3g}",
        )
        said[f"saturated_{kind}"] = percent(experiments.share_near_top(heatmap.values))
        said[f"best_{kind}"] = float(experiments.iou_curve(_fine(stage, kind, False), wanted)[1].max())
    stage.say(**said)


FIGURES = {"truth": truth, "mask": mask, "saturation": saturation}
