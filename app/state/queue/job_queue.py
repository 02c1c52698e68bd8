"""The one queue of analyses, for all users of the app.

Its thread runs one scale of one job, then chooses again (:mod:`app.state.queue.turns`): scales are run coarse
first and each
finished class map can be shown at once. Equal jobs are the same job, of all the sessions that have asked for it. One
that all have left, or that nobody has looked at for a while (its browser was closed), is cancelled; between bands and
scales it notices, and its memory returns. A model's weights are fetched beside the queue, which goes on meanwhile.

Memory is bounded: a picture is decoded when its turn comes, and class maps are kept in so many bytes, those of
finished jobs in as many again. All of them give way where a pass would not fit into the budget. Where a job's have
given way to others', its page asks for them anew. Work that waits is bounded too, for each session and in all.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any

from app.state.queue.admission import admit
from app.state.queue.class_map_cache import ClassMapCache, HeldJobs
from app.state.queue.job_log import record_failure, record_run, told
from app.state.queue.jobs import (
    FINISHED,
    Job,
    JobKey,
    ModelKey,
    Snapshot,
    Source,
    State,
    coarse_first,
    job_key,
    megapixels,
)
from app.state.queue.loader import Health, Loader
from app.state.queue.room import let_go, with_room
from app.state.queue.turns import Turns, Waiting
from fcn_core.engines import effective_field
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import Cancelled, FcnError
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import Fit, PlannedScale, Scale, plan_scales
from fcn_core.maps.heatmap import ClassMap
from fcn_core.pipeline import Step, compute_class_maps

_LOOKS_EVERY = 20.0  # seconds, for jobs that nobody looks at any more


class Queue:
    """Runs jobs, one scale after another, in a thread of its own.

    Parameters
    ----------
    load : callable
        Gives the predictor of a model; may take long, may raise.
    cache : ClassMapCache
        Where finished class maps are kept and looked for.
    loaded : callable, optional
        Gives the models that are loaded, the one that will leave first at the beginning. By default those that were
        loaded here stay.
    room : int
        How many models stay loaded.
    fetch : callable, optional
        Starts to fetch what a model needs to be loaded, where that is not on this machine; None where it is.
    """

    def __init__(
        self,
        load: Callable[[ModelKey], Predictor],
        cache: ClassMapCache,
        loaded: Callable[[], Sequence[ModelKey]] | None = None,
        room: int = 1,
        fetch: Callable[[ModelKey], Future[Any] | None] = lambda _: None,
        relieve: Callable[[], None] = lambda: None,
    ) -> None:
        self.cache, self._fetch, self._relieve = cache, fetch, relieve
        self._loader = Loader(load, loaded)
        self._turns: Turns[Job, ModelKey] = Turns(room, cache.max_bytes / 4)
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()
        self._default: ModelKey | None = None
        self._fields: dict[ModelKey, Future[EffectiveField]] = {}
        self._held = HeldJobs(cache.max_bytes)
        self._changed = threading.Condition(threading.RLock())  # weights that are there at once tell at once
        self._closed = False
        self._last_hit: JobKey | None = None
        self._numbers = count()
        self._under_way: tuple[Waiting[Job, ModelKey], bool, float] | None = None  # a turn, and when it began
        self._places: dict[Job, int] | None = None
        self._whole: tuple[Job, RGBImage] | None = None  # the picture of the job that had the last turn
        self._thread = threading.Thread(target=self._work, name="analyses", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # an engine that is torn down in mid-run takes the process with it

    def close(self, seconds: float = 10.0) -> None:
        """Cancel everything and wait for the thread to end."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        self._thread.join(seconds)

    # What is known

    def peek(self, image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> dict[str, ClassMap]:
        """Those of the class maps that are here already, coarse first; asks for none."""
        if model not in self._loader.infos:
            return {}
        found = {str(p.requested): self.cache.get(image.sha256, model, p) for p in plans}
        return coarse_first({key: m for key, m in found.items() if m is not None})

    def info(self, model: ModelKey) -> ModelInfo | None:
        """What a model is, once it was loaded."""
        return self._loader.infos.get(model)

    def busy(self, model: ModelKey) -> bool:
        """Whether the model is being loaded, or computing what comes with loading it."""
        with self._changed:
            return _warming(model) in self._jobs

    def health(self) -> Health:
        """Whether the model that was warmed first, the app's default, can be used."""
        if self._default is None:
            return Health(False, "No model was asked for yet.")
        return self._loader.health(self._default)

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
            if job is None or job.fit != fit or not job.has(maps):
                job = Job(key, None, tuple(plans), fit, state, float(state == "done"), None, maps)
            self._held.hold(job)
        return job

    # What is asked for

    def submit(
        self, image: Source, model: ModelKey, scales: tuple[Scale, ...], fit: Fit, *, session: str
    ) -> Job:
        """Ask for a picture's class maps; an equal job that is waiting or running is shared.

        Raises
        ------
        ScaleError
            The scales cannot be planned for this picture.
        FcnError
            It is more than this session, or all together, may have waiting.
        """
        job = self.found(image, model, scales, fit)
        key = job.key
        if job.state == "done":
            if key != self._last_hit:  # a page asks again at every rerun
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
                self._places = None
            known.looked_at = now
            if not shared:
                self._add(known)
        return known

    def adopt(self, model: ModelKey, info: ModelInfo, sha256: str, class_maps: Iterable[ClassMap]) -> None:
        """Take class maps that were computed elsewhere as this model's."""
        self._loader.infos[model] = info
        for class_map in class_maps:
            self.cache.put(sha256, model, class_map)

    def warm(
        self, image: Source, model: ModelKey, scales: tuple[Scale, ...] = (), *, session: str | None = None
    ) -> Job:
        """Load a model, preparing it where needed, and compute a picture's class maps afresh.

        It goes on whether or not somebody looks; where no session has asked for it, while nobody waits.
        """
        plans = tuple(plan_scales(image.height, image.width, scales)) if scales else ()
        return self._for_all(Job(_warming(model), image, plans, "aspect"), session)

    def field(self, model: ModelKey, *, session: str) -> Future[EffectiveField]:
        """What moves a cell of a model: measured once, in its turn, whether or not somebody still asks."""
        with self._changed:
            if model not in self._fields:
                self._fields[model] = Future()
                self._for_all(Job(JobKey("", model, (), "field"), None, (), "aspect"), session)
            return self._fields[model]

    def look(self, job: Job) -> Snapshot:
        """See how far a job is; looking also keeps it alive."""
        with self._changed:
            job.looked_at = max(job.looked_at, time.monotonic())
            if job.state in FINISHED:
                self._held.hold(job)
            return Snapshot(
                job.state,
                self._place(job) if job.state == "queued" else 0,
                job.share,
                job.running,
                coarse_first(job.class_maps),
                self._loader.infos.get(job.key.model),
                job.error,
                job.fault,
            )

    def leave(self, job: Job, *, session: str) -> None:
        """Want a job no longer: where nobody else does, it stops between bands or scales. What is done stays."""
        with self._changed:
            job.sessions.discard(session)
            self._places = None
            if not job.sessions:
                job.stop = True
                self._drop(job)

    def _for_all(self, job: Job, session: str | None) -> Job:
        """Add what a model needs once, or join those who have asked for it."""
        with self._changed:
            known = self._jobs.get(job.key)
            if known is None:
                self._add(known := job)
            if session is not None:
                known.sessions.add(session)
            if job.key.kind == "warming" and self._default is None:
                self._default = job.key.model
            self._places = None
            return known

    def _add(self, job: Job) -> None:
        job.since = next(self._numbers)
        self._jobs[job.key] = job
        job.fetching = self._fetch(job.key.model)
        if job.fetching is not None:
            job.state = "loading"
            job.fetching.add_done_callback(partial(self._fetched, job))
        self._places = None
        self._changed.notify()

    def _fetched(self, job: Job, _: Future[Any]) -> None:
        with self._changed:
            if job.state == "loading":
                job.state, self._places = "queued", None
            self._changed.notify()

    def _admit(self, job: Job, session: str, now: float) -> None:
        """Refuse what would be too much; jobs that nobody wants any more do not count, and go."""
        for other in [other for other in self._jobs.values() if other.unwanted(now)]:
            self._drop(other)
        own = [other for other in self._jobs.values() if session in other.sessions and not other.stop]
        admit(job, own, len(self._jobs))

    # What is done

    def _work(self) -> None:
        while (turn := self._next_turn()) is not None:
            waiting, overtook, started = turn
            job, load = waiting.job, None
            ending: State | None = None
            try:
                if job.unwanted(started):
                    raise Cancelled("Nobody waits for this analysis any more.")
                predictor, load = self._predictor(job)
                ending = "done" if self._run(job, predictor) else None
            except Cancelled:
                ending = "cancelled"
            except Exception as error:
                ending = "failed"
                self._fail(job, error)
            with self._changed:
                now = time.monotonic()
                job.took += now - started
                self._turns.took(waiting, overtook, now - started, load, now)
                self._under_way = self._places = None
                if ending == "done" and job.key.kind != "field":
                    record_run(self._loader.infos[job.key.model], job, cache_hit=False)
                if ending is not None:
                    self._finish(job, ending)
                else:
                    job.state, job.running, job.since = "queued", None, next(self._numbers)
            del turn, waiting, job  # while nobody waits, nothing is held

    def _next_turn(self) -> tuple[Waiting[Job, ModelKey], bool, float] | None:
        """Wait for the next turn and begin it: who has it, whether it overtakes, and when it began."""
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
                self._changed.wait(timeout=_LOOKS_EVERY)
            chosen, overtakes = self._turns.choose(waiting, self._loader.loaded(), now)
            chosen.job.state, self._places = "loading", None
            if self._whole is not None and self._whole[0] is not chosen.job:
                self._whole = None
            self._under_way = chosen, overtakes, now
            return self._under_way

    def _waiting(self) -> list[Waiting[Job, ModelKey]]:
        waiting = []
        for job in self._jobs.values():
            if job.state == "queued":
                model, sizes = job.key.model, job.turns
                if job.key.kind == "field":
                    sizes = (effective_field.PASSES * effective_field.SIDE**2 / 1e6,)
                seconds = tuple(self._turns.expect(model, size) for size in sizes)
                sessions, begun = frozenset(job.sessions), job.took > 0
                waiting.append(Waiting(job, sessions, model, seconds, job.since, job.holds, begun))
        return waiting

    def _place(self, job: Job) -> int:
        """Turns of others before a job's next one; foreseen for all whenever something has changed."""
        if self._places is None:
            now, running = time.monotonic(), None
            if self._under_way is not None:
                turn, overtook, started = self._under_way
                running = turn, overtook, now - started
            self._places = self._turns.places(self._waiting(), self._loader.loaded(), now, running)
        return self._places.get(job, 0)

    def _drop(self, job: Job) -> None:
        """Cancel a job that is not wanted, unless it is under way: then it notices by itself."""
        if job.state not in FINISHED and (self._under_way is None or self._under_way[0].job is not job):
            self._finish(job, "cancelled")

    def _finish(self, job: Job, state: State) -> None:
        job.state, job.running, job.image = state, None, None
        if self._whole is not None and self._whole[0] is job:
            self._whole = None
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        self._places = None
        self._held.hold(job)
        if job.key.kind == "field" and not self._fields[job.key.model].done():
            # The model could not be loaded: where it is asked for again, as this job is gone, it is tried again.
            self._fields.pop(job.key.model).set_exception(
                FcnError(job.error or "The measurement was stopped.")
            )

    def _fail(self, job: Job, error: Exception) -> None:
        """Tell the page of a failure, and the operator."""
        job.fault, job.error = not isinstance(error, FcnError | MemoryError), told(error)
        record_failure(job, error, self._loader.infos.get(job.key.model))
        if (
            job.key.kind == "warming"
        ):  # the sample at its smallest scales: what fails at that cannot serve anybody
            self._loader.failed(job.key.model, error)

    def _predictor(self, job: Job) -> tuple[Predictor, float | None]:
        """Give a job's model, and the seconds that loading it took; None where it was there."""
        return self._loader.predictor(job.key.model, job.fetching)

    def _run(self, job: Job, predictor: Predictor) -> bool:
        """Give a job its turn: the next scale that is not there yet, or a measurement; whether it is done by that."""
        job.state = "running"
        if job.key.kind == "field":
            self._measure(job, predictor)
            return True
        image, model, whole = job.image, job.key.model, megapixels(job.plans)
        if image is None:
            raise Cancelled("Nobody waits for this analysis any more.")
        if job.key.kind == "analysis":
            job.class_maps |= self.peek(image, model, job.missing)
        if job.missing:
            plan = job.missing[0]
            base, part = (whole - megapixels(job.missing)) / whole, megapixels([plan]) / whole
            job.running, job.share = plan, base

            def progress(step: Step) -> None:
                job.share = base + part * step.share

            def stopped() -> bool:
                return job.unwanted(time.monotonic())

            pixels = self._decoded(job, image)
            started = time.monotonic()
            compute = partial(
                compute_class_maps,
                pixels,
                predictor,
                [Scale(plan.height, plan.width)],
                "exact",
                progress,
                stopped,
            )
            make_room = partial(self._make_room, job)
            size = plan.height, plan.width
            (fresh,) = with_room(compute, predictor, size, make_room, self._relieve).values()
            self._turns.learn(model, megapixels([plan]), time.monotonic() - started)
            class_map = ClassMap(fresh.logits, fresh.cells, plan, fresh.seconds)
            self.cache.put(image.sha256, model, class_map)
            job.class_maps[str(plan.requested)] = class_map
        if job.missing:
            return False
        job.share = 1.0
        return True

    def _decoded(self, job: Job, image: Source) -> RGBImage:
        """A job's picture, which is kept while no other has a turn."""
        if self._whole is None:
            self._whole = job, image.whole()
        return self._whole[1]

    def _measure(self, job: Job, predictor: Predictor) -> None:
        def checkpoint(share: float) -> None:
            job.share = share
            if job.stop:
                raise Cancelled("Stopped before the measurement was done.")

        found = self._fields[job.key.model]
        try:
            compute = partial(effective_field.measure, predictor, checkpoint)
            size = effective_field.SIDE, effective_field.SIDE
            make_room = partial(self._make_room, job)
            found.set_result(with_room(compute, predictor, size, make_room, self._relieve))
        except Cancelled:
            raise
        except Exception as error:
            found.set_exception(FcnError(told(error)))
            raise

    def _make_room(self, job: Job, missing_mb: float) -> bool:
        with self._changed:
            self._places = None
            return let_go(missing_mb, job, self._jobs.values(), self.cache, self._held)


def _warming(model: ModelKey) -> JobKey:
    return JobKey("", model, (), "warming")
