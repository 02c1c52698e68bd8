"""Compare page: two models on one picture, one model on two pictures, or two synsets, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from app.state import caches, selection, session
from app.state.pictures import Picture
from app.state.queue.jobs import Job, JobKey, ModelKey, Snapshot, job_key
from app.state.samples import DEFAULT, SAMPLES
from app.state.session import session_id
from app.state.shared_queue import FIRST_SCALES, queue
from app.state.view import View
from app.ui import display, figures, notices, synset_picker
from app.ui.figures import Look
from fcn_core.errors import FcnError
from fcn_core.evaluation.metrics import iou
from fcn_core.images.scales import plan_scales
from fcn_core.networks.zoo import MODELS
from fcn_core.pipeline import Analysis

_POLL = 0.5  # seconds
_WHAT = ("Models", "Pictures", "Synsets")
_MINE = "from Explore"


@dataclass(frozen=True)
class Choices:
    """All choices on the page.

    Attributes
    ----------
    what : str
        One of "Models", "Pictures", "Synsets".
    models, pictures, wnids : pair of str
        What each half shows; where the halves do not differ, both are the same.
    """

    what: str
    models: tuple[str, str]
    pictures: tuple[str, str]
    wnids: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Side:
    """One half of the page."""

    title: str
    picture: Picture
    model: ModelKey
    wnid: str

    @property
    def key(self) -> JobKey:
        """Of the job that it needs.

        Raises
        ------
        ScaleError
            The picture is too small for a scale, or was opened at reduced size.
        """
        plans = plan_scales(self.picture.height, self.picture.width, FIRST_SCALES)
        self.picture.check(plans)
        return job_key(self.picture, self.model, plans)


def read_comparison() -> Choices:
    """Read the choices, before anything is drawn."""
    state, synsets = st.session_state, caches.ontology()
    first = state.setdefault("compare-synset", state.get("synset") or synsets.find("cat").wnid)
    others = (synsets.collapse(synsets.find(word).wnid) for word in ("dog", "cat"))
    second = state.setdefault("compare-other", next(other for other in others if other != first))
    what = str(state.get("compare") or st.query_params.get("compare"))
    what = what if what in _WHAT else _WHAT[0]
    mine = _picture_names()[0]
    model = session.selection().model
    models, pictures, wnids = (model, model), (mine, mine), (first, first)
    if what == "Models":
        models = _pair(("compare-model-a", "compare-model-b"), list(MODELS), 1)
    elif what == "Pictures":
        pictures = _pair(("compare-picture-a", "compare-picture-b"), _picture_names(), 2)
    else:
        wnids = first, second
    return Choices(what, models, pictures, wnids)


def _pair(keys: tuple[str, str], names: list[str], second: int) -> tuple[str, str]:
    first, other = (st.session_state.get(key) for key in keys)
    return str(first or names[0]), str(other or names[_second(names, second)])


def _second(names: list[str], wanted: int) -> int:
    return min(wanted, len(names) - 1)


def _picture_names() -> list[str]:
    if session.explore().picture is not None:
        return [_MINE, *SAMPLES]
    return [DEFAULT, *(name for name in SAMPLES if name != DEFAULT)]


def page() -> None:
    """Read the choices, draw the widgets, then the two halves."""
    chosen = read_comparison()
    st.segmented_control(
        "Compare", _WHAT, default=_WHAT[0], key="compare", required=True, bind="query-params"
    )
    if chosen.what != "Synsets":
        synset_picker.pick_synset("compare-synset", _choose("compare-synset"))
    _publish_picture()
    _draw_widgets(chosen)
    sides = _sides(chosen)
    queue().leave_others([side.key for side in sides], session=session_id())
    jobs = [_job(side) for side in sides]
    looks = _look(jobs)
    _keep_failed(jobs, looks)
    waiting = any(not look.finished for look in looks)
    st.fragment(_results, run_every=_POLL if waiting else None)(sides, jobs, waiting)


def _choose(key: str) -> Callable[[str], None]:
    def choose(wnid: str) -> None:
        st.session_state[key] = wnid

    return choose


def _publish_picture() -> None:
    """Say in the address that the picture was uploaded; say so on the page if it no longer exists."""
    mine = session.explore().picture
    if mine is None and st.query_params.get("picture") == selection.UPLOAD:
        notices.gone()
    elif mine is not None and not mine.address:
        st.query_params["picture"] = selection.UPLOAD
    else:
        st.query_params.pop("picture", None)


def _draw_widgets(chosen: Choices) -> None:
    left, right = st.columns(2, gap="small")
    if chosen.what == "Models":
        names = list(MODELS)
        left.selectbox("Model", names, key="compare-model-a", persist_state="session")
        right.selectbox("and model", names, index=1, key="compare-model-b", persist_state="session")
    elif chosen.what == "Pictures":
        names = _picture_names()
        second = _second(names, 2)
        left.selectbox("Picture", names, key="compare-picture-a", persist_state="session")
        right.selectbox("and picture", names, index=second, key="compare-picture-b", persist_state="session")
    else:
        with left:
            synset_picker.pick_synset("compare-synset", _choose("compare-synset"))
        with right:
            synset_picker.pick_synset("compare-other", _choose("compare-other"), "and where")


def _sides(chosen: Choices) -> list[Side]:
    label = caches.ontology().label
    sides = []
    for model, name, wnid in zip(chosen.models, chosen.pictures, chosen.wnids, strict=True):
        picture = _picture(name)
        titles = {"Models": MODELS[model].title, "Pictures": picture.name, "Synsets": label(wnid)}
        sides.append(Side(titles[chosen.what], picture, ModelKey(model), wnid))
    return sides


def _picture(name: str) -> Picture:
    mine = session.explore().picture
    return mine if name == _MINE and mine is not None else caches.sample(DEFAULT if name == _MINE else name)


def _failed() -> dict[JobKey, Job]:
    failed: dict[JobKey, Job] = st.session_state.setdefault("compare-failed", {})
    return failed


def _job(side: Side) -> Job:
    """Ask for the side's job; one that failed is tried again only if the user asks for that."""
    if side.key in _failed():
        return _failed()[side.key]
    return queue().submit(side.picture, side.model, FIRST_SCALES, "aspect", session=session_id())


def _look(jobs: list[Job]) -> list[Snapshot]:
    for job in jobs:
        queue().keep_alive(job, session=session_id())
    return [queue().look(job) for job in jobs]


def _keep_failed(jobs: list[Job], looks: list[Snapshot]) -> None:
    """Keep what failed, so that it is not asked for again unless the user says so."""
    for job, look in zip(jobs, looks, strict=True):
        if look.error:
            _failed()[job.key] = job


def _results(sides: list[Side], jobs: list[Job], waiting: bool) -> None:
    looks = _look(jobs)
    if waiting:  # before the rerun, which would ask for it again
        _keep_failed(jobs, looks)
    evicted = any(look.state == "cancelled" for look in looks)
    forgotten = any(look.error and job.key not in _failed() for job, look in zip(jobs, looks, strict=True))
    if all(look.finished for look in looks) and (waiting or evicted or forgotten):
        st.rerun()
    analyses: list[Analysis | None] = []
    columns = st.columns(2, gap="small")
    for index, (column, side, job, look) in enumerate(zip(columns, sides, jobs, looks, strict=True)):
        with column:
            if look.error:
                title = MODELS[side.model.name].title
                notices.failed(title, look.error, partial(_forget, job.key), key=f"side-again-{index}")
            analyses.append(_half(side, job, coming=not look.finished))
    st.html(figures.legend((0.0, 1.0), "viridis", "arithmetic mean of probability, fixed range"))
    first, second = analyses
    if first is not None and second is not None:
        _numbers(sides, first, second)


def _forget(key: JobKey) -> None:
    """Ask for a job that failed once more."""
    _failed().pop(key, None)


def _half(side: Side, job: Job, *, coming: bool) -> Analysis | None:
    """Draw one half, without a result its photo if none is coming; return its analysis if there is one."""
    size = figures.shown_size(side.picture, 560, 480)
    view = View.of(job, side.picture)
    if view is None:
        if coming:
            st.skeleton(height=max(120, size[0]))
        else:
            st.html(figures.figure(display.photo(side.picture, size), f"The picture: {side.picture.name}"))
        return None
    trace = bool(st.session_state.get("compare-trace"))
    analysis = view.analysis(replace(selection.default(), synset=side.wnid, trace=trace))
    pixels = figures.paint(display.photo(side.picture, size), analysis.arithmetic, size, (0.0, 1.0), Look())
    name = caches.ontology().label(side.wnid)
    seconds = sum(m.seconds for m in view.class_maps.values())
    what = name if side.title == name else f"{side.title}: {name}"
    caption = (
        f"{what}, peak {figures.number(analysis.arithmetic.peak)}, "
        f"{len(view.class_maps)} scales in {figures.seconds(seconds)}"
    )
    st.html(figures.figure(pixels, f"Mean of {name} in {side.picture.name}, {side.title}", caption))
    return analysis


def _numbers(sides: list[Side], first: Analysis, second: Analysis) -> None:
    """Draw the two halves' numbers side by side."""
    rows = [
        ("peak", figures.number(first.arithmetic.peak), figures.number(second.arithmetic.peak)),
        ("mean", figures.number(first.arithmetic.mean), figures.number(second.arithmetic.mean)),
        ("presence", f"{first.presence:.0%}", f"{second.presence:.0%}"),
        ("mask", f"{first.coverage:.0%}", f"{second.coverage:.0%}"),
    ]
    st.html(figures.table(("", sides[0].title, sides[1].title), rows))
    for side, analysis in zip(sides, (first, second), strict=True):
        if not analysis.present:
            name = caches.ontology().label(side.wnid)
            instead = ", the strongest trace is marked" if analysis.marked else ""
            notices.note(f"{side.title}: no {name} found here{instead}.")
    if not (first.present and second.present):
        st.toggle(
            "Show the strongest trace",
            key="compare-trace",
            persist_state="session",
            help="Marks where a synset would be if it were in the picture.",
        )
    if first.marked and second.marked and sides[0].picture.sha256 == sides[1].picture.sha256:
        notices.note(f"Their masks overlap by {iou(first.mask, second.mask):.0%} (intersection over union).")


try:
    page()
except FcnError as error:
    notices.problem(str(error))
