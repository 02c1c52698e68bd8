"""The top of Explore: which synset is asked for, and the question in words."""

from __future__ import annotations

import html

import streamlit as st

from app.state import caches, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View, coverage
from fcn_core.pipeline import Analysis


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


def draw(chosen: Selection, view: View | None, analysis: Analysis | None) -> None:
    """Draw the question that the page answers, and say the answer to screen readers."""
    name = caches.ontology().label(chosen.synset)
    asked = session.explore().synset_chosen or (view is not None and chosen.view == "Heatmap")
    question = f"Where is the {name} in this photo?" if asked else "What is in this photo, and where?"
    answer = "" if view is None or analysis is None else _answer(name, view, analysis, asked)
    st.html(
        f'<h1 class="fcn-question">{html.escape(question)}</h1>'
        f'<p class="fcn-unseen" role="status" aria-live="polite">{html.escape(answer)}</p>'
    )


def _answer(name: str, view: View, analysis: Analysis, asked: bool) -> str:
    if asked:
        return (
            f"{name}: outlined on {coverage(analysis):.0%} of the photo"
            if analysis.present
            else f"No {name} found"
        )
    label = caches.ontology().label
    return "Found: " + (", ".join(label(each.synset.wnid) for each in view.findings) or "nothing sure")
