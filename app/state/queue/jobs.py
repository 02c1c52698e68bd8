"""What a job is: one picture, one model and some scales; and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fcn_core import settings
from fcn_core.engines.base import ModelInfo
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import Fit, PlannedScale
from fcn_core.maps.heatmap import ClassMap

Kind = Literal["analysis", "warming", "field"]
State = Literal["queued", "loading", "running", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
FORGOTTEN_AFTER = 20.0  # seconds without a look
_CELL_BYTES = 4000  # of a class map: 1000 logits


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
    """What makes two jobs the same: the picture's content, the model, the scales and what they become, the kind.

    An analysis is asked for by a page; warming loads a model, and computes some class maps afresh; a field is the
    measurement of what moves a cell, which needs no picture.
    """

    image_sha256: str
    model: ModelKey
    plans: tuple[PlannedScale, ...] = ()
    kind: Kind = "analysis"


@dataclass(frozen=True)
class Snapshot:
    """A job as it stands, for a page to draw.

    ``place`` counts the turns of others that come before its next one, that under way among them; ``share`` is the
    finished part in [0, 1]; ``class_maps`` holds the scales that are done, coarse first; ``info`` is the model they
    come from, None before any is there; ``error`` is what to tell the user, ``fault`` whether it was the program's own.
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


@dataclass(eq=False)
class Job:
    """One piece of work in the queue; read it through :meth:`app.state.queue.job_queue.Queue.look`.

    Attributes
    ----------
    sessions : set of str
        Who has asked for it and has not left it; none: the app itself.
    since : int
        When it began to wait for its next turn, as a number that grows.
    fetching : Future or None
        Its model's weights, while they are on their way.
    took : float
        Seconds of its turns so far.
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
    looked_at: float = float("inf")
    stop: bool = False
    fetching: Future[Any] | None = None
    took: float = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of its class maps."""
        return sum(m.logits.nbytes for m in list(self.class_maps.values()))

    @property
    def missing(self) -> list[PlannedScale]:
        """The scales that are still to be run, coarse first."""
        return [plan for plan in self.plans if str(plan.requested) not in self.class_maps]

    @property
    def turns(self) -> tuple[float, ...]:
        """Megapixels of the network's input in each turn to come; there is at least one."""
        return tuple(megapixels([plan]) for plan in self.missing) or (0.0,)

    @property
    def holds(self) -> float:
        """Bytes of class maps that it will have at most while it waits between turns."""
        cells = sum(plan.height * plan.width for plan in self.missing[:-1]) / self.key.model.output_stride**2
        return self.nbytes + cells * _CELL_BYTES

    def has(self, maps: Mapping[str, ClassMap]) -> bool:
        """Whether it has these very class maps; it may have more, which the cache was too small for."""
        return all(
            key in self.class_maps and self.class_maps[key].logits is m.logits for key, m in maps.items()
        )

    def unwanted(self, now: float) -> bool:
        """Whether it was stopped or nobody looks any more."""
        return self.stop or now - self.looked_at > FORGOTTEN_AFTER


def job_key(image: Source, model: ModelKey, plans: Iterable[PlannedScale]) -> JobKey:
    """The key of the job that computes these scales of this picture."""
    return JobKey(image.sha256, model, tuple(plans))


def megapixels(plans: Iterable[PlannedScale]) -> float:
    """What the network will see of these scales."""
    return sum(plan.height * plan.width for plan in plans) / 1e6


def coarse_first(class_maps: Mapping[str, ClassMap]) -> dict[str, ClassMap]:
    """The same in the order of input size; a copy, which a job at work does not change."""
    pixels = {key: m.scale.height * m.scale.width for key, m in list(class_maps.items())}
    return {key: class_maps[key] for key in sorted(pixels, key=pixels.__getitem__)}
