"""Class maps that were computed: by picture for whoever asks again, and by job for the pages that show them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Container

from app.state.queue.jobs import Job, JobKey, ModelKey
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.heatmap import ClassMap


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

    def nbytes_without(self, arrays: Container[int]) -> int:
        """Bytes of those that are not among these arrays, given by their ``id``."""
        with self._lock:
            return sum(m.logits.nbytes for m in self._entries.values() if id(m.logits) not in arrays)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._bytes

    @property
    def max_bytes(self) -> int:
        """Bytes held at most."""
        return self._max_bytes


class HeldJobs:
    """Finished jobs with their class maps, for the pages that show them, in so many bytes.

    Those that were not looked at longest let go of theirs; the one looked at last keeps them, however large.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()

    def get(self, key: JobKey) -> Job | None:
        """The job of this key, if it still has its class maps."""
        return self._jobs.get(key)

    def hold(self, job: Job) -> None:
        """Keep a job's class maps, as it is looked at now."""
        if not job.class_maps:
            return
        self._jobs[job.key] = job
        self._jobs.move_to_end(job.key)
        while len(self._jobs) > 1 and self.nbytes > self._max_bytes:
            self.let_go(next(iter(self._jobs.values())))

    def let_go(self, job: Job) -> None:
        """Let a job's class maps go; who still looks at them asks anew."""
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        job.class_maps = {}
        if job.state == "done":
            job.state = "cancelled"

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Those that are held, the one not looked at longest first."""
        return tuple(self._jobs.values())

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(job.nbytes for job in self._jobs.values())
