"""Figures of step eight: ground truth, mask, saturation."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.lesson import draw, experiments, svg
from app.lesson.choices import KINDS, TRUTHS
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.language import localized, marked, number, percent
from app.lesson.language import translated as _
from app.lesson.located import outline_mask, program_analysis
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from app.lesson.steps.step_7 import heatmaps
from fcn_core import render
from fcn_core.evaluation.metrics import iou, pointing_hit
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap, combine, place, synset_heatmap
from fcn_core.maps.region import suggest_threshold, threshold_mask

_NAMES = {
    "outline": marked("the outline"),
    "box": marked("a box"),
    "evidence": marked("evidence"),
    "probability": marked("probability"),
}


_EQUAL = 0.01  # a smaller difference of IoU is not worth a sentence


def _is_box(stage: Stage) -> bool:
    return stage.chosen.truth == "box" or not stage.outline


def _box(stage: Stage) -> tuple[int, int, int, int]:
    """Return the learner's box (x0, y0, x1, y1) in pixels of the picture; at first one in the middle."""
    height, width = stage.picture.height, stage.picture.width
    x0, x1 = stage.chosen.box_x or (width // 4, width - width // 4)
    y0, y1 = stage.chosen.box_y or (height // 4, height - height // 4)
    return min(int(x0), width - 1), min(int(y0), height - 1), min(int(x1), width), min(int(y1), height)


def _truth(stage: Stage) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the chosen ground truth as a mask, and its SVG mark."""
    height, width = stage.picture.height, stage.picture.width
    weight = width / 225
    if not _is_box(stage):
        marks = "".join(svg.polygon(corners, weight) for corners in stage.outline)
        return outline_mask(stage.outline, height, width), marks
    x0, y0, x1, y1 = _box(stage)
    return experiments.box_mask(x0, y0, x1, y1, height, width), svg.rectangle(x0, y0, x1, y1, weight)


def truth(stage: Stage) -> None:
    """Ask for the ground truth: the outline where one was drawn, or a box by its sides."""
    picture = stage.picture
    if stage.outline:
        st.segmented_control(
            _("Ground truth"), TRUTHS, required=True, format_func=lambda name: _(_NAMES[name]),
            **stage.widget("truth", initial="default"),
        )  # fmt: skip
    if _is_box(stage):
        first, second = st.columns(2)
        x0, y0, x1, y1 = _box(stage)
        first.slider(
            _("From left to right, in pixels"), 0, picture.width,
            **stage.widget("box_x", (x0, x1), "slider", partial(_bound, "box_x")),
        )  # fmt: skip
        second.slider(
            _("From top to bottom, in pixels"), 0, picture.height,
            **stage.widget("box_y", (y0, y1), "slider", partial(_bound, "box_y")),
        )  # fmt: skip
    mask, mark = _truth(stage)
    name = _(_NAMES["box" if _is_box(stage) else "outline"])
    said = _("The picture with {name} that is the ground truth.", name=name)
    draw.drawing(stage, svg.picture(picture.pixels, [mark], said), said, width=540)
    stage.say(
        truth_name=name,
        truth_share=percent(float(mask.mean())),
        outline_word=_(
            "For this picture and word, an outline was drawn by hand. Use it, or set a box of your own."
        )
        if stage.outline
        else _("For this picture and word there is no outline, so set a box yourself."),
    )


def _bound(name: str, ends: tuple[int, int]) -> None:
    low, high = ends
    lesson_state().choices.choose(**{name: (float(low), float(max(high, low + 1)))})


def _maps(stage: Stage) -> tuple[ClassMap, ...]:
    return tuple(stage.class_maps("mean", stage.source, NOTEBOOK_SCALES, "aspect").values())


def _fine(stage: Stage, kind: str, snap: bool) -> npt.NDArray[np.float32]:
    return fine_map(
        stage.picture.pixels,
        _maps(stage),
        stage.ontology.class_ids(stage.synset),
        snap=snap,
        kind="evidence" if kind == "evidence" else "probability",
    )


def _redo(name: str, value: object) -> None:
    lesson_state().choices.choose(**{name: value}, cut=None)


def _cut(value: float) -> None:
    lesson_state().choices.choose(cut=value)


def mask(stage: Stage) -> None:
    """Threshold the map and compare the mask with the ground truth."""
    first, second = st.columns(2)
    kind = first.segmented_control(
        _("Map"), KINDS, required=True, format_func=lambda name: _(_NAMES[name]),
        **stage.widget("kind", part="map", shown=stage.chosen.kind, choose=partial(_redo, "kind"), initial="default"),
    )  # fmt: skip
    snap = second.toggle(
        _("Follow the picture's regions"),
        help=_(
            "Find the object region by region, as the program does for its masks. This uses both probability and "
            "evidence, whichever map is chosen."
        ),
        **stage.widget("snap", stage.chosen.snap, "regions", partial(_redo, "snap")),
    )
    fine = _fine(stage, kind, snap)
    suggested = round(float(suggest_threshold(fine)), 2)
    now = suggested if stage.chosen.cut is None else stage.chosen.cut
    cut = st.slider(
        _("Threshold"), 0.0, 1.0, step=0.01, format=localized(), **stage.widget("cut", now, "slider", _cut)
    )
    picture, (wanted, mark) = stage.picture, _truth(stage)
    found = threshold_mask(fine, cut)
    left, right = st.columns(2)
    said = _("The picture: everything outside the mask is grey, and the ground truth is outlined.")
    veiled = svg.picture(render.draw_mask(picture.pixels, found), [mark], said)
    draw.drawing(stage, veiled, said, place=left, width="stretch")
    thresholds, scores = experiments.iou_curve(fine, wanted)
    draw.curve(
        stage,
        thresholds.tolist(),
        scores.tolist(),
        (_("threshold"), "IoU"),
        _("A curve: IoU at every threshold, with a line at the chosen one."),
        place=right,
        at=cut,
    )
    score = iou(found, wanted)
    best = int(scores.argmax())
    hit = pointing_hit(fine, wanted)
    stage.say(
        threshold=number(cut, ".2f"),
        iou=score,
        best_threshold=number(float(thresholds[best]), ".2f"),
        best_iou=float(scores[best]),
        pointing=_("lies on") if hit else _("misses"),
    )
    neither, _one, _other, both = np.bincount((2 * found + wanted).ravel(), minlength=4).tolist()
    either = found.size - neither
    stage.checks["iou"] = Check(abs(score - (both / either if either else 1.0)), 1e-12)


def compared(stage: Stage) -> None:
    """Draw a table of the IoU of several ways, with the one that marks everything, and the program's mask."""
    picture, (wanted, _mark) = stage.picture, _truth(stage)
    sizes = heatmaps(stage)
    means = {
        _("arithmetic mean"): combine(tuple(sizes.values()), 1.0),
        _("geometric mean"): combine(tuple(sizes.values()), 0.0),
    }
    best = {
        name: float(experiments.iou_curve(place(heatmap, picture.height, picture.width), wanted)[1].max())
        for name, heatmap in {**sizes, **means}.items()
    }
    everything = iou(np.ones_like(wanted), wanted)
    analysis = program_analysis(stage)
    program = iou(analysis.mask, wanted)
    chosen, own = _("best"), _("its own")
    rows = [
        (_("mark everything"), _("none"), everything),
        *((name, chosen, score) for name, score in best.items()),
        (_("the program's mask"), own, program),
    ]
    draw.table(
        stage,
        [{_("Way"): way, _("Threshold"): cut, "IoU": number(score, ".2f")} for way, cut, score in rows],
        _("The IoU of each size, of both means, of marking everything and of the program's mask."),
    )
    first = max(best, key=lambda name: best[name])
    stage.say(
        everything_iou=number(everything, ".2f"),
        program_iou=number(program, ".2f"),
        program_verdict=_program_verdict(analysis.present, program, everything, best[first]),
        mean_verdict=_(
            "Of the single maps and their means, the highest IoU is {score} ({name}).",
            name=first,
            score=number(best[first], ".2f"),
        ),
    )


def _program_verdict(present: bool, program: float, everything: float, best: float) -> str:
    """Say how the program's mask compares with marking everything and with the best map."""
    if not present:
        return _("It marks nothing, because it holds that the object is not there.")
    if program <= everything:
        return _("Here that is no better than marking everything.")
    if program > best:
        return _("Here that is better than every other row, although nobody told it the ground truth.")
    return _("That is better than marking everything, but a map at its best threshold is better still.")


def saturation(stage: Stage) -> None:
    """Draw probability and evidence of the same cells."""
    class_map, ids = _maps(stage)[0], stage.ontology.class_ids(stage.synset)
    wanted, _mark = _truth(stage)
    columns, best = st.columns(2), dict[str, float]()
    said: dict[str, object] = {
        "saturation_scale": grid(class_map.scale.height, class_map.scale.width),
        "logit_mean": number(float(class_map.logits.mean()), ".2f"),
        "logit_spread": number(float(class_map.logits.std(axis=-1).mean()), ".2f"),
    }
    for column, kind in zip(columns, ("probability", "evidence"), strict=True):
        heatmap = synset_heatmap(class_map, ids, "evidence" if kind == "evidence" else "probability")
        top = 1.0 if kind == "probability" else heatmap.peak
        draw.cells(
            stage,
            render.colourise(heatmap.values, 0.0, top),
            _("The picture's cells: {kind}.", kind=_(_NAMES[kind])),
            place=column,
            caption=_("{kind}, colours from 0 to {top}", kind=_(_NAMES[kind]), top=number(top, ".3g")),
        )
        said[f"saturated_{kind}"] = percent(experiments.share_near_top(heatmap.values))
        best[kind] = float(experiments.iou_curve(_fine(stage, kind, False), wanted)[1].max())
    better = best["evidence"] - best["probability"]
    said["saturation_verdict"] = (
        _("evidence reaches the higher IoU")
        if better > _EQUAL
        else _("probability reaches the higher IoU")
        if better < -_EQUAL
        else _("both reach about the same IoU")
    )
    stage.say(**said, best_probability=best["probability"], best_evidence=best["evidence"])


FIGURES = {"truth": truth, "mask": mask, "compared": compared, "saturation": saturation}
