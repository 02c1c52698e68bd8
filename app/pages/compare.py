"""Compare page: two synsets in one picture, two models on one picture, or one model on two pictures."""

from __future__ import annotations

import html
from dataclasses import replace

import streamlit as st

from app.compare import choices, difference, half, halves, numbers
from app.compare.halves import Looked
from app.state import comparison, session
from app.state.comparison import Comparison
from app.ui import display, figures, notices, spoken
from fcn_core.errors import FcnError
from fcn_core.pipeline import Analysis
from fcn_core.render import MAP_OPACITY

_GROUP = "compare"


def page() -> None:
    """Read the choices, draw the widgets, the two halves, and what differs."""
    record = session.compare().choices
    record.now = comparison.kept(record.now)
    ignored = record.arrive(_carry)
    notices.ignored_parameters(ignored or ())
    chosen = record.now
    record.publish()
    if "" in _pictures(chosen) and session.explore().uploaded is None:
        notices.gone()
    choices.draw(chosen)
    st.html(f'<h1 class="fcn-question">{html.escape(choices.question(chosen))}</h1>')
    first, second = (halves.half_of(chosen, side) for side in (0, 1))
    looked = halves.look((first, second))
    with st.container():  # what is drawn changes; what waits stands below it
        _results(chosen, looked)
    halves.watch(looked)


def _carry(first: bool) -> None:
    """Take over what Explore shows, if it was visited."""
    record = session.compare().choices
    if session.explore().choices.visit:
        record.now = comparison.carried(record.now, session.selection(), first)


def _pictures(chosen: Comparison) -> tuple[str, ...]:
    return chosen.pictures if chosen.compare == "Pictures" else chosen.pictures[:1]


def _results(chosen: Comparison, looked: tuple[Looked, Looked]) -> None:
    aligned = looked[0].half.picture.sha256 == looked[1].half.picture.sha256
    analyses = []
    for side, (column, each) in enumerate(zip(st.columns(2, gap="medium"), looked, strict=True)):
        with column:
            analyses.append(half.draw(each, side, _GROUP if aligned else f"{_GROUP}-{side}"))
    if chosen.view == "Heatmap":
        kind = looked[0].half.chosen.kind
        label = f"arithmetic mean of {display.MAP_LABELS[kind]}, fixed range"
        st.html(figures.legend(display.fixed_span(kind), chosen.colours, label, MAP_OPACITY))
    first, second = analyses
    if first is not None and second is not None and all(each.complete for each in looked):
        _compared(chosen, looked, (first, second))
    scales = ", ".join(f"{scale.height} × {scale.width}" for scale in chosen.scales)
    notices.note(
        f"Scales {scales}; fit {chosen.fit.lower()}; {chosen.map.lower()}; colours {chosen.colours}. Explore has the "
        "widgets for them."
    )


def _compared(chosen: Comparison, looked: tuple[Looked, Looked], analyses: tuple[Analysis, Analysis]) -> None:
    said = [half.sentence(each, analysis) for each, analysis in zip(looked, analyses, strict=True)]
    titles = [f"{each.half.title}, " if chosen.compare != "Synsets" else "" for each in looked]
    spoken.announce(". ".join(title + text for title, text in zip(titles, said, strict=True)))
    if not all(analysis.present for analysis in analyses):
        st.toggle(
            "Mark what looks most like it",
            help="The place where it would be, if it were in the photo after all.",
            **session.compare().choices.widget("trace"),
        )
    if chosen.compare == "Pictures":
        st.html('<h2 class="fcn-half-head">Side by side</h2>')
        one, other = (text[0].lower() + text[1:] for text in said)
        notices.note(
            f"In the first photo, {one}. In the second, {other}. Places of two photos do not belong together: no "
            "difference is drawn, and the pointer frames a place in one photo only."
        )
        numbers.draw(looked, analyses)
        return
    st.html('<h2 class="fcn-half-head">What differs</h2>')
    left, right = st.columns(2, gap="medium")
    both = looked[0].half, looked[1].half
    found = _difference(chosen, looked, analyses)
    with left:
        difference.draw(found, both, _GROUP)
    with right:
        st.html(difference.legend(found, both))
        notices.note(
            "Point at one of the three pictures, touch it, or walk over it with the arrow keys: all frame that place."
        )
        numbers.draw(looked, analyses)


def _difference(
    chosen: Comparison, looked: tuple[Looked, Looked], analyses: tuple[Analysis, Analysis]
) -> difference.Difference:
    if chosen.compare == "Models":
        return difference.of_models(analyses[0].arithmetic, analyses[1].arithmetic)
    first, second = (  # odds are of probabilities, whatever the heatmaps show
        each.view.analysis(replace(each.half.chosen, map="Probability")).arithmetic
        for each in looked
        if each.view is not None
    )
    return difference.of_synsets(first, second)


try:
    page()
except FcnError as error:
    notices.problem(str(error))
