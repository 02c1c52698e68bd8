"""Explore page: a picture, what the network sees in it, and where."""

from __future__ import annotations

import streamlit as st

from app.explore import inputs, picture_source, running
from app.state import session
from app.ui import notices, spoken
from fcn_core.errors import FcnError


def page() -> None:
    """Read the selection, then draw the page."""
    ignored = session.start()
    picture = picture_source.open_chosen()
    chosen = session.selection()
    if ignored:
        names = notices.escape_markdown(", ".join(ignored))
        st.toast(f"Ignored in the address: {names}", icon=":material/link_off:")
    main = st.container()
    with main:
        spoken.title("Explore")
    with st.sidebar:
        inputs.draw(chosen, picture)
        running.await_model(chosen)
    with main:
        _messages()
        running.draw(chosen, picture)


def _messages() -> None:
    remembered = session.explore()
    if remembered.problem:
        notices.problem(remembered.problem)
        remembered.problem = ""
    if remembered.picture_gone:
        notices.gone()


try:
    page()
except FcnError as error:
    notices.problem(str(error))
