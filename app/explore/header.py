"""The top of Explore: the synset, its place in the hierarchy, and what else is in the picture."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.state import caches, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View
from app.ui import figures, notices, synset_picker


def adapt_synset(view: View | None, picture: Picture) -> None:
    """Show what is in a new picture; a synset that the user chose stays if it is seen there too.

    What the first scales say is preliminary: the choice is made again when all scales are there.
    """
    page, state = session.explore(), st.session_state
    before, final = page.settled
    again = before == picture.sha256
    if view is None or (again and (final or not view.complete)):
        return
    if page.synset_chosen:
        if not before or again or _peak(view, state["synset"]) >= figures.LOW_PEAK:
            page.settled = picture.sha256, True
            return
        if not view.complete:  # a finer scale may see it yet
            return
    page.settled = picture.sha256, view.complete
    synsets = caches.ontology()
    findings = view.findings
    if before and not again:
        page.suggest_threshold()
    page.synset_chosen = False
    if picture.word is not None:
        state["synset"] = synsets.collapse(synsets.find(picture.word).wnid)
    elif findings:
        state["synset"] = findings[0].wnid


def _peak(view: View, wnid: str) -> float:
    return view.analysis(replace(Selection(), synset=wnid)).arithmetic.peak


def draw(chosen: Selection, view: View | None) -> None:
    """Draw the picker, the hierarchy and the findings."""
    synsets = caches.ontology()
    synset_picker.pick_synset("synset", session.choose_synset)
    synset_picker.hierarchy("explore", chosen.synset, session.choose_synset)
    synset = synsets[chosen.synset]
    gloss = synset.gloss.split("; ")[0]
    others = ", ".join(synset.words[1:4])
    notices.note(f"{gloss}{f' ({others})' if others else ''}. {chosen.synset}")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="chips-explore"):
        if view is None:
            st.markdown(":small[:gray[What is in it? Looking …]]", width="content")
            return
        st.markdown(
            ":small[:gray[In this picture]]",
            width="content",
            help="The strongest classes. Where the network is sure, the class itself; where it hesitates between "
            "classes of one kind, that kind (dog, cat, vehicle). The number is the peak of the mean over the scales, "
            "at most 1.",
        )
        for finding in view.findings:
            st.button(
                f"{notices.escape_markdown(synsets.label(finding.wnid))} :small[{finding.peak:.2f}]",
                key=f"chip-{finding.wnid}",
                on_click=session.choose_synset,
                args=(finding.wnid,),
                type="primary" if finding.wnid == chosen.synset else "secondary",
            )
