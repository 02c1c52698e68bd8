"""What screen readers say and the page does not show."""

from __future__ import annotations

import html

import streamlit as st


def title(text: str) -> None:
    """Give a page its name as a heading, where nothing visible is one."""
    st.html(f'<h1 class="fcn-hidden">{html.escape(text)}</h1>')


def current(key: str) -> None:
    """Mark the button in the container with this key as the one that leads to where the user is."""
    st.html(f'<span hidden data-current="{html.escape(key)}"></span>')


def language(code: str) -> None:
    """Say in which language the page is, such as "fr": screen readers then pronounce it so. Otherwise it is English."""
    st.html(f'<span hidden data-lang="{html.escape(code)}"></span>')


def announce(text: str) -> None:
    """Say a text whenever it changes: what a choice led to, in one sentence.

    Streamlit replaces the element when its text changes, and screen readers say only what changes inside an element.
    So `assist.js` copies the text into one that stays.
    """
    st.html(f'<span hidden data-announce="{html.escape(text)}"></span>')
