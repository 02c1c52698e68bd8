"""Figures of step nine: a picture and a word of the learner's own, and the whole answer at once."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.lesson import draw, pictures
from app.lesson.experiments import Check
from app.lesson.facts import CLASSES
from app.lesson.language import listed, number, percent
from app.lesson.language import translated as _
from app.lesson.located import program_analysis
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from app.ui.synset_picker import pick_synset
from fcn_core import render
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.pipeline import PRESENCE_FLOOR, Analysis

_EQUAL = 0.01  # peaks that differ by less count as equal
_ORDER_LIMIT = 1e-6
_WIDTH = 170  # two side by side on a phone


def ask(stage: Stage) -> None:
    """Ask for a picture and a word, and show the picture alone."""
    left, right = st.columns(2, gap="large")
    with left:
        pictures.select("step")
        pictures.uploader("step")
        wnid = stage.synset
        st.session_state["lesson_word"] = wnid
        pick_synset("lesson_word", stage.ontology, _look_for, _("Look for"), _)
    shown = _("The picture, without a heatmap.")
    draw.photo(stage, stage.picture.pixels, shown, place=right)
    stage.say(own_word=stage.ontology.label(wnid), own_classes=stage.ontology.count(wnid), classes=CLASSES)


def _look_for(wnid: str) -> None:
    lesson_state().choices.choose(synset=wnid)


def answer(stage: Stage) -> None:
    """Draw the four heatmaps, both means and the mask, and say what the questions asked."""
    analysis = program_analysis(stage)
    heatmaps = {name.replace("x", " × "): heatmap for name, heatmap in analysis.heatmaps.items()}
    means = {_("arithmetic mean"): analysis.arithmetic, _("geometric mean"): analysis.geometric}
    sizes, rest = (st.container(horizontal=True, key=f"lesson-answer-{part}") for part in ("sizes", "rest"))
    for name, heatmap in heatmaps.items():
        _overlay(stage, sizes, name, heatmap)
    for name, heatmap in means.items():
        _overlay(stage, rest, name, heatmap)
    covered = percent(analysis.coverage)
    draw.photo(
        stage,
        render.draw_mask(stage.picture.pixels, analysis.mask),
        _("The picture: everything outside the program's mask is grey."),
        place=rest,
        width=_WIDTH,
        caption=_("the program's mask, {share} of the picture", share=covered)
        if analysis.present
        else _("no mask: the program holds that it is not there"),
    )
    stage.say(own_covered=covered, own_presence=percent(analysis.presence))
    stage.say(**_answers(analysis, heatmaps))
    above = analysis.geometric.values - analysis.arithmetic.values
    stage.checks["mean_order"] = Check(max(0.0, float(np.max(above))), _ORDER_LIMIT)


def _answers(analysis: Analysis, heatmaps: dict[str, Heatmap]) -> dict[str, str]:
    """Return the live values of both questions."""
    peaks = {name: heatmap.peak for name, heatmap in heatmaps.items()}
    first, second = sorted(peaks, key=lambda name: -peaks[name])[:2]
    yes, no, several = _("Yes"), _("No"), _("At more than one, equally")
    return {
        "own_floor": percent(PRESENCE_FLOOR),
        "own_yes": yes,
        "own_no": no,
        "own_there": yes if analysis.present else no,
        "own_several": several,
        "own_peaks": listed(number(peak, ".2f") for peak in peaks.values()),
        "own_peak_scale": several if peaks[first] - peaks[second] < _EQUAL else first,
    }


def _overlay(stage: Stage, where: draw.Place, name: str, heatmap: Heatmap) -> None:
    picture = stage.picture
    spread = place(heatmap, picture.height, picture.width)
    peak = number(heatmap.peak, ".2f")
    draw.photo(
        stage,
        render.overlay(picture.pixels, render.colourise(spread), 0.75),
        _("The picture under the map {name}; its peak is {peak}.", name=name, peak=peak),
        place=where,
        width=_WIDTH,
        caption=_("{name}, peak {peak}", name=name, peak=peak),
    )


FIGURES = {"ask": ask, "answer": answer}
