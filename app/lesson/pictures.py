"""The lesson's picture: a sample, one from the web, or the learner's own, and what is looked for in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

import streamlit as st

from app.lesson.language import translated as _
from app.lesson.session import LessonState, lesson_state
from app.lesson.text import FOLDER
from app.state import caches, picture_files
from app.state.pictures import Picture
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.samples import DEFAULT, SAMPLES
from app.streamlit_patches import DeletedFile
from app.ui import notices, page_scripts
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits
from fcn_core.synsets.ontology import Ontology

logger = logging.getLogger(__name__)

SHOWN: Mapping[str, str] = {
    "dog": "dog", "hens": "hen", "horses": "horse", "cow": "cattle", "duck": "duck", "pig": "pig", "sheep": "sheep",
    "cat": "cat", "labrador": "dog",
}  # fmt: skip
"""The samples of the lesson, and the word that is looked for in each."""

_PLACES = ("sidebar", "step")  # of an uploader

Corners = tuple[tuple[float, float], ...]


@cache
def outlines() -> Mapping[str, tuple[Corners, ...]]:
    """Return the outlines that were drawn by hand, by sample: polygons with corners (x, y) in pixels of the file."""
    drawn = json.loads((FOLDER / "outlines.json").read_text(encoding="utf-8"))["outlines"]
    return {
        name: tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in polygons)
        for name, polygons in drawn.items()
    }


def first_synset(name: str, ontology: Ontology) -> str:
    """Return the wnid that is looked for in a sample at first, or "" for any other picture."""
    return ontology.collapse(ontology.find(SHOWN[name]).wnid) if name in SHOWN else ""


def open_chosen() -> Picture:
    """Open the picture that the learner chose; the sample where that fails, with a message on the page."""
    state = lesson_state()
    _take_file(state)
    name = state.choices.now.picture
    try:
        if name in SAMPLES:
            return caches.sample(name)
        if name:
            return _fetched(name)
        if state.uploaded is not None:
            return state.uploaded
        state.problem = _("Your photo is not in this session any more. Open it again.")
    except FcnError as error:
        state.problem = _refused(error)
    except Exception:
        logger.exception("A picture could not be read")
        state.problem = _(INTERNAL_ERROR)
    state.choices.choose(picture=DEFAULT, synset="", box_x=(), box_y=(), cut=None)
    return caches.sample(DEFAULT)


def _fetched(url: str) -> Picture:
    picture = caches.fetch(url)
    if not picture.file.is_there:
        caches.fetch.clear(url)
        picture = caches.fetch(url)
    return picture


def choose(name: str) -> None:
    """Take another picture for the lesson: the name of a sample, an address, or "" for the uploaded one."""
    lesson_state().choices.choose(picture=name, synset="", box_x=(), box_y=(), cut=None)


def _take_file(state: LessonState) -> None:
    """Open a file that has just been uploaded in any of the places, and choose it."""
    files = [st.session_state.get(f"upload-lesson-{place}-{state.uploader}") for place in _PLACES]
    if any(
        isinstance(file, DeletedFile) for file in files
    ):  # the browser still lists a file that the server evicted
        state.uploader += 1
        return
    for file in files:
        if file is not None and file.file_id not in state.taken:
            state.taken.add(file.file_id)
            _open(state, file)


def _open(state: LessonState, file: Any) -> None:
    try:
        state.uploaded = caches.read_upload(file.file_id, file.name, picture_files.uploaded(file))
        choose("")
    except FcnError as error:
        state.problem = _refused(error)
    except Exception:
        logger.exception("A picture could not be read")
        state.problem = _(INTERNAL_ERROR)


def _refused(error: FcnError) -> str:
    """Say in the learner's language that a picture could not be opened, and why in the program's English."""
    return _("The picture could not be opened. {reason}", reason=error)


def draw() -> None:
    """Draw the choice of the picture in the sidebar: samples, and a file of the learner's own."""
    select("sidebar")
    uploader("sidebar")
    scripts = page_scripts.element(page_scripts.PICTURES_FIRST)
    st.html(
        scripts + notices.undelivered(Limits.from_env(), _(notices.UNDELIVERED)), unsafe_allow_javascript=True
    )


def select(where: str) -> None:
    """Draw the list of pictures; `where` is one of "sidebar" and "step"."""
    state = lesson_state()
    now = state.choices.now.picture
    names = [
        *SHOWN,
        *([] if now in SHOWN or not now else [now]),
        *([""] if state.uploaded is not None else []),
    ]
    titles = {name: title(name) for name in names}
    st.selectbox(
        _("Picture"), names, names.index(now) if now in names else 0, format_func=titles.__getitem__,
        **state.choices.widget("picture", part=where, choose=choose, initial=""),
    )  # fmt: skip


def uploader(where: str) -> None:
    """Draw the place for a file of the learner's own; `where` is one of "sidebar" and "step"."""
    st.file_uploader(
        _("Your own photo") if where == "sidebar" else _("A photo for your question"),
        key=f"upload-lesson-{where}-{lesson_state().uploader}",
        help=_("It stays in the memory of the server, for you only."),
    )


def title(name: str) -> str:
    """Name a picture."""
    if not name:
        uploaded = lesson_state().uploaded
        return uploaded.name if uploaded is not None else _("Your own photo")
    return _(SAMPLES[name].title) if name in SAMPLES else name
