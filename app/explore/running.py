"""The job of Explore: what the page asks the queue for, how far it is, and the results so far."""

from __future__ import annotations

import streamlit as st

from app.explore import results
from app.state import session
from app.state.pictures import Picture
from app.state.predictors import predictor
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.queue.jobs import Job, Snapshot, job_key
from app.state.selection import Selection, default
from app.state.session import ExplorePage, session_id
from app.state.shared_queue import queue
from app.state.view import View
from app.ui import notices
from fcn_core.errors import FcnError, ScaleError
from fcn_core.images.scales import PlannedScale, plan_scales
from fcn_core.networks.zoo import MODELS

# Seconds between two looks at the job; each costs the browser and the server some work.
_POLL, _POLL_WAITING, _POLL_FAR = 0.4, 1.0, 4.0
_FAR = 10  # places in the queue


def draw(chosen: Selection, picture: Picture) -> None:
    """Ask for the class maps that are missing, and draw those that are there."""
    page = session.explore()
    earlier = View.of(*page.shown) if page.shown is not None else None
    try:
        plans = _plan(chosen, picture)
    except ScaleError as error:
        notices.problem(str(error))
        same = earlier is not None and earlier.picture.sha256 == picture.sha256
        results.draw(earlier.job if earlier is not None and same else None, picture, (), None)
        return
    job, snapshot, problem = _ask(page, chosen, picture, plans)
    view = View.of(job, picture)
    seen = len(view.class_maps) if view is not None else 0
    if view is not None and view.complete:
        page.shown = job, picture
    if problem:
        if page.failed is not None and page.failed[0] == job.key:
            notices.failed(MODELS[chosen.model].title, problem, page.forget_job, key="job-again")
        else:  # too much work waits
            notices.problem(problem)
            st.button("Try again", key="job-again", on_click=page.forget_job, icon=":material/refresh:")
        if view is None and earlier is not None:
            notices.note(
                f"Below is the last result: {earlier.info.title} on {earlier.picture.name}. It is not what you asked "
                "for last."
            )
            results.draw(earlier.job, earlier.picture, (), None)
            return
    elif page.stopped == job.key:
        with st.container(horizontal=True, vertical_alignment="center"):
            notices.note(f"Stopped after {seen} of {len(plans)} scales.")
            st.button("Resume", on_click=page.forget_job, icon=":material/play_arrow:")
    progress = None
    if snapshot is not None and not snapshot.finished:
        far = snapshot.place > _FAR
        every = _POLL_FAR if far else _POLL_WAITING if snapshot.place else _POLL

        def progress() -> None:
            st.fragment(_progress, run_every=every)(job, seen, far)

    results.draw(job if view is not None else None, picture, plans, progress)


def _plan(chosen: Selection, picture: Picture) -> tuple[PlannedScale, ...]:
    """Plan the chosen scales.

    Raises
    ------
    ScaleError
        They cannot be computed for this picture.
    """
    if not chosen.scales:
        raise ScaleError(
            "Expected at least one scale. Received none. Choose one in the sidebar, for example 400 × 640."
        )
    plans = tuple(plan_scales(picture.height, picture.width, chosen.scales, chosen.fitting))
    picture.check(plans)
    return plans


def _ask(
    page: ExplorePage, chosen: Selection, picture: Picture, plans: tuple[PlannedScale, ...]
) -> tuple[Job, Snapshot | None, str]:
    """Ask for a job unless the user stopped it or it has failed.

    Returns
    -------
    Job
        With the class maps to show.
    Snapshot or None
        None for a job that is not in the queue.
    str
        Why it failed or was refused, or "".
    """
    key = job_key(picture, chosen.model_key, plans)
    queue().leave_others((key,), session=session_id())
    if page.job is not None and page.job.key != key:
        page.job = None
    refused = ""
    if page.stopped != key and (page.failed is None or page.failed[0] != key):
        # The job of the last run goes on, or says how it failed: otherwise a job that fails at once would be asked for
        # again and again. A cancelled job (another session left it, or this page was hidden) is asked for again.
        job = page.job
        try:
            if job is None or job.state in ("done", "cancelled"):
                job = queue().submit(
                    picture, chosen.model_key, chosen.scales, chosen.fitting, session=session_id()
                )
        except FcnError as error:  # too much work waits; the next run asks again
            refused = str(error)
        else:
            queue().keep_alive(job, session=session_id())
            snapshot = queue().look(job)
            page.job = job
            if snapshot.state != "failed":
                return job, snapshot, ""
            page.failed = key, snapshot.error or INTERNAL_ERROR
            return job, snapshot, page.failed[1]
    found = queue().cached(picture, chosen.model_key, chosen.scales, chosen.fitting)
    failed = page.failed[1] if page.failed is not None and page.failed[0] == key else ""
    return found, None, refused or failed


def _stop(job: Job) -> None:
    session.explore().stopped = job.key
    queue().leave(job, session=session_id())


def describe_place(others: int) -> str:
    """Describe how many scales of other users run before a job's next one."""
    if others == 0:
        return "Starting"
    return f"Waiting for {others} scale{'' if others == 1 else 's'} of other analyses"


def _progress(job: Job, seen: int, far: bool) -> None:
    """Draw how far the job is; draw the whole page again when there is something new to show."""
    queue().keep_alive(job, session=session_id())
    now = queue().look(job)
    news = now.finished or len(now.class_maps) != seen or (far and now.place <= _FAR)
    if news or session.explore().stopped == job.key:
        st.rerun()
    count = len(job.plans)
    if now.state == "queued":
        text = describe_place(now.others) + (f" · {seen} of {count} done" if seen else "")
    elif now.state == "loading" or now.running is None:
        text = "Loading the model. The first time on a machine, preparing it takes some seconds."
    else:
        text = f"Scale {now.running.requested}: {seen + 1} of {count}"
    with st.container(horizontal=True, vertical_alignment="center", key="progress"):
        st.progress(min(now.share, 1.0), text)
        st.button("Stop", on_click=_stop, args=(job,), icon=":material/stop:", key="stop")


def await_model(chosen: Selection) -> None:
    """While the default model is loading, look for it regularly: then draw the page with its forecasts."""
    model = chosen.model_key
    if predictor(model) is None and model.name == default().model and chosen.stride == default().stride:

        def look() -> None:
            if predictor(model) is not None and not queue().busy(model):
                st.rerun()

        st.fragment(look, run_every=1.0)()
