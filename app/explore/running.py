"""The job of Explore: what the page asks the queue for, how far it is, and the results so far."""

from __future__ import annotations

import streamlit as st

from app.explore import progress, results
from app.state import session
from app.state.pictures import Picture
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.queue.jobs import Job, Snapshot, job_key
from app.state.selection import Selection
from app.state.session import ExplorePage, session_id
from app.state.shared_queue import queue
from app.state.view import View
from app.ui import notices
from fcn_core.errors import FcnError, ScaleError
from fcn_core.images.scales import PlannedScale, plan_scales
from fcn_core.networks.zoo import model_spec


def draw(chosen: Selection, picture: Picture) -> None:
    """Ask for the class maps that are missing, and draw those that are there."""
    notes = st.container()  # results and progress keep their places on the page, whatever is noted above them
    with notes:
        job, shown, plans, snapshot = _what_to_show(chosen, picture)
    seen = job if View.of(job, shown) is not None else None
    awaited = snapshot is not None
    stopped = (
        job is not None and session.explore().stopped == job.key
    )  # what is missing comes when it goes on
    results.draw(chosen, seen, shown, plans if awaited or stopped else (), awaited)
    progress.watch(chosen, job, snapshot)


def _what_to_show(
    chosen: Selection, picture: Picture
) -> tuple[Job | None, Picture, tuple[PlannedScale, ...], Snapshot | None]:
    """Ask for the class maps that are missing; say what is wrong.

    Returns
    -------
    Job or None
        Whose class maps to show, as far as it has some.
    Picture
        The picture they are of: the last one with a result if the new one has none.
    tuple of PlannedScale
        All scales that are asked for; empty: those of the job.
    Snapshot or None
        Of a job that is not finished.
    """
    page = session.explore()
    earlier = View.of(*page.shown) if page.shown is not None else None
    try:
        plans = _plan(chosen, picture)
    except ScaleError as error:
        notices.problem(str(error))
        same = earlier is not None and earlier.picture.sha256 == picture.sha256
        return (earlier.job if earlier is not None and same else None), picture, (), None
    job, snapshot, problem = _ask(page, chosen, picture, plans)
    view = View.of(job, picture)
    if view is not None and view.complete:
        page.shown = job, picture
    if problem:
        if page.failed is not None and page.failed[0] == job.key:
            notices.failed(model_spec(chosen.model).title, problem, page.forget_job, key="job-again")
        else:  # too much work waits
            notices.problem(problem)
            st.button("Try again", key="job-again", on_click=page.forget_job, icon=":material/refresh:")
        if view is None and earlier is not None:
            notices.note(
                f"Below is the last result: {earlier.info.title} on {earlier.picture.name}. It is not what you asked "
                "for last."
            )
            return earlier.job, earlier.picture, (), None
    elif page.stopped == job.key:
        seen = len(view.class_maps) if view is not None else 0
        with st.container(horizontal=True, vertical_alignment="center"):
            notices.note(f"Stopped after {seen} of {len(plans)} scales.")
            st.button("Resume", on_click=page.forget_job, icon=":material/play_arrow:")
    unfinished = snapshot if snapshot is not None and not snapshot.finished else None
    return job, picture, plans, unfinished


def _plan(chosen: Selection, picture: Picture) -> tuple[PlannedScale, ...]:
    """Plan the chosen scales.

    Raises
    ------
    ScaleError
        They cannot be computed for this picture.
    """
    if not chosen.scales:
        raise ScaleError(
            "Expected at least one scale. Received none. Choose one in Scales and model, for example 400 × 640."
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
