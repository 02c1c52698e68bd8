"""The top of Explore: the synset, its place in the hierarchy, and what else is in the picture."""

from __future__ import annotations

import streamlit as st

from app.state import caches, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View
from app.ui import notices, synset_picker
from fcn_core.maps.findings import WORTH_SAYING


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
        if not before or again or view.present(state["synset"]):
            page.settled = picture.sha256, True
            return
        if not view.complete:  # a finer scale may see it yet
            return
    page.settled = picture.sha256, view.complete
    synsets = caches.ontology()
    surest = view.surest
    if before and not again:
        page.suggest_threshold()
    page.synset_chosen = False
    if picture.word is not None:
        state["synset"] = synsets.collapse(synsets.find(picture.word).wnid)
    elif surest is not None:
        state["synset"] = surest.synset.wnid


def draw(chosen: Selection, view: View | None, *, looking: bool) -> None:
    """Draw the picker, the hierarchy and the findings; without a view, `looking` says whether one will come."""
    synsets = caches.ontology()
    synset_picker.pick_synset("synset", session.choose_synset)
    synset_picker.hierarchy("explore", chosen.synset, session.choose_synset)
    synset = synsets[chosen.synset]
    gloss = synset.gloss.split("; ")[0]
    others = ", ".join(synset.words[1:4])
    notices.note(f"{gloss}{f' ({others})' if others else ''}. {chosen.synset}")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="chips-explore"):
        if view is None:
            if looking:
                st.markdown(":small[:gray[What is in it? Looking …]]", width="content")
            return
        st.markdown(
            ":small[:gray[In this picture]]",
            width="content",
            help="What is in the picture, most certain first. Where the network is sure, the class itself; where it "
            "hesitates between classes of one kind, that kind (dog, cat, vehicle). The number is the probability that "
            f"it is there at all; from {WORTH_SAYING:g} on it is listed.",
        )
        findings = view.findings
        if not findings:
            st.markdown(":small[nothing that it is sure of]", width="content")
        for finding in findings:
            wnid = finding.synset.wnid
            st.button(
                f"{notices.escape_markdown(synsets.label(wnid))} :small[{finding.presence:.2f}]",
                key=f"chip-{wnid}",
                on_click=session.choose_synset,
                args=(wnid,),
                type="primary" if wnid == chosen.synset else "secondary",
            )
