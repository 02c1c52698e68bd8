"""The queue of jobs: order, sharing, cancelling, pictures, models."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from app.state import predictors
from app.state.queue import jobs
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import ModelKey
from fcn_core.engines import effective_field
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import FcnError, MemoryBudgetError, WeightsUnavailable
from fcn_core.images.scales import Scale, plan_scales
from tests.app.fake_network import KEY, SCALES, Later, Network, Timed, finished, picture
from tests.waiting import PATIENCE, Clock, wait_until


def test_scales_come_coarse_first_and_once(queue: Queue, network: Network) -> None:
    job = queue.submit(picture(), KEY, tuple(reversed(SCALES)), "exact", session="one")
    look = finished(queue, job)
    assert (look.state, look.share, look.info) == ("done", 1.0, Network.info)
    assert list(look.class_maps) == [str(s) for s in SCALES]
    assert network.runs == [(s.height, s.width) for s in SCALES]
    again = queue.look(queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert again.state == "done"
    assert len(network.runs) == 3, "no scale runs twice"


def test_an_added_scale_runs_alone_and_the_others_are_shown_at_once(queue: Queue, network: Network) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:2], "exact", session="one"))
    network.gate = threading.Event()
    look = queue.look(queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert list(look.class_maps) == ["200x320", "400x640"]
    assert not look.finished
    network.gate.set()
    finished(queue, queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert network.runs[2:] == [(800, 1280)]


def test_equal_jobs_are_one_and_others_wait_their_turn(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    first = queue.submit(picture(0), KEY, SCALES, "exact", session="one")
    assert queue.submit(picture(0), KEY, SCALES, "exact", session="one") is first
    second = queue.submit(picture(1), KEY, SCALES, "exact", session="one")
    third = queue.submit(picture(2), KEY, SCALES, "exact", session="one")
    wait_until(lambda: queue.look(first).state == "running")
    assert [queue.look(j).place for j in (second, third)] == [1, 2]
    network.gate.set()
    assert [finished(queue, j).state for j in (first, second, third)] == ["done"] * 3


def test_cancelling_stops_a_run_and_keeps_what_is_finished(queue: Queue, network: Network) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    network.gate = threading.Event()
    job = queue.submit(picture(), KEY, SCALES, "exact", session="one")
    waiting = queue.submit(picture(1), KEY, SCALES, "exact", session="one")
    queue.leave(waiting, session="one")
    assert queue.look(waiting).state == "cancelled"
    queue.leave(job, session="one")
    look = finished(queue, job)
    assert look.state == "cancelled"
    assert list(look.class_maps) == ["200x320"]
    assert queue.submit(picture(), KEY, SCALES, "exact", session="one") is not job, "resuming is a new job"


def test_an_abandoned_job_is_cancelled(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 0.05)
    network.gate = threading.Event()
    job = queue.submit(picture(), KEY, SCALES, "exact", session="one")
    wait_until(lambda: job.state == "cancelled")
    assert job.image is None, "its picture is released"


def test_looking_changes_nothing_and_does_not_keep_a_job_alive(
    clock: Clock, queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 20.0)
    network.gate = threading.Event()
    shown, seen = (queue.submit(picture(n), KEY, SCALES, "exact", session="one") for n in range(2))
    wait_until(lambda: shown.state == "running")
    for _ in range(3):
        clock.now += 15.0
        queue.keep_alive(shown, session="one")
        queue.look(seen)
    assert (shown.alive_at, seen.alive_at) == (clock.now, 0.0)
    queue.submit(picture(2), KEY, SCALES, "exact", session="two")  # drops abandoned jobs
    assert (seen.state, shown.state) == ("cancelled", "running")
    queue.keep_alive(shown, session="a stranger")
    clock.now += 25.0
    wait_until(lambda: shown.state == "cancelled")


def test_only_sessions_that_want_a_job_keep_it_alive(
    clock: Clock, queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 20.0)
    network.gate = threading.Event()
    job = queue.submit(picture(), KEY, SCALES, "exact", session="one")
    queue.submit(picture(), KEY, SCALES, "exact", session="two")
    queue.leave(job, session="two")
    clock.now += 15.0
    alive_at = job.alive_at
    queue.keep_alive(job, session="two")
    assert job.alive_at == alive_at
    queue.keep_alive(job, session="one")
    assert job.alive_at == clock.now


def test_jobs_of_different_kinds_are_different_jobs() -> None:
    plans = tuple(plan_scales(50, 80, SCALES))
    analysis = jobs.job_key(picture(), KEY, plans)
    keys = {analysis, jobs.JobKey("preparation", KEY), jobs.JobKey("field", KEY)}
    assert [key.kind for key in keys if key.image_sha256 is not None] == ["analysis"]
    assert len(keys) == 3


def test_the_plan_of_a_scale_is_computed_as_it_is(queue: Queue, network: Network) -> None:
    """A class map refers to the plan of its job, not to an exact plan of the same size."""
    scales = Scale(200, 200), Scale(600, 300)  # of another shape than the picture
    job = queue.submit(picture(), KEY, scales, "aspect", session="one")
    maps = finished(queue, job).class_maps
    assert tuple(m.scale for m in maps.values()) == plan_scales(50, 80, scales, "aspect")
    assert network.runs == [(plan.height, plan.width) for plan in job.plans]


def test_a_job_of_two_is_stopped_when_both_have_left_it(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    running, waiting = (queue.submit(picture(n), KEY, SCALES, "exact", session="one") for n in range(2))
    for number, job in enumerate((running, waiting)):
        assert queue.submit(picture(number), KEY, SCALES, "exact", session="two") is job
    wait_until(lambda: queue.look(running).state == "running")
    for job in (running, waiting):
        queue.leave(job, session="one")
    assert [queue.look(job).state for job in (running, waiting)] == ["running", "queued"]
    for job in (running, waiting):
        queue.leave(job, session="two")
    assert waiting.state == "cancelled", "at once"
    wait_until(lambda: running.state == "cancelled")
    assert network.runs == []


def test_jobs_of_the_app_wait_for_those_of_users(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    first = queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")
    wait_until(lambda: queue.look(first).state == "running")
    warming = queue.prepare(picture(1), KEY, SCALES[1:2])
    later = queue.submit(picture(2), KEY, SCALES[2:], "exact", session="one")
    assert (queue.look(later).place, queue.look(warming).place) == (1, 2)
    assert queue.prepare(picture(1), KEY, session="two") is warming
    assert (queue.look(warming).place, queue.look(later).place) == (1, 2), "now a session waits for it"
    network.gate.set()
    finished(queue, later)
    assert [size[0] for size in network.runs] == [200, 400, 800]


def test_preparation_computes_cached_class_maps_again(queue: Queue, network: Network) -> None:
    plan = SimpleNamespace(requested=SCALES[0], height=200, width=320)
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    (old,) = queue.peek(picture(), KEY, [plan]).values()  # type: ignore[list-item]
    queue.prepare(picture(), KEY)
    job = queue.prepare(picture(1), KEY, SCALES[:1])
    finished(queue, job)
    assert not queue.busy(KEY)
    assert len(network.runs) in (1, 2), "preparation without scales runs nothing"
    queue.add_precomputed(KEY, Network.info, picture().sha256, [old])
    assert queue.info(KEY) == Network.info


def test_cached_class_maps_are_one_job_for_all_sessions(queue: Queue) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    one = queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")
    assert queue.submit(picture(), KEY, SCALES[:1], "exact", session="one") is one
    part = queue.cached(picture(), KEY, SCALES[:2], "exact")
    assert (part.state, list(part.class_maps)) == ("cancelled", ["200x320"])
    assert queue.cached(picture(5), KEY, SCALES[:2], "exact").class_maps == {}


def test_a_picture_is_decoded_when_its_turn_comes(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    first = queue.submit(picture(0), KEY, SCALES[:1], "exact", session="one")
    wait_until(lambda: queue.look(first).state == "running")
    later, never = Later(picture(1)), Later(picture(2))
    waiting, left = (queue.submit(p, KEY, SCALES, "exact", session="one") for p in (later, never))
    queue.leave(left, session="one")
    assert later.decoded == never.decoded == 0
    network.gate.set()
    assert finished(queue, waiting).state == "done"
    assert (later.decoded, never.decoded) == (1, 0)
    queue.submit(later, KEY, SCALES, "exact", session="one")
    assert later.decoded == 1, "cached class maps need no picture"


def test_a_picture_is_decoded_again_only_after_a_turn_of_another(clock: Clock) -> None:
    network = Timed(clock)
    network.gate = threading.Event()
    queue = Queue(lambda _: network, ClassMapCache(10**8))  # type: ignore[arg-type,return-value]
    first, second = Later(picture(0)), Later(picture(1))
    asked = [queue.submit(p, KEY, SCALES, "exact", session=str(n)) for n, p in enumerate((first, second))]
    network.gate.set()
    for job in asked:
        finished(queue, job)
    assert queue._decoded is None, "it is not kept"
    order = [size[0] for size in network.runs]
    assert order == [200, 200, 400, 400, 800, 800]
    assert (first.decoded, second.decoded) == (3, 3)
    queue.close()


def test_weights_are_downloaded_beside_the_queue(network: Network) -> None:
    other = ModelKey("resnet50")
    fetched: Future[None] = Future()
    loads: list[ModelKey] = []

    def load(key: ModelKey) -> Any:
        loads.append(key)
        return network

    queue = Queue(load, ClassMapCache(10**7), download=lambda key: fetched if key == other else None)
    waiting = queue.submit(picture(0), other, SCALES, "exact", session="one")
    assert queue.look(waiting).state == "loading"
    assert finished(queue, queue.submit(picture(1), KEY, SCALES, "exact", session="two")).state == "done"
    assert (queue.look(waiting).state, loads.count(other)) == ("loading", 0)
    left = queue.submit(picture(2), other, SCALES, "exact", session="three")
    queue.leave(left, session="three")
    assert left.state == "cancelled"
    fetched.set_exception(WeightsUnavailable("No network."))
    look = finished(queue, waiting)
    assert (look.state, look.error) == ("failed", "No network.")
    fetched = Future()
    fetched.set_result(None)
    assert finished(queue, queue.submit(picture(0), other, SCALES, "exact", session="one")).state == "done"
    queue.close()


def test_only_the_running_model_keeps_the_memory_of_its_last_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[str] = []
    monkeypatch.setenv("FCN_MEMORY_MB", "4000")
    monkeypatch.setattr(
        predictors,
        "load_model",
        lambda name, *_, **__: SimpleNamespace(release_cached=lambda: given_back.append(name)),
    )
    models = predictors.Predictors(capacity=3)
    for name, expected in (("vgg16", []), ("vgg19", ["vgg16"]), ("vgg19", ["vgg16"]), ("vgg16", ["vgg19"])):
        given_back.clear()
        models.load(ModelKey(name))
        assert given_back == expected


FIELD = EffectiveField(200, 150, 250, 40)


def test_a_field_is_measured_once_and_in_turn(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(effective_field, "measure", lambda *a: measured.append(a[0]) or FIELD)
    network.gate = threading.Event()
    first = queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")
    fields = [queue.field(KEY, session="one") for _ in range(3)]
    behind = queue.submit(picture(1), KEY, SCALES[:1], "exact", session="one")
    wait_until(lambda: queue.look(first).state == "running")
    assert not fields[0].done() and queue.look(behind).place == 1, "the smaller one goes first"
    network.gate.set()
    assert [field.result(20) for field in fields] == [FIELD] * 3
    assert finished(queue, behind).state == "done"
    assert measured == [network]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryBudgetError("does not fit"), "does not fit"),
        (ZeroDivisionError("secret"), "An internal error occurred"),
    ],
)
def test_a_failed_measurement_is_explained(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def measure(*_: Any) -> EffectiveField:
        raise error

    monkeypatch.setattr(effective_field, "measure", measure)
    with pytest.raises(FcnError, match=words):
        queue.field(KEY, session="one").result(20)
    assert finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")).state == "done"


def test_a_field_is_measured_once_its_model_can_be_loaded(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [WeightsUnavailable("No network.")]

    def load(_: ModelKey) -> Any:
        if errors:
            raise errors.pop()
        return network

    monkeypatch.setattr(effective_field, "measure", lambda *_: FIELD)
    queue = Queue(load, ClassMapCache(10**7))
    with pytest.raises(FcnError, match="No network"):
        queue.field(KEY, session="one").result(PATIENCE)
    assert queue.field(KEY, session="one").result(PATIENCE) == FIELD
    queue.close()
