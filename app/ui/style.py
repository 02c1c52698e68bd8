"""The page's style sheet: what `.streamlit/config.toml` cannot express."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st

from app.ui import page_scripts


@cache
def _sheet() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def style() -> None:
    """Add the style sheet, the scripts of every page, and the hidden button that reruns it after a reconnection.

    Call it once a run, before anything is drawn.
    """
    st.html(f"<style>{_sheet()}</style>")
    st.button("Ask again", key="ask-again")
    for script in (page_scripts.RERUN_ON_RECONNECT, page_scripts.ENTRY_PER_GESTURE, page_scripts.ASSIST):
        st.html(page_scripts.element(script), unsafe_allow_javascript=True)
