"""What a learner chose, as one frozen record, and its form in the address of the Learn page.

A choice is one line of :class:`Learner`, and a widget that is drawn with :meth:`app.state.choices.Choices.widget`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import streamlit as st

from app.lesson.exercises.reading import MOST_CHARACTERS
from app.lesson.text import LANGUAGES
from app.state import address
from app.state.address import Form, between, flag, numbers, one_of, whole
from app.state.models import is_offered
from app.state.rooms import read_code
from app.state.samples import DEFAULT
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.synsets.ontology import Ontology

FACTORS = (1, 2, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
SIZES = tuple(str(scale) for scale in NOTEBOOK_SCALES)
FITS = ("aspect", "exact")
TRUTHS = ("outline", "box")
KINDS = ("evidence", "probability")
PATHS = ("45", "20")
"""The ways through the slides, by the minutes they take."""
TOY_LIMIT = 1000.0
_SERIAL = re.compile("[1-9][0-9]?")  # Python refuses to read a number of thousands of digits
_SYNSETS = ("synset", "here", "twice")


def code() -> Form:
    """Return the form of a room's code."""
    return Form(read_code)


@dataclass(frozen=True)
class Learner:
    """All choices on the Learn page, except the content of an uploaded picture.

    Attributes
    ----------
    step : str
        Number of a step, or the name of another part of the page.
    lang : str
        Language of the lesson, a key of `LANGUAGES`. A first visit whose address names none begins in the browser's.
    present : bool
        Whether the lesson is projected, as slides.
    slide : int
        Number of the slide in the whole deck, counted from 1.
    path : str
        Which slides are shown, a key of `PATHS`.
    notes : bool
        Whether the speaker notes lie over the slide.
    picture : str
        Name of a sample, URL of a picture, or "" for an uploaded one.
    synset : str
        Wnid of what is looked for; "" takes the one of the sample, or what is found in the picture.
    answers : tuple of str
        Chosen answers of questions, as "name.number", counted from 1.
    shown : tuple of str
        Names of the questions whose answer is shown.
    typed : tuple of (str, str)
        Answers of the exercises, by "exercise.part".
    helped : tuple of str
        Hints and answers of exercises that are shown, as "exercise.number" and "exercise.answer".
    room : str
        Code of the room in which a class predicts together.
    room_key : str
        Key of whoever asks there; the page takes it out of the address.
    grid_row, grid_column : int
        Cell that is marked in the grid, counted from 1; 0 is the middle.
    toy : tuple of float
        Features of the small example, row by row; empty as they were at first.
    here, twice : str
        Wnid in the hierarchy, and of the heatmap that counts classes twice; "" for "dog" and "animal".
    box_x, box_y : tuple of float
        Sides of the box that is the ground truth, in pixels; empty: a box in the middle.
    cut : float or None
        Threshold of the mask; None is the suggested one.
    """

    step: Annotated[str, address.text(20)] = "1"
    lang: Annotated[str, one_of(*LANGUAGES)] = "en"
    present: Annotated[bool, flag()] = False
    slide: Annotated[int, whole(99)] = 1
    path: Annotated[str, one_of(*PATHS)] = PATHS[0]
    notes: Annotated[bool, flag()] = False
    picture: Annotated[str, address.picture()] = DEFAULT
    synset: Annotated[str, address.synset()] = ""
    model: Annotated[str, address.model()] = "efficientnet-lite2"
    answers: Annotated[tuple[str, ...], address.words(99, address.MOST_NAME)] = ()
    shown: Annotated[tuple[str, ...], address.words(99, address.MOST_NAME)] = ()
    typed: Annotated[tuple[tuple[str, str], ...], address.pairs(99, MOST_CHARACTERS)] = ()
    helped: Annotated[tuple[str, ...], address.words(99, address.MOST_NAME)] = ()
    room: Annotated[str, code()] = ""
    room_key: Annotated[str, address.text(40)] = ""
    all_layers: Annotated[bool, flag()] = False
    grid_height: Annotated[int, whole(800)] = 200
    grid_width: Annotated[int, whole(800)] = 300
    grid_row: Annotated[int, whole(99)] = 0
    grid_column: Annotated[int, whole(99)] = 0
    field: Annotated[bool, flag()] = False
    toy: Annotated[tuple[float, ...], numbers(-TOY_LIMIT, TOY_LIMIT)] = ()
    sample: Annotated[int, whole(10)] = 1
    row: Annotated[int, whole(3)] = 1
    column: Annotated[int, whole(4)] = 1
    factor: Annotated[int, whole(1000)] = 1
    temperature: Annotated[float, between(0.1, 5.0)] = 1.0
    noise_height: Annotated[int, whole(640)] = 200
    noise_width: Annotated[int, whole(640)] = 300
    noise_run: Annotated[bool, flag()] = False
    here: Annotated[str, address.synset()] = ""
    twice: Annotated[str, address.synset()] = ""
    fit: Annotated[str, one_of(*FITS)] = FITS[0]
    centres: Annotated[str, one_of(*SIZES[:3])] = SIZES[0]
    power: Annotated[float, between(-5, 5)] = 0.5
    truth: Annotated[str, one_of(*TRUTHS)] = TRUTHS[0]
    box_x: Annotated[tuple[float, ...], numbers(0, 100_000)] = ()
    box_y: Annotated[tuple[float, ...], numbers(0, 100_000)] = ()
    kind: Annotated[str, one_of(*KINDS)] = KINDS[0]
    snap: Annotated[bool, flag()] = False
    cut: Annotated[float | None, between(0, 1)] = None


OF_STEP: Mapping[str, tuple[str, ...]] = {
    "1": ("all_layers", "grid_height", "grid_width", "grid_row", "grid_column", "field"),
    "2": ("toy",),
    "3": ("sample", "row", "column", "factor", "temperature"),
    "4": ("noise_height", "noise_width", "noise_run"),
    "5": ("here", "twice"),
    "6": ("fit", "centres"),
    "7": ("power",),
    "8": ("truth", "box_x", "box_y", "kind", "snap", "cut"),
}
"""The choices of each step, besides the answers of its questions."""

_LEAST = {
    "slide": 1,
    "grid_height": 32,
    "grid_width": 32,
    "noise_height": 32,
    "noise_width": 32,
    "sample": 1,
    "row": 1,
    "column": 1,
}


def available_models() -> tuple[str, ...]:
    """Return the models whose weights are on this machine, the default model first."""
    try:
        first = model_spec().name
    except FcnError:
        first = next(iter(MODELS))
    here = [name for name, spec in MODELS.items() if find_weights(spec) is not None and is_offered(name)]
    return tuple(sorted(here, key=lambda name: name != first)) or (first,)


def preferred_language() -> str:
    """Return the language of the lesson that the learner's browser is set to; English if there is none in it."""
    code = (st.context.locale or "").partition("-")[0]
    return code if code in LANGUAGES else "en"


def plain() -> Learner:
    """Return the choices of an address without parameters."""
    return Learner(model=available_models()[0])


def read(query: Mapping[str, str]) -> tuple[Learner, tuple[str, ...]]:
    """Read the parameters of an address; see :func:`app.state.address.read`."""
    learner, ignored = address.read(plain(), query)
    learner, unknown = address.with_synsets(learner, query, Ontology.load(), _SYNSETS)
    wrong = {name: getattr(plain(), name) for name in _invalid(learner)}
    ignored += unknown + tuple(address.shortened(name, query[name]) for name in wrong)
    return replace(learner, **wrong), ignored


def _invalid(learner: Learner) -> list[str]:
    """Return the fields whose values no widget could have."""
    wrong = [name for name, least in _LEAST.items() if getattr(learner, name) < least]
    if learner.model not in available_models():
        wrong.append("model")
    if learner.factor not in FACTORS:
        wrong.append("factor")
    if len(learner.toy) not in (0, 16):
        wrong.append("toy")
    for name in ("box_x", "box_y"):
        ends = getattr(learner, name)
        if ends and not (len(ends) == 2 and ends[0] < ends[1]):
            wrong.append(name)
    return wrong


def write(learner: Learner) -> dict[str, str]:
    """Write the choices as parameters of an address, without defaults."""
    ontology = Ontology.load()
    words: dict[str, Any] = {
        name: address.synset_text(wnid, ontology) for name in _SYNSETS if (wnid := getattr(learner, name))
    }
    query = address.write(replace(learner, **words), plain())
    # An address without a language opens in the one of the browser, so English must be named where that is another.
    return query if preferred_language() == "en" else {**query, "lang": learner.lang}


def answer_of(learner: Learner, question: str) -> int | None:
    """Return the chosen answer of a question, counted from 0, or None."""
    for each in learner.answers:
        name, _, number = each.rpartition(".")
        if name == question and _SERIAL.fullmatch(number):
            return int(number) - 1
    return None


def with_answer(learner: Learner, question: str, chosen: int | None) -> Learner:
    """Return the choices with another answer of a question."""
    others = tuple(each for each in learner.answers if each.rpartition(".")[0] != question)
    return replace(learner, answers=others if chosen is None else (*others, f"{question}.{chosen + 1}"))


def with_shown(learner: Learner, question: str, shown: bool) -> Learner:
    """Return the choices with the answer of a question shown or hidden."""
    others = tuple(each for each in learner.shown if each != question)
    return replace(learner, shown=(*others, question) if shown else others)


def reset(learner: Learner, step: str, questions: tuple[str, ...]) -> Learner:
    """Return the choices with those of a step as at first, its questions unanswered."""
    first = plain()
    back = {name: getattr(first, name) for name in OF_STEP.get(step, ())}
    learner = replace(learner, **back)
    for question in questions:
        learner = with_shown(with_answer(learner, question, None), question, False)
    return learner


def is_changed(learner: Learner, step: str, questions: tuple[str, ...]) -> bool:
    """Whether a step has choices of the learner."""
    return reset(learner, step, questions) != learner
