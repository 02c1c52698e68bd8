"""The speaker notes: over a slide, and all together on a page to print."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from urllib.parse import urlencode

import streamlit as st

from app.lesson import choices
from app.lesson.choices import PATHS
from app.lesson.language import current, marked
from app.lesson.language import translated as _
from app.lesson.present.deck import Deck, Slide, read_deck
from app.lesson.present.figures import where
from app.lesson.session import learner, lesson_state
from app.lesson.stage import NotReadyError, Stage
from app.lesson.text import Question, fill
from fcn_core.errors import FcnError

STEP = "notes"
"""Name of the page with all notes in the address."""

_PATHS = {"45": marked("45 minutes"), "20": marked("20 minutes")}


def panel(deck: Deck, slide: Slide, stage: Stage) -> None:
    """Draw the notes of one slide over it."""
    now = stage.chosen
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="slide-notes-head"):
        st.markdown(f"**{_timing(deck, slide, now.path)}**")
        _choose_path()
        # An address with a room leads a new session into the room, as a participant.
        address = choices.write(replace(now, present=False, notes=False, step=STEP, room=""))
        link = f"learn?{urlencode(address)}"
        st.html(
            f'<a href="{escape(link)}" target="_blank">{escape(_("All notes in a window of their own"))}</a>'
        )
    st.markdown(fill(slide.notes, stage.values))
    st.markdown(f"**{_('Often misunderstood')}** {fill(slide.mistake, stage.values)}")


def _timing(deck: Deck, slide: Slide, path: str) -> str:
    """Say how long a slide takes, and when it begins."""
    minutes = slide.minutes_on(path)
    if not minutes:
        return _("Not on this path")
    begins, total = deck.before(slide, path), path
    return (
        _("1 minute, from minute {begins} of {total}", begins=begins, total=total)
        if minutes == 1
        else _(
            "{minutes} minutes, from minute {begins} of {total}", minutes=minutes, begins=begins, total=total
        )
    )


def _choose_path() -> None:
    st.segmented_control(
        _("Path"), PATHS, required=True, format_func=lambda path: _(_PATHS[path]), label_visibility="collapsed",
        **lesson_state().choices.widget("path", initial="default"),
    )  # fmt: skip


def page(stage: Stage) -> None:
    """Draw an introduction for the teacher, and the notes of all slides of the chosen path."""
    deck, path = read_deck(current()), learner().path
    _say(stage, deck)
    st.html(_PRINT)
    st.title(deck.title, anchor=False)
    with st.container(key="prose-notes-intro"):
        st.markdown(f"*{fill(deck.goal, stage.values)}*")
        st.markdown(fill(deck.intro, stage.values))
    with st.container(key="lesson-notes-path"):
        _choose_path()
    slides = deck.on(path)
    total = sum(slide.minutes_on(path) for slide in slides)
    st.markdown(f"**{_('{slides} slides, {total} minutes', slides=len(slides), total=total)}**")
    for place, slide in enumerate(slides, start=1):
        with st.container(key=f"prose-notes-{slide.name}"):
            st.subheader(f"{place}\u2002{fill(slide.title, stage.values)}", anchor=slide.name)
            address = choices.write(
                replace(learner(), present=True, notes=False, slide=slide.number, step=slide.step, room="")
            )
            st.caption(f"{_timing(deck, slide, path)} · [{_('Show this slide')}](learn?{urlencode(address)})")
            st.markdown(fill(slide.notes, stage.values))
            for block in slide.blocks:
                if isinstance(block, Question):
                    st.markdown(f"**{_('Answer')}** {fill(block.answer, stage.values)}")
            st.markdown(f"**{_('Often misunderstood')}** {fill(slide.mistake, stage.values)}")


def _say(stage: Stage, deck: Deck) -> None:
    """Say the values that figures of slides would say, and those of the deck."""
    long, short = PATHS
    stage.say(
        long_minutes=long,
        short_minutes=short,
        long_slides=len(deck.on(long)),
        short_slides=len(deck.on(short)),
    )
    try:
        stage.say(where=where(stage))
    except (NotReadyError, FcnError):
        stage.say(where=_("Where is the object?"))


_PRINT = """
<style>
.st-key-lesson h3 { margin-top: 1.2rem; }
@media print {
  [data-testid="stSidebar"], [data-testid="stHeader"], .st-key-lesson-notes-path { display: none !important; }
  .stApp, .stMain, [data-testid="stMain"], [data-testid="stAppViewContainer"] { position: static !important;
    overflow: visible !important; height: auto !important; }
  .st-key-lesson [class*="st-key-prose-notes"] { break-inside: avoid; max-width: none; }
}
</style>
"""
