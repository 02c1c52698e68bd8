"""What a job is: one picture, one model and some scales; and its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.state.queue.schedule import Waiting
from fcn_core import settings
from fcn_core.engines import effective_field
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.errors import Cancelled
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import Fit, PlannedScale
from fcn_core.maps.heatmap import ClassMap

Kind = Literal["analysis", "preparation", "field", "measurement"]
State = Literal["queued", "loading", "running", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
ABANDONED_AFTER = 20.0  # seconds without a sign of life
_CELL_BYTES = 5120  # of a class map of 1000 logits, and at most 28 % more for its middle maps


class Source(Protocol):
    """A picture that is decoded when it is needed; an `RGBImage` is decoded already."""

    @property
    def sha256(self) -> str:
        """Hash of its file."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""

    def whole(self) -> RGBImage:
        """Decode the picture."""


class Measurement(Protocol):
    """One thing to measure; equal measurements of one picture at one size are one job."""

    def passes(self, cells: int) -> int:
        """Return how many passes of the network it takes."""

    def run(self, predictor: Predictor, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        """Measure; `checkpoint` may raise `Cancelled` between passes."""


@dataclass(frozen=True)
class ModelKey:
    """Which predictor a job needs; the digest is that of a file of one's own, which may change, or ""."""

    name: str
    engine: str = field(default_factory=settings.ENGINE.value)
    output_stride: int = 32
    digest: str = ""


@dataclass(frozen=True)
class JobKey:
    """What makes two jobs the same.

    Attributes
    ----------
    kind : {"analysis", "preparation", "field", "measurement"}
        An analysis computes class maps for a page. A preparation loads a model, and computes some class maps even if
        they are cached. A field measures which input pixels influence a cell of a model. A measurement is one of
        :mod:`app.state.queue.measurements`.
    model : ModelKey
    image_sha256 : str or None
        Of an analysis or a measurement; a model has one preparation and one field, whatever the picture.
    plans : tuple of PlannedScale
        Of an analysis; of a measurement one.
    measurement : Measurement or None
        What is measured.
    """

    kind: Kind
    model: ModelKey
    image_sha256: str | None = None
    plans: tuple[PlannedScale, ...] = ()
    measurement: Measurement | None = None


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment.

    Attributes
    ----------
    state : State
    place : int
        How many turns of other jobs come before its next one, including the one under way.
    others : int
        How many of these turns are for other sessions; the rest is for those that want this job, or for nobody.
    share : float
        Finished part, from 0 to 1.
    running : PlannedScale or None
        The scale under way.
    class_maps : mapping
        The finished scales, coarse first.
    info : ModelInfo or None
        The model; None before it was loaded.
    error : str or None
        What to tell the user.
    fault : bool
        Whether the error is an internal error.
    """

    state: State
    place: int
    share: float
    running: PlannedScale | None
    class_maps: Mapping[str, ClassMap]
    info: ModelInfo | None = None
    error: str | None = None
    fault: bool = False
    others: int = 0

    @classmethod
    def of(cls, job: Job, ahead: Sequence[Job], info: ModelInfo | None) -> Snapshot:
        """Describe a job before whose next turn those of other jobs come, and its model, if that was loaded."""
        others = sum(
            not (other.stop or (other.sessions and other.sessions <= job.sessions)) for other in ahead
        )
        maps = coarse_first(job.class_maps)
        return cls(job.state, len(ahead), job.share, job.running, maps, info, job.error, job.fault, others)

    @property
    def finished(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in FINISHED


@dataclass(eq=False)
class Job:
    """One piece of work; :meth:`app.state.queue.job_queue.Queue.look` reads it.

    Attributes
    ----------
    image : Source or None
        None for a job without a picture, and once it is finished.
    sessions : set of str
        Sessions that want it; empty if the app itself does.
    since : int
        When it began to wait for its next turn, as an increasing number.
    alive_at : float
        Time of the last sign of life from a session; infinite for a job that is never abandoned.
    stop : bool
        Whether no session wants it any more.
    download : Future or None
        The download of its model's weights, if there was one.
    seconds : float
        Total duration of its turns so far.
    result : object
        Of a measurement that is done.
    """

    key: JobKey
    image: Source | None
    plans: tuple[PlannedScale, ...]
    fit: Fit
    state: State = "queued"
    share: float = 0.0
    running: PlannedScale | None = None
    class_maps: dict[str, ClassMap] = field(default_factory=dict)
    error: str | None = None
    fault: bool = False
    sessions: set[str] = field(default_factory=set)
    since: int = 0
    alive_at: float = float("inf")
    stop: bool = False
    download: Future[Any] | None = None
    seconds: float = 0.0
    result: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of its class maps."""
        return sum(m.nbytes for m in list(self.class_maps.values()))

    @property
    def missing(self) -> list[PlannedScale]:
        """The scales that are not computed yet, coarse first."""
        return [plan for plan in self.plans if str(plan.requested) not in self.class_maps]

    @property
    def turns(self) -> tuple[float, ...]:
        """Megapixels of the network's input in each remaining turn; there is at least one turn."""
        if self.key.kind == "field":
            return (effective_field.PASSES * effective_field.SIDE**2 / 1e6,)
        if self.key.measurement is not None:
            (plan,) = self.key.plans
            cells = -(-plan.height // self.key.model.output_stride) * -(
                -plan.width // self.key.model.output_stride
            )
            return (self.key.measurement.passes(cells) * megapixels([plan]),)
        return tuple(megapixels([plan]) for plan in self.missing) or (0.0,)

    @property
    def reserved(self) -> float:
        """Largest number of bytes of class maps that it will have between two turns."""
        cells = sum(plan.height * plan.width for plan in self.missing[:-1]) / self.key.model.output_stride**2
        done = sum(m.grid[0] * m.grid[1] for m in list(self.class_maps.values()))
        return self.nbytes + cells * (self.nbytes / done if done else _CELL_BYTES)

    def waiting(self, expect: Callable[[ModelKey, float], float]) -> Waiting[Job, ModelKey]:
        """Describe it to the schedule; `expect` returns the seconds that a model takes for some megapixels."""
        model = self.key.model
        seconds = tuple(expect(model, size) for size in self.turns)
        sessions, begun = frozenset(self.sessions), self.seconds > 0
        return Waiting(self, sessions, model, seconds, self.since, self.reserved, begun)

    def has(self, maps: Mapping[str, ClassMap]) -> bool:
        """Return whether it has these very class maps; it may have more, which were too large for the cache."""
        return all(
            key in self.class_maps and self.class_maps[key].logits is m.logits for key, m in maps.items()
        )

    def unwanted(self, now: float) -> bool:
        """Return whether all sessions have left it, or none has given a sign of life for a while."""
        return self.stop or now - self.alive_at > ABANDONED_AFTER

    def require_wanted(self, now: float) -> None:
        """Raise `Cancelled` if no session wants it any more."""
        if self.unwanted(now):
            raise Cancelled("No session wants this analysis any more.")


def job_key(image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> JobKey:
    """Return the key of the analysis of a picture at these scales."""
    return JobKey("analysis", model, image.sha256, tuple(plans))


def megapixels(plans: Iterable[PlannedScale]) -> float:
    """Return the size of the network's input at these scales."""
    return sum(plan.height * plan.width for plan in plans) / 1e6


def coarse_first(class_maps: Mapping[str, ClassMap]) -> dict[str, ClassMap]:
    """Return a copy sorted by input size; the running job does not change it."""
    pixels = {key: m.scale.height * m.scale.width for key, m in list(class_maps.items())}
    return {key: class_maps[key] for key in sorted(pixels, key=pixels.__getitem__)}
