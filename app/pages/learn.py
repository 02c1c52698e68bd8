"""Learn page: the notebook as a lesson in steps, each with an address of its own."""

from __future__ import annotations

import streamlit as st

from app.lesson import facts, frame
from app.lesson.glossary import anchor, entries
from app.lesson.handout import handout
from app.lesson.session import lesson_state
from app.lesson.stage import Stage, available_models
from app.lesson.steps import step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9
from app.lesson.text import Lesson, read_lesson
from app.state.queue.jobs import ModelKey
from app.ui import notices, spoken
from fcn_core.networks.zoo import MODELS

FIGURES = [s.FIGURES for s in (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9)]
OTHERS = {"glossary": "Glossary", "all": "All on one page"}

lessons = read_lesson()
state = lesson_state()
if state.query is not None:
    st.query_params.from_dict(state.query)
    state.query = None
present = st.query_params.get("present") == "1"
asked = st.query_params.get("step", "1")
known = asked in OTHERS or (asked.isdecimal() and 1 <= int(asked) <= len(lessons))
here = asked if known else "1"


def go(step: str, large: bool) -> None:
    """Go to a step. The next run sets the address, because the browser ignores changes made in callbacks."""
    lesson_state().query = {"step": step, **({"present": "1"} if large else {})}


def link(step: str, label: str, place: str, *, icon: str | None = None, right: bool = False) -> None:
    """Draw a button that goes to a step, in the same mode."""
    st.button(
        label,
        key=f"lesson-go-{place}-{step}",
        icon=icon,
        icon_position="right" if right else "left",
        type="tertiary",
        on_click=go,
        args=(step, present),
    )


def contents() -> ModelKey:
    """Draw the sidebar with the steps, the model and present mode; return the chosen model."""
    names = available_models()
    with st.sidebar:
        st.header("The lesson", anchor=False)
        steps = [(str(each.number), f"{each.number}\u2002{each.short}") for each in lessons]
        for step, label in [*steps, *OTHERS.items()]:
            with st.container(key=f"lesson-link-{step}"):
                link(step, label, "contents")
        spoken.current(f"lesson-link-{here}")
        st.divider()
        name = st.selectbox("Model", names, format_func=lambda n: MODELS[n].title, key="lesson_model")
        st.button(
            "Present",
            key="lesson-present",
            icon=":material/slideshow:",
            help="Large type, without sidebar and header.",
            on_click=go,
            args=(here, True),
        )
    return ModelKey(name)


def one_step(lesson: Lesson, stage: Stage) -> None:
    """Draw one step, with buttons to the steps before and after it."""
    if not known:
        text = notices.escape_markdown(repr(asked[:20]))
        st.info(f"There is no step {text}. This is the first step.", icon=":material/info:")
    st.caption(f"Step {lesson.number} of {len(lessons)}")
    heading(lesson)
    frame.draw(lesson, stage, FIGURES[lesson.number - 1])
    frame.watch(stage)
    st.divider()
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-way"):
        if lesson.number > 1:
            before = lessons[lesson.number - 2]
            link(str(before.number), before.short, "way", icon=":material/arrow_back:")
        if lesson.number < len(lessons):
            following = lessons[lesson.number]
            link(str(following.number), following.short, "way", icon=":material/arrow_forward:", right=True)


def heading(lesson: Lesson) -> None:
    """Draw title and goal of a step."""
    st.title(lesson.title, anchor=f"step-{lesson.number}")
    with st.container(key="lesson-goal" if here != "all" else f"prose-goal-{lesson.number}"):
        st.markdown(f"*{lesson.goal}*")


def whole_lesson(stage: Stage) -> None:
    """Draw all steps one after another, and offer the handout."""
    st.title("The whole lesson")
    with st.container(key="prose-all"):
        st.markdown(
            "All steps on one page, with sliders and switches as you have set them. To print the lesson, download the "
            "handout: one HTML file with text, figures, formulas and code, which needs no network."
        )
    place, computed_with = st.empty(), facts.computed_with(stage)
    parts = []
    for lesson, figures in zip(lessons, FIGURES, strict=True):
        heading(lesson)
        parts.append((lesson, frame.draw(lesson, stage, figures)))
        st.divider()
    place.download_button(
        "Handout",
        lambda: handout(parts, computed_with),
        "lesson.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
        disabled=stage.busy,
        help="Available when all figures are complete." if stage.busy else None,
    )
    frame.watch(stage)


def glossary_page() -> None:
    """Draw all terms, each with an address of its own."""
    st.title("Glossary")
    for term, text in entries().items():
        with st.container(key=f"prose-{anchor(term)}"):
            st.header(term, anchor=anchor(term))
            st.markdown(text)


frame.arrive(here)
frame.style(present)
the_stage = Stage(contents())
facts.gather(the_stage)
with st.container(key="lesson"):
    if here == "glossary":
        glossary_page()
    elif here == "all":
        whole_lesson(the_stage)
    else:
        one_step(lessons[int(here) - 1], the_stage)
    with st.container(key="lesson-end"):
        st.empty()
    if present:
        st.button(
            "Leave present mode", key="lesson-leave", icon=":material/close:", on_click=go, args=(here, False)
        )
