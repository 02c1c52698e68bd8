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
    """Ask for what the picture shows, until the user has chosen.

    What the scales so far show is shown meanwhile; with all scales it depends on nothing but the picture, the scales
    and the model. A synset that the user chose for the picture before stays if all scales see it here, too.
    """
    if view is None:
        return
    page = session.explore()
    if page.doubted and view.complete:
        page.doubted = False
        if not view.present(page.choices.now.synset):
            page.choices.choose(synset="", threshold=None)
    synsets, surest = caches.ontology(), view.surest
    if picture.word is not None:
        page.found = synsets.collapse(synsets.find(picture.word).wnid)
    elif surest is not None:
        page.found = surest.synset.wnid


def draw(chosen: Selection, view: View | None) -> None:
    """Draw the picker, the hierarchy and the findings."""
    synsets = caches.ontology()
    st.session_state["synset"] = chosen.synset
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
