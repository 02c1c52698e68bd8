"""One pass of the network, and memory for a pass that does not fit beside what is cached."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from app.state.queue.class_map_cache import ClassMapCache, FinishedJobs
from app.state.queue.jobs import Job
from fcn_core.engines.base import Predictor
from fcn_core.errors import MemoryBudgetError
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.system import memory

_Result = TypeVar("_Result")


def compute_class_map(
    image: RGBImage, predictor: Predictor, plan: PlannedScale, checkpoint: Callable[[float], None]
) -> ClassMap:
    """Run the network once.

    Parameters
    ----------
    image : RGBImage
    predictor : Predictor
    plan : PlannedScale
        Size of the network's input.
    checkpoint : callable
        Called between bands with the finished share, from 0 to 1; may raise `Cancelled`.
    """
    started = time.perf_counter()
    done = predictor.run(ResizedImage(image.pixels, plan.height, plan.width), checkpoint)
    seconds = time.perf_counter() - started
    cells = predictor.cells(plan.height, plan.width)
    return ClassMap(done.logits, cells, plan, seconds, done.middle, predictor.info.outputs)


def retry_after_eviction(
    compute: Callable[[], _Result],
    predictor: Predictor,
    size: tuple[int, int],
    evict: Callable[[float], bool],
    release_cached: Callable[[], None] = lambda: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> _Result:
    """Run passes of the network; if they do not fit into memory, free some and run them once more.

    If they do not fit then either, and memory is lent to another process, they run once that is returned.

    Parameters
    ----------
    compute : callable
        Runs the passes; raises `MemoryBudgetError` if they do not fit.
    predictor : Predictor
    size : (height, width)
        Size of the network's input.
    evict : callable
        Evicts so many megabytes of class maps, and returns whether any were evicted.
    release_cached : callable
        Releases what pages can compute again; called first.
    checkpoint : callable
        Called while memory is lent; may raise `Cancelled`.

    Raises
    ------
    MemoryBudgetError
        The passes do not fit after eviction either.
    """
    try:
        return _run_evicting(compute, predictor, size, evict, release_cached)
    except MemoryBudgetError:
        if not memory.wait_until_returned(checkpoint):
            raise
    return _run_evicting(compute, predictor, size, evict, release_cached)


def _run_evicting(
    compute: Callable[[], _Result],
    predictor: Predictor,
    size: tuple[int, int],
    evict: Callable[[float], bool],
    release_cached: Callable[[], None],
) -> _Result:
    try:
        return compute()
    except MemoryBudgetError:
        release_cached()
        gc.collect()  # garbage of page runs
        memory.trim_heap()
        missing = memory.missing_mb(predictor.forecast(*size).memory_mb, memory.rss_mb())
        if missing > 0 and not evict(missing):
            raise
        return compute()


def evict_class_maps(
    missing_mb: float, job: Job, waiting: Iterable[Job], cache: ClassMapCache, finished: FinishedJobs
) -> bool:
    """Evict class maps of other jobs if that frees enough memory; return whether any were evicted.

    Cached class maps that no job holds are evicted first, then those of the largest jobs.

    Parameters
    ----------
    missing_mb : float
        Megabytes to free.
    job : Job
        The job that needs them; it keeps its class maps.
    waiting : iterable of Job
        Jobs in the queue; they compute evicted class maps again.
    cache : ClassMapCache
    finished : FinishedJobs
    """
    others = [other for other in (*waiting, *finished.jobs) if other is not job and other.class_maps]
    of_jobs = {id(m.logits) for each in (job, *others) for m in each.class_maps.values()}
    free = cache.nbytes_without(of_jobs)
    if missing_mb * 2**20 > free + sum(other.nbytes for other in others):
        return False
    cache.clear()
    for other in sorted(others, key=lambda other: -other.nbytes):
        if free > missing_mb * 2**20:
            break
        free += other.nbytes
        finished.evict(other)
    memory.trim_heap()
    return free > 0
