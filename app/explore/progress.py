"""What Explore waits for: the one part of the page that looks again and again, and draws the page anew when it comes.

It stands beside the results, not inside them: a part that runs by itself must not be where the page may change.
"""

from __future__ import annotations

import time

import streamlit as st

from app.state import session
from app.state.predictors import predictor
from app.state.queue.jobs import Job, ModelKey, Snapshot
from app.state.selection import Selection, default
from app.state.session import session_id
from app.state.shared_queue import queue

# Seconds between two looks; each costs the browser and the server some work, one at a running job 3 ms.
_POLL, _POLL_WAITING, _POLL_FAR = 0.15, 1.0, 4.0
_FAR = 10  # places in the queue
# Seconds for which a page waits for all scales before it shows those that are there: drawing takes about as long as
# the three usual scales do, and would delay them.
_PATIENCE = 1.0


def watch(chosen: Selection, job: Job | None, snapshot: Snapshot | None) -> None:
    """Draw how far a job is, and draw the page again when there is something new to show.

    Parameters
    ----------
    chosen : Selection
    job : Job or None
    snapshot : Snapshot or None
        Of the job; None if it is finished, or not in the queue.
    """
    model = chosen.model_key
    if job is not None and snapshot is not None:
        far, seen = snapshot.place > _FAR, len(snapshot.class_maps)
        every = _POLL_FAR if far else _POLL_WAITING if snapshot.place else _POLL
        st.fragment(_look_at_job, run_every=every)(job, seen, far, time.monotonic())
    elif (chosen.inspects and not _is_measured(model)) or _is_loading(chosen):
        st.fragment(_look_at_model, run_every=_POLL_WAITING)(chosen)


def _is_measured(model: ModelKey) -> bool:
    return queue().field(model, session=session_id()).done()


def _is_loading(chosen: Selection) -> bool:
    """Whether the default model is loading: the page's forecasts need it."""
    model, first = chosen.model_key, default()
    return predictor(model) is None and (model.name, chosen.stride) == (first.model, first.stride)


def _look_at_model(chosen: Selection) -> None:
    model = chosen.model_key
    ready = (
        _is_measured(model) if chosen.inspects else predictor(model) is not None and not queue().busy(model)
    )
    if ready:
        st.rerun()


def _look_at_job(job: Job, seen: int, far: bool, since: float) -> None:
    """Look at a job; draw the page anew if there is something new to show, `seen` scales were there at `since`."""
    queue().keep_alive(job, session=session_id())
    now = queue().look(job)
    more = len(now.class_maps) != seen and time.monotonic() - since >= _PATIENCE
    news = now.finished or more or (far and now.place <= _FAR)
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


def describe_place(others: int) -> str:
    """Describe how many scales of other users run before a job's next one."""
    if others == 0:
        return "Starting"
    return f"Waiting for {others} scale{'' if others == 1 else 's'} of other analyses"


def _stop(job: Job) -> None:
    session.explore().stopped = job.key
    queue().leave(job, session=session_id())
