"""The part of the page with the exercises: inputs, checks, hints, answers, points, and the score to hand in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import streamlit as st

import fcn_core
from app.lesson import frame
from app.lesson.choices import Learner
from app.lesson.exercises import materials, of_network, score
from app.lesson.exercises.answers import answers_of, hints_of, is_answer_shown, with_answer, with_help
from app.lesson.exercises.exercise import Exercise, Facts, Part
from app.lesson.exercises.reading import MOST_CHARACTERS
from app.lesson.exercises.score import Attempt, Heading
from app.lesson.exercises.tasks import BY_NAME, EXERCISES
from app.lesson.exercises.verdicts import Verdict
from app.lesson.language import translated as _
from app.lesson.session import learner, lesson_state
from app.lesson.stage import Stage
from app.lesson.text import Prose, Task, fill, read_exercises
from app.ui import spoken

_STYLE = """
<style>
.st-key-lesson [class*="st-key-exercise-"] { margin: .5rem 0 1rem; }
.st-key-lesson [class*="st-key-exercise-"] h2 { margin: 0; padding: 0; font-size: 1.35rem; }
.st-key-lesson [class*="st-key-exercise-"] p { line-height: 1.6; }
.st-key-lesson [class*="st-key-hint-"] { border-left: 3px solid color-mix(in srgb, currentColor 30%, transparent);
  padding-left: .75rem; }
.st-key-lesson [class*="st-key-exercise-"] code { overflow-wrap: anywhere; }
</style>
"""


def draw(stage: Stage) -> None:
    """Draw all exercises."""
    st.html(_STYLE)
    known = materials.facts(stage)
    stage.say(ex_full=score.FULL, ex_hint=score.HINT_COSTS)
    total = st.empty()
    number = 0
    for block in read_exercises(learner().lang).blocks:
        if isinstance(block, Prose):
            st.markdown(fill(block.text, stage.values))
        elif isinstance(block, Task):
            number += 1
            with st.container(border=True, key=f"exercise-{block.name}"):
                _exercise(number, block, stage, known)
    with total:
        st.markdown(
            f"**{_('{points} of {of} points', points=_points(), of=score.FULL * len(EXERCISES))}**",
        )
    _hand_in()


def _points() -> int:
    return sum(attempt.points for attempt in lesson_state().attempts.values())


def _exercise(number: int, task: Task, stage: Stage, known: Facts) -> None:
    exercise, state = BY_NAME[task.name], lesson_state()
    answers = answers_of(learner(), exercise)
    hints, shown = min(hints_of(learner(), task.name), len(task.hints)), is_answer_shown(learner(), task.name)
    attempt = state.attempts.get(task.name, Attempt()).helped(hints, shown)
    place = (stage.chosen.picture or "upload", stage.model.name)
    verdicts: Mapping[str, Verdict] = {}
    announced = ""
    if state.judging == task.name:
        state.judging = ""
        state.judged[task.name] = (answers, place)
        verdicts = exercise.verdicts(answers, known)
        attempt = attempt.tried(answers, all(v.right for v in verdicts.values()), *place)
        announced = _spoken(exercise, verdicts, stage)
    elif state.judged.get(task.name) == (answers, place):
        verdicts = exercise.verdicts(answers, known)
    state.attempts[task.name] = attempt

    st.header(f"{number}\u2002{task.title}", anchor=f"exercise-{task.name}")
    st.caption(_worth(attempt))
    st.markdown(fill(task.text, stage.values))
    # Each part has a place of its own: what comes or goes must not move the buttons below it to another one.
    with st.container():
        ready = _material(exercise, answers, stage, known)
    with st.container():
        _inputs(exercise, answers, stage, known)
    if exercise.name == "gaps":
        gaps = {part.name: answers[part.name] or "____" for part in exercise.parts}
        st.code(of_network.GAPS.format(**gaps), language="python", wrap_lines=True)
    with st.container():
        for n in range(hints):
            with st.container(key=f"hint-{task.name}-{n}"):
                st.markdown(f":material/lightbulb: {fill(task.hints[n], stage.values)}")
    _buttons(task, stage, hints, shown, ready)
    with st.container():
        _in_order(exercise, answers)
        solved = bool(verdicts) and all(v.right for v in verdicts.values())
        _say_verdicts(exercise, verdicts, stage)
        if solved:
            gained = _("{points} of {of} points", points=attempt.points, of=score.FULL)
            st.markdown(f":green[:material/check_circle: **{_('All right.')}**] {gained}")
        if shown or solved:
            materials.say_peak(stage, known, answers.get("synset", ""))
            st.markdown(fill(task.answer, stage.values))
        if announced:
            spoken.announce(announced)


def _worth(attempt: Attempt) -> str:
    """Say what an exercise has brought, or still can bring."""
    if attempt.solved:
        return _("Solved: {points} of {of} points", points=attempt.points, of=score.FULL)
    worth = score.worth(attempt.hints, attempt.shown)
    if worth == 0:
        return _("No points: the answer was shown")
    return _("Worth {points} points", points=worth) if worth > 1 else _("Worth 1 point")


# --- What is asked ----------------------------------------------------------------------------------------------


def _material(exercise: Exercise, answers: Mapping[str, str], stage: Stage, known: Facts) -> bool:
    """Draw what an exercise needs besides its text; return whether it can be judged now."""
    if exercise.name == "lines":
        st.code(
            "\n".join(f"# {letter}\n{line}" for letter, line in of_network.LINES.items()), wrap_lines=True
        )
    elif exercise.name == "which":
        return frame.figure(materials.maps, stage)
    elif exercise.name == "heat":
        _input(exercise, exercise.parts[0], answers, stage, known)
        if not frame.figure(partial(materials.numbers, known=known, wnid=answers["synset"]), stage):
            return bool(known.maps)
    return True


def _inputs(exercise: Exercise, answers: Mapping[str, str], stage: Stage, known: Facts) -> None:
    parts = [part for part in exercise.parts if part.name != "synset"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for part in parts:
            _input(exercise, part, answers, stage, known)


def _label(part: Part, stage: Stage) -> str:
    said = stage.values
    return _(
        part.label, course_network=said["ex_course_network"], other_network=said["ex_other_network"],
        asked_size=said["ex_asked_size"], own_size=said["ex_own_size"],
    )  # fmt: skip


def _input(exercise: Exercise, part: Part, answers: Mapping[str, str], stage: Stage, known: Facts) -> None:
    name, text, label = f"{exercise.name}.{part.name}", answers[part.name], _label(part, stage)
    answer = partial(_answer, name)
    options = part.options
    if part.name == "synset":
        ontology = stage.ontology
        options = tuple(known.maps) or ((text,) if text in ontology else ())
        at = options.index(text) if text in options else None
        st.selectbox(
            label, options, at, format_func=ontology.label, placeholder=_("Choose one"), width=320,
            **stage.widget("typed", text if at is not None else None, name, answer, initial=""),
        )  # fmt: skip
    elif part.name == "map":
        options = tuple(known.candidates)
        at = options.index(text) if text in options else None
        st.radio(
            label, options, at, horizontal=True,
            **stage.widget("typed", text if at is not None else None, name, answer, initial=""),
        )  # fmt: skip
    elif part.several:
        chosen = [each for each in options if each in text.split("+")]
        st.pills(
            label, options, selection_mode="multi", format_func=lambda size: size.replace("x", " × "),
            **stage.widget("typed", chosen, name, partial(_answer_several, name, options), initial="default"),
        )  # fmt: skip
    elif options:
        at = options.index(text) if text in options else None
        st.radio(
            label, options, at, horizontal=True,
            **stage.widget("typed", text if at is not None else None, name, answer, initial=""),
        )  # fmt: skip
    else:
        st.text_input(
            label, max_chars=MOST_CHARACTERS, autocomplete="off", width=240,
            **stage.widget("typed", text, name, answer),
        )  # fmt: skip


def _in_order(exercise: Exercise, answers: Mapping[str, str]) -> None:
    """Draw the lines as the learner has put them in order, below the button: it must not move away while pressed."""
    lines = [of_network.LINES[c] for c in answers.get("order", "").upper() if c in of_network.LINES]
    if exercise.name == "lines" and lines:
        st.code("\n".join(lines), language="python", wrap_lines=True)


def _answer(name: str, text: str | None) -> None:
    record = lesson_state().choices
    record.now = with_answer(record.now, name, text)


def _answer_several(name: str, options: tuple[str, ...], chosen: list[str]) -> None:
    _answer(name, "+".join(option for option in options if option in chosen))


# --- Check, hints and answer ------------------------------------------------------------------------------------


def _buttons(task: Task, stage: Stage, hints: int, shown: bool, ready: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            _("Check"), key=f"lesson-check-{task.name}", type="primary", disabled=not ready,
            icon=":material/check:", on_click=_judge, args=(task.name,),
        )  # fmt: skip
        st.button(
            _("Hint {number} of {count}", number=min(hints + 1, len(task.hints)), count=len(task.hints)),
            key=f"lesson-hint-{task.name}", icon=":material/lightbulb:", disabled=hints >= len(task.hints),
            on_click=_help, args=(task.name, hints + 1, shown),
        )  # fmt: skip
        st.toggle(
            _("Show the answer"),
            **stage.widget("helped", shown, task.name, partial(_help, task.name, hints)),
        )


def _judge(name: str) -> None:
    """Judge in the run that follows: a text that is typed last arrives together with the click."""
    lesson_state().judging = name


def _help(name: str, hints: int, answer: bool) -> None:
    record = lesson_state().choices
    record.now = with_help(record.now, name, hints, answer)


def _sentence(verdict: Verdict) -> str:
    values = {
        name: ", ".join(_(each) for each in value) if isinstance(value, tuple) else value
        for name, value in verdict.values.items()
    }
    return _(verdict.said, **values)


def _say_verdicts(exercise: Exercise, verdicts: Mapping[str, Verdict], stage: Stage) -> None:
    lines = []
    for part in exercise.parts:
        if part.name not in verdicts or (part.name == "synset" and verdicts[part.name].right):
            continue
        verdict = verdicts[part.name]
        icon = ":green[:material/check:]" if verdict.right else ":red[:material/close:]"
        said = _("**{part}**: {verdict}", part=_label(part, stage), verdict=_sentence(verdict))
        lines.append(f"{icon} {said}")
    if lines:
        with st.container(key=f"verdict-{exercise.name}"):
            st.markdown("  \n".join(lines))


def _spoken(exercise: Exercise, verdicts: Mapping[str, Verdict], stage: Stage) -> str:
    return " ".join(f"{_label(part, stage)}: {_sentence(verdicts[part.name])}" for part in exercise.parts)


# --- The score --------------------------------------------------------------------------------------------------


def _hand_in() -> None:
    st.header(_("Hand in"), anchor="hand-in")
    st.markdown(
        _(
            "The file has your name, your answers, how often you tried, the hints and the points. It is made when you "
            "press the button, and stays nowhere else. Your answers are in the address of this page; your points are "
            "in this session only, so download the file before you close the page."
        )
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(_("Your name"), key="lesson-name", max_chars=80, autocomplete="off", width=320)
        file = partial(_file, name, learner(), dict(lesson_state().attempts))
        st.download_button(
            _("Download the score"), file, "exercises.json", "application/json",
            key="lesson-score", icon=":material/download:", on_click="ignore", disabled=not name.strip(),
        )  # fmt: skip
        with st.popover(_("Begin again"), icon=":material/restart_alt:"):
            st.markdown(_("This forgets all answers and points. What hints and shown answers cost stays."))
            st.button(_("Forget them"), key="lesson-begin-again", on_click=_begin_again)
    st.caption(
        _(
            "A checksum in the file tells accidental edits. It is no proof against cheating: whoever can write a "
            "program can write such a file."
        )
    )


def _file(name: str, now: Learner, attempts: Mapping[str, Attempt]) -> str:
    """Return the score file; Streamlit calls this outside of the session."""
    heading = Heading(
        name, now.lang, now.picture or "upload", now.model, fcn_core.__version__,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    return score.write(heading, {each.name: attempts.get(each.name, Attempt()) for each in EXERCISES})


def _begin_again() -> None:
    state = lesson_state()
    state.attempts = {name: attempt.again() for name, attempt in state.attempts.items()}
    state.judged.clear()
    state.choices.choose(typed=(), helped=())
