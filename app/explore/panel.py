"""Beside the photograph: what is seen in it, what to look for, how to show it, and how to take it along."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import streamlit as st

from app.explore import export_tab
from app.explore.large_picture import MOST_OUTLINES
from app.state import selection, session
from app.state.selection import Selection
from app.state.view import View
from app.ui import notices, stage, synset_picker
from app.ui.wording import certainty
from fcn_core.maps.findings import Finding
from fcn_core.pipeline import PRESENCE_FLOOR, Analysis
from fcn_core.render import Colour


def draw(chosen: Selection, view: View | None, analysis: Analysis | None, awaited: bool) -> None:
    """Draw the panel; `awaited`: whether a view that is missing will come."""
    with st.container(key="panel", gap="small"):
        _head()
        if view is not None:
            _seen(view)
        else:
            notices.note("Looking …" if awaited else "Nobody has looked at this photo yet.")
        now = session.explore().choices.now
        st.session_state["synset"] = now.synset
        synset_picker.pick_synset("synset", now.ontology, session.choose_synset, "Look for")
        asked = session.explore().choices.now.synset
        # Before all scales are in, it may still be found, and the question of the last photo may be dropped.
        if asked and view is not None and view.complete and analysis is not None and not analysis.present:
            _absent(analysis)
        st.segmented_control(
            "Show",
            selection.VIEWS,
            required=True,
            label_visibility="collapsed",
            width="stretch",
            **session.explore().choices.widget("view", initial="default"),
        )
        if view is not None and analysis is not None:
            with st.container(horizontal=True, gap="small"):
                export_tab.draw_download(chosen, view, analysis)
                export_tab.draw_share(view)


def _head() -> None:
    """Draw the heading, and once one thing is asked for the way back to everything that is found."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="panel-head"
    ):
        st.html('<h2 class="fcn-small-head">I see</h2>', width="content")
        if session.explore().choices.now.synset:
            st.button("Show everything", key="everything", type="tertiary", on_click=_show_everything)


def _show_everything() -> None:
    session.choose_everything()
    choices = session.explore().choices
    if choices.now.view == "Heatmap":  # which shows one thing at a time
        choices.choose(view="Outline")


def _seen(view: View) -> None:
    found = view.findings[:MOST_OUTLINES]
    less = tuple(each for each in view.doubtful if each.presence >= PRESENCE_FLOOR)
    if found:
        _chips("seen", view, found, stage.OUTLINE_COLOURS)
    if found and less:
        with st.popover("Less sure", type="tertiary"):
            notices.note("These may be in the photo, or it only looks like that. Press one to see where.")
            _chips("seen-less", view, less, ())
    elif less:
        notices.note("Nothing that I am sure of. Perhaps one of these? Press one to see where.")
        _chips("seen-less", view, less, ())
    elif not found:
        notices.note("Nothing that I know. You can look for any word below.")


def _chips(key: str, view: View, found: Iterable[Finding], colours: Iterable[Colour]) -> None:
    """Draw findings as buttons, one of which can be pressed."""
    words = {each.synset.wnid: certainty(each.presence, view.ontology) for each in found}
    dots = dict(zip(words, map(_dot, colours), strict=False))
    synsets = view.ontology
    asked = session.explore().choices.now.synset
    st.pills(
        "In this photo",
        list(words),
        format_func=lambda wnid: (
            f"{dots.get(wnid, '')} {notices.escape_markdown(synsets[wnid].name)} :small[:gray[{words[wnid]}]]".strip()
        ),
        label_visibility="collapsed",
        **session.explore().choices.widget(
            key, asked if asked in words else None, choose=_press, initial="default"
        ),
    )


def _press(wnid: str | None) -> None:
    if wnid is None:
        session.choose_everything()
    else:
        session.choose_synset(wnid)


def _dot(colour: Colour) -> str:
    """Return a round spot of a colour as an image in Markdown."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="14" height="14"><circle cx="7" cy="7" r="6" '
        f'fill="{stage.css(colour)}" stroke="#0b0d0f"/></svg>'
    )
    return f"![](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _absent(analysis: Analysis) -> None:
    name = analysis.synset.name
    notices.note(f"No {name} found here, so nothing is marked.")
    st.toggle(
        "Mark what looks most like it",
        help="The place where it would be, if it were in this photo after all.",
        **session.explore().choices.widget("trace"),
    )
