"""Measurements of one picture: made once for everybody, in turn, and given up when nobody waits any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.lesson import stage as lesson_stage
from app.lesson.session import LessonState
from app.lesson.stage import NotReadyError, Stage
from app.state.queue import jobs, measurements
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import Job
from app.state.queue.measurements import FieldOfEachCell, LastLayerOf
from fcn_core.engines import effective_field
from fcn_core.errors import MemoryBudgetError
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import plan_scales
from tests.app.fake_network import KEY, SCALES, Network, finished, picture
from tests.waiting import wait_until

(PLAN,) = plan_scales(50, 80, SCALES[:1])


@dataclass(frozen=True)
class Counted:
    """Runs the network as often as it says."""

    count: int = 3

    def passes(self, cells: int) -> int:
        return self.count

    def run(self, predictor: Any, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        for n in range(self.count):
            checkpoint(n / self.count)
            predictor.run(image, checkpoint)
        return [image.height, image.width]


def _ask(queue: Queue, what: Any = Counted(), seed: int = 0, session: str = "one") -> Job:
    return queue.measure(picture(seed), KEY, PLAN, what, session=session)


def test_a_measurement_is_made_once_for_all_sessions(queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    asked = [_ask(queue, session=f"session {n}") for n in range(100)]
    network.gate.set()
    assert all(job is asked[0] for job in asked)
    assert finished(queue, asked[0]).state == "done"
    assert asked[0].result == [PLAN.height, PLAN.width]
    again = _ask(queue, session="later")
    assert again is asked[0] and queue.look(again).state == "done"
    assert network.runs == [(PLAN.height, PLAN.width)] * 3
    finished(queue, _ask(queue, Counted(2)))
    finished(queue, _ask(queue, seed=1))
    assert len(network.runs) == 3 + 2 + 3, "another measurement, another picture"


def test_later_sessions_get_the_result_and_are_not_remembered(queue: Queue, network: Network) -> None:
    job = _ask(queue)
    finished(queue, job)
    for n in range(10):
        assert _ask(queue, session=f"later {n}") is job
    assert job.sessions == {"one"}


@pytest.fixture
def stage(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """One session of the lesson."""
    state = LessonState()
    monkeypatch.setattr(lesson_stage, "lesson_state", lambda: state)
    monkeypatch.setattr(lesson_stage, "session_id", lambda: "one")
    monkeypatch.setattr(lesson_stage, "_", lambda text, **_: text)
    monkeypatch.setattr(lesson_stage.shared_queue, "queue", lambda: queue)
    yield Stage(KEY, picture())  # type: ignore[arg-type]


def _waits(ask: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(NotReadyError):
        ask(*arguments)


def test_a_picture_that_is_left_is_measured_no_further(stage: Stage, queue: Queue, network: Network) -> None:
    """Its measurement would run before the class maps of the next picture."""
    network.gate = threading.Event()
    _waits(stage.measured, "field", picture(0), PLAN, Counted())
    _waits(stage.class_maps, "cells", picture(0), SCALES[:1])
    _waits(stage.class_maps, "other", picture(0), SCALES[:1])
    field, cells, other = stage.waiting
    assert cells is other
    shared = queue.measure(picture(0), KEY, PLAN, Counted(2), session="two")
    _waits(stage.measured, "shared", picture(0), PLAN, Counted(2))
    wait_until(lambda: queue.look(field).state == "running")
    _waits(stage.class_maps, "cells", picture(1), SCALES[:1])
    wait_until(lambda: queue.look(field).state == "cancelled")
    assert shared.sessions == {"two"} and not shared.stop
    assert other.sessions == {"one"} and not other.stop, "another purpose has it"
    _waits(stage.class_maps, "other", picture(1), SCALES[:1])
    assert not other.sessions
    network.gate.set()
    assert finished(queue, stage.waiting[-1]).state == "done"


def test_a_purpose_leaves_the_measurement_that_it_had(stage: Stage, queue: Queue, network: Network) -> None:
    network.gate = threading.Event()
    _waits(stage.measured, "field", picture(0), PLAN, Counted())
    _waits(stage.measured, "field", picture(0), PLAN, Counted(2))
    first, second = stage.waiting
    wait_until(lambda: queue.look(first).state == "cancelled")
    network.gate.set()
    assert finished(queue, second).state == "done"


def test_one_that_nobody_waits_for_is_given_up(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 0.05)
    network.gate = threading.Event()
    job = _ask(queue)
    wait_until(lambda: job.state == "cancelled")
    assert job.image is None and job.result is None
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 20.0)
    network.gate.set()
    again = _ask(queue)
    assert again is not job and finished(queue, again).state == "done"


def test_one_that_fails_says_why_and_may_be_tried_again(queue: Queue, network: Network) -> None:
    network.fails = MemoryBudgetError("It does not fit.")
    job = _ask(queue)
    assert finished(queue, job).error == "It does not fit."
    network.fails = None
    assert finished(queue, _ask(queue)).state == "done"


def test_few_results_are_kept(queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "_KEPT", 2)
    first, second, third = (_ask(queue, seed=seed) for seed in range(3))
    for job in (first, second, third):
        finished(queue, job)
    assert _ask(queue, seed=2) is third and _ask(queue, seed=1) is second
    assert _ask(queue, seed=0) is not first


def test_its_passes_are_forecast(queue: Queue, network: Network) -> None:
    """A picture of 200 x 320 pixels has 7 x 10 cells: a field takes 71 passes, and so comes after a smaller job."""
    cells = -(-PLAN.height // 32) * -(-PLAN.width // 32)
    size = PLAN.height * PLAN.width / 1e6
    network.gate = threading.Event()
    jobs_asked = [_ask(queue, what) for what in (LastLayerOf((1, 2)), FieldOfEachCell())]
    network.gate.set()
    assert [job.turns for job in jobs_asked] == [(pytest.approx(size),), (pytest.approx((1 + cells) * size),)]


def test_they_ask_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Engine:
        def last_layer(self, *arguments: Any) -> str:
            asked.append(arguments)
            return "layer"

    monkeypatch.setattr(effective_field, "measure_cells", lambda *arguments: arguments)
    image, engine = ResizedImage(picture().pixels, 50, 80), Engine()
    assert LastLayerOf((3, 4)).run(engine, image, lambda _: None) == "layer"  # type: ignore[arg-type]
    assert asked == [(image, (3, 4))]
    found = FieldOfEachCell().run(engine, image, print)  # type: ignore[arg-type]
    assert found == (engine, image, print)
