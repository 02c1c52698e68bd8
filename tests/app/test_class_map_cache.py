"""Class maps in bounded memory: caching and eviction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.state.queue import jobs
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from fcn_core.engines import effective_field
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import MemoryBudgetError
from fcn_core.images.scales import plan_scales
from fcn_core.networks.middle import MiddleMap
from tests.app.fake_network import KEY, SCALES, Network, finished, picture


def test_the_cache_evicts_the_least_recently_used() -> None:
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
    assert cache.nbytes == small.logits.nbytes + large.logits.nbytes, "a second put replaces the first"
    cache.put("b", KEY, small)
    assert cache.get("a", KEY, large.scale) is None, "the least recently used was evicted"
    assert cache.get("a", KEY, small.scale) is small
    assert ClassMapCache(10).nbytes == 0
    tiny = ClassMapCache(10)
    tiny.put("a", KEY, small)
    assert tiny.nbytes == 0


def test_middle_maps_count_and_stay_with_their_class_map() -> None:
    cells = Network().cells(64, 64)
    middle = (MiddleMap("inner", np.zeros((4, 4, 8), np.float16), cells),)
    plan = jobs.PlannedScale(SCALES[0], 64, 64, False)
    whole = jobs.ClassMap(np.zeros((2, 2, 10), np.float32), cells, plan, 0.1, middle)
    assert whole.nbytes == 2 * 2 * 10 * 4 + 4 * 4 * 8 * 2
    cache = ClassMapCache(2 * whole.nbytes)
    for name in ("a", "b", "c"):
        cache.put(name, KEY, whole)
    assert cache.nbytes == cache.nbytes_without(set()) == 2 * whole.nbytes
    assert cache.get("a", KEY, plan) is None
    other = jobs.PlannedScale(SCALES[1], 64, 64, False)
    found = cache.get("c", KEY, other)
    assert found is not None and found.scale == other
    assert found.middle is middle, "another scale of the same size has the same middle"
    small = ClassMapCache(whole.logits.nbytes)
    small.put("a", KEY, whole)
    assert small.nbytes == 0, "too large with its middle"
    job = jobs.Job(jobs.JobKey("analysis", KEY), None, (), "aspect", class_maps={"64x64": whole})
    assert job.nbytes == whole.nbytes


def test_class_maps_are_evicted_if_a_pass_does_not_fit_beside_them(queue: Queue, network: Network) -> None:
    first = queue.submit(picture(0), KEY, SCALES[:2], "exact", session="one")
    finished(queue, first)
    full = MemoryBudgetError("does not fit")
    (plan,) = plan_scales(50, 80, SCALES[:1], "exact")
    queue.cache.put("others", KEY, next(iter(queue.look(first).class_maps.values())))
    network.refuses = lambda: full if queue.cache.get("others", KEY, plan) else None
    second = finished(queue, queue.submit(picture(1), KEY, SCALES, "exact", session="one"))
    assert (second.state, list(second.class_maps)) == ("done", [str(s) for s in SCALES])
    assert queue.look(first).state == "cancelled", "its page asks again"
    assert not queue.look(first).class_maps
    kept = queue.cache.nbytes
    network.refuses, network.missing_mb = lambda: full, 1000.0
    assert (
        finished(queue, queue.submit(picture(2), KEY, SCALES, "exact", session="one")).error == "does not fit"
    )
    assert queue.cache.nbytes == kept > 0, "nothing is evicted for a pass that would not fit anyway"


def test_large_class_maps_are_evicted_before_small_ones(queue: Queue, network: Network) -> None:
    small = queue.submit(picture(0), KEY, SCALES[:1], "exact", session="one")
    large = queue.submit(picture(1), KEY, SCALES[2:], "exact", session="two")
    for job in (small, large):
        finished(queue, job)
    network.missing_mb = 0.001
    network.refuses = lambda: MemoryBudgetError("does not fit") if large.class_maps else None
    finished(queue, queue.submit(picture(2), KEY, SCALES[:1], "exact", session="three"))
    assert (small.state, large.state) == ("done", "cancelled")


def test_finished_jobs_are_bounded_and_the_one_shown_last_stays(network: Network) -> None:
    queue = Queue(lambda _: network, ClassMapCache(12_000))  # type: ignore[arg-type,return-value]
    given = []
    for number in range(3):
        given.append(queue.submit(picture(number), KEY, SCALES[:2], "exact", session="one"))
        finished(queue, given[-1])
        assert queue.submit(picture(number), KEY, SCALES[:2], "exact", session="one") is given[-1], (
            "too large for the cache, yet held"
        )
    assert len(network.runs) == 6
    assert [j.state for j in given] == ["cancelled", "cancelled", "done"], "13 kB each, 12 kB in total"
    assert [bool(j.class_maps) for j in given] == [False, False, True]
    again = queue.submit(picture(0), KEY, SCALES[:2], "exact", session="one")
    assert again is not given[0] and finished(queue, again).state == "done"
    assert len(network.runs) == 8, "evicted class maps are computed again"
    assert given[2].state == "cancelled"
    queue.close()


FIELD = EffectiveField(200, 150, 250, 40)


def test_class_maps_are_evicted_for_a_measurement(
    queue: Queue, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))

    def measure(*_: Any) -> EffectiveField:
        if queue.cache.nbytes:
            raise MemoryBudgetError("does not fit")
        return FIELD

    monkeypatch.setattr(effective_field, "measure", measure)
    assert queue.field(KEY, session="one").result(20) == FIELD
