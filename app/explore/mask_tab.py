"""The tab "Mask": the region where the fine map exceeds a threshold."""

from __future__ import annotations

import math

import streamlit as st

from app.state import session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.ui import figures, notices
from app.ui.display import outlined
from fcn_core.export import original
from fcn_core.pipeline import Analysis

_SIZE = (680, 600)
_MOST_BOXES = 8


def draw(chosen: Selection, analysis: Analysis, picture: Picture) -> None:
    """Draw the tab."""
    left, right = st.columns([3, 2])
    with left:
        drawn = outlined(analysis, figures.shown_size(picture, *_SIZE), veil=True, boxes=True)
        name = chosen.ontology[chosen.synset].name
        alt = f"Mask of {name} at threshold {analysis.threshold:.2f} with {len(analysis.boxes)} boxes"
        if not analysis.marked:
            alt = f"The picture: no {name} is marked in it"
        st.html(figures.figure(drawn, alt))
    with right:
        st.toggle(
            "Follow the picture's regions",
            help="Divides the picture into small regions of similar colour, and finds for each the probability that it "
            "belongs to the object, so that the mask ends at the object's edge.",
            **session.explore().choices.widget("snap"),
        )
        _threshold(chosen, analysis)
        _boxes(analysis, picture)


def _threshold(chosen: Selection, analysis: Analysis) -> None:
    suggested = analysis.suggested_threshold
    shown = session.explore().choices.widget("threshold", round(analysis.threshold, 2))
    st.slider(
        "Threshold",
        0.0,
        1.0,
        step=0.01,
        help="Pixels of at least this value belong to the mask. The suggestion also leaves out parts that are nowhere "
        "nearly as sure as the surest, if the mask follows the picture's regions.",
        **shown,
    )
    st.html(
        f'<div class="fcn-mark"><span style="left:{suggested:.1%}">▲ suggested {suggested:.2f}</span></div>'
    )
    st.button(
        "Use the suggested threshold",
        on_click=session.explore().suggest_threshold,
        disabled=chosen.threshold is None,
        icon=":material/auto_fix_high:",
    )


def _boxes(analysis: Analysis, picture: Picture) -> None:
    if not analysis.marked:
        name = analysis.synset.name
        notices.note(
            f"No {name} found here: the probability that there is one is {analysis.presence:.0%}. Nothing is marked. "
            '"Mark what looks most like it", above, marks something all the same.'
        )
        return
    rows = [
        (
            str(number),
            f"{box.x0}, {box.y0}",
            f"{box.x1 - box.x0} × {box.y1 - box.y0}",
            f"{box.area / math.prod(picture.original):.1%}",
            f"{box.peak:.2f}",
        )
        for number, box in enumerate(original.boxes(analysis)[:_MOST_BOXES], 1)
    ]
    st.html(figures.table(("", "left, top", "size", "area", "peak"), rows))
    if len(analysis.boxes) > _MOST_BOXES:
        notices.note(f"and {len(analysis.boxes) - _MOST_BOXES} smaller regions")
    notices.note(f"The mask covers {analysis.coverage:.1%} of the picture.")
