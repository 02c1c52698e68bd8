"""Draw one slide on the whole screen."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import streamlit as st

from app.lesson import frame
from app.lesson.language import current
from app.lesson.language import translated as _
from app.lesson.present import notes, remote
from app.lesson.present.deck import Slide, read_deck
from app.lesson.present.figures import FIGURES, where
from app.lesson.stage import NotReadyError, Stage
from app.lesson.text import Block, Figure, Formula, Prose, Question, fill, parts_of
from app.state import shared_queue
from app.state.queue.jobs import Job
from app.state.session import session_id
from app.ui import spoken
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale


@cache
def _style() -> str:
    return f"<style>{Path(__file__).with_name('slides.css').read_text(encoding='utf-8')}</style>"


def draw(stage: Stage) -> None:
    """Draw the slide that the address names, the remote, and the speaker notes if they are asked for."""
    st.html(_style())
    deck, learner = read_deck(current()), stage.chosen
    slide = deck.at(learner.slide)
    with suppress(NotReadyError, FcnError):  # the figures say why
        stage.say(where=where(stage))
    with st.container(key="slide-deck"):
        with st.container(key=f"slide-{slide.name}"):
            _screen(slide, stage, remote.is_revealed(learner, slide))
        with st.container(key="slide-notes"):
            if learner.notes:
                notes.panel(deck, slide, stage)
        remote.draw(deck, slide, learner)
    _watch(stage, _prepare(stage))


def _screen(slide: Slide, stage: Stage, revealed: bool) -> None:
    """Draw heading, text and figures; the text last, because figures say its live values."""
    shown = slide.blocks + (slide.hidden if revealed else ())
    if slide.beside:
        with st.container(key="slide-room"):
            left, right = st.columns([5, 7], gap="large", vertical_alignment="center")
        with left:
            head = st.container(key="slide-head")
            text = st.container(key="slide-text")
        with right:
            _figures(shown, stage)
    else:
        head = st.container(key="slide-head")
        text = st.container(key="slide-text")
        with st.container(key="slide-room"):
            _figures(shown, stage)
    with text:
        for block in shown:
            _text(block, stage, revealed)
    title = fill(slide.title, stage.values)
    head.title(title, anchor=False)
    spoken.announce(title)


def _figures(blocks: tuple[Block, ...], stage: Stage) -> None:
    """Draw the figures; those that follow each other side by side."""
    for is_figure, group in groupby(blocks, key=lambda block: isinstance(block, Figure)):
        figures = [block for block in group if isinstance(block, Figure)]
        if not is_figure:
            continue
        places = (
            st.columns(len(figures), gap="large", vertical_alignment="center")
            if len(figures) > 1
            else [st.container()]
        )
        for place, figure in zip(places, figures, strict=True):
            with place, st.container(key=f"slide-figure-{figure.name}"):
                frame.figure(FIGURES[figure.name], stage)
                if figure.caption:
                    st.caption(fill(figure.caption, stage.values))


def _text(block: Block, stage: Stage, revealed: bool) -> None:
    match block:
        case Prose(text):
            st.markdown(fill(text, stage.values))
        case Formula(latex):
            with st.container(horizontal=True, horizontal_alignment="center", gap="large"):
                for part in parts_of(latex):
                    st.latex(part, width="content")
        case Question():
            _question(block, stage, revealed)
        case _:
            pass


def _question(question: Question, stage: Stage, revealed: bool) -> None:
    """Draw a question to the whole room; the choices have letters for a show of hands."""
    choices = tuple(fill(choice, stage.values) for choice in question.choices)
    right = frame.right_answer(question, choices, stage.values)
    st.markdown(fill(question.text, stage.values))
    with st.container(key="slide-choices"):
        for n, choice in enumerate(choices):
            look = "plain" if not revealed else "right" if n == right else "wrong"
            with st.container(key=f"slide-choice-{look}-{n}"):
                st.markdown(f"**{ascii_uppercase[n]}** {choice}")
    with st.container(key="slide-answer"):
        st.markdown(fill(question.answer, stage.values) if revealed else f"*{_('Raise your hands.')}*")


def _prepare(stage: Stage) -> list[Job]:
    """Let the network begin what later slides show, so that they appear at once; return the jobs that still run."""
    waited, futures = list(stage.waiting), list(stage.futures)
    size = stage.spec.input_size
    wanted: tuple[tuple[str, tuple[Scale, ...], Any], ...] = (
        ("native", (Scale(size, size),), "exact"),
        ("mean", NOTEBOOK_SCALES, "aspect"),
        ("pyramid", NOTEBOOK_SCALES, stage.chosen.fit),
        ("one", NOTEBOOK_SCALES[1:2], "aspect"),
    )
    for purpose, scales, fit in wanted:
        with suppress(NotReadyError, FcnError):  # the slide that shows it says why
            stage.class_maps(purpose, stage.source, scales, fit)
    with suppress(FcnError):
        shared_queue.queue().field(stage.model, session=session_id())
    running = [job for job in stage.waiting if job not in waited]
    stage.waiting[:], stage.futures[:] = waited, futures
    return running


def _watch(stage: Stage, later: list[Job]) -> None:
    """Draw the page again when a figure's numbers are there; keep alive what later slides wait for."""
    if not (stage.busy or later):
        return

    @st.fragment(run_every=0.3)
    def look() -> None:
        queue = shared_queue.queue()
        for job in stage.waiting + later:
            queue.keep_alive(job, session=session_id())
        jobs = [queue.look(job) for job in stage.waiting]
        if any(job.finished for job in jobs) or any(future.done() for future in stage.futures):
            st.rerun()

    with st.container(key="lesson-watch"):
        look()
