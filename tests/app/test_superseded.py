"""Work that a newer choice of the same session has superseded is dropped at once, and nobody waits for it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from app.explore import progress
from app.state import shared_queue
from app.state.queue import job_queue
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import ModelKey
from fcn_core.images.scales import Scale
from tests.app.explore_page import opened, png, settled
from tests.app.fake_network import KEY, SCALES, Network, finished, picture
from tests.waiting import PATIENCE, wait_until


def six(count: int = 6) -> list[tuple[Scale, ...]]:
    """What is asked for while a user adds one scale after another."""
    added = tuple(Scale(100 + 10 * number, 160) for number in range(count))
    return [(*SCALES, *added[:number]) for number in range(1, count + 1)]


def test_only_the_last_of_many_quick_choices_is_left(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    asked = []
    for scales in six():
        asked.append(queue.submit(picture(), KEY, scales, "exact", session="one"))
        queue.leave_others([asked[-1].key], session="one")
    *older, last = asked
    wait_until(lambda: all(job.state == "cancelled" for job in older))
    assert queue.look(last).others == 0, "all that comes first is one's own"
    network.gate.set()
    assert finished(queue, last).state == "done"
    assert len(network.runs) == len(last.plans), "no scale of the older ones ran besides"


def test_what_another_session_wants_is_not_dropped(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    blocking = queue.submit(picture(9), KEY, SCALES, "exact", session="three")
    wait_until(lambda: queue.look(blocking).state == "running")
    shared = queue.submit(picture(), KEY, SCALES, "exact", session="one")
    assert queue.submit(picture(), KEY, SCALES, "exact", session="two") is shared
    alone = queue.submit(picture(1), KEY, SCALES, "exact", session="one")
    wanted = queue.submit(picture(2), KEY, SCALES, "exact", session="one")
    preparation = queue.prepare(picture(3), KEY, session="one")
    field = queue.field(KEY, session="one")
    queue.leave_others([wanted.key], session="one")
    assert alone.state == "cancelled", "at once"
    assert (shared.sessions, shared.state) == ({"two"}, "queued")
    assert (wanted.sessions, wanted.state) == ({"one"}, "queued")
    assert preparation.state == "queued" and not field.done(), "a model is needed whatever is shown"
    assert blocking.state == "running"


def test_two_analyses_side_by_side_are_both_kept(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    old, first, second = (queue.submit(picture(n), KEY, SCALES, "exact", session="one") for n in range(3))
    queue.leave_others([first.key, second.key], session="one")
    wait_until(lambda: old.state == "cancelled")
    network.gate.set()
    assert [finished(queue, job).state for job in (first, second)] == ["done", "done"]


def test_only_the_work_of_others_is_counted_as_theirs(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    own = queue.submit(picture(0), KEY, SCALES[2:], "exact", session="one")
    wait_until(lambda: queue.look(own).state == "running")
    mine = [queue.submit(picture(n), KEY, SCALES[2:], "exact", session="one") for n in (1, 2)]
    look = queue.look(mine[-1])
    assert (look.place, look.others) == (2, 0)
    both = queue.submit(picture(3), KEY, SCALES[:1], "exact", session="one")
    assert queue.submit(picture(3), KEY, SCALES[:1], "exact", session="two") is both
    theirs = queue.submit(picture(4), KEY, SCALES[:1], "exact", session="two")
    look = queue.look(mine[-1])
    assert look.place - look.others >= 1
    assert look.others >= 1, "what one shares with another user is waited for as well"
    assert queue.look(theirs).others >= 1


@pytest.mark.parametrize("others", [0, 1, 7])
def test_the_page_says_how_much_of_others_it_waits_for(others: int) -> None:
    words = progress.describe_place(others)
    assert (
        words
        == {
            0: "Starting",
            1: "Waiting for 1 scale of other analyses",
            7: "Waiting for 7 scales of other analyses",
        }[others]
    )


@pytest.mark.usefixtures("prepared_app")
def test_a_run_that_was_interrupted_after_it_asked_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray
) -> None:
    """Streamlit interrupts a run at any access of the session's state: the page then does not know its job."""
    busy, goes_on = threading.Event(), threading.Event()
    compute = job_queue.compute_class_map

    def held(*arguments: Any) -> Any:
        busy.set()
        assert goes_on.wait(PATIENCE)
        return compute(*arguments)

    page = opened(scales="200x320,400x640")
    monkeypatch.setattr(job_queue, "compute_class_map", held)
    page.file_uploader("upload").set_value(("new.png", png(coffee[:-24]), "image/png"))
    page.run()
    session, shown = page.session_state["session"], page.session_state["explore"].picture
    queue = shared_queue.queue()
    assert busy.wait(PATIENCE)  # whatever comes first: none of the others is then under way, which ends later
    model = ModelKey("efficientnet-lite2")
    lost = [queue.submit(shown, model, scales, "aspect", session=session) for scales in six(4)]
    try:
        page.run()
        assert all(job.state == "cancelled" for job in lost)
        assert session in page.session_state["explore"].job.sessions
    finally:
        goes_on.set()
    settled(page)
