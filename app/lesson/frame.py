"""How a step is laid out: prose in a narrow column, figures with captions, questions, code, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from app import cached
from app.lesson.stage import NotReadyError, Stage
from app.lesson.text import Code, Figure, Formula, Lesson, Proof, Prose, Question, fill
from fcn_core.errors import FcnError
from fcn_core.lesson import source_of

Draw = Callable[[Stage], bool | None]
"""Draws a figure; False says that it has nothing to caption yet."""

_STYLE = """
<style>
.st-key-lesson { max-width: 56rem; margin: 0 auto; }
.st-key-lesson [class*="st-key-prose"] { max-width: 42rem; }
.st-key-lesson [class*="st-key-prose"] p, .st-key-lesson [class*="st-key-prose"] li { line-height: 1.65; }
.st-key-lesson h2 { margin-top: 1.5rem; }
.st-key-lesson [class*="st-key-figure"] { margin: 1rem 0 1.25rem; }
.st-key-lesson [class*="st-key-formula"] { overflow-x: auto; overflow-y: hidden; max-width: 42rem; }
.st-key-lesson [class*="st-key-question"] { max-width: 42rem; margin: 1rem 0; }
.st-key-lesson .lesson-caption { max-width: 42rem; }
.st-key-lesson [data-testid="stImage"] img { border-radius: 4px; }
.st-key-lesson [class*="st-key-cells"] img { image-rendering: pixelated; }
.lesson-figure-wait { border: 1px dashed color-mix(in srgb, currentColor 25%, transparent); border-radius: 8px;
  min-height: 12rem; display: grid; place-items: center; opacity: .75; text-align: center; padding: 1rem; }
</style>
"""

_PRESENT = """
<style>
html { font-size: 22px !important; }
[data-testid="stSidebar"], [data-testid="stSidebarCollapsedControl"], [data-testid="stExpandSidebarButton"],
[data-testid="stHeader"], [data-testid="stToolbar"] { display: none !important; }
[data-testid="stMainBlockContainer"] { padding-top: 1.5rem !important; }
@media (max-width: 640px) { html { font-size: 18px !important; } }
</style>
"""


def style(present: bool) -> None:
    """Measure and rhythm of the lesson; in present mode large type and nothing around it."""
    st.html(_STYLE + (_PRESENT if present else ""))


def draw(lesson: Lesson, stage: Stage, figures: Mapping[str, Draw]) -> None:
    """Draw all blocks of a step, one after another; live values flow from figures to the text below them."""
    for n, block in enumerate(lesson.blocks):
        key = f"{lesson.number}-{n}"
        match block:
            case Prose(text):
                with st.container(key=f"prose-{key}"):
                    st.markdown(fill(text, stage.values))
            case Formula(latex):
                with st.container(key=f"formula-{key}"):
                    st.latex(latex)
            case Figure(name, caption):
                with st.container(key=f"figure-{name}"):
                    ready = _figure(figures[name], stage)
                    if ready:
                        st.caption(fill(caption, stage.values))
            case Code(name):
                with st.expander(f"The code: `{name.rsplit('.', 1)[-1]}`", icon=":material/code:"):
                    st.caption(f"`{name}`, read from the program that runs this page.")
                    st.code(source_of(name), language="python", wrap_lines=True)
            case Proof(name, claim):
                _check(name, claim, stage, key)
            case Question():
                _question(block, stage, key)
    if stage.busy:
        _watch(stage)


def _figure(draw_figure: Draw, stage: Stage) -> bool:
    try:
        return draw_figure(stage) is not False
    except NotReadyError as wait:
        share = f" · {wait.share:.0%}" if wait.share else ""
        st.html(f'<div class="lesson-figure-wait" role="status">One moment: {wait.what}{share}</div>')
        return False
    except FcnError as error:
        st.error(str(error), icon=":material/error:")
        return False


def _check(name: str, claim: str, stage: Stage, key: str) -> None:
    check = stage.checks.get(name)
    with st.container(key=f"check-{name}-{key}", border=True):
        if check is None:
            st.markdown(f":material/hourglass_empty: **Check.** {fill(claim, stage.values)} …")
            return
        icon, word = (
            (":green[:material/check_circle:]", "holds")
            if check.passed
            else (":red[:material/cancel:]", "fails")
        )
        error = "exactly zero" if check.error == 0 else f"{check.error:.1e}"
        st.markdown(
            f"{icon} **Check: {word}.** {fill(claim, stage.values)} **{error}** (limit {check.limit:.0e})"
        )


def _question(question: Question, stage: Stage, key: str) -> None:
    with st.container(key=f"question-{key}", border=True):
        st.markdown(f":primary[**Predict first**]\n\n{fill(question.text, stage.values)}")
        choices = [fill(choice, stage.values) for choice in question.choices]
        chosen = st.radio(
            "Your prediction",
            range(len(choices)),
            index=None,
            format_func=choices.__getitem__,
            key=f"choice-{key}",
            label_visibility="collapsed",
        )
        if st.toggle("Reveal", key=f"reveal-{key}"):
            if chosen is not None:
                if chosen == question.right:
                    st.markdown(":green[:material/check: **As you said.**]")
                else:
                    st.markdown(f":orange[:material/arrow_forward: **{choices[question.right]}**]")
            st.markdown(fill(question.answer, stage.values))


def _watch(stage: Stage) -> None:
    """Look at what the figures wait for, and draw the page anew when it is there."""

    @st.fragment(run_every=0.5)
    def look() -> None:
        jobs = [cached.queue().look(job) for job in stage.waiting]
        if jobs:
            share = sum(job.share for job in jobs) / len(jobs)
            st.progress(min(share, 1.0), "The network is at work")
        finished = any(job.finished for job in jobs)
        if finished or any(future.done() for future in stage.futures):
            st.rerun()

    with st.container(key="lesson-watch"):
        look()
