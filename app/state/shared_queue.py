"""The one queue of the process, shared by all sessions, and whether the default model is ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from app import streamlit_patches
from app.state import caches, garbage, models
from app.state.predictors import predictors
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.loader import Health
from app.state.samples import DEFAULT, load_precomputed
from fcn_core import logs
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.networks.zoo import model_spec
from fcn_core.system import memory

logger = logging.getLogger(__name__)

FIRST_SCALES = NOTEBOOK_SCALES[:3]

_CACHE_SHARE = 0.12  # of the memory budget, for class maps
_CACHE_LIMIT_MB = 512
_DRAWING_SHARE = 0.17  # of the memory budget, for drawing pages while a network runs
_DRAWING_LIMIT_MB = 550  # the largest picture, while it is decoded
_FILE_MB = 150  # all files of a picture of 9 megapixels

_making = threading.RLock()  # several sessions may ask for the queue at once


def queue() -> Queue:
    """Return the queue; the first call starts it.

    It starts with the precomputed class maps of the default sample, so the first page is complete at once. Meanwhile it
    loads the default model and computes them again.
    """
    with _making:
        return _queue()


@contextmanager
def memory_for_a_file() -> Iterator[None]:
    """Wait until no pass runs, and keep it so while a file is made; release what pages can compute again if need be."""
    with queue().memory.hold("file"):
        _release_for(_FILE_MB)
        try:
            yield
        finally:
            memory.trim_heap()


@contextmanager
def memory_for_a_process(needed_mb: float) -> Iterator[None]:
    """Keep memory for a process beside this one. If it takes more than half of what is free, no pass runs meanwhile."""
    with ExitStack() as turn, ExitStack() as whole:
        turn.enter_context(queue().memory.hold("file"))
        _release_for(needed_mb + memory.reserved_mb())
        free = memory.budget_mb() - memory.reserved_mb() - memory.rss_mb()
        if needed_mb <= free / 2:
            whole.enter_context(memory.lent(needed_mb))
            turn.close()
        yield


def _release_for(needed_mb: float) -> None:
    """Release what pages can compute again if this much memory would not be free."""
    if memory.rss_mb() + needed_mb > memory.budget_mb():
        streamlit_patches.clear_page_caches()
        memory.trim_heap()


@cache
def _queue() -> Queue:
    logs.configure("text")
    memory.limit_free_heap()
    budget = memory.budget_mb()
    memory.reserve(min(budget * _DRAWING_SHARE, _DRAWING_LIMIT_MB))
    cache_mb = min(int(budget * _CACHE_SHARE), _CACHE_LIMIT_MB)
    models = predictors()
    made = Queue(
        models.load,
        ClassMapCache(cache_mb * 2**20),
        models.loaded,
        models.capacity,
        models.fetch,
        streamlit_patches.clear_page_caches,
    )
    _add_precomputed(made)
    _prepare(made)
    garbage.start()
    return made


def _add_precomputed(made: Queue) -> None:
    first = models.key_of(models.default_name())
    try:
        sha256, info, class_maps = load_precomputed()
        spec = model_spec(info.name)
        same_engine = first.engine in ("auto", info.engine)
        if info.name == first.name and same_engine and info.weights_sha256 == spec.weights.digest:
            made.add_precomputed(first, info, sha256, class_maps)
    except (OSError, ValueError, KeyError) as error:
        logger.warning("The precomputed sample cannot be read: %s", error)


def _prepare(made: Queue) -> None:
    made.prepare(caches.sample(DEFAULT), models.key_of(models.default_name()), FIRST_SCALES)


def try_again() -> None:
    """Load the default model again if that failed; jobs under way continue."""
    if _queue.cache_info().currsize and not health().ready:
        _prepare(_queue())


def health() -> Health:
    """Return whether the default model can be used; never waits."""
    if not _queue.cache_info().currsize:
        return Health(False, "The app is starting.")
    return _queue().health()
