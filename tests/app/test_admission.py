"""How much work may wait, and how long an honest user waits beside a crowd."""

from __future__ import annotations

import threading

import pytest

from app.state.queue import admission
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale
from tests.app.fake_network import KEY, SCALES, Network, Timed, finished, picture
from tests.waiting import Clock, wait_until

LARGE = tuple(Scale(3900, 3900 - number) for number in range(16))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([NOTEBOOK_SCALES], None),
        ([(Scale(7000, 7000),)], None),
        ([(Scale(8000, 8000),), NOTEBOOK_SCALES, SCALES], None),
        ([SCALES] * 8, None),
        ([LARGE[:5]], None),
        ([LARGE], "at most 86 megapixels at a time, .* Received 243 megapixels in 16 scales"),
        (
            [LARGE[:4], LARGE[:2]],
            "Received 30 megapixels in 2 scales, in addition to 61 that you are waiting for",
        ),
        ([SCALES] * 9, "at most 8 waiting analyses of one user. Received one more than your 8"),
    ],
)
def test_the_work_of_one_session_is_bounded(
    queue: Queue, network: Network, asked: list[tuple[Scale, ...]], words: str | None
) -> None:
    network.gate = threading.Event()
    *before, last = asked
    for number, scales in enumerate(before):
        queue.submit(picture(number), KEY, scales, "exact", session="one")
    if words is None:
        assert not queue.look(queue.submit(picture(99), KEY, last, "exact", session="one")).finished
    else:
        with pytest.raises(FcnError, match=words):
            queue.submit(picture(99), KEY, last, "exact", session="one")
        assert len(queue._jobs) == len(before)
    assert not queue.look(queue.submit(picture(98), KEY, SCALES, "exact", session="two")).finished


def test_work_that_was_left_does_not_count(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    for number in range(12):
        job = queue.submit(picture(number), KEY, LARGE[:5], "exact", session="one")
        queue.leave(job, session="one")
    assert len(queue._jobs) <= 1, "one may still be under way"


def test_the_work_of_all_sessions_is_bounded_and_abandoned_jobs_do_not_count(
    clock: Clock, queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "ALL_JOBS", 8)
    network.gate = threading.Event()
    first = queue.submit(picture(0), KEY, SCALES, "exact", session="0")
    wait_until(lambda: queue.look(first).state == "running")
    for number in range(1, 4):
        queue.submit(picture(number), KEY, SCALES, "exact", session="some")
    with pytest.raises(FcnError, match="at most 2 waiting analyses of one user"):
        queue.submit(picture(4), KEY, SCALES, "exact", session="some")
    given = [queue.submit(picture(n), KEY, SCALES, "exact", session=str(n)) for n in range(4, 8)]
    with pytest.raises(FcnError, match="at most 8 waiting analyses of all users"):
        queue.submit(picture(9), KEY, SCALES, "exact", session="9")
    clock.now += 2e9
    queue.look(first)
    assert queue.submit(picture(9), KEY, SCALES, "exact", session="9").state == "queued"
    assert {job.state for job in given} == {"cancelled"}


@pytest.mark.parametrize("crowd", [3, 50])
def test_in_a_crowd_with_large_scales_a_small_job_waits_for_one_foreign_scale(
    clock: Clock, crowd: int
) -> None:
    network = Timed(clock)
    network.gate = threading.Event()
    queue = Queue(lambda _: network, ClassMapCache(10**8))  # type: ignore[arg-type,return-value]
    hostile = [
        queue.submit(
            picture(), KEY, tuple(Scale(3900 - 7 * number, 3900 - scale) for scale in range(5)), "exact",
            session=f"hostile {number}",
        )
        for number in range(crowd)
    ]  # fmt: skip
    wait_until(lambda: any(queue.look(job).state == "running" for job in hostile))
    honest = queue.submit(picture(1), KEY, SCALES, "exact", session="honest")
    assert queue.look(honest).place == 1, "the scale under way"
    assert max(queue.look(job).place for job in hostile) >= crowd - 1
    network.gate.set()
    finished(queue, honest)
    before = network.runs[: network.runs.index((SCALES[-1].height, SCALES[-1].width))]
    assert [size for size in before if size[0] > 3000] == before[:1]
    for job in hostile:
        queue.leave(job, session=f"hostile {hostile.index(job)}")
    assert all(job.stop for job in hostile)
    queue.close()
