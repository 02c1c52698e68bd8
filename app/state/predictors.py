"""The loaded models of the process, shared by all sessions."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import cache
from pathlib import Path

from app.state import models
from app.state.queue.jobs import ModelKey
from fcn_core.engines import disk
from fcn_core.engines.base import Predictor
from fcn_core.engines.load import load_model
from fcn_core.errors import FcnError, MemoryBudgetError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import find_weights, model_spec, require_weights
from fcn_core.system import memory

_SMALL_MB = 1500  # a smaller memory budget has room for one model
_BESIDE_MB = 105  # of a process, beside the weights of the model that it has loaded; measured


class Predictors:
    """Loads models and keeps the last ones.

    Parameters
    ----------
    capacity : int
        How many stay loaded.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.fetched: dict[ModelKey, tuple[int, int]] = {}  # bytes so far and in all, of a download under way
        self._lock = threading.Lock()
        self._loaded: dict[ModelKey, Predictor] = {}
        self._fetching: dict[str, Future[Path]] = {}

    def load(self, key: ModelKey) -> Predictor:
        """Return a model, loading it if needed; the queue's thread calls it.

        The other models release the memory of their last pass, which would count as used in the forecast of the next.
        """
        with self._lock:
            for other, predictor in self._loaded.items():
                if other != key:
                    predictor.release_cached()
            if key not in self._loaded:
                _require_unchanged(key)
                _require_memory(model_spec(key.name))
                while len(self._loaded) >= self.capacity:
                    self._loaded.pop(next(iter(self._loaded)))
                    memory.trim_heap()
                try:
                    self._loaded[key] = load_model(
                        key.name,
                        key.engine,
                        output_stride=key.output_stride,
                        progress=lambda done, whole: self.fetched.update({key: (done, whole)}),
                    )
                finally:
                    self.fetched.pop(key, None)
            return self._loaded[key]

    def peek(self, key: ModelKey) -> Predictor | None:
        """Return a model if it is loaded; never waits."""
        return self._loaded.get(key)

    def loaded(self) -> list[ModelKey]:
        """Return the loaded models, first the one that is evicted next."""
        return list(self._loaded)

    def fetch(self, key: ModelKey) -> Future[Path] | None:
        """Start to download a model's weights in a thread, once.

        Returns None if they are on this machine, or too large for its memory: then `load` says so.
        """
        spec = model_spec(key.name)
        if key in self._loaded or spec.weights.url is None or find_weights(spec) is not None:
            return None
        if needed_mb(spec) > memory.budget_mb():
            return None
        under_way = self._fetching.get(spec.name)
        if under_way is not None and not under_way.done():
            return under_way
        future = self._fetching[spec.name] = Future[Path]()

        def run() -> None:
            try:
                found = require_weights(spec, lambda done, whole: self.fetched.update({key: (done, whole)}))
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(found)
            finally:
                self.fetched.pop(key, None)

        threading.Thread(target=run, name="weights", daemon=True).start()
        return future

    def fetches(self, name: str) -> bool:
        """Return whether a model's weights are being downloaded."""
        under_way = self._fetching.get(name)
        return under_way is not None and not under_way.done()

    def remove(self, spec: ModelSpec) -> int:
        """Remove a model from memory and from the disk; return the bytes that this frees.

        Raises
        ------
        FcnError
            A model is being loaded at the moment.
        StorageError
            Some files cannot be removed.
        """
        if not self._lock.acquire(blocking=False):
            raise FcnError(
                f"Expected no model that is being loaded, to remove {spec.title}. Received one. Try again in some "
                "seconds."
            )
        try:
            for key in [key for key in self._loaded if key.name == spec.name]:
                del self._loaded[key]
            memory.trim_heap()
            return disk.remove(spec)
        finally:
            self._lock.release()


def needed_mb(spec: ModelSpec) -> float:
    """Return the memory that a process needs at least to have a model loaded: its weights are in memory once."""
    return _BESIDE_MB + spec.weights.size / 2**20


def _require_unchanged(key: ModelKey) -> None:
    """Refuse a model of one's own that has changed: pages would name its classes by the labels of before."""
    if key.digest and models.digest_of(key.name) != key.digest:
        raise FcnError(
            f"Expected the model {key.name} as it was. Received another file. Load the page again to use it."
        )


def _require_memory(spec: ModelSpec) -> None:
    """Refuse a model that is certain not to fit, before its weights are downloaded and exported."""
    if needed_mb(spec) > memory.budget_mb():
        raise MemoryBudgetError(
            f"Expected a model that fits into {memory.budget_mb():.0f} MB. Received {spec.title}, which needs at least "
            f"{needed_mb(spec):.0f} MB. Choose a smaller model, or allow more memory (FCN_MEMORY_MB); other scales do "
            f"not help."
        )


@cache
def predictors() -> Predictors:
    """Return the models of this process."""
    return Predictors(1 if memory.budget_mb() < _SMALL_MB else 3)


def predictor(key: ModelKey) -> Predictor | None:
    """Return a model if it is loaded; never waits."""
    return predictors().peek(key)
