"""The top of Explore: which synset is asked for, and the question in words."""

from __future__ import annotations

import html

import streamlit as st

from app.state import models, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View
from app.ui import spoken
from app.ui.question import where
from fcn_core.pipeline import Analysis


def adapt_synset(view: View | None, picture: Picture) -> None:
    """Ask for what the picture shows, until the user has chosen.

    What the scales so far show is shown meanwhile; with all scales it depends on nothing but the picture, the scales
    and the model. A synset that the user chose for the picture before stays if all scales see it here, too.
    """
    page = session.explore()
    if view is None or view.ontology is not page.choices.now.ontology:  # of the model that was chosen before
        return
    if page.doubted and view.complete:
        page.doubted = False
        if not view.present(page.choices.now.synset):
            page.choices.choose(synset="", threshold=None)
    wnid = _word_of(picture, view) or (view.surest.synset.wnid if view.surest is not None else "")
    if wnid:
        page.found = view.ontology, wnid


def _word_of(picture: Picture, view: View) -> str:
    """Return the synset to show first for a sample; "" for other pictures, and for a network that never learned it."""
    if picture.word is None:
        return ""
    return models.named(picture.word, view.ontology)


def draw(chosen: Selection, view: View | None, analysis: Analysis | None) -> None:
    """Draw the question that the page answers, and say the answer to screen readers."""
    name = chosen.ontology[chosen.synset].name
    asked = bool(session.explore().choices.now.synset) or (view is not None and chosen.view == "Heatmap")
    question = f"{where(name)} in this photo?" if asked else "What is in this photo, and where?"
    answer = "" if view is None or analysis is None else _answer(chosen, view, analysis, asked)
    st.html(f'<h1 class="fcn-question">{html.escape(question)}</h1>')
    spoken.announce(answer)


def _answer(chosen: Selection, view: View, analysis: Analysis, asked: bool) -> str:
    if asked:
        if not analysis.present and not view.complete:
            return ""
        name = analysis.synset.name
        return (
            f"{name}: marked on {view.outlined(chosen, chosen.synset).coverage:.0%} of the photo"
            if analysis.present
            else f"No {name} found"
        )
    names = ", ".join(each.synset.name for each in view.findings or view.doubtful)
    if view.findings:
        return f"Found: {names}"
    return f"Nothing sure. Perhaps: {names}" if names else "Nothing found"
