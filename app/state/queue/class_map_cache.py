"""Computed class maps: cached by picture and size for later jobs, and kept with finished jobs for their pages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Container
from dataclasses import replace

from app.state.queue.jobs import Job, JobKey, ModelKey
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.heatmap import ClassMap


class ClassMapCache:
    """Class maps by picture, model and input size; the least recently used are evicted to stay below `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._entries: OrderedDict[tuple[str, ModelKey, int, int], ClassMap] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, model: ModelKey, plan: PlannedScale) -> ClassMap | None:
        """Return the class map of a picture at an input size, or None."""
        key = (sha256, model, plan.height, plan.width)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                if entry.scale != plan:
                    entry = replace(entry, scale=plan)
            return entry

    def put(self, sha256: str, model: ModelKey, class_map: ClassMap) -> None:
        """Add or replace a class map, unless it is larger than the whole cache."""
        size = class_map.nbytes
        key = (sha256, model, class_map.scale.height, class_map.scale.width)
        with self._lock:
            if size > self._max_bytes:
                return
            known = self._entries.pop(key, None)
            if known is not None:
                self._bytes -= known.nbytes
            self._entries[key] = class_map
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, evicted = self._entries.popitem(last=False)
                self._bytes -= evicted.nbytes

    def clear(self) -> None:
        """Evict everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def nbytes_without(self, arrays: Container[int]) -> int:
        """Return the bytes of the class maps whose array's ``id`` is not in `arrays`."""
        with self._lock:
            return sum(m.nbytes for m in self._entries.values() if id(m.logits) not in arrays)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._bytes

    @property
    def max_bytes(self) -> int:
        """Largest number of bytes in use."""
        return self._max_bytes


class FinishedJobs:
    """Finished jobs with their class maps, for the pages that show them.

    The class maps of the least recently shown jobs are evicted to stay below `max_bytes`; the job shown last keeps its
    own, whatever their size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()

    def get(self, key: JobKey) -> Job | None:
        """Return the job of a key if it still has its class maps."""
        return self._jobs.get(key)

    def keep(self, job: Job) -> None:
        """Keep a job that is shown now, and evict others if needed."""
        if not job.class_maps:
            return
        self._jobs[job.key] = job
        self._jobs.move_to_end(job.key)
        while len(self._jobs) > 1 and self.nbytes > self._max_bytes:
            self.evict(next(iter(self._jobs.values())))

    def evict(self, job: Job) -> None:
        """Evict a job's class maps; a page that shows it asks for them again."""
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        job.class_maps = {}
        if job.state == "done":
            job.state = "cancelled"

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs, the least recently shown first."""
        return tuple(self._jobs.values())

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(job.nbytes for job in self._jobs.values())
