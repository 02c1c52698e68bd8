"""What the lesson remembers between runs: one record, and the list of its widgets' keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.state.queue.jobs import Job, ModelKey
from fcn_core.networks.geometry import Geometry

STATE: Mapping[str, str] = {"lesson_state": "LessonState"}
"""The lesson's own keys of ``st.session_state``, and what they hold."""

WIDGETS = (
    "lesson_model",
    "lesson_choice_*",  # the chosen answer of a question
    "lesson_reveal_*",
    *(
        "lesson_all_layers",
        "lesson_grid_height",
        "lesson_grid_width",
        "lesson_cell_*",
        "lesson_field",
    ),  # step 1
    *("lesson_toy", "lesson_prove"),  # step 2
    *("lesson_softmax_*", "lesson_factor", "lesson_temperature"),  # step 3
    *("lesson_noise_height", "lesson_noise_width", "lesson_noise_run"),  # step 4
    *("lesson_up", "lesson_down", "lesson_twice"),  # step 5
    *("lesson_fit", "lesson_centres"),  # step 6
    "lesson_power",  # step 7
    *("lesson_truth", "lesson_box_x", "lesson_box_y", "lesson_mask_kind", "lesson_snap"),  # step 8
    "lesson_threshold_*",
    *("lesson-go-*", "lesson-present", "lesson-leave"),  # buttons between the steps
)
"""Keys of the lesson's widgets, as patterns."""


@dataclass(eq=False)
class LessonState:
    """What the lesson remembers.

    Attributes
    ----------
    query : dict or None
        Address to go to in the next run.
    step : str
        The step of the last run.
    synset : str
        Where the user is in the hierarchy of step five, as a wnid.
    proved : set of str
        Models whose conversion the user asked to prove.
    geometry : dict
        Geometry of the models used so far.
    jobs : dict
        For each purpose what was asked for, and its job.
    """

    query: dict[str, str] | None = None
    step: str = ""
    synset: str = ""
    proved: set[str] = field(default_factory=set)
    geometry: dict[ModelKey, Geometry] = field(default_factory=dict)
    jobs: dict[str, tuple[Any, Job]] = field(default_factory=dict)


def lesson_state() -> LessonState:
    """Return the record of this session's lesson."""
    state: LessonState = st.session_state.setdefault("lesson_state", LessonState())
    return state
