"""What the queue measures once for everybody who asks: of a model, and of one picture."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.state.queue.job_log import message_for_user
from app.state.queue.jobs import Job, JobKey, ModelKey
from fcn_core.engines import effective_field
from fcn_core.engines.base import Predictor
from fcn_core.engines.effective_field import EffectiveField
from fcn_core.errors import Cancelled, FcnError
from fcn_core.images.resize import ResizedImage

_KEPT = 12  # results, of at most two megabytes


@dataclass(frozen=True)
class LastLayerOf:
    """What goes into the last layer, and its weights for some classes.

    Its result is a :class:`fcn_core.engines.last_layer.LastLayer`.
    """

    classes: tuple[int, ...]

    def passes(self, cells: int) -> int:  # noqa: ARG002
        """Return how many passes of the network it takes."""
        return 1

    def run(self, predictor: Predictor, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        """Run the network up to its last layer."""
        checkpoint(0.0)
        return predictor.last_layer(image, self.classes)


@dataclass(frozen=True)
class FieldOfEachCell:
    """How much each part of the picture moves each cell.

    Its result is that of :func:`fcn_core.engines.effective_field.measure_cells`.
    """

    def passes(self, cells: int) -> int:
        """Return how many passes of the network it takes."""
        return 1 + cells

    def run(self, predictor: Predictor, image: ResizedImage, checkpoint: Callable[[float], None]) -> Any:
        """Change one part of the picture after another."""
        return effective_field.measure_cells(predictor, image, checkpoint)


class Measured:
    """What was measured: the effective fields of models as futures, and the jobs that measured pictures.

    The number of those jobs is bounded; the least recently shown one is dropped first.
    """

    def __init__(self) -> None:
        self._fields: dict[ModelKey, Future[EffectiveField]] = {}
        self._jobs: OrderedDict[JobKey, Job] = OrderedDict()

    def field(self, model: ModelKey) -> tuple[Future[EffectiveField], bool]:
        """Return the field of a model, and whether nobody asked for it before."""
        is_new = model not in self._fields
        return self._fields.setdefault(model, Future()), is_new

    def get(self, key: JobKey) -> Job | None:
        """Return the job of a key if it was measured, and keep it longest."""
        if key in self._jobs:
            self._jobs.move_to_end(key)
        return self._jobs.get(key)

    def keep(self, job: Job) -> None:
        """Keep a finished job with its result; tell who waits for a field that there will be none."""
        if job.result is not None:
            self._jobs[job.key] = job
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        model = job.key.model
        if job.key.kind == "field" and not self._fields[model].done():
            # The model could not be loaded. The next request makes a new job, which tries again.
            error = job.error or "The measurement was stopped. Open this tab again to repeat it."
            self._fields.pop(model).set_exception(FcnError(error))

    def run(self, job: Job, compute: Callable[[], Any]) -> None:
        """Measure what a job asks for."""
        if job.key.kind == "measurement":
            job.result = compute()
            return
        field = self._fields[job.key.model]
        try:
            field.set_result(compute())
        except Cancelled:
            raise
        except Exception as error:
            field.set_exception(FcnError(message_for_user(error)))
            raise


def work(
    job: Job, predictor: Predictor, checkpoint: Callable[[float], None]
) -> tuple[tuple[int, int], Callable[[], Any]]:
    """Return the input size (height, width) of the passes that a job needs, and the function that measures."""
    if job.key.measurement is None or job.image is None:
        side = effective_field.SIDE
        return (side, side), partial(effective_field.measure, predictor, checkpoint)
    plan = job.running = job.key.plans[0]
    image = ResizedImage(job.image.whole().pixels, plan.height, plan.width)
    return (plan.height, plan.width), partial(job.key.measurement.run, predictor, image, checkpoint)
