"""Learn page: the notebook as a lesson in steps, each with its own address."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import panels
from app.jobs import ModelKey
from app.lesson import facts, frame, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9
from app.lesson.glossary import anchor, entries
from app.lesson.handout import handout
from app.lesson.stage import Stage, available_models
from app.lesson.text import Lesson, read_lesson
from fcn_core.zoo import MODELS

PAGE = str(Path(__file__).resolve())
FIGURES = [s.FIGURES for s in (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9)]
OTHERS = {"glossary": "Glossary", "all": "All on one page"}

lessons = read_lesson()
present = st.query_params.get("present") == "1"
asked = st.query_params.get("step", "1")
known = asked in OTHERS or (asked.isdecimal() and 1 <= int(asked) <= len(lessons))
here = asked if known else "1"


def link(step: str, label: str, *, icon: str | None = None, right: bool = False) -> None:
    """A link to a step, in the same mode."""
    query = {"step": step, **({"present": "1"} if present else {})}
    st.page_link(PAGE, label=label, icon=icon, icon_position="right" if right else "left", query_params=query)


def contents() -> ModelKey:
    """Sidebar: the steps, the model, the ways to show and keep the lesson."""
    names = available_models()
    with st.sidebar:
        st.markdown("**The lesson**")
        steps = [(str(each.number), f"{each.number}\u2002{each.short}") for each in lessons]
        for step, label in [*steps, *OTHERS.items()]:
            with st.container(key="lesson-now" if step == here else f"lesson-link-{step}"):
                link(step, label)
        st.divider()
        name = st.selectbox("Model", names, format_func=lambda n: MODELS[n].title, key="lesson_model")
        st.page_link(
            PAGE,
            label="Present",
            icon=":material/slideshow:",
            query_params={"step": here, "present": "1"},
            help="Large type, nothing around the lesson.",
        )
    return ModelKey(name)


def one_step(lesson: Lesson, stage: Stage) -> None:
    """Draw one step, and the way on."""
    if not known:
        text = panels.escape_markdown(repr(asked[:20]))
        st.info(f"There is no step {text}, so the lesson starts here.", icon=":material/info:")
    st.caption(f"Step {lesson.number} of {len(lessons)}")
    heading(lesson)
    frame.draw(lesson, stage, FIGURES[lesson.number - 1])
    frame.watch(stage)
    st.divider()
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-way"):
        if lesson.number > 1:
            link(str(lesson.number - 1), lessons[lesson.number - 2].short, icon=":material/arrow_back:")
        if lesson.number < len(lessons):
            following = lessons[lesson.number]
            link(str(following.number), following.short, icon=":material/arrow_forward:", right=True)


def heading(lesson: Lesson) -> None:
    """Title and goal of a step."""
    st.title(lesson.title, anchor=f"step-{lesson.number}")
    with st.container(key="lesson-goal" if here != "all" else f"prose-goal-{lesson.number}"):
        st.markdown(f"*{lesson.goal}*")


def whole_lesson(stage: Stage) -> None:
    """All steps one after another, and the same for paper."""
    st.title("The whole lesson")
    with st.container(key="prose-all"):
        st.markdown(
            "Everything on one page, as you have set it. For paper, take the handout: one HTML file with text, "
            "figures, formulas and code, which needs no network."
        )
    place = st.empty()
    parts = []
    for lesson, figures in zip(lessons, FIGURES, strict=True):
        heading(lesson)
        parts.append((lesson, frame.draw(lesson, stage, figures)))
        st.divider()
    place.download_button(
        "Handout",
        lambda: handout(parts, facts.versions()),
        "lesson.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
        disabled=stage.busy,
        help="Ready as soon as all figures are." if stage.busy else None,
    )
    frame.watch(stage)


def glossary_page() -> None:
    """All terms, each with an address of its own."""
    st.title("Glossary")
    for term, text in entries().items():
        with st.container(key=f"prose-{anchor(term)}"):
            st.subheader(term, anchor=anchor(term))
            st.markdown(text)


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
    if present:
        st.page_link(PAGE, label="Leave present mode", query_params={"step": here}, icon=":material/close:")
