"""What the lesson remembers between runs: one record, and the list of its widgets' keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.lesson import choices
from app.lesson.choices import Learner
from app.lesson.exercises.score import Attempt
from app.state.choices import Choices
from app.state.pictures import Picture
from app.state.queue.jobs import Job, ModelKey
from fcn_core.networks.geometry import Geometry

STATE: Mapping[str, str] = {"lesson_state": "LessonState"}
"""The lesson's own keys of ``st.session_state``, and what they hold."""

WIDGETS = (
    "lesson-go-*",  # buttons between the steps
    *("lesson-present", "lesson-remote", "lesson-reset", "lesson-notebook"),
    "upload-lesson-*",
    *("lesson_prove", "lesson_up", "lesson_down", "lesson_word", "lesson_cells"),
    *("lesson-check-*", "lesson-hint-*", "lesson-name", "lesson-score", "lesson-begin-again"),
    *("lesson-open-room", "lesson-close-room", "lesson-code", "lesson-enter"),
    *("lesson-ask-*", "lesson-reveal", "lesson-counts", "lesson-votes-again", "lesson-vote-*"),
)
"""Keys of the lesson's widgets, as patterns, besides those of its choices: they begin with `PREFIX`."""

PREFIX = "lesson-"


@dataclass(eq=False)
class LessonState:
    """What the lesson remembers.

    Attributes
    ----------
    choices : Choices
        What the learner chose.
    step : str
        The step of the last run.
    uploaded : Picture or None
        The learner's own picture.
    taken : set of str
        Ids of the files that were opened already: a file stays in its uploader.
    uploader : int
        Serial number of the uploaders: a new number makes new ones.
    problem : str
        A message to show once.
    proved : set of str
        Models whose conversion the user asked to prove.
    geometry : dict
        Geometry of the models used so far.
    wished : int
        When the presenter's last wish was made, in milliseconds.
    jobs : dict
        For each purpose what was asked for, and its job.
    attempts : dict
        What the learner did with each exercise, by its name.
    judged : dict
        For each exercise the answers that are judged on the page, with picture and model.
    judging : str
        The exercise whose answers are judged in the next run.
    room_keys : dict
        Keys of the rooms in which this session asks, by their codes.
    voter : str
        Secret of this session, from which it derives a token for each room.
    """

    choices: Choices[Learner] = field(
        default_factory=lambda: Choices(choices.plain(), choices.read, choices.write, prefix=PREFIX)
    )
    step: str = ""
    uploaded: Picture | None = None
    taken: set[str] = field(default_factory=set)
    uploader: int = 0
    problem: str = ""
    proved: set[str] = field(default_factory=set)
    geometry: dict[ModelKey, Geometry] = field(default_factory=dict)
    wished: int = 0
    jobs: dict[str, tuple[Any, Job]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    judged: dict[str, tuple[object, ...]] = field(default_factory=dict)
    judging: str = ""
    room_keys: dict[str, str] = field(default_factory=dict)
    voter: str = field(default_factory=secrets.token_hex)


def lesson_state() -> LessonState:
    """Return the record of this session's lesson."""
    # Not by `setdefault`: to make a record looks for the weights of all models, and a run asks for it 200 times.
    if "lesson_state" not in st.session_state:
        st.session_state["lesson_state"] = LessonState()
    state: LessonState = st.session_state["lesson_state"]
    return state


def learner() -> Learner:
    """Return what the learner of this session chose."""
    return lesson_state().choices.now
