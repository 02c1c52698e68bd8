"""The results of Explore: the question, the photograph, what is seen in it, and how that works."""

from __future__ import annotations

import streamlit as st

from app.explore import header, how, large_picture, panel, picture_source
from app.state import models, session
from app.state.pictures import Picture
from app.state.queue.jobs import Job
from app.state.selection import Selection
from app.state.view import View
from app.ui import notices
from fcn_core.images.scales import PlannedScale


@st.fragment
def draw(
    asked: Selection,
    job: Job | None,
    picture: Picture,
    plans: tuple[PlannedScale, ...],
    awaited: bool,
) -> None:
    """Draw the results; nothing here runs the network.

    Streamlit runs this again by itself when one of its widgets changes, so it reads the selection anew.

    Parameters
    ----------
    asked : Selection
        What the job was asked for.
    job : Job or None
        Whose class maps to show; None before the first is there.
    picture : Picture
        The picture they are of.
    plans : tuple of PlannedScale
        All scales that are asked for; empty: those of the job.
    awaited : bool
        Whether what is missing will come: not if the job failed, was refused or was stopped.
    """
    with notices.guarded("Drawing results"):
        if not models.is_offered(session.explore().choices.now.model):  # its file was removed meanwhile
            st.rerun()
        view = View.of(job, picture)
        header.adapt_synset(view, picture)
        asked_now = session.selection()
        session.publish()
        chosen = asked_now if view is None else view.fitting(asked_now)
        analysis = view.analysis(chosen) if view is not None else None
        header.draw(chosen, view, analysis)
        left, right = st.columns([5, 2], gap="medium")
        with left:
            large_picture.draw(chosen, view, picture, analysis)
            with st.container(key="about-picture"):
                notices.note(picture_source.credit(picture))
        with right:
            panel.draw(chosen, view, analysis, awaited)
        how.draw(chosen, view, picture, analysis, plans)
        evicted = job is not None and view is None  # its class maps were evicted: ask for them again
        if evicted or _whole_page(asked_now) != _whole_page(asked):
            st.rerun()  # at the end: Streamlit would forget the widgets that were not drawn


def _whole_page(chosen: Selection) -> tuple[object, ...]:
    """Return the choices that concern more of the page than the results: what the network runs for, what is awaited."""
    return chosen.scales, chosen.fitting, chosen.model_key, chosen.inspects
