"""The loop over many pictures: what overlaps, what is bounded, and what one picture can do to the others."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from fcn_core.batch import stages
from fcn_core.batch.stages import Stages, overlapped
from fcn_core.errors import Cancelled, ImageError, MemoryBudgetError, OutputError
from fcn_core.images.read import image_from_array
from fcn_core.system import memory
from tests.waiting import PATIENCE, wait_until

PIXELS = np.zeros((20, 30, 3), np.uint8)


class Work:
    """Stages and a network that record what they do; the network waits where it is told to."""

    def __init__(self, monkeypatch):
        self.read_, self.computed, self.passed, self.finished = [], [], [], []
        self.most_whole = 0
        self.gate = threading.Event()
        self.gate.set()
        self.limits = []
        monkeypatch.setattr(stages, "compute_class_maps", self.network)

    def read(self, source, limits):
        self.limits.append(limits)
        self.read_.append(source)
        self.most_whole = max(self.most_whole, len(self.read_) - len(self.passed))
        if source == "bad":
            raise ImageError("Expected a picture. Received none. Choose another.")
        return image_from_array(PIXELS, str(source))

    def network(self, image, model, scales, fit, cancelled, resized):
        self.computed.append(image.name)
        assert self.gate.wait(PATIENCE)
        if cancelled():
            raise Cancelled
        self.passed.append(image.name)
        if image.name == "huge":
            raise MemoryBudgetError("Expected less. Received more. Choose less.")
        return {}

    def finish(self, source, image, class_maps):
        if source == "odd":
            raise KeyError("a fault")
        if source == "full":
            raise OutputError("Expected space. Received none. Free some.")
        self.finished.append(source)
        return f"{source} done"

    def results(self, sources):
        made = Stages(self.read, self.finish, lambda source, error: f"{source}: {error}")
        return overlapped(sources, None, (), "aspect", made)


@pytest.fixture
def work(monkeypatch):
    made = Work(monkeypatch)
    yield made
    made.gate.set()


def test_results_come_in_order_and_a_bad_picture_is_a_result(work):
    assert list(work.results(["a", "bad", "huge", "odd", "b"])) == [
        "a done",
        "bad: Expected a picture. Received none. Choose another.",
        "huge: Expected less. Received more. Choose less.",
        "odd: 'a fault'",
        "b done",
    ]
    assert list(work.results([])) == []


def test_a_fault_is_logged_with_its_place(work, caplog):
    list(work.results(["odd"]))
    assert "in finish" in caplog.text


def test_pictures_that_wait_when_a_run_is_stopped_are_no_faults(work, monkeypatch, caplog):
    """As when the user stops it: they wait before every stage, with enough threads that wait for them."""
    monkeypatch.setattr(memory, "cpus", lambda: 8)
    waiting, shut_down, network = [], stages.ThreadPoolExecutor.shutdown, work.network

    def finishing(loop, source, computed):
        waiting.append(source)
        return finish(loop, source, computed)

    def shut(pool, **options):
        if pool._thread_name_prefix == "network":
            threading.Timer(0.2, work.gate.set).start()
        shut_down(pool, **options)

    def stopping(image, *arguments, **options):
        if image.name == "0":
            return network(image, *arguments, **options)
        work.gate.clear()
        return network(image, *arguments, **options)

    finish = stages._Loop._finish
    monkeypatch.setattr(stages._Loop, "_finish", finishing)
    monkeypatch.setattr(stages.ThreadPoolExecutor, "shutdown", shut)
    monkeypatch.setattr(stages, "compute_class_maps", stopping)
    results = work.results(range(100))
    assert next(results) == "0 done"
    wait_until(lambda: len(waiting) >= 5, lambda: waiting)
    results.close()
    assert work.finished == [0]
    assert "fault" not in caplog.text


def test_a_full_disk_ends_the_run(work):
    results = work.results(["a", "full", "b"])
    assert next(results) == "a done"
    with pytest.raises(OutputError):
        next(results)


def test_sources_are_asked_for_only_as_far_as_pictures_are_worked_on(work):
    asked = itertools.count()
    results = work.results(asked)
    assert [next(results) for _ in range(3)] == ["0 done", "1 done", "2 done"]
    results.close()
    assert next(asked) <= 3 + memory.cpus() + 2


def test_two_whole_pictures_at_most_while_the_reader_and_the_network_work_at_the_same_time(work, monkeypatch):
    asking, take_place = [], stages._Loop._take_place
    monkeypatch.setattr(stages._Loop, "_take_place", lambda loop: asking.append(1) or take_place(loop))
    work.gate.clear()
    results = work.results(range(100))
    first = threading.Thread(target=next, args=(results,))
    first.start()
    wait_until(lambda: work.computed == ["0"] and len(asking) == 3, lambda: (work.computed, asking))
    work.gate.set()
    first.join(PATIENCE)
    for _ in range(10):
        next(results)
    results.close()
    assert work.most_whole == 2


def test_no_thread_is_left_when_the_results_are_no_longer_wanted(work):
    before = threading.active_count()
    results = work.results(itertools.count())
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_what_is_reserved_for_the_reader_is_given_back(work):
    memory.reserve(7)
    results = work.results(["a", "b"])
    next(results)
    assert memory.reserved_mb() > 7
    list(results)
    assert memory.reserved_mb() == 7


@pytest.mark.parametrize(("budget", "attempts"), [(10**6, 1), (600, 2)])
def test_what_does_not_fit_beside_the_network_is_read_alone(work, monkeypatch, budget, attempts):
    monkeypatch.setattr(memory, "budget_mb", lambda: float(budget))
    monkeypatch.setattr(memory, "rss_mb", lambda: 300.0)
    list(work.results(["a", "bad", "b"]))
    assert work.read_ == ["a", *["bad"] * attempts, "b"]
    beside, *others = (each.memory for each in work.limits)
    assert [limit > beside for limit in others] == [False, *[True] * (attempts - 1), False]
