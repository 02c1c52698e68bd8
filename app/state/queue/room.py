"""Room for a pass where it would not fit beside what is kept of others."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import TypeVar

from app.state.queue.class_map_cache import ClassMapCache, HeldJobs
from app.state.queue.jobs import Job
from fcn_core.engines.base import Predictor
from fcn_core.errors import MemoryBudgetError
from fcn_core.system import memory

_Found = TypeVar("_Found")


def with_room(
    compute: Callable[[], _Found],
    predictor: Predictor,
    size: tuple[int, int],
    make_room: Callable[[float], bool],
    relieve: Callable[[], None] = lambda: None,
) -> _Found:
    """Compute something by passes of a size; where they do not fit, once more in place of what is kept.

    Parameters
    ----------
    compute : callable
        Raises `MemoryBudgetError` where it does not fit.
    predictor : Predictor
    size : (height, width)
        Of the network's input.
    make_room : callable
        Lets go of so many megabytes; whether anything came free.
    relieve : callable
        Lets go of what pages can make again; tried before anything else.

    Raises
    ------
    MemoryBudgetError
        It does not fit either way.
    """
    try:
        return compute()
    except MemoryBudgetError:
        relieve()
        gc.collect()  # what pages have left behind
        memory.trim_heap()
        missing = memory.missing_mb(predictor.forecast(*size).memory_mb, memory.rss_mb())
        if missing > 0 and not make_room(missing):
            raise
        return compute()


def let_go(missing_mb: float, job: Job, waiting: Iterable[Job], cache: ClassMapCache, held: HeldJobs) -> bool:
    """Let go of class maps but a job's own: those of no job, then the largest jobs' first; whether any came free.

    None if not enough can come free. Who has lost some computes them again.

    Parameters
    ----------
    missing_mb : float
    job : Job
        That needs the room.
    waiting : iterable of Job
        That have class maps and wait for more.
    cache, held
        What is kept beside them.
    """
    others = [other for other in (*waiting, *held.jobs) if other is not job and other.class_maps]
    of_jobs = {id(m.logits) for each in (job, *others) for m in each.class_maps.values()}
    free = cache.nbytes_without(of_jobs)
    if missing_mb * 2**20 > free + sum(other.nbytes for other in others):
        return False
    cache.clear()
    for other in sorted(others, key=lambda other: -other.nbytes):
        if free > missing_mb * 2**20:
            break
        free += other.nbytes
        held.let_go(other)
    memory.trim_heap()
    return free > 0
