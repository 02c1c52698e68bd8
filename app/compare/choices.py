"""The choices at the top of Compare, and the question that they ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.state import comparison, session
from app.state.comparison import Comparison
from app.state.samples import SAMPLES
from app.ui import notices, sample_label, synset_picker
from app.ui.question import where
from fcn_core.networks.zoo import model_spec, offered

LabelVisibility = Literal["visible", "collapsed"]


def draw(chosen: Comparison) -> None:
    """Draw the widgets; what belongs to one half stands above it."""
    widget = session.compare().choices.widget
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
        st.segmented_control(
            "Compare", comparison.WHAT, required=True, label_visibility="collapsed", width="content",
            **widget("compare", initial="default"),
        )  # fmt: skip
        st.segmented_control(
            "Show", comparison.VIEWS, required=True, label_visibility="collapsed", width="content",
            **widget("view", initial="default"),
        )  # fmt: skip
    if chosen.compare == "Pictures":
        left, right = st.columns(2, gap="medium")
        with left:
            _pick_picture("picture", chosen.picture, "First photo", "visible")
        with right:
            _pick_picture("other_picture", chosen.other_picture, "Second photo", "visible")
        with st.columns(2, gap="medium")[0]:
            _pick_synset("synset", chosen.wnids[0], "Look for")
        return
    _pick_picture("picture", chosen.picture, "Photo")
    if chosen.compare == "Models":
        names = [spec.name for spec in offered()]
        where, left, right = _columns(3)
        with where:
            _pick_synset("synset", chosen.wnids[0], "Look for")
        fields = (left, "model", "with", _choose_model), (right, "other_model", "and with", None)
        for (place, field, label, choose), name in zip(fields, chosen.models, strict=True):
            place.selectbox(
                label, names, names.index(name), format_func=lambda each: model_spec(each).title,
                **widget(field, name, choose=choose, initial=""),
            )  # fmt: skip
        return
    left, right = _columns(2)
    with left:
        _pick_synset("synset", chosen.wnids[0], "Look for")
    with right:
        _pick_synset("other", chosen.wnids[1], "and for")


def _choose_model(name: str) -> None:
    choices = session.compare().choices
    choices.now = comparison.with_model(choices.now, name)


def _columns(count: int) -> list[DeltaGenerator]:
    """Return columns of which the last two stay side by side on a telephone."""
    with st.container(key="compare-pair"):
        return st.columns(count, gap="medium")


def _pick_picture(field: str, name: str, label: str, label_visibility: LabelVisibility = "collapsed") -> None:
    mine = session.explore().picture
    names = dict.fromkeys([*([mine.address] if mine is not None else []), name, *SAMPLES])

    def choose(chosen: str | None) -> None:
        if chosen is not None:  # a second click does not take it away
            session.compare().choices.choose(**{field: chosen})

    st.pills(
        label, [each for each in names if each not in SAMPLES] + list(SAMPLES), format_func=_button,
        label_visibility=label_visibility, **session.compare().choices.widget(field, choose=choose, initial="default"),
    )  # fmt: skip


def _button(name: str) -> str:
    if name in SAMPLES:
        return sample_label.of(name)
    return f":material/image: {notices.escape_markdown(name.rpartition('/')[2] or 'Your photo')}"


def _pick_synset(field: str, wnid: str, label: str) -> None:
    key = "compare-synset" if field == "synset" else "compare-other"
    st.session_state[key] = wnid
    ontology = session.compare().choices.now.ontology
    synset_picker.pick_synset(key, ontology, _chooser(field), label)


def _chooser(field: str) -> Callable[[str], None]:
    def choose(wnid: str) -> None:
        session.compare().choices.choose(**{field: wnid})

    return choose


def question(chosen: Comparison) -> str:
    """Return the question that the page answers."""
    first, second = (chosen.ontology[wnid].name for wnid in chosen.wnids)
    asked = {
        "Synsets": f"{first} or {second}: where, and how much?",
        "Models": f"{where(first)}, and do two networks agree?",
        "Pictures": f"{where(first)} in these two photos?",
    }[chosen.compare]
    return asked[0].upper() + asked[1:]
