"""Explore page: a picture, what the network sees in it, and where."""

from __future__ import annotations

import logging

import streamlit as st

from app.explore import inputs, results
from app.explore.results import Result
from app.state import cached, selection
from app.state.pictures import Picture
from app.state.queue.jobs import Job, ModelKey, Snapshot, job_key
from app.ui import notices
from fcn_core.errors import FcnError, ScaleError
from fcn_core.images.scales import Fit, Scale

logger = logging.getLogger(__name__)

# Seconds: every look costs the browser and the server some work.
_POLL, _POLL_WAITING, _POLL_FAR = 0.4, 1.0, 4.0
_FAR = 10  # turns of others before one's own


def page() -> None:
    """Draw the page once."""
    state = st.session_state
    ignored = inputs.start()
    if ignored:
        st.toast(
            f"Ignored in the address: {notices.escape_markdown(', '.join(ignored))}",
            icon=":material/link_off:",
        )
    messages = st.container()
    with st.sidebar:
        picture = inputs.choose_picture()
        scales, fit = inputs.choose_scales(picture, _model())
        model = inputs.choose_model()
        _warming(model)
    with messages:
        if "explore-problem" in state:
            notices.problem(state.pop("explore-problem"))
        if inputs.is_gone():
            notices.gone()
        _show(picture, model, scales, fit)


def _model() -> ModelKey:
    """The model as it was chosen before its widget is drawn in this run."""
    default = selection.default()
    state = st.session_state
    return ModelKey(str(state.get("model", default.model)), output_stride=int(state.get("stride", "32")))


def _warming(model: ModelKey) -> None:
    """While the model is still loading in the background, wait for it aside: forecasts need it."""
    if cached.predictor(model) is None and model == ModelKey(selection.default().model):

        def wait() -> None:
            if cached.predictor(model) is not None and not cached.queue().busy(model):
                st.rerun()

        st.fragment(wait, run_every=1.0)()


def _show(picture: Picture, model: ModelKey, scales: tuple[Scale, ...], fit: Fit) -> None:
    """Ask for what is missing, and show what is there."""
    state = st.session_state
    earlier: Result | None = state.get("explore-result")
    if earlier is not None and earlier.found is None:
        earlier = None
    problem = _problem_of(picture, scales, fit)
    if problem is not None:
        notices.problem(problem)
        same = earlier is not None and earlier.picture.sha256 == picture.sha256
        results.draw(earlier if same else None, picture, (), None)
        return
    queue = cached.queue()
    plans = inputs.plans_of(picture, scales, fit)
    key = job_key(picture, model, plans)
    stopped = state.get("explore-stopped") == key
    failed = state.get("explore-failed", (None, ""))
    snapshot: Snapshot | None = None
    before: Job | None = state.get("explore-job")
    if before is not None and before.key != key:
        queue.leave(before, session=cached.session())
        del state["explore-job"]
        before = None
    job, refused = None, ""
    if not stopped and failed[0] != key:
        # The job of the run before goes on, or tells how it failed; one that failed at once would else be asked
        # for again and again. A cancelled one (by somebody else, or this page was hidden) is still wanted.
        asked = before is not None and before.key == key and before.state not in ("done", "cancelled")
        try:
            job = before if asked else queue.submit(picture, model, scales, fit, session=cached.session())
        except FcnError as error:  # too much, or too many wait: the page asks again when it is run again
            refused = str(error)
    if job is not None:
        snapshot = queue.look(job)
        if snapshot.state == "failed":
            failed = state["explore-failed"] = (key, snapshot.error or notices.FAULT)
        state["explore-job"] = job
    else:
        job = queue.found(picture, model, scales, fit)
    info, seen = queue.info(model), len(job.class_maps)
    result = Result(job, picture, info, plans) if seen and info is not None else None
    if result is not None and seen == len(plans):
        state["explore-result"] = result
    if failed[0] == key or refused:
        notices.problem(refused or failed[1])
        st.button("Try again", on_click=_forget, icon=":material/refresh:")
        if result is None and earlier is not None:
            notices.note(
                f"Below is the last result: {earlier.info.title} on {earlier.picture.name}. "
                "It is not what was just asked for."
            )
            results.draw(earlier, earlier.picture, (), None)
            return
    elif stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            notices.note(f"Stopped after {seen} of {len(plans)} scales.")
            st.button("Resume", on_click=_forget, icon=":material/play_arrow:")
    progress = None
    if snapshot is not None and not snapshot.finished:

        def progress() -> None:
            far = snapshot.place > _FAR
            every = _POLL_FAR if far else _POLL_WAITING if snapshot.place else _POLL
            st.fragment(_progress, run_every=every)(job, seen, len(plans), far)

    results.draw(result, picture, plans, progress)


def _problem_of(picture: Picture, scales: tuple[Scale, ...], fit: Fit) -> str | None:
    """Why the scales cannot be computed of this picture, if they cannot."""
    if not scales:
        return "No scale is chosen. Choose at least one in the sidebar, for example 400 × 640."
    try:
        picture.check(inputs.plans_of(picture, scales, fit))
    except ScaleError as error:
        return str(error)
    return None


def _forget() -> None:
    for name in ("explore-failed", "explore-stopped", "explore-job"):
        st.session_state.pop(name, None)


def _stop(job: Job) -> None:
    st.session_state["explore-stopped"] = job.key
    cached.queue().leave(job, session=cached.session())


def waiting_words(place: int) -> str:
    """What comes before a job's next scale, in words."""
    if place == 0:
        return "About to begin"
    return f"Waiting for {place} scale{'' if place == 1 else 's'} of other analyses"


def _progress(job: Job, seen: int, count: int, far: bool) -> None:
    """How far the run is; the whole page is drawn anew when there is something new to show."""
    now = cached.queue().look(job)
    news = now.finished or len(now.class_maps) != seen or (far and now.place <= _FAR)
    if news or st.session_state.get("explore-stopped") == job.key:
        st.rerun()
    if now.state == "queued":
        text = waiting_words(now.place) + (f" · {seen} of {count} done" if seen else "")
    elif now.state == "loading" or now.running is None:
        text = "Loading the model. The first time on a machine it is prepared, which takes some seconds."
    else:
        text = f"Scale {now.running.requested}: {seen + 1} of {count}"
    with st.container(horizontal=True, vertical_alignment="center", key="progress"):
        st.progress(min(now.share, 1.0), text)
        st.button("Stop", on_click=_stop, args=(job,), icon=":material/stop:", key="stop")


try:
    page()
except FcnError as error:
    notices.problem(str(error))
