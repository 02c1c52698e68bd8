"""Explore page: a picture, what the network sees in it, and where."""

from __future__ import annotations

import streamlit as st

from app.explore import picture_source, running
from app.state import session
from app.state.pictures import Picture
from app.ui import notices
from fcn_core.errors import FcnError


def page() -> None:
    """Read the selection, then draw the page."""
    ignored = session.start()
    picture = picture_source.open_chosen()
    chosen = session.selection()
    notices.ignored_parameters(ignored)
    picture_source.draw()
    with st.container():
        _messages(picture)
    running.draw(chosen, picture)


def _messages(shown: Picture) -> None:
    remembered = session.explore()
    if remembered.refused is not None:
        notices.refused(remembered.refused, shown.name, session.choose_picture)
    if remembered.problem:
        notices.problem(remembered.problem)
        remembered.problem = ""
    if remembered.picture_gone:
        notices.gone()


try:
    page()
except FcnError as error:
    notices.problem(str(error))
