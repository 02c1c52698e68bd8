"""The queue of analyses, with a predictor that does what the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.state import cached
from app.state.queue import admission, job_queue, jobs
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import Job, ModelKey
from fcn_core.engines.base import ModelInfo
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import FcnError, ImageError, MemoryBudgetError, WeightsUnavailable
from fcn_core.images.read import RGBImage, image_from_array
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, plan_scales
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.system import memory
from tests.waiting import PATIENCE, Clock, wait_until

KEY = ModelKey("efficientnet-lite2")
SCALES = NOTEBOOK_SCALES[:3]


class Network:
    """Counts its runs; waits at a gate where there is one."""

    info = ModelInfo("fake", "Fake", "random", None, "none", 32)

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.gate: threading.Event | None = None
        self.fails: Exception | None = None
        self.missing_mb = 0.001
        self.refuses: Callable[[], Exception | None] = lambda: self.fails

    def cells(self, height: int, width: int) -> CellGrid:
        h, w = -(-height // 32), -(-width // 32)
        return CellGrid(CellAxis(height, h, 32, 16, 100), CellAxis(width, w, 32, 16, 100))

    def forecast(self, height: int, width: int) -> SimpleNamespace:
        return SimpleNamespace(memory_mb=memory.pass_budget_mb() + self.missing_mb)

    def logits(self, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        checkpoint(0.0)
        while self.gate is not None and not self.gate.wait(0.01):
            checkpoint(0.5)
        refused = self.refuses()
        if refused is not None:
            raise refused
        self.runs.append((image.height, image.width))
        cells = self.cells(image.height, image.width)
        return np.zeros((cells.y.size, cells.x.size, 10), np.float32)


def picture(seed: int = 0) -> RGBImage:
    return image_from_array(np.random.default_rng(seed).integers(0, 255, (50, 80, 3), np.uint8), f"p{seed}")


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def queue(network: Network) -> Iterator[Queue]:
    made = Queue(lambda _: network, ClassMapCache(10**8))  # type: ignore[arg-type,return-value]
    yield made
    if network.gate is not None:
        network.gate.set()
    made.close()


def finished(queue: Queue, job: Job) -> jobs.Snapshot:
    wait_until(lambda: queue.look(job).finished, lambda: queue.look(job))
    return queue.look(job)


def test_scales_come_coarse_first_and_once(queue: Queue, network: Network) -> None:
    job = queue.submit(picture(), KEY, tuple(reversed(SCALES)), "exact", session="one")
    look = finished(queue, job)
    assert (look.state, look.share, look.info) == ("done", 1.0, Network.info)
    assert list(look.class_maps) == [str(s) for s in SCALES]
    assert network.runs == [(s.height, s.width) for s in SCALES]
    again = queue.look(queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert again.state == "done"
    assert len(network.runs) == 3, "nothing is run twice"


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


def test_class_maps_give_way_where_a_pass_would_not_fit_beside_them(queue: Queue, network: Network) -> None:
    first = queue.submit(picture(0), KEY, SCALES[:2], "exact", session="one")
    finished(queue, first)
    full = MemoryBudgetError("does not fit")
    (plan,) = plan_scales(50, 80, SCALES[:1], "exact")
    queue.cache.put("others", KEY, next(iter(queue.look(first).class_maps.values())))
    network.refuses = lambda: full if queue.cache.get("others", KEY, plan) else None
    second = finished(queue, queue.submit(picture(1), KEY, SCALES, "exact", session="one"))
    assert (second.state, list(second.class_maps)) == ("done", [str(s) for s in SCALES])
    assert queue.look(first).state == "cancelled", "its page asks anew"
    assert not queue.look(first).class_maps
    kept = queue.cache.nbytes
    network.refuses, network.missing_mb = lambda: full, 1000.0
    assert (
        finished(queue, queue.submit(picture(2), KEY, SCALES, "exact", session="one")).error == "does not fit"
    )
    assert queue.cache.nbytes == kept > 0, "nobody loses anything to what would not fit either way"


def test_only_the_model_at_work_keeps_the_memory_of_its_last_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[str] = []
    monkeypatch.setenv("FCN_MEMORY_MB", "4000")
    monkeypatch.setattr(
        cached,
        "load_model",
        lambda name, *_, **__: SimpleNamespace(release_cached=lambda: given_back.append(name)),
    )
    models = cached._Models()
    for name, expected in (("one", []), ("two", ["one"]), ("two", ["one"]), ("one", ["two"])):
        given_back.clear()
        models(ModelKey(name))
        assert given_back == expected


def test_a_job_nobody_looks_at_is_cancelled(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "FORGOTTEN_AFTER", 0.05)
    network.gate = threading.Event()
    job = queue.submit(picture(), KEY, SCALES, "exact", session="one")
    wait_until(lambda: job.state == "cancelled")
    assert job.image is None, "its picture is gone"


@pytest.mark.parametrize(
    ("error", "words", "fault"),
    [
        (WeightsUnavailable("Put the file there."), "Put the file there.", False),
        (ZeroDivisionError("secret"), "The program made a mistake", True),
    ],
)
def test_what_a_user_can_mend_is_told_and_a_fault_is_logged(
    queue: Queue,
    network: Network,
    error: Exception,
    words: str,
    fault: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    network.fails = error
    look = finished(queue, queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert look.state == "failed"
    assert look.error is not None and words in look.error and "secret" not in look.error
    assert look.fault is fault
    assert ("ZeroDivisionError" in caplog.text) is fault
    network.fails = None
    assert finished(queue, queue.submit(picture(), KEY, SCALES, "exact", session="one")).state == "done", (
        "the queue goes on"
    )


def test_warming_computes_afresh_and_replaces_what_was_adopted(queue: Queue, network: Network) -> None:
    plan = SimpleNamespace(requested=SCALES[0], height=200, width=320)
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    (old,) = queue.peek(picture(), KEY, [plan]).values()  # type: ignore[list-item]
    queue.warm(picture(), KEY)
    job = queue.warm(picture(1), KEY, SCALES[:1])
    finished(queue, job)
    assert not queue.busy(KEY)
    assert len(network.runs) in (1, 2), "warming without scales runs nothing"
    queue.adopt(KEY, Network.info, picture().sha256, [old])
    assert queue.info(KEY) == Network.info


def test_the_cache_is_bounded_in_bytes_and_drops_the_oldest() -> None:
    network = Network()
    maps = []
    for scale in SCALES[:2]:
        cells = network.cells(scale.height, scale.width)
        plan = jobs.PlannedScale(scale, scale.height, scale.width, False)
        maps.append(jobs.ClassMap(np.zeros((cells.y.size, cells.x.size, 10), np.float32), cells, plan, 0.1))
    small, large = maps
    cache = ClassMapCache(small.logits.nbytes + large.logits.nbytes)
    cache.put("a", KEY, small)
    cache.put("a", KEY, large)
    cache.put("a", KEY, small)
    assert cache.nbytes == small.logits.nbytes + large.logits.nbytes, "putting again replaces"
    cache.put("b", KEY, small)
    assert cache.get("a", KEY, large.scale) is None, "the one not used longest went"
    assert cache.get("a", KEY, small.scale) is small
    assert ClassMapCache(10).nbytes == 0
    tiny = ClassMapCache(10)
    tiny.put("a", KEY, small)
    assert tiny.nbytes == 0


class Later:
    """A picture that counts how often it is decoded."""

    def __init__(self, image: RGBImage) -> None:
        self.image, self.decoded = image, 0
        self.sha256, self.height, self.width = image.sha256, image.height, image.width

    def whole(self) -> RGBImage:
        self.decoded += 1
        return self.image


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
    assert later.decoded == 1, "what is found needs no picture"


def test_results_are_held_in_so_many_bytes_and_the_one_looked_at_last_stays(network: Network) -> None:
    queue = Queue(lambda _: network, ClassMapCache(12_000))  # type: ignore[arg-type,return-value]
    given = []
    for number in range(3):
        given.append(queue.submit(picture(number), KEY, SCALES[:2], "exact", session="one"))
        finished(queue, given[-1])
        assert queue.submit(picture(number), KEY, SCALES[:2], "exact", session="one") is given[-1], (
            "too large for the cache, yet held"
        )
    assert len(network.runs) == 6
    assert [j.state for j in given] == ["cancelled", "cancelled", "done"], "13 kB each, 12 kB in all"
    assert [bool(j.class_maps) for j in given] == [False, False, True]
    again = queue.submit(picture(0), KEY, SCALES[:2], "exact", session="one")
    assert again is not given[0] and finished(queue, again).state == "done"
    assert len(network.runs) == 8, "what has given way is computed anew"
    assert given[2].state == "cancelled"
    queue.close()


def test_what_is_found_is_one_job_for_all_who_look(queue: Queue) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    one = queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")
    assert queue.submit(picture(), KEY, SCALES[:1], "exact", session="one") is one
    part = queue.found(picture(), KEY, SCALES[:2], "exact")
    assert (part.state, list(part.class_maps)) == ("cancelled", ["200x320"])
    assert queue.found(picture(5), KEY, SCALES[:2], "exact").class_maps == {}


def test_every_run_is_logged_without_the_picture(caplog: pytest.LogCaptureFixture) -> None:
    """Model, scales, seconds, peak memory and whether it was cached; never the picture nor its name."""
    network = Network()
    queue = Queue(lambda _: network, ClassMapCache(10**7))  # type: ignore[arg-type,return-value]
    image = image_from_array(np.zeros((200, 300, 3), np.uint8), "holiday.jpg")
    with caplog.at_level("INFO", "fcn_core.logs"):
        finished(queue, queue.submit(image, KEY, SCALES[:1], "exact", session="one"))
        for _ in range(3):
            queue.submit(image, KEY, SCALES[:1], "exact", session="one")
    queue.close()
    records = [record.__dict__["fields"] for record in caplog.records]
    assert [(r["model"], r["scales"], r["fit"], r["cache_hit"]) for r in records] == [
        ("fake", ["200x320"], "exact", False),
        ("fake", ["200x320"], "exact", True),
    ]
    assert all(r["seconds"] >= 0 and r["peak_rss_mb"] > 0 for r in records)
    assert "holiday" not in str(records) and image.sha256 not in str(records)


FIELD = EffectiveField(200, 150, 250, 40)


def test_a_models_effective_field_is_measured_once_and_in_turn(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(job_queue.effective_field, "measure", lambda *a: measured.append(a[0]) or FIELD)
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


def test_a_field_gets_the_room_of_class_maps_where_a_pass_would_not_fit(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))

    def measure(*_: Any) -> EffectiveField:
        if queue.cache.nbytes:
            raise MemoryBudgetError("does not fit")
        return FIELD

    monkeypatch.setattr(job_queue.effective_field, "measure", measure)
    assert queue.field(KEY, session="one").result(20) == FIELD


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryBudgetError("does not fit"), "does not fit"), (ZeroDivisionError("secret"), "made a mistake")],
)
def test_a_field_that_cannot_be_measured_is_told_in_words(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def measure(*_: Any) -> EffectiveField:
        raise error

    monkeypatch.setattr(job_queue.effective_field, "measure", measure)
    with pytest.raises(FcnError, match=words):
        queue.field(KEY, session="one").result(20)
    assert finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")).state == "done"


# Turns


class Timed(Network):
    """A network on which a megapixel takes a second of the test's clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def logits(self, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        logits = super().logits(image, checkpoint)
        self.clock.now += image.height * image.width / 1e6
        return logits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(job_queue, "time", clock)
    monkeypatch.setattr(jobs, "FORGOTTEN_AFTER", 1e9)  # seconds fly here, and somebody looks at all of these
    return clock


@pytest.mark.parametrize("crowd", [3, 50])
def test_in_a_crowd_with_large_scales_an_answer_takes_one_foreign_scale_longer(
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


def test_what_the_app_asks_for_waits_for_what_users_ask_for(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    first = queue.submit(picture(), KEY, SCALES[:1], "exact", session="one")
    wait_until(lambda: queue.look(first).state == "running")
    warming = queue.warm(picture(1), KEY, SCALES[1:2])
    later = queue.submit(picture(2), KEY, SCALES[2:], "exact", session="one")
    assert (queue.look(later).place, queue.look(warming).place) == (1, 2)
    assert queue.warm(picture(1), KEY, session="two") is warming
    assert (queue.look(warming).place, queue.look(later).place) == (1, 2), "now somebody waits for it"
    network.gate.set()
    finished(queue, later)
    assert [size[0] for size in network.runs] == [200, 400, 800]


def test_a_picture_is_decoded_again_only_where_another_had_a_turn_between(clock: Clock) -> None:
    network = Timed(clock)
    network.gate = threading.Event()
    queue = Queue(lambda _: network, ClassMapCache(10**8))  # type: ignore[arg-type,return-value]
    first, second = Later(picture(0)), Later(picture(1))
    asked = [queue.submit(p, KEY, SCALES, "exact", session=str(n)) for n, p in enumerate((first, second))]
    network.gate.set()
    for job in asked:
        finished(queue, job)
    assert queue._whole is None, "and it is not kept"
    order = [size[0] for size in network.runs]
    assert order == [200, 200, 400, 400, 800, 800]
    assert (first.decoded, second.decoded) == (3, 3)
    queue.close()


# How much may wait

LARGE = tuple(Scale(3900, 3900 - number) for number in range(16))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([NOTEBOOK_SCALES], None),
        ([(Scale(7000, 7000),)], None),
        ([(Scale(8000, 8000),), NOTEBOOK_SCALES, SCALES], None),
        ([SCALES] * 8, None),
        ([LARGE[:5]], None),
        ([LARGE], "This asks for 243 megapixels in 16 scales. Expected at most 86 at a time"),
        (
            [LARGE[:4], LARGE[:2]],
            "This asks for 30 megapixels in 2 scales, beside 61 of yours that wait already",
        ),
        ([SCALES] * 9, "8 analyses of yours wait already. Expected at most 8 at a time"),
    ],
)
def test_what_one_session_may_have_waiting_is_bounded(
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


def test_who_leaves_old_work_for_new_is_not_refused(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    for number in range(12):
        job = queue.submit(picture(number), KEY, LARGE[:5], "exact", session="one")
        queue.leave(job, session="one")
    assert len(queue._jobs) <= 1, "one may still be under way"


def test_all_together_are_bounded_and_forgotten_jobs_make_place(
    clock: Clock, queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "ALL_JOBS", 8)
    network.gate = threading.Event()
    first = queue.submit(picture(0), KEY, SCALES, "exact", session="0")
    wait_until(lambda: queue.look(first).state == "running")
    for number in range(1, 4):
        queue.submit(picture(number), KEY, SCALES, "exact", session="some")
    with pytest.raises(FcnError, match="Expected at most 2 at a time"):
        queue.submit(picture(4), KEY, SCALES, "exact", session="some")
    given = [queue.submit(picture(n), KEY, SCALES, "exact", session=str(n)) for n in range(4, 8)]
    with pytest.raises(FcnError, match="8 analyses wait already, as many as this server takes"):
        queue.submit(picture(9), KEY, SCALES, "exact", session="9")
    clock.now += 2e9
    queue.look(first)
    assert queue.submit(picture(9), KEY, SCALES, "exact", session="9").state == "queued"
    assert {job.state for job in given} == {"cancelled"}


# What an operator learns


@pytest.mark.parametrize(
    ("error", "kept", "told"),
    [
        (WeightsUnavailable("Put it there."), {"error": "WeightsUnavailable", "message": "Put it there."}, True),
        (ImageError("Received holiday.jpg."), {"error": "ImageError"}, False),
        (ZeroDivisionError("holiday.jpg"), {"error": "ZeroDivisionError"}, False),
        (MemoryError(), {"error": "MemoryError"}, False),
    ],
)  # fmt: skip
def test_a_failed_job_is_one_record_of_an_error(
    network: Network, error: Exception, kept: dict[str, str], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: ModelKey) -> Any:
        raise error

    queue = Queue(load, ClassMapCache(10**7))
    image = image_from_array(np.zeros((200, 300, 3), np.uint8), "holiday.jpg")
    job = queue.submit(image, KEY, SCALES, "exact", session="one")
    for _ in range(5):
        finished(queue, job)
    queue.close()
    (record,) = caplog.records
    assert (record.levelname, record.name.split(".")[0]) == ("ERROR", "app")
    about = {"job": "analysis", "model": KEY.name, "engine": "auto", "output_stride": 32}
    assert record.__dict__["fields"] == about | kept
    assert ("message" in kept) is told
    assert bool(record.exc_info) is isinstance(error, ZeroDivisionError)
    assert "holiday" not in str(record.__dict__["fields"]) + record.getMessage()


def test_health_follows_the_loading_of_the_model_that_is_warmed_first(network: Network) -> None:
    gate, errors = threading.Event(), [WeightsUnavailable("Put the file there.")]

    def load(key: ModelKey) -> Any:
        assert gate.wait(PATIENCE)
        if errors and key == KEY:
            raise errors.pop()
        return network

    queue = Queue(load, ClassMapCache(10**7))
    assert not queue.health().ready
    job = queue.warm(picture(), KEY, SCALES[:1])
    assert (queue.health().ready, queue.health().reason) == (False, f"{KEY.name} is being loaded.")
    gate.set()
    finished(queue, job)
    assert (queue.health().ready, "Put the file there." in queue.health().reason) == (False, True)
    finished(queue, queue.warm(picture(), ModelKey("another")))
    assert not queue.health().ready
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    assert (queue.health().ready, queue.health().reason) == (True, f"{KEY.name} is loaded.")
    queue.close()


def test_a_model_that_fits_but_for_its_first_pass_is_not_ready(network: Network) -> None:
    queue = Queue(lambda _: network, ClassMapCache(10**7))
    network.refuses = lambda: MemoryBudgetError("No scale, however small, fits.")
    network.missing_mb = 10.0**6
    finished(queue, queue.warm(picture(), KEY, SCALES[:1]))
    assert (queue.health().ready, "No scale, however small" in queue.health().reason) == (False, True)
    queue.close()


def test_weights_are_fetched_beside_the_queue(network: Network) -> None:
    other = ModelKey("resnet50")
    fetched: Future[None] = Future()
    loads: list[ModelKey] = []

    def load(key: ModelKey) -> Any:
        loads.append(key)
        return network

    queue = Queue(load, ClassMapCache(10**7), fetch=lambda key: fetched if key == other else None)
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


def test_a_field_of_a_model_that_could_not_be_loaded_is_measured_when_it_can(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [WeightsUnavailable("No network.")]

    def load(_: ModelKey) -> Any:
        if errors:
            raise errors.pop()
        return network

    monkeypatch.setattr(job_queue.effective_field, "measure", lambda *_: FIELD)
    queue = Queue(load, ClassMapCache(10**7))
    with pytest.raises(FcnError, match="No network"):
        queue.field(KEY, session="one").result(PATIENCE)
    assert queue.field(KEY, session="one").result(PATIENCE) == FIELD
    queue.close()


def test_large_class_maps_give_way_before_small_ones(queue: Queue, network: Network) -> None:
    small = queue.submit(picture(0), KEY, SCALES[:1], "exact", session="one")
    large = queue.submit(picture(1), KEY, SCALES[2:], "exact", session="two")
    for job in (small, large):
        finished(queue, job)
    network.missing_mb = 0.001
    network.refuses = lambda: MemoryBudgetError("does not fit") if large.class_maps else None
    finished(queue, queue.submit(picture(2), KEY, SCALES[:1], "exact", session="three"))
    assert (small.state, large.state) == ("done", "cancelled")
