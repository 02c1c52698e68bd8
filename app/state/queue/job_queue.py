"""The queue of jobs, shared by all users of the app.

Its thread runs one scale of one job, then chooses the next (:mod:`app.state.queue.schedule`). Coarse scales run first,
and each finished class map can be shown at once. Equal jobs are one job, shared by all sessions that ask for it. A job
is cancelled if all its sessions leave it, or none has given a sign of life for a while (:meth:`Queue.keep_alive`), as
when the browser was closed. The running job notices that between bands and scales, and releases its memory. A model's
weights are downloaded beside the queue, which goes on meanwhile.

Memory is bounded: a picture is decoded for its turn; class maps have a cache of fixed size, and those of finished jobs
the same size again. Both are evicted if a pass would not fit into the memory budget; a page whose class maps were
evicted asks for them again. Waiting work is bounded for each session and in total.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any, TypeVar

from app.state.queue.admission import admit
from app.state.queue.class_map_cache import ClassMapCache, FinishedJobs
from app.state.queue.job_log import message_for_user, record_failure, record_run
from app.state.queue.jobs import (
    FINISHED,
    Job,
    JobKey,
    Measurement,
    ModelKey,
    Snapshot,
    Source,
    State,
    coarse_first,
    job_key,
    megapixels,
)
from app.state.queue.loader import Health, Loader
from app.state.queue.measurements import Measured, work
from app.state.queue.memory_turns import MemoryTurns
from app.state.queue.passes import compute_class_map, evict_class_maps, retry_after_eviction
from app.state.queue.schedule import Schedule, Turn, Waiting
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import Cancelled, FcnError
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import Fit, PlannedScale, Scale, plan_scales
from fcn_core.maps.heatmap import ClassMap

_Result = TypeVar("_Result")
_SWEEP_EVERY = 20.0  # seconds, for abandoned jobs


class Queue:
    """Runs jobs, one scale after another, in its own thread.

    Parameters
    ----------
    load : callable
        Returns the predictor of a model; may take long, may raise.
    cache : ClassMapCache
        For finished class maps.
    loaded : callable, optional
        Returns the loaded models, first the one that is evicted next. By default every model loaded here stays loaded.
    capacity : int
        How many models stay loaded.
    download : callable, optional
        Starts to download what a model needs; returns None if it is on this machine.
    release_cached : callable, optional
        Releases memory of what pages can compute again; called before class maps are evicted.
    """

    def __init__(
        self,
        load: Callable[[ModelKey], Predictor],
        cache: ClassMapCache,
        loaded: Callable[[], Sequence[ModelKey]] | None = None,
        capacity: int = 1,
        download: Callable[[ModelKey], Future[Any] | None] = lambda _: None,
        release_cached: Callable[[], None] = lambda: None,
    ) -> None:
        self.cache, self._download, self._release_cached = cache, download, release_cached
        self.memory = MemoryTurns()  # files are made between passes
        self._loader = Loader(load, loaded)
        self._schedule: Schedule[Job, ModelKey] = Schedule(capacity, cache.max_bytes / 4)
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()
        self._default: ModelKey | None = None
        self._finished, self._measured = FinishedJobs(cache.max_bytes), Measured()
        self._changed = threading.Condition(threading.RLock())  # a download may report before it returns
        self._closed = False
        self._last_hit: JobKey | None = None
        self._numbers = count()
        self._under_way: Turn[Job, ModelKey] | None = None
        self._turns: list[Job] | None = None  # None: to be forecast again
        self._decoded: tuple[Job, RGBImage] | None = None  # the picture of the last turn
        self._thread = threading.Thread(target=self._work, name="analyses", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # an engine that is torn down during a pass crashes the process

    def close(self, seconds: float = 10.0) -> None:
        """Cancel all jobs and wait for the thread to end."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def peek(self, image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> dict[str, ClassMap]:
        """Return the class maps that are cached, coarse first."""
        if model not in self._loader.infos:
            return {}
        found = {str(p.requested): self.cache.get(image.sha256, model, p) for p in plans}
        return coarse_first({key: m for key, m in found.items() if m is not None})

    def info(self, model: ModelKey) -> ModelInfo | None:
        """Return what a model is, or None before it was loaded."""
        return self._loader.infos.get(model)

    def busy(self, model: ModelKey) -> bool:
        """Return whether a model is being prepared."""
        with self._changed:
            return JobKey("preparation", model) in self._jobs

    def works_with(self, name: str) -> bool:
        """Return whether a job with a model, at any output stride, waits or runs."""
        with self._changed:
            return any(job.key.model.name == name for job in self._jobs.values())

    def health(self) -> Health:
        """Return whether the app's default model, the first to be prepared, can be used."""
        if self._default is None:
            return Health(False, "No model has been prepared yet.")
        return self._loader.health(self._default)

    def look(self, job: Job) -> Snapshot:
        """Return a job's state; this changes nothing."""
        with self._changed:
            ahead = self._ahead(job) if job.state == "queued" else []
            return Snapshot.of(job, ahead, self._loader.infos.get(job.key.model))

    def cached(self, image: Source, model: ModelKey, scales: tuple[Scale, ...], fit: Fit) -> Job:
        """Return a finished job with the class maps that are cached: done, or cancelled if some are missing.

        Raises
        ------
        ScaleError
            The scales cannot be planned for this picture.
        """
        plans = plan_scales(image.height, image.width, scales, fit)
        key, maps = job_key(image, model, plans), self.peek(image, model, plans)
        state: State = "done" if len(maps) == len(plans) else "cancelled"
        with self._changed:
            job = self._finished.get(key)
            if job is None or job.fit != fit or not job.has(maps):
                job = Job(key, None, tuple(plans), fit, state, float(state == "done"), None, maps)
            self._finished.keep(job)
        return job

    def submit(
        self, image: Source, model: ModelKey, scales: tuple[Scale, ...], fit: Fit, *, session: str
    ) -> Job:
        """Ask for the class maps of a picture; an equal job in the queue is shared.

        Raises
        ------
        ScaleError
            The scales cannot be planned for this picture.
        FcnError
            Too much work waits, of this session or in total.
        """
        job = self.cached(image, model, scales, fit)
        key = job.key
        if job.state == "done":
            if key != self._last_hit:  # a page asks again at every run
                self._last_hit = key
                record_run(self._loader.infos[model], job, cache_hit=True)
            return job
        with self._changed:
            now = time.monotonic()
            known = self._jobs.get(key)
            shared = known is not None and not known.unwanted(now)
            if known is None or not shared:
                begun = sum(other.nbytes for other in self._jobs.values())
                shown = job.class_maps if begun + job.nbytes <= self.cache.max_bytes else {}
                known = Job(key, image, job.plans, fit, class_maps=dict(shown))
            if session not in known.sessions:
                self._admit(known, session, now)
                known.sessions.add(session)
                self._turns = None
            known.alive_at = now
            if not shared:
                self._add(known)
        return known

    def add_precomputed(
        self, model: ModelKey, info: ModelInfo, sha256: str, class_maps: Iterable[ClassMap]
    ) -> None:
        """Add class maps that were computed earlier with the same model."""
        self._loader.infos[model] = info
        for class_map in class_maps:
            self.cache.put(sha256, model, class_map)

    def prepare(
        self, image: Source, model: ModelKey, scales: tuple[Scale, ...] = (), *, session: str | None = None
    ) -> Job:
        """Load a model, exporting it first if needed, and compute a picture's class maps even if they are cached.

        The job is never abandoned. Without a session it runs only while no other job waits.
        """
        plans = tuple(plan_scales(image.height, image.width, scales)) if scales else ()
        return self._add_shared(Job(JobKey("preparation", model), image, plans, "aspect"), session)

    def field(self, model: ModelKey, *, session: str) -> Future[EffectiveField]:
        """Measure which input pixels influence a cell of a model, once; the job is never abandoned."""
        with self._changed:
            field, is_new = self._measured.field(model)
            if is_new:
                self._add_shared(Job(JobKey("field", model), None, (), "aspect"), session)
            return field

    def measure(
        self, image: Source, model: ModelKey, plan: PlannedScale, what: Measurement, *, session: str
    ) -> Job:
        """Ask for a measurement of a picture; an equal job is shared, and a finished one has its result."""
        key, now = JobKey("measurement", model, image.sha256, (plan,), what), time.monotonic()
        with self._changed:
            if (measured := self._measured.get(key)) is not None:
                return measured
            known = self._jobs.get(key)
            if known is None or known.unwanted(now):
                self._admit(known := Job(key, image, (), "aspect"), session, now)
                self._add(known)
            known.sessions.add(session)
            known.alive_at, self._turns = now, None
            return known

    def keep_alive(self, job: Job, *, session: str) -> None:
        """Say that a session still shows a job: it is not abandoned, and its class maps are evicted last."""
        with self._changed:
            if job.state in FINISHED:
                self._finished.keep(job)
            elif session in job.sessions:
                job.alive_at = max(job.alive_at, time.monotonic())

    def leave(self, job: Job, *, session: str) -> None:
        """Say that a session wants a job no longer; without sessions it stops, and keeps its finished scales."""
        with self._changed:
            job.sessions.discard(session)
            self._turns = None
            if not job.sessions:
                job.stop = True
                self._drop(job)

    def leave_others(self, wanted: Container[JobKey], *, session: str) -> None:
        """Say that a session wants no analyses but these: it leaves all that it asked for earlier.

        A page cannot be sure to know them: a new choice may interrupt its run just after it has asked for a job.
        """
        with self._changed:
            for job in list(self._jobs.values()):
                if job.key.kind == "analysis" and session in job.sessions and job.key not in wanted:
                    self.leave(job, session=session)

    def _add_shared(self, job: Job, session: str | None) -> Job:
        """Add a job that a model needs once, or join the one that is there."""
        with self._changed:
            known = self._jobs.get(job.key)
            if known is None:
                self._add(known := job)
            if session is not None:
                known.sessions.add(session)
            if job.key.kind == "preparation" and self._default is None:
                self._default = job.key.model
            self._turns = None
            return known

    def _add(self, job: Job) -> None:
        job.since = next(self._numbers)
        self._jobs[job.key] = job
        job.download = self._download(job.key.model)
        if job.download is not None:
            job.state = "loading"
            job.download.add_done_callback(partial(self._downloaded, job))
        self._turns = None
        self._changed.notify()

    def _downloaded(self, job: Job, _: Future[Any]) -> None:
        with self._changed:
            if job.state == "loading":
                job.state, self._turns = "queued", None
            self._changed.notify()

    def _admit(self, job: Job, session: str, now: float) -> None:
        """Refuse a job that exceeds a limit; unwanted jobs are dropped first and do not count."""
        for other in [other for other in self._jobs.values() if other.unwanted(now)]:
            self._drop(other)
        own = [other for other in self._jobs.values() if session in other.sessions and not other.stop]
        admit(job, own, len(self._jobs))

    def _work(self) -> None:
        while (turn := self._next_turn()) is not None:
            job, load = turn.waiting.job, None
            ending: State | None = None
            try:
                job.require_wanted(turn.started)
                with self.memory.hold("pass"):
                    predictor, load = self._loader.predictor(job.key.model, job.download)
                    ending = "done" if self._run(job, predictor) else None
            except Cancelled:
                ending = "cancelled"
            except Exception as error:
                ending = "failed"
                self._fail(job, error)
            with self._changed:
                now = time.monotonic()
                job.seconds += now - turn.started
                self._schedule.record(turn, now - turn.started, load, now)
                self._under_way = self._turns = None
                if ending == "done" and job.key.kind in ("analysis", "preparation"):
                    record_run(self._loader.infos[job.key.model], job, cache_hit=False)
                if ending is not None:
                    self._finish(job, ending)
                else:
                    job.state, job.running, job.since = "queued", None, next(self._numbers)
            del turn, job  # an idle queue refers to no job

    def _next_turn(self) -> Turn[Job, ModelKey] | None:
        """Wait for the next turn and begin it; return None once the queue is closed."""
        with self._changed:
            while True:
                now = time.monotonic()
                for job in [job for job in self._jobs.values() if job.unwanted(now)]:
                    self._finish(job, "cancelled")
                waiting = self._waiting()
                if waiting:
                    break
                if self._closed:
                    return None
                self._changed.wait(timeout=_SWEEP_EVERY)
            turn = self._schedule.choose(waiting, self._loader.loaded(), now)
            job = turn.waiting.job
            job.state, self._turns = "loading", None
            if self._decoded is not None and self._decoded[0] is not job:
                self._decoded = None
            self._under_way = turn
            return turn

    def _waiting(self) -> list[Waiting[Job, ModelKey]]:
        queued = [job for job in self._jobs.values() if job.state == "queued"]
        return [job.waiting(self._schedule.expect) for job in queued]

    def _ahead(self, job: Job) -> list[Job]:
        """Return the jobs whose turns come before a job's next one."""
        if self._turns is None:
            now, running = time.monotonic(), self._under_way
            self._turns = self._schedule.coming(self._waiting(), self._loader.loaded(), now, running)
        return self._turns[: self._turns.index(job)] if job in self._turns else []

    def _drop(self, job: Job) -> None:
        """Cancel an unwanted job, unless it is under way: then it notices by itself."""
        if job.state not in FINISHED and (self._under_way is None or self._under_way.waiting.job is not job):
            self._finish(job, "cancelled")

    def _finish(self, job: Job, state: State) -> None:
        job.state, job.running, job.image = state, None, None
        if self._decoded is not None and self._decoded[0] is job:
            self._decoded = None
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        self._turns = None
        self._finished.keep(job)
        self._measured.keep(job)

    def _fail(self, job: Job, error: Exception) -> None:
        """Record a failure for the page and in the log."""
        job.fault, job.error = not isinstance(error, FcnError | MemoryError), message_for_user(error)
        record_failure(job, error, self._loader.infos.get(job.key.model))
        if job.key.kind == "preparation":  # of the sample at its smallest scales: no other job would succeed
            self._loader.failed(job.key.model, error)

    def _run(self, job: Job, predictor: Predictor) -> bool:
        """Run the next missing scale of a job, or its measurement; return whether the job is done."""
        job.state = "running"
        if job.key.kind in ("field", "measurement"):
            self._measure(job, predictor)
            return True
        image, model = job.image, job.key.model
        if image is None:
            raise Cancelled("No session wants this analysis any more.")
        if job.key.kind == "analysis":
            job.class_maps |= self.peek(image, model, job.missing)
        if job.missing:
            plan = job.missing[0]
            started = time.monotonic()
            class_map = self._compute(job, image, predictor, plan)
            self._schedule.learn(model, megapixels([plan]), time.monotonic() - started)
            self.cache.put(image.sha256, model, class_map)
            job.class_maps[str(plan.requested)] = class_map
        if job.missing:
            return False
        job.share = 1.0
        return True

    def _compute(self, job: Job, image: Source, predictor: Predictor, plan: PlannedScale) -> ClassMap:
        """Compute one class map of a job."""
        whole = megapixels(job.plans)
        base, part = (whole - megapixels(job.missing)) / whole, megapixels([plan]) / whole
        job.running, job.share = plan, base

        def checkpoint(share: float) -> None:
            job.share = base + part * share
            job.require_wanted(time.monotonic())

        if self._decoded is None:
            self._decoded = job, image.whole()
        pixels = self._decoded[1]
        compute = partial(compute_class_map, pixels, predictor, plan, checkpoint)
        return self._with_memory(job, predictor, (plan.height, plan.width), compute)

    def _measure(self, job: Job, predictor: Predictor) -> None:
        def checkpoint(share: float) -> None:
            job.share = share
            job.require_wanted(time.monotonic())

        size, compute = work(job, predictor, checkpoint)
        self._measured.run(job, partial(self._with_memory, job, predictor, size, compute))

    def _with_memory(
        self, job: Job, predictor: Predictor, size: tuple[int, int], compute: Callable[[], _Result]
    ) -> _Result:
        """Run passes of a size (height, width), after evicting class maps of other jobs if needed."""

        def evict(missing_mb: float) -> bool:
            with self._changed:
                self._turns = None
                return evict_class_maps(missing_mb, job, self._jobs.values(), self.cache, self._finished)

        def checkpoint() -> None:
            job.require_wanted(time.monotonic())

        return retry_after_eviction(compute, predictor, size, evict, self._release_cached, checkpoint)
