"""What a session remembers between runs: the list of all keys of ``st.session_state``, and how they are read.

Streamlit keeps the values of widgets in the same dictionary as the app's own state. :data:`STATE` names the app's own
keys, :data:`WIDGETS` those of widgets. A test fails on a key that is in neither list.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.state import caches
from app.state import selection as address
from app.state.pictures import Picture, Refusal
from app.state.queue.jobs import Job, JobKey
from app.state.samples import DEFAULT, SAMPLES
from app.state.selection import BOUND, Selection
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale

#: The app's own keys, and what they hold. ``synset`` and ``compare-…`` are shared with the synset picker.
STATE: Mapping[str, str] = {
    "session": "random name by which the queue knows the session",
    "explore": "ExplorePage",
    "synset": "wnid on Explore",
    "compare-synset": "first wnid on Compare",
    "compare-other": "second wnid on Compare",
    "compare-failed": "jobs of Compare that failed, by key",
    "model-jobs": "jobs of the Models page, by model",
    "*-shown": "of a synset picker: the wnid it shows, and its serial number",
    "*-asked": "of a synset picker: a word it could not find, and suggestions",
    "lesson_*": "state and widgets of the lesson",
}

#: Keys of widgets, as patterns.
WIDGETS = (
    *BOUND,  # kept equal to the address by Streamlit
    *("source", "picture", "upload*", "camera", "link"),
    *(
        "scale-*",
        "new-scale",
        "weight-*",
        "power",
        "threshold-*",
        "snap",
        "trace",
        "row-*",
        "column-*",
        "pointer",
        "png",
    ),
    *("chip-*", "*-step-*", "*-pick-*", "*-sense-*"),
    *("stop", "export-*", "ask-again", "picture-again", "job-again", "side-again-*"),
    *("compare", "compare-model-?", "compare-picture-?", "compare-trace"),
    *("prepare-*", "lesson-*"),
)


@dataclass(eq=False)
class ExplorePage:
    """What the Explore page remembers.

    Attributes
    ----------
    started : bool
        Whether the address has been read.
    picture : Picture or None
        The last picture that could be opened.
    picture_gone : bool
        Whether the address names an uploaded picture that this session does not have.
    uploader, slider, inputs : int
        Serial numbers of the uploader, the threshold slider and the inputs of row and column: a new number makes a new
        widget, so a value of the old one that is still on its way from the browser is ignored.
    scales : tuple of Scale
        On offer, coarse first.
    synset_chosen : bool
        Whether the user chose the synset, not the picture.
    settled : (str, bool)
        SHA-256 of the picture that the synset was last adapted to, and whether that is final.
    threshold : float or None
        None: the suggested one.
    cell : (int, int) or None
        Row and column to inspect; None: the cell with the highest value.
    typed : (int, int) or None
        The cell in the inputs of row and column.
    job : Job or None
        What the page has asked for.
    shown : (Job, Picture) or None
        The last complete result.
    stopped : JobKey or None
        The job that the user stopped.
    failed : (JobKey, str) or None
        The job that failed, and why.
    refused : Refusal or None
        The picture that was chosen last, if it could not be opened.
    problem, scale_problem : str
        Messages to show once.
    """

    started: bool = False
    picture: Picture | None = None
    picture_gone: bool = False
    uploader: int = 0
    scales: tuple[Scale, ...] = NOTEBOOK_SCALES
    scale_problem: str = ""
    synset_chosen: bool = False
    settled: tuple[str, bool] = ("", False)
    threshold: float | None = None
    slider: int = 0
    cell: tuple[int, int] | None = None
    typed: tuple[int, int] | None = None
    inputs: int = 0
    job: Job | None = None
    shown: tuple[Job, Picture] | None = None
    stopped: JobKey | None = None
    failed: tuple[JobKey, str] | None = None
    problem: str = ""
    refused: Refusal | None = None

    def try_picture_again(self) -> None:
        """Forget that the picture could not be opened, so that it is tried again."""
        self.refused = None

    def suggest_threshold(self) -> None:
        """Return to the suggested threshold."""
        self.threshold, self.slider = None, self.slider + 1

    def forget_job(self) -> None:
        """Forget how the last job ended, so that it is asked for again."""
        self.job = self.stopped = self.failed = None


def explore() -> ExplorePage:
    """Return the record of this session's Explore page."""
    page: ExplorePage = st.session_state.setdefault("explore", ExplorePage())
    return page


def session_id() -> str:
    """Return the random name of this session, by which the queue knows who asks for a job."""
    name: str = st.session_state.setdefault("session", secrets.token_hex(8))
    return name


def start() -> tuple[str, ...]:
    """Set the Explore page's state and widgets from the address, once a session.

    Returns
    -------
    tuple of str
        Invalid parameters of the address.
    """
    page, state = explore(), st.session_state
    if page.started:
        return ()
    chosen, ignored = address.read(st.query_params.to_dict())
    if st.query_params.get("tab") in address.OLD_TABS:  # Streamlit would remove it from the address
        st.query_params["tab"] = chosen.tab
        st.rerun()
    is_sample = chosen.picture in SAMPLES
    page.started, page.picture_gone = True, not chosen.picture
    page.scales = coarse_first({*NOTEBOOK_SCALES, *chosen.scales})
    page.synset_chosen, page.threshold = bool(chosen.synset), chosen.threshold
    if chosen.row is not None and chosen.column is not None:
        page.cell = chosen.row, chosen.column
    state["source"] = "Samples" if is_sample else "Link" if chosen.picture else "Upload"
    state["picture"] = chosen.picture if is_sample else DEFAULT
    state["link"] = "" if is_sample else chosen.picture
    state["synset"] = chosen.synset or caches.ontology().find("cat").wnid
    state["power"], state["snap"], state["trace"] = chosen.power, chosen.snap, chosen.trace
    for scale in page.scales:
        state[f"scale-{scale}"] = scale in chosen.scales
    for scale, weight in zip(coarse_first(chosen.scales), chosen.weights, strict=False):
        state[f"weight-{scale}"] = weight
    return ignored


def selection() -> Selection:
    """Read the Explore page's selection; call it at the top of a run, before anything is drawn.

    A widget that the browser has shown is in the session's state; one that it has not is still in the address.
    """
    page, state = explore(), st.session_state
    query = {name: text for name, text in st.query_params.items() if name in BOUND and name not in state}
    plain, _ = address.read(query)
    chosen: dict[str, Any] = {name: state[name] for name in BOUND if state.get(name) is not None}
    scales = tuple(scale for scale in page.scales if state.get(f"scale-{scale}"))
    weights = tuple(float(state.get(f"weight-{scale}", 1.0)) for scale in scales)
    row, column = page.cell or (None, None)
    if page.picture_gone:
        chosen["picture"] = ""
    elif page.picture is not None:
        chosen["picture"] = page.picture.address
    return Selection(
        **{
            **vars(plain),
            **chosen,
            "synset": state.get("synset", ""),
            "scales": scales,
            "weights": () if all(weight == 1 for weight in weights) else weights,
            "threshold": page.threshold,
            "power": float(state.get("power", plain.power)),
            "snap": bool(state.get("snap", plain.snap)),
            "trace": bool(state.get("trace", plain.trace)),
            "row": row,
            "column": column,
        }
    )


def publish(chosen: Selection) -> None:
    """Write the choices that are not bound to a widget into the address."""
    wanted = address.write(chosen)
    if not explore().synset_chosen:
        wanted.pop("synset", None)
    for name in address.BY_HAND:
        if name in wanted and st.query_params.get(name) != wanted[name]:
            st.query_params[name] = wanted[name]
        elif name not in wanted and name in st.query_params:
            del st.query_params[name]


def choose_synset(wnid: str) -> None:
    """Show another synset on Explore, as the user asks."""
    page = explore()
    st.session_state["synset"] = wnid
    page.synset_chosen = True
    page.suggest_threshold()
    if page.picture is not None:
        page.settled = page.picture.sha256, True


def coarse_first(scales: Any) -> tuple[Scale, ...]:
    """Sort scales by their number of pixels."""
    return tuple(sorted(scales, key=lambda scale: (scale.height * scale.width, scale)))
