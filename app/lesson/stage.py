"""What the figures of a step share: model, picture, live values, checks, and access to the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import skimage.data

from app.lesson.experiments import Check
from app.lesson.session import lesson_state
from app.lesson.text import FOLDER
from app.state import caches, predictors, shared_queue
from app.state.queue.jobs import Job, ModelKey, Snapshot
from app.state.session import session_id
from fcn_core.errors import FcnError
from fcn_core.images.read import RGBImage, image_from_array
from fcn_core.images.scales import Fit, Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import Geometry
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.synsets.ontology import Ontology

SYNSET = "n02121620"  # cat, as in the picture


class NotReadyError(Exception):
    """A figure needs numbers that are still computed."""

    def __init__(self, share: float, what: str) -> None:
        super().__init__(what)
        self.share, self.what = share, what


@cache
def cat_picture() -> RGBImage:
    """Return the lesson's picture: "Chelsea" by Stefan van der Walt, CC0, from scikit-image."""
    return image_from_array(skimage.data.chelsea(), "cat")


@cache
def cat_outline() -> tuple[tuple[float, float], ...]:
    """Return the hand-drawn outline of the cat: corners (x, y) in pixels of the picture."""
    corners = json.loads((FOLDER / "cat_outline.json").read_text(encoding="utf-8"))["polygon"]
    return tuple((float(x), float(y)) for x, y in corners)


def available_models() -> tuple[str, ...]:
    """Return the models whose weights are on this machine, the default model first."""
    try:
        first = model_spec().name
    except FcnError:
        first = next(iter(MODELS))
    here = [name for name, spec in MODELS.items() if find_weights(spec) is not None]
    return tuple(sorted(here, key=lambda name: name != first)) or (first,)


@dataclass(eq=False)
class Stage:
    """One run of the page.

    Attributes
    ----------
    values : dict
        Live values by name, formatted for the text; figures add theirs.
    checks : dict
        Checks by name, added by figures.
    waiting, futures : list
        Jobs and background tasks that figures wait for.
    paper : list of str
        HTML of the current figure, for the handout.
    """

    model: ModelKey
    values: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    waiting: list[Job] = field(default_factory=list)
    futures: list[Future[Any]] = field(default_factory=list)
    paper: list[str] = field(default_factory=list)

    @property
    def spec(self) -> ModelSpec:
        """The model's entry in the zoo."""
        return MODELS[self.model.name]

    @property
    def ontology(self) -> Ontology:
        """The hierarchy of synsets."""
        return Ontology.load()

    @property
    def picture(self) -> RGBImage:
        """The lesson's picture."""
        return cat_picture()

    def say(self, **values: object) -> None:
        """Add live values for the text."""
        self.values.update({name: shown(value) for name, value in values.items()})

    def geometry(self) -> Geometry:
        """Return where the model's cells look, from the session's memory if possible.

        Raises
        ------
        NotReadyError
            The model is still loading.
        FcnError
            The model cannot be loaded.
        """
        kept = lesson_state().geometry
        if self.model not in kept:
            predictor = predictors.predictor(self.model)
            if predictor is None:
                predictor = self.result_of(caches.preparation(self.model), f"{self.spec.title} is loading")
                caches.preparation.clear(self.model)
            kept[self.model] = predictor.geometry
        return kept[self.model]

    def class_maps(
        self, purpose: str, image: RGBImage, scales: tuple[Scale, ...], fit: Fit = "aspect"
    ) -> Mapping[str, ClassMap]:
        """Return class maps of a picture, computed by the queue.

        Parameters
        ----------
        purpose : str
            The session keeps one job per purpose, so that a step ends even if the cache is too small for all its maps.

        Raises
        ------
        NotReadyError
            They are still computed.
        FcnError
            They cannot be computed.
        """
        kept = lesson_state().jobs
        key = (image.sha256, self.model, scales, fit)
        if purpose not in kept or kept[purpose][0] != key:
            kept[purpose] = (
                key,
                shared_queue.queue().submit(image, self.model, scales, fit, session=session_id()),
            )
        job = kept[purpose][1]
        shared_queue.queue().keep_alive(job, session=session_id())
        now = shared_queue.queue().look(job)
        if now.state == "cancelled":
            del kept[purpose]
            self.waiting.append(job)
            raise NotReadyError(0.0, "computing again")
        if now.error:
            raise FcnError(now.error)
        if not now.finished:
            self.waiting.append(job)
            raise NotReadyError(now.share, progress_words(now, self.spec.title))
        return now.class_maps

    @property
    def busy(self) -> bool:
        """Whether a figure waits for a job or a background task."""
        return bool(self.waiting or self.futures)

    def result_of(self, future: Future[Any], what: str) -> Any:
        """Return the result of a background task, or raise `NotReadyError` if it is still running."""
        if not future.done():
            self.futures.append(future)
            raise NotReadyError(0.0, what)
        return future.result()


def progress_words(now: Snapshot, title: str) -> str:
    """Describe what the queue does for a job."""
    if now.state == "queued":
        return "waiting in the queue"
    if now.state == "loading" or now.running is None:
        return f"{title} is loading"
    return f"the network runs at {now.running.height} × {now.running.width} pixels"


def shown(value: object) -> str:
    """Format a live value for the text: numbers short, all else as it is."""
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.1 or abs(value) >= 1000 else f"{value:.2f}"
    return str(value)


def percent(share: float) -> str:
    """Format a share as a percentage."""
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
