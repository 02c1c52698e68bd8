"""Lay out a step: prose in a narrow column, figures with captions, questions, code, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from html import escape
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.lesson import choices, room
from app.lesson.experiments import Check
from app.lesson.language import number, percent
from app.lesson.language import translated as _
from app.lesson.session import lesson_state
from app.lesson.source import source_of
from app.lesson.stage import NotReadyError, Stage
from app.lesson.text import (
    Block,
    CheckBlock,
    Code,
    Figure,
    Formula,
    Lesson,
    Prose,
    Question,
    Snippet,
    fill,
    names_of,
    parts_of,
)
from app.state import shared_queue
from app.state.session import session_id
from app.ui import page_scripts, spoken
from fcn_core.errors import FcnError

Draw = Callable[[Stage], bool | None]
"""Draws a figure; returns False if there is nothing to caption yet."""

_STYLE = """
<style>
.st-key-lesson { max-width: 56rem; margin: 0 auto; }
.st-key-lesson [class*="st-key-prose"], .st-key-lesson [class*="st-key-formula"],
.st-key-lesson [class*="st-key-question"], .st-key-lesson [class*="st-key-check"],
.st-key-lesson [class*="st-key-snippet"], .st-key-lesson [class*="st-key-caption"],
.st-key-lesson-goal { max-width: 42rem; }
.st-key-lesson [class*="st-key-prose"] p, .st-key-lesson [class*="st-key-prose"] li { line-height: 1.65; }
.st-key-lesson h1 { padding: 0 0 .5rem; text-wrap: balance; }
.st-key-lesson h2 { margin-top: 1.5rem; }
.st-key-lesson .katex-display { overflow: visible; }
.st-key-lesson [class*="st-key-prose"] .katex { font-size: 1.08em; }
.st-key-lesson [class*="st-key-figure"] { margin: 1rem 0 1.25rem; }
.st-key-lesson [class*="st-key-formula"] { overflow-x: auto; overflow-y: hidden; }
@media (max-width: 640px) { .st-key-lesson .katex-display { font-size: .85em; } }
.st-key-lesson [class*="st-key-question"] { margin: 1rem 0; }
.st-key-lesson [data-testid="stImage"] img { border-radius: 4px; max-width: 100%; }
.st-key-lesson [class*="st-key-before"] { opacity: .75; }
.lesson-wait { border: 1px dashed color-mix(in srgb, currentColor 25%, transparent); border-radius: 8px;
  min-height: 12rem; display: grid; place-items: center; opacity: .75; text-align: center; padding: 1rem; }
[class*="st-key-lesson-link"] { margin-bottom: -.75rem; }
[class*="st-key-lesson-link"] button { min-height: 1.75rem; padding: .15rem .5rem; width: 100%;
  justify-content: flex-start; }
[class*="st-key-lesson-link"] button[aria-current] { background: color-mix(in srgb, currentColor 9%, transparent); }
</style>
"""


def style() -> None:
    """Add the lesson's style sheet."""
    st.html(f"{_STYLE}<style>{charts_style()}</style>")


@cache
def charts_style() -> str:
    """Return the style sheet of charts and tables, which the handout shares."""
    return (Path(__file__).parent / "charts.css").read_text(encoding="utf-8")


def arrive(step: str) -> None:
    """Scroll to the top of a new step, because Streamlit keeps the scroll position."""
    state = lesson_state()
    if state.step not in ("", step):
        st.html(page_scripts.element(page_scripts.SCROLL_TO_TOP, step), unsafe_allow_javascript=True)
    state.step = step


def draw(lesson: Lesson, stage: Stage, figures: Mapping[str, Draw]) -> None:
    """Draw all blocks of a step. Text with live values of a figure further down is drawn after that figure."""
    later: list[tuple[Prose | Question, DeltaGenerator]] = []
    for n, block in enumerate(lesson.blocks):
        key = f"{lesson.name}-{n}"
        if isinstance(block, Prose | Question):
            place = st.container(key=f"{type(block).__name__.lower()}-{key}")
            if names_of(block) <= stage.values.keys():
                _text(block, stage, place)
            else:
                later.append((block, place))
        else:
            _draw(block, key, stage, figures)
    for block, place in later:
        _text(block, stage, place)


def _text(block: Prose | Question, stage: Stage, place: DeltaGenerator) -> None:
    with place:
        if isinstance(block, Question):
            _question(block, stage)
        else:
            st.markdown(fill(block.text, stage.values))


def _draw(block: Block, key: str, stage: Stage, figures: Mapping[str, Draw]) -> None:
    match block:
        case Formula(latex):
            with st.container(
                key=f"formula-{key}",
                horizontal=True,
                horizontal_alignment="center",
                vertical_alignment="center",
                gap="large",
            ):
                for part in parts_of(latex):
                    st.latex(part, width="content")
        case Figure(name, caption):
            stage.paper.clear()
            with st.container(key=f"figure-{name}"):
                if not figure(figures[name], stage):
                    return
                with st.container(key=f"caption-{key}"):
                    st.caption(fill(caption, stage.values))
            stage.printed[name] = "".join(stage.paper)
        case Code(name):
            with st.expander(_("The code: `{name}`", name=name.rsplit(".", 1)[-1]), icon=":material/code:"):
                st.caption(_("`{name}`, read from the source of the running program.", name=name))
                st.code(source_of(name), language="python", wrap_lines=True)
        case Snippet(when, _needs, code):
            with st.container(key=f"snippet-{when}-{key}", gap="xsmall"):
                st.caption(_("Before") if when == "before" else f":primary[**{_('Today')}**]")
                st.code(code, language="python", wrap_lines=True)
        case CheckBlock(name, claim):
            _check(name, fill(claim, stage.values), stage.checks.get(name))


def watch(stage: Stage) -> None:
    """Poll what the figures wait for, and rerun the page when a result is ready."""
    if not stage.busy:
        return

    @st.fragment(run_every=0.5)
    def look() -> None:
        for job in stage.waiting:
            shared_queue.queue().keep_alive(job, session=session_id())
        jobs = [shared_queue.queue().look(job) for job in stage.waiting]
        if jobs:
            share = sum(job.share for job in jobs) / len(jobs)
            st.progress(min(share, 1.0), _("The network is running"))
        if any(job.finished for job in jobs) or any(future.done() for future in stage.futures):
            st.rerun()

    with st.container(key="lesson-watch"):
        look()


def wait_for(wait: NotReadyError) -> None:
    """Say what is waited for, in the place of a figure or below an incomplete one."""
    share = f" · {percent(wait.share)}" if wait.share else ""
    text = escape(_("Please wait: {what}", what=wait.what))
    st.html(f'<div class="lesson-wait" data-announce="{text}">{text}{share}</div>')


def figure(draw_figure: Draw, stage: Stage) -> bool:
    """Draw a figure, or say why it is not there yet; return whether there is something to caption."""
    try:
        return draw_figure(stage) is not False
    except NotReadyError as wait:
        wait_for(wait)
        return False
    except FcnError as error:
        st.error(str(error), icon=":material/error:")
        return False


def verdict(check: Check) -> str:
    """Describe the result of a check."""
    limit = ""
    if check.limit:
        limit = f" ({_('rounding explains up to {limit}', limit=scientific(check.limit))})"
    return f"**{scientific(check.error)}**{limit}"


def scientific(value: float) -> str:
    """Format a small error in scientific notation."""
    return number(value, ".1e") if value else "0"


def _check(name: str, claim: str, check: Check | None) -> None:
    with st.container(key=f"check-{name}", border=True):
        if check is None:
            st.markdown(f":gray[:material/hourglass_empty: **{_('Check: not run yet.')}**] {claim} …")
            return
        icon = ":green[:material/check_circle:]" if check.passed else ":red[:material/cancel:]"
        word = _("Check passed.") if check.passed else _("Check failed.")
        st.markdown(f"{icon} **{word}** {claim} {verdict(check)}")


def filled(question: Question, values: Mapping[str, str]) -> Question:
    """Return a question with its live values filled in.

    Raises
    ------
    ValueError
        None of the answers is right, where it depends on the picture.
    """
    answers = tuple(fill(choice, values) for choice in question.choices)
    return Question(
        question.name, fill(question.text, values), answers, right_answer(question, answers, values),
        fill(question.answer, values),
    )  # fmt: skip


def _question(question: Question, stage: Stage) -> None:
    complete = names_of(question) <= stage.values.keys()
    question = filled(question, stage.values)
    answers, right = question.choices, question.right
    chosen = choices.answer_of(stage.chosen, question.name)
    if chosen is not None and chosen >= len(answers):
        chosen = None
    with st.container(border=True):
        st.markdown(f":primary[**{_('Predict first')}**]\n\n{question.text}")
        st.radio(
            _("Your prediction"), range(len(answers)), chosen, format_func=answers.__getitem__,
            label_visibility="collapsed",
            **stage.widget("answers", chosen, question.name, partial(_answer, question.name), initial=""),
        )  # fmt: skip
        is_shown = question.name in stage.chosen.shown
        st.toggle(
            _("Show the answer"),
            **stage.widget("shown", is_shown, question.name, partial(_show, question.name)),
        )
        if is_shown and right < 0:
            st.markdown(_("The network is still running."))
        elif is_shown:
            if chosen == right:
                st.markdown(f":green[:material/check: **{_('Correct.')}**]")
                spoken.announce(_("Correct."))
            else:
                st.markdown(f":primary[:material/arrow_forward: **{answers[right]}**]")
                spoken.announce(_("The answer: {answer}", answer=answers[right]))
            st.markdown(question.answer)
        room.under(question, complete)


def right_answer(question: Question, answers: Sequence[str], values: Mapping[str, str]) -> int:
    """Return which answer is right, counted from 0; -1 while the network still runs, if it depends on the picture.

    Raises
    ------
    ValueError
        None of them is, where it depends on the picture.
    """
    if not question.depends:
        return question.right
    return answers.index(values[question.depends]) if question.depends in values else -1


def _answer(question: str, chosen: int | None) -> None:
    record = lesson_state().choices
    record.now = choices.with_answer(record.now, question, chosen)


def _show(question: str, shown: bool) -> None:
    record = lesson_state().choices
    record.now = choices.with_shown(record.now, question, shown)
