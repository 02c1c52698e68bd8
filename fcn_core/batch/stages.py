"""The loop over many pictures: one is read and made ready, one is in the network, some are read out, at the same time.

The memory is bounded. Of the pictures that are not yet through the network at most two are there at their full size,
and of those that are through it only what is made from their working copy. A picture that is too large to be decoded
beside a pass of the network is decoded alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from fcn_core.batch.ahead import Ahead, Inputs
from fcn_core.engines.base import Predictor
from fcn_core.errors import Cancelled, FcnError, ImageError, OutputError, StorageError
from fcn_core.images.limits import BYTES_A_PIXEL, Limits
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import Fit, Scale
from fcn_core.images.working import working_copy
from fcn_core.maps.heatmap import ClassMap
from fcn_core.pipeline import compute_class_maps
from fcn_core.system import memory

logger = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")

_AHEAD = 3  # pictures: one that is read, one that waits, one in the network
_WHOLE = 2  # pictures at full size: one that is read or waits, one in the network
_BESIDE = 0.25  # share of the free memory for a picture that is decoded beside a pass of the network
_ALONE_BYTES = 28  # for one pixel of a picture, until its pass is done; as `fcn heatmap` needs


@dataclass(frozen=True)
class Stages(Generic[S, T]):
    """What is done with a picture, beside the network.

    Attributes
    ----------
    read : callable
        Takes the source and limits, and returns the picture. Runs in a thread of its own, one picture at a time.
    finish : callable
        Takes the source, the picture's working copy and its class maps, and returns the result. Runs in a pool.
    failed : callable
        Takes the source and the error, and returns the result of a picture that cannot be done.
    """

    read: Callable[[S, Limits], RGBImage]
    finish: Callable[[S, RGBImage, Mapping[str, ClassMap]], T]
    failed: Callable[[S, Exception], T]


def overlapped(
    sources: Iterable[S], model: Predictor, scales: Sequence[Scale], fit: Fit, stages: Stages[S, T]
) -> Iterator[T]:
    """Yield the result of each picture, in the order of the sources.

    Parameters
    ----------
    sources : iterable
        Read as far as pictures are worked on: it may be endless.
    model, scales, fit
        See :func:`fcn_core.compute_class_maps`.
    stages : Stages

    Raises
    ------
    OutputError, StorageError
        Nothing can be written any more. Whatever else goes wrong with a picture is its result.
    """
    loop = _Loop(model, scales, fit, stages)
    try:
        yield from loop.results(iter(sources))
    finally:
        loop.close()


@dataclass(frozen=True, eq=False)
class _Ready:
    """A picture for the network.

    Attributes
    ----------
    image, copy : RGBImage
        The picture, and its working copy.
    inputs : dict of (int, int) to ResizedImage
        Those of the network that are made already; each is taken out when it is used.
    places : int
        That the picture takes among whole ones.
    """

    image: RGBImage
    copy: RGBImage
    inputs: Inputs
    places: int

    def resized(self, height: int, width: int) -> ResizedImage:
        """Return the picture at a size, once."""
        return self.inputs.pop((height, width), None) or ResizedImage(self.image.pixels, height, width)


class _Loop(Generic[S, T]):
    """Four stages, each with threads of its own. Tasks only wait for those of an earlier stage."""

    def __init__(self, model: Predictor, scales: Sequence[Scale], fit: Fit, stages: Stages[S, T]) -> None:
        self._model, self._scales, self._fit, self._stages = model, scales, fit, stages
        workers = max(1, memory.cpus() - 1)
        self._ahead = workers + _AHEAD
        self._reader = ThreadPoolExecutor(1, "read")
        self._preparer = ThreadPoolExecutor(1, "prepare")
        self._network = ThreadPoolExecutor(1, "network")
        self._finishers = ThreadPoolExecutor(workers, "finish")
        self._stopped = threading.Event()
        self._whole = threading.Semaphore(_WHOLE)
        self._reserved = memory.reserved_mb()
        free = max(1.0, memory.budget_mb() - self._reserved - memory.rss_mb())
        usual = Limits.from_env()
        self._beside = Limits.from_env(memory_mb=min(free * _BESIDE, usual.memory / 2**20))
        self._alone = Limits.from_env(
            memory_mb=min(free * BYTES_A_PIXEL / _ALONE_BYTES, usual.memory / 2**20)
        )
        self._inputs = Ahead(model, scales, fit, free)
        memory.reserve(self._reserved + self._beside.memory / 2**20 + self._inputs.reserved_mb)

    def results(self, sources: Iterator[S]) -> Iterator[T]:
        pending: deque[Future[T]] = deque()
        for source in sources:
            pending.append(self._submit(source))
            if len(pending) >= self._ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def close(self) -> None:
        """Stop what still runs, and wait for it."""
        self._stopped.set()
        for _ in range(_WHOLE):
            self._whole.release()  # for the reader, if it waits
        for pool in (self._reader, self._preparer, self._network, self._finishers):
            pool.shutdown(cancel_futures=True)
        memory.reserve(self._reserved)

    def _submit(self, source: S) -> Future[T]:
        read = self._reader.submit(self._read, source)
        ready = self._preparer.submit(self._prepare, read)
        computed = self._network.submit(self._compute, ready)
        return self._finishers.submit(self._finish, source, computed)

    def _read(self, source: S) -> tuple[RGBImage, int]:
        """Return a picture, and how many places for whole pictures it takes."""
        self._take_place()
        taken = 1
        try:
            try:
                return self._stages.read(source, self._beside), taken
            except ImageError:
                if self._beside.memory >= self._alone.memory:
                    raise
            self._take_place()
            taken = _WHOLE
            return self._stages.read(source, self._alone), taken
        except BaseException:
            self._whole.release(taken)
            raise

    def _take_place(self) -> None:
        self._whole.acquire()
        if self._stopped.is_set():
            raise Cancelled("Cancelled before the picture was read.")

    def _prepare(self, read: Future[tuple[RGBImage, int]]) -> _Ready:
        image, places = read.result()
        try:
            return _Ready(image, working_copy(image), self._inputs.inputs(image, self._stop), places)
        except BaseException:
            self._whole.release(places)
            raise

    def _stop(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("Cancelled before the picture was ready for the network.")

    def _compute(self, prepared: Future[_Ready]) -> tuple[RGBImage, dict[str, ClassMap]]:
        ready = prepared.result()
        try:
            model, scales, fit = self._model, self._scales, self._fit
            cancelled = self._stopped.is_set
            found = compute_class_maps(
                ready.image, model, scales, fit, cancelled=cancelled, resized=ready.resized
            )
            return ready.copy, found
        finally:
            self._whole.release(ready.places)

    def _finish(self, source: S, computed: Future[tuple[RGBImage, dict[str, ClassMap]]]) -> T:
        try:
            image, class_maps = computed.result()
            return self._stages.finish(source, image, class_maps)
        except (
            Cancelled,
            CancelledError,
            OutputError,
            StorageError,
        ):  # the second one is of an earlier stage
            raise
        except FcnError as error:
            return self._stages.failed(source, error)
        except Exception as error:  # one picture does not stop the others
            logger.exception("fault")
            return self._stages.failed(source, error)
