"""The one queue of analyses, for all users of the app.

A job is one picture, one model and some scales. Scales are run coarse first and each finished class map can be
shown at once. Equal jobs are the same job. A job that nobody has looked at for a while (its browser was closed)
is cancelled; between bands and scales it notices, and its memory returns.

Memory is bounded: a picture is decoded when its turn comes, and class maps are kept in so many bytes, those of
finished jobs in as many again. All of them give way where a pass would not fit into the budget. Where a job's have
given way to others', its page asks for them anew.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeVar

from fcn_core import effective_field, logs, resources, settings
from fcn_core.effective_field import EffectiveField
from fcn_core.engines import ModelInfo, Predictor
from fcn_core.errors import Cancelled, FcnError, MemoryBudgetError
from fcn_core.heatmap import ClassMap
from fcn_core.images import RGBImage
from fcn_core.pipeline import Step, compute_class_maps
from fcn_core.pyramid import Fit, PlannedScale, Scale, plan_scales

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")
State = Literal["queued", "loading", "running", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
_FORGOTTEN_AFTER = 20.0  # seconds without a look
_GRACE = 2.0  # seconds for others to look at a job that one has left
_FIELD = "field"  # in place of a picture's SHA-256: the job measures the model's effective field


class Source(Protocol):
    """A picture that is decoded when it is needed; an `RGBImage` is one that is there already."""

    @property
    def sha256(self) -> str:
        """Of its file."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""

    def whole(self) -> RGBImage:
        """The picture itself."""


@dataclass(frozen=True)
class ModelKey:
    """Which predictor a job needs."""

    name: str
    engine: str = field(default_factory=settings.ENGINE.value)
    output_stride: int = 32


@dataclass(frozen=True)
class JobKey:
    """What makes two jobs the same: the picture's content, the model, the sizes the network shall see."""

    image_sha256: str
    model: ModelKey
    inputs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Snapshot:
    """A job as it stands, for a page to draw.

    ``place`` counts the jobs before it; ``share`` is the finished part in [0, 1]; ``class_maps`` holds the scales that
    are done, coarse first; ``info`` is the model they come from, None before any is there; ``error`` is what to
    tell the user, ``fault`` whether it was the program's own.
    """

    state: State
    place: int
    share: float
    running: PlannedScale | None
    class_maps: Mapping[str, ClassMap]
    info: ModelInfo | None = None
    error: str | None = None
    fault: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINISHED


def job_key(image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> JobKey:
    """The key of the job that computes these scales of this picture."""
    return JobKey(image.sha256, model, tuple((p.height, p.width) for p in plans))


class ClassMapCache:
    """Class maps by picture, model and input size, the least recently used dropped beyond a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._entries: OrderedDict[tuple[str, ModelKey, int, int], ClassMap] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, model: ModelKey, plan: PlannedScale) -> ClassMap | None:
        """The class map of this picture at this input size, if it is still here."""
        key = (sha256, model, plan.height, plan.width)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                if entry.scale != plan:
                    entry = ClassMap(entry.logits, entry.cells, plan, entry.seconds)
            return entry

    def put(self, sha256: str, model: ModelKey, class_map: ClassMap) -> None:
        """Keep a class map, in place of the one that was there; larger ones than the whole cache are not kept."""
        size = class_map.logits.nbytes
        key = (sha256, model, class_map.scale.height, class_map.scale.width)
        with self._lock:
            if size > self._max_bytes:
                return
            known = self._entries.pop(key, None)
            if known is not None:
                self._bytes -= known.logits.nbytes
            self._entries[key] = class_map
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.logits.nbytes

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._bytes

    @property
    def max_bytes(self) -> int:
        """Bytes held at most."""
        return self._max_bytes


@dataclass(eq=False)
class Job:
    """One analysis in the queue; read it through :meth:`Queue.look`."""

    key: JobKey
    image: Source | None
    scales: tuple[Scale, ...]
    fit: Fit
    state: State = "queued"
    share: float = 0.0
    running: PlannedScale | None = None
    class_maps: dict[str, ClassMap] = field(default_factory=dict)
    error: str | None = None
    fault: bool = False
    looked_at: float = field(default_factory=lambda: time.monotonic())
    stop: bool = False
    afresh: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its class maps."""
        return sum(m.logits.nbytes for m in list(self.class_maps.values()))

    def unwanted(self) -> bool:
        """Whether it was cancelled or nobody looks any more."""
        return self.stop or time.monotonic() - self.looked_at > _FORGOTTEN_AFTER


class Queue:
    """Runs jobs one after another in a thread of its own.

    Parameters
    ----------
    load : callable
        Gives the predictor of a model; may take long, may raise.
    cache : ClassMapCache
        Where finished class maps are kept and looked for.
    workers : int
        Threads. One fills the machine, as an engine uses every core; more only interleave.
    """

    def __init__(self, load: Callable[[ModelKey], Predictor], cache: ClassMapCache, workers: int = 1) -> None:
        self._load, self.cache = load, cache
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()
        self._infos: dict[ModelKey, ModelInfo] = {}
        self._fields: dict[ModelKey, Future[EffectiveField]] = {}
        self._held: OrderedDict[JobKey, Job] = OrderedDict()  # finished, the one looked at last at the end
        self._changed = threading.Condition()
        self._closed = False
        self._last_hit: JobKey | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"analyses-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)  # an engine that is torn down in mid-run takes the process with it

    def close(self, seconds: float = 10.0) -> None:
        """Cancel everything and wait for the threads to end."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def peek(self, image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> dict[str, ClassMap]:
        """Those of the class maps that are here already, coarse first; asks for none."""
        if model not in self._infos:
            return {}
        found = {str(p.requested): self.cache.get(image.sha256, model, p) for p in plans}
        return coarse_first({key: m for key, m in found.items() if m is not None})

    def info(self, model: ModelKey) -> ModelInfo | None:
        """What a model is, once it was loaded."""
        return self._infos.get(model)

    def busy(self, model: ModelKey) -> bool:
        """Whether the model is being loaded, or computing what comes with loading it."""
        with self._changed:
            return JobKey("warm", model, ()) in self._jobs

    def found(self, image: Source, model: ModelKey, scales: tuple[Scale, ...], fit: Fit) -> Job:
        """Give a job of those class maps that are here already: ended, and cancelled where some are missing.

        Raises
        ------
        ScaleError
            The scales cannot be planned for this picture.
        """
        plans = plan_scales(image.height, image.width, scales, fit)
        key, maps = job_key(image, model, plans), self.peek(image, model, plans)
        state: State = "done" if len(maps) == len(plans) else "cancelled"
        with self._changed:
            job = self._held.get(key)
            if job is None or (job.scales, job.fit) != (scales, fit) or not _holds(job, maps):
                job = Job(key, None, scales, fit, state, float(state == "done"), None, maps)
            self._hold(job)
        return job

    def submit(self, image: Source, model: ModelKey, scales: tuple[Scale, ...], fit: Fit) -> Job:
        """Ask for a picture's class maps; an equal job that is waiting or running is shared.

        Raises
        ------
        ScaleError
            The scales cannot be planned for this picture.
        """
        job = self.found(image, model, scales, fit)
        key = job.key
        if job.state == "done":
            if key != self._last_hit:  # a page asks again at every rerun
                self._last_hit = key
                _record(self._infos[model], job, 0.0, cache_hit=True)
            return job
        with self._changed:
            known = self._jobs.get(key)
            if known is not None and not known.unwanted():
                known.looked_at = time.monotonic()
                return known
            job = Job(key, image, scales, fit, class_maps=job.class_maps)
            self._jobs[key] = job
            self._changed.notify()
        return job

    def adopt(self, model: ModelKey, info: ModelInfo, sha256: str, class_maps: Iterable[ClassMap]) -> None:
        """Take class maps that were computed elsewhere as this model's."""
        self._infos[model] = info
        for class_map in class_maps:
            self.cache.put(sha256, model, class_map)

    def warm(self, image: Source, model: ModelKey, scales: tuple[Scale, ...] = ()) -> Job:
        """Load a model in the background, preparing it where needed, and compute a picture's class maps afresh.

        It goes on whether or not somebody looks.
        """
        job = Job(JobKey("warm", model, ()), image, scales, "aspect", looked_at=float("inf"), afresh=True)
        with self._changed:
            known = self._jobs.setdefault(job.key, job)
            self._changed.notify()
        return known

    def field(self, model: ModelKey) -> Future[EffectiveField]:
        """What moves a cell of a model: measured once, in its turn, whether or not somebody still asks."""
        with self._changed:
            if model not in self._fields:
                self._fields[model] = Future()
                key = JobKey(_FIELD, model, ())
                self._jobs[key] = Job(key, None, (), "aspect", looked_at=float("inf"))
                self._changed.notify()
            return self._fields[model]

    def look(self, job: Job) -> Snapshot:
        """See how far a job is; looking also keeps it alive."""
        job.looked_at = max(job.looked_at, time.monotonic())
        with self._changed:
            place = 0
            if job.state in FINISHED:
                self._hold(job)
            if job.state == "queued":
                ahead = [j for j in self._jobs.values() if j.state in ("queued", "loading", "running")]
                place = ahead.index(job) if job in ahead else 0
            return Snapshot(
                job.state,
                place,
                job.share,
                job.running,
                coarse_first(job.class_maps),
                self._infos.get(job.key.model),
                job.error,
                job.fault,
            )

    def leave(self, job: Job) -> None:
        """Stop looking at a job: it is cancelled soon, unless somebody else looks at it."""
        job.looked_at = min(job.looked_at, time.monotonic() - _FORGOTTEN_AFTER + _GRACE)

    def cancel(self, job: Job) -> None:
        """Stop a job between bands or scales; what is finished stays."""
        job.stop = True
        with self._changed:
            if job.state == "queued":
                self._finish(job, "cancelled")

    def _work(self) -> None:
        while True:
            with self._changed:
                while (job := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait(timeout=_FORGOTTEN_AFTER)
                job.state = "loading"
            try:
                if job.key.image_sha256 == _FIELD:
                    self._measure(job)
                else:
                    self._run(job)
                state: State = "done"
            except Cancelled:
                state = "cancelled"
            except FcnError as error:
                state, job.error = "failed", str(error)
            except MemoryError:
                state = "failed"
                job.error = "The memory of this machine did not suffice. Choose smaller scales."
            except Exception:
                logger.exception("An analysis failed")
                state, job.fault = "failed", True
                job.error = (
                    "The program made a mistake. It was logged; your picture and choices are still here."
                )
            with self._changed:
                self._finish(job, state)

    def _next(self) -> Job | None:
        for job in list(self._jobs.values()):
            if job.state == "queued":
                if not job.unwanted():
                    return job
                self._finish(job, "cancelled")
        return None

    def _finish(self, job: Job, state: State) -> None:
        job.state, job.running, job.image = state, None, None
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        self._hold(job)

    def _hold(self, job: Job) -> None:
        """Keep a finished job's class maps, and let those go that were not looked at longest."""
        if not job.class_maps:
            return
        self._held[job.key] = job
        self._held.move_to_end(job.key)
        while len(self._held) > 1 and sum(j.nbytes for j in self._held.values()) > self.cache.max_bytes:
            self._give_up()

    def _give_up(self) -> None:
        """Let the class maps go that were not looked at longest; who still looks at them asks anew."""
        _, job = self._held.popitem(last=False)
        job.class_maps = {}
        if job.state == "done":
            job.state = "cancelled"

    def _make_room(self, missing_mb: float) -> bool:
        """Let go of all class maps but those of the job at work, if so much can come free by it; whether it did."""
        with self._changed:
            kept = self.cache.nbytes + sum(job.nbytes for job in self._held.values())
            if missing_mb > kept / 2**20:
                return False
            self.cache.clear()
            while self._held:
                self._give_up()
        resources.trim()
        return kept > 0

    def _measure(self, job: Job) -> None:
        def checkpoint(share: float) -> None:
            job.share = share
            if job.unwanted():
                raise Cancelled("Stopped before the measurement was done.")

        found = self._fields[job.key.model]
        try:
            predictor = self._load(job.key.model)
            job.state = "running"
            compute = partial(effective_field.measure, predictor, checkpoint)
            found.set_result(self._with_room(compute, predictor, effective_field.SIDE, effective_field.SIDE))
        except Cancelled:
            raise
        except Exception as error:
            about = (
                str(error) if isinstance(error, FcnError) else "The program made a mistake. It was logged."
            )
            found.set_exception(FcnError(about))
            raise

    def _with_room(
        self, compute: Callable[[], _Found], predictor: Predictor, height: int, width: int
    ) -> _Found:
        """Compute something by passes of a size, where they do not fit beside the class maps, in place of them."""
        try:
            return compute()
        except MemoryBudgetError:
            needed = predictor.forecast(height, width).memory_mb
            if not self._make_room(resources.missing_mb(needed, resources.rss_mb())):
                raise
            return compute()

    def _run(self, job: Job) -> None:
        source = job.image
        if source is None or job.unwanted():
            raise Cancelled("Nobody waits for this analysis any more.")
        started = time.perf_counter()
        predictor = self._load(job.key.model)
        self._infos[job.key.model] = predictor.info
        job.state = "running"
        image = source.whole()
        plans = plan_scales(image.height, image.width, job.scales, job.fit) if job.scales else ()
        pixels = sum(p.height * p.width for p in plans)
        finished = 0
        for plan in plans:
            job.running = plan
            class_map = None if job.afresh else self.cache.get(image.sha256, job.key.model, plan)
            if class_map is None:
                base, part = finished / pixels, plan.height * plan.width / pixels

                def progress(step: Step, base: float = base, part: float = part) -> None:
                    job.share = base + part * step.share

                compute = partial(
                    compute_class_maps,
                    image, predictor, [Scale(plan.height, plan.width)], "exact", progress, job.unwanted,
                )  # fmt: skip
                (fresh,) = self._with_room(compute, predictor, plan.height, plan.width).values()
                class_map = ClassMap(fresh.logits, fresh.cells, plan, fresh.seconds)
                self.cache.put(image.sha256, job.key.model, class_map)
            job.class_maps[str(plan.requested)] = class_map
            finished += plan.height * plan.width
            job.share = finished / pixels
        _record(predictor.info, job, time.perf_counter() - started, cache_hit=False)


def _record(info: ModelInfo, job: Job, seconds: float, *, cache_hit: bool) -> None:
    scales, peak = list(job.class_maps), resources.peak_rss_mb()
    logs.log_run(info, scales=scales, seconds=seconds, peak_rss_mb=peak, cache_hit=cache_hit, fit=job.fit)


def coarse_first(class_maps: Mapping[str, ClassMap]) -> dict[str, ClassMap]:
    """The same in the order of input size; a copy, which a job at work does not change."""
    pixels = {key: m.scale.height * m.scale.width for key, m in list(class_maps.items())}
    return {key: class_maps[key] for key in sorted(pixels, key=pixels.__getitem__)}


def _holds(job: Job, maps: Mapping[str, ClassMap]) -> bool:
    """Whether a job has these very class maps; it may have more, which the cache was too small for."""
    return all(key in job.class_maps and job.class_maps[key].logits is m.logits for key, m in maps.items())
