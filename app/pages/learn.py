"""Learn page: the notebook as a lesson in steps, each with an address of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import streamlit as st

from app.lesson import choices, facts, frame, pictures, room
from app.lesson.choices import available_models
from app.lesson.course_notebook import course_notebook
from app.lesson.exercises import page as exercises
from app.lesson.glossary import entries
from app.lesson.handout import handout, questions
from app.lesson.language import translated as _
from app.lesson.present import notes, remote, screen
from app.lesson.room import ROOM
from app.lesson.session import learner, lesson_state
from app.lesson.stage import Stage
from app.lesson.steps import (
    since_2020,
    step_1,
    step_2,
    step_3,
    step_4,
    step_5,
    step_6,
    step_7,
    step_8,
    step_9,
)
from app.lesson.text import (
    EXERCISES,
    LANGUAGES,
    Lesson,
    Question,
    names_of,
    read_exercises,
    read_handout,
    read_lesson,
)
from app.state.queue.jobs import ModelKey
from app.ui import notices, spoken
from fcn_core.networks.zoo import MODELS

FIGURES: list[Mapping[str, frame.Draw]] = [
    s.FIGURES for s in (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9, since_2020)
]

state = lesson_state()
first_visit = not state.choices.visit
ignored = state.choices.arrive()
if first_visit and "lang" not in st.query_params:
    state.choices.choose(lang=choices.preferred_language())
room.arrive(ignored is not None)
source = pictures.open_chosen()
lessons = {lesson.name: lesson for lesson in read_lesson(learner().lang)}
others = {
    EXERCISES: _("Exercises"),
    **({ROOM: _("Predict together")} if room.allowed() or learner().step == ROOM else {}),
    "glossary": _("Glossary"),
    "all": _("All on one page"),
    notes.STEP: _("Speaker notes"),
}
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
    """Draw the sidebar: the steps, the picture, the model, and the way to the slides."""
    widget = state.choices.widget
    with st.sidebar:
        st.header(_("The lesson"), anchor=False)
        for step, name in {**{name: label(lesson) for name, lesson in lessons.items()}, **others}.items():
            with st.container(key=f"lesson-link-{step}"):
                link(step, name, "contents")
        spoken.current(f"lesson-link-{here}")
        st.divider()
        pictures.draw()
        names = available_models()
        titles = {name: _(MODELS[name].title) for name in names}
        st.selectbox(
            _("Model"), names, names.index(learner().model) if learner().model in names else 0,
            format_func=titles.__getitem__, **widget("model", initial=""),
        )  # fmt: skip
        st.download_button(
            _("Course notebook"),
            partial(course_notebook, learner().lang),
            "fully_convolutional.ipynb",
            "application/x-ipynb+json",
            icon=":material/download:",
            on_click="ignore",
            key="lesson-notebook",
            help=_(
                "The notebook of 2020 for today's Keras. It runs on Colab, Kaggle or your machine by itself."
            ),
        )
        st.button(
            _("Present"),
            key="lesson-present",
            icon=":material/slideshow:",
            help=_("The lesson as slides, for a lecture room."),
            on_click=remote.begin,
            args=(here,),
        )


def language_switch() -> None:
    """Draw the choice of the language; it is above the text, because a phone folds the sidebar away."""
    st.segmented_control(
        "Language · Langue", tuple(LANGUAGES), required=True, format_func=LANGUAGES.__getitem__,
        label_visibility="collapsed", **state.choices.widget("lang", initial="default"),
    )  # fmt: skip


@contextmanager
def above() -> Iterator[None]:
    """Lay out the line above the text, with the language at its end; what is drawn in it comes first."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="lesson-above"
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            yield
        language_switch()


def one_step(lesson: Lesson, stage: Stage) -> None:
    """Draw one step, with buttons to the steps before and after it."""
    if not known:
        text = notices.escape_markdown(repr(asked[:20]))
        st.info(_("There is no step {step}. This is the first step.", step=text), icon=":material/info:")
    steps = sum(name.isdecimal() for name in lessons)
    with above():
        numbered = _("Step {number} of {count}", number=lesson.name, count=steps)
        st.caption(numbered if lesson.name.isdecimal() else _("Appendix"), width="content")
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
                "All steps on one page, with sliders and switches as you have set them. The handout is the lesson on "
                "four pages to print, with the numbers of this picture: one HTML file that needs no network."
            )
        )
    place = st.empty()
    for lesson in lessons.values():
        heading(lesson)
        frame.draw(lesson, stage, figures_of(lesson))
        st.divider()
    place.download_button(
        _("Handout"),
        _handout(stage),
        "lesson.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
        disabled=stage.busy,
        help=_("Available when all figures are complete.") if stage.busy else None,
    )
    frame.watch(stage)


def _handout(stage: Stage) -> Callable[[], str]:
    """Return what makes the handout of this run; it is called outside the session."""
    asked = [] if stage.busy else questions(lessons.values(), stage.values)
    lang = learner().lang
    computed_with = facts.computed_with(stage)
    return partial(handout, lang, read_handout(lang), stage.printed, stage.values, asked, computed_with)


def exercises_page(stage: Stage) -> None:
    """Draw the exercises."""
    heading(read_exercises(learner().lang))
    exercises.draw(stage)
    frame.watch(stage)


def room_page(stage: Stage) -> None:
    """Draw the room of a class, with the questions whose values are known without a figure."""
    listed = {
        label(lesson): [
            frame.filled(block, stage.values)
            for block in lesson.blocks
            if isinstance(block, Question) and names_of(block) <= stage.values.keys()
        ]
        for lesson in lessons.values()
    }
    room.page(listed)


def glossary_page() -> None:
    """Draw all terms, each with an address of its own."""
    st.title(_("Glossary"))
    english = entries()
    for anchor, term in entries(learner().lang).items():
        with st.container(key=f"prose-{anchor}"):
            st.header(term.name, anchor=anchor)
            st.markdown(term.text)
            if learner().lang != "en":
                st.caption(_("In English: {term}", term=english[anchor].name))


st.set_page_config(page_title=_("Where does the network see it?"))
spoken.language(learner().lang)
presents = learner().present
frame.arrive(here)
frame.style()
if not presents:
    contents()
state.choices.publish()
notices.ignored_parameters(ignored or (), _(notices.IGNORED))
if state.problem:
    notices.problem(state.problem)
    state.problem = ""
the_stage = Stage(ModelKey(learner().model), source)
facts.gather(the_stage)
with st.container(key="lesson"):
    if here in others and not presents:
        with above():
            st.caption(_("The lesson"), width="content")
    if presents:
        screen.draw(the_stage)
    elif here == "glossary":
        glossary_page()
    elif here == EXERCISES:
        exercises_page(the_stage)
    elif here == ROOM:
        room_page(the_stage)
    elif here == notes.STEP:
        notes.page(the_stage)
    elif here == "all":
        whole_lesson(the_stage)
    else:
        one_step(lessons[here], the_stage)
    with st.container(key="lesson-end"):
        st.empty()
        room.keep()
