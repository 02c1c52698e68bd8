"""Learn page: the notebook as a lesson in steps, each with an address of its own."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.lesson import choices, facts, frame, pictures
from app.lesson.choices import available_models
from app.lesson.glossary import anchor, entries
from app.lesson.handout import handout
from app.lesson.language import translated as _
from app.lesson.present import notes, remote, screen
from app.lesson.session import learner, lesson_state
from app.lesson.stage import Stage
from app.lesson.steps import since_2020, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8
from app.lesson.text import LANGUAGES, Lesson, read_lesson
from app.state.queue.jobs import ModelKey
from app.ui import notices, spoken
from fcn_core.networks.zoo import MODELS

FIGURES: list[Mapping[str, frame.Draw]] = [
    s.FIGURES for s in (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, since_2020)
]

state = lesson_state()
ignored = state.choices.arrive()
source = pictures.open_chosen()
lessons = {lesson.name: lesson for lesson in read_lesson(learner().lang)}
others = {"glossary": _("Glossary"), "all": _("All on one page"), notes.STEP: _("Speaker notes")}
asked = learner().step
known = asked in others or asked in lessons
here = asked if known else "1"


def go(step: str) -> None:
    """Go to a step."""
    lesson_state().choices.choose(step=step)


def link(step: str, label: str, place: str, *, icon: str | None = None, right: bool = False) -> None:
    """Draw a button that goes to a step, in the same mode."""
    st.button(
        label,
        key=f"lesson-go-{place}-{step}",
        icon=icon,
        icon_position="right" if right else "left",
        type="tertiary",
        on_click=go,
        args=(step,),
    )


def label(lesson: Lesson) -> str:
    """Name a step in the contents."""
    return f"{lesson.name}\u2002{lesson.short}" if lesson.name.isdecimal() else lesson.short


def contents() -> None:
    """Draw the sidebar: the steps, the language, the picture, the model, and the way to the slides."""
    widget = state.choices.widget
    with st.sidebar:
        st.segmented_control(
            "Language · Langue", tuple(LANGUAGES), required=True, format_func=LANGUAGES.__getitem__,
            label_visibility="collapsed", **widget("lang", initial="default"),
        )  # fmt: skip
        st.header(_("The lesson"), anchor=False)
        for step, name in {**{name: label(lesson) for name, lesson in lessons.items()}, **others}.items():
            with st.container(key=f"lesson-link-{step}"):
                link(step, name, "contents")
        spoken.current(f"lesson-link-{here}")
        st.divider()
        pictures.draw()
        names = available_models()
        st.selectbox(
            _("Model"), names, names.index(learner().model) if learner().model in names else 0,
            format_func=lambda name: MODELS[name].title, **widget("model", initial=""),
        )  # fmt: skip
        st.button(
            _("Present"),
            key="lesson-present",
            icon=":material/slideshow:",
            help=_("The lesson as slides, for a lecture room."),
            on_click=remote.begin,
            args=(here,),
        )


def one_step(lesson: Lesson, stage: Stage) -> None:
    """Draw one step, with buttons to the steps before and after it."""
    if not known:
        text = notices.escape_markdown(repr(asked[:20]))
        st.info(_("There is no step {step}. This is the first step.", step=text), icon=":material/info:")
    steps = sum(name.isdecimal() for name in lessons)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        numbered = _("Step {number} of {count}", number=lesson.name, count=steps)
        st.caption(numbered if lesson.name.isdecimal() else _("Appendix"))
        if choices.is_changed(learner(), lesson.name, lesson.questions):
            st.button(
                _("Reset this step"), key="lesson-reset", type="tertiary", icon=":material/restart_alt:",
                on_click=reset, args=(lesson,),
            )  # fmt: skip
    heading(lesson)
    frame.draw(lesson, stage, figures_of(lesson))
    frame.watch(stage)
    st.divider()
    names = list(lessons)
    at = names.index(lesson.name)
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-way"):
        if at > 0:
            link(names[at - 1], lessons[names[at - 1]].short, "way", icon=":material/arrow_back:")
        if at + 1 < len(names):
            following = names[at + 1]
            link(following, lessons[following].short, "way", icon=":material/arrow_forward:", right=True)


def reset(lesson: Lesson) -> None:
    """Set a step as it was at first."""
    record = lesson_state().choices
    record.now = choices.reset(record.now, lesson.name, lesson.questions)


def figures_of(lesson: Lesson) -> Mapping[str, frame.Draw]:
    """Return the figures of a step by name."""
    return FIGURES[list(lessons).index(lesson.name)]


def heading(lesson: Lesson) -> None:
    """Draw title and goal of a step."""
    st.title(lesson.title, anchor=f"step-{lesson.name}")
    with st.container(key="lesson-goal" if here != "all" else f"prose-goal-{lesson.name}"):
        st.markdown(f"*{lesson.goal}*")


def whole_lesson(stage: Stage) -> None:
    """Draw all steps one after another, and offer the handout."""
    st.title(_("The whole lesson"))
    with st.container(key="prose-all"):
        st.markdown(
            _(
                "All steps on one page, with sliders and switches as you have set them. To print the lesson, download "
                "the handout: one HTML file with text, figures, formulas and code, which needs no network."
            )
        )
    place, computed_with = st.empty(), facts.computed_with(stage)
    parts = []
    for lesson in lessons.values():
        heading(lesson)
        parts.append((lesson, frame.draw(lesson, stage, figures_of(lesson))))
        st.divider()
    place.download_button(
        _("Handout"),
        lambda: handout(parts, computed_with),
        "lesson.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
        disabled=stage.busy,
        help=_("Available when all figures are complete.") if stage.busy else None,
    )
    frame.watch(stage)


def glossary_page() -> None:
    """Draw all terms, each with an address of its own."""
    st.title(_("Glossary"))
    for term, text in entries(learner().lang).items():
        with st.container(key=f"prose-{anchor(term)}"):
            st.header(term, anchor=anchor(term))
            st.markdown(text)


presents = learner().present
frame.arrive(here)
frame.style()
if not presents:
    contents()
state.choices.publish()
notices.ignored_parameters(ignored or ())
if state.problem:
    notices.problem(state.problem)
    state.problem = ""
the_stage = Stage(ModelKey(learner().model), source, large=presents)
facts.gather(the_stage)
with st.container(key="lesson"):
    if presents:
        screen.draw(the_stage)
    elif here == "glossary":
        glossary_page()
    elif here == notes.STEP:
        notes.page(the_stage)
    elif here == "all":
        whole_lesson(the_stage)
    else:
        one_step(lessons[here], the_stage)
    with st.container(key="lesson-end"):
        st.empty()
