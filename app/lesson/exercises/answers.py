"""What a learner typed into the exercises, and which hints are shown, as parts of the page's choices."""

from __future__ import annotations

from dataclasses import replace

from app.lesson.choices import Learner
from app.lesson.exercises.exercise import Exercise
from app.lesson.exercises.reading import MOST_CHARACTERS

_ANSWER = "answer"
_NUMBERS = tuple(map(str, range(10)))


def answers_of(learner: Learner, exercise: Exercise) -> dict[str, str]:
    """Return the answers of an exercise by the names of its parts; "" where there is none."""
    typed = dict(learner.typed)
    return {part.name: typed.get(f"{exercise.name}.{part.name}", "") for part in exercise.parts}


def with_answer(learner: Learner, name: str, text: str | None) -> Learner:
    """Return the choices with another answer; `name` is "exercise.part"."""
    kept = "".join(c for c in (text or "").replace(";", ",") if c.isprintable()).strip()[:MOST_CHARACTERS]
    typed = {each: answer for each, answer in learner.typed if each != name}
    return replace(learner, typed=tuple((typed | ({name: kept} if kept else {})).items()))


def hints_of(learner: Learner, name: str) -> int:
    """Return how many hints of an exercise are shown."""
    numbers = [each.rpartition(".")[2] for each in learner.helped if each.rpartition(".")[0] == name]
    return max((int(number) for number in numbers if number in _NUMBERS), default=0)


def is_answer_shown(learner: Learner, name: str) -> bool:
    """Whether the answer of an exercise is shown."""
    return f"{name}.{_ANSWER}" in learner.helped


def with_help(learner: Learner, name: str, hints: int, answer: bool) -> Learner:
    """Return the choices with so many hints of an exercise shown, and its answer shown or hidden."""
    others = tuple(each for each in learner.helped if each.rpartition(".")[0] != name)
    shown = ((f"{name}.{hints}",) if hints else ()) + ((f"{name}.{_ANSWER}",) if answer else ())
    return replace(learner, helped=others + shown)
