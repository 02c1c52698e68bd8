"""Learn page: the notebook as a lesson in steps, each with its own address."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.jobs import ModelKey
from app.lesson import facts, frame, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9
from app.lesson.glossary import anchor, entries
from app.lesson.handout import handout
from app.lesson.stage import Stage, available_models
from app.lesson.text import read_lesson
from fcn_core.zoo import MODELS

PAGE = str(Path(__file__).resolve())
STEPS = (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9)

lessons = read_lesson()
present = st.query_params.get("present") == "1"
asked = st.query_params.get("step", "1")
in_glossary = asked == "glossary"
known = asked.isdecimal() and 1 <= int(asked) <= len(lessons)
number = int(asked) if known else 1
lesson = lessons[number - 1]


def address(step: int | str) -> dict[str, str]:
    """The query of a step, in the same mode."""
    return {"step": str(step), **({"present": "1"} if present else {})}


def contents() -> ModelKey:
    """Sidebar: the steps, the model, the ways to show and keep the lesson."""
    with st.sidebar:
        st.markdown("**The lesson**")
        for each in lessons:
            st.page_link(PAGE, label=f"{each.number}  {each.short}", query_params=address(each.number))
        st.page_link(PAGE, label="Glossary", query_params=address("glossary"), icon=":material/menu_book:")
        names = available_models()
        name = st.selectbox("Model", names, format_func=lambda n: MODELS[n].title, key="lesson_model")
        st.page_link(
            PAGE,
            label="Present",
            icon=":material/slideshow:",
            query_params={"step": asked, "present": "1"},
            help="Large type, nothing around the lesson.",
        )
        st.download_button(
            "Handout",
            lambda: handout(ModelKey(name)),
            "lesson.html",
            "text/html",
            icon=":material/print:",
            on_click="ignore",
            help="The whole lesson as one page for paper; it needs no network.",
        )
    return ModelKey(name)


def way(place: str) -> None:
    """Previous, where one is, next."""
    with st.container(horizontal=True, horizontal_alignment="distribute", key=f"way-{place}"):
        if number > 1:
            before = lessons[number - 2]
            st.page_link(
                PAGE, label=before.short, icon=":material/arrow_back:", query_params=address(number - 1)
            )
        if present and place == "end":
            st.page_link(
                PAGE, label="Leave present mode", query_params={"step": asked}, icon=":material/close:"
            )
        if number < len(lessons):
            after = lessons[number]
            st.page_link(
                PAGE,
                label=after.short,
                icon=":material/arrow_forward:",
                icon_position="right",
                query_params=address(number + 1),
            )


frame.style(present)
stage = Stage(contents())
with st.container(key="lesson"):
    if in_glossary:
        st.title("Glossary")
        for term, text in entries().items():
            with st.container(key=f"prose-{anchor(term)}"):
                st.subheader(term, anchor=anchor(term))
                st.markdown(text)
    else:
        if not known:
            st.info(f"There is no step {asked[:20]!r}; the lesson starts here.", icon=":material/info:")
        st.caption(f"Step {number} of {len(lessons)}")
        st.title(lesson.title, anchor=False)
        st.markdown(f"*{lesson.goal}*")
        facts.gather(stage)
        frame.draw(lesson, stage, STEPS[number - 1].FIGURES)
        st.divider()
        way("end")
