"""What the figures of a step share: model, picture, live values, checks, and access to the queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.lesson import pictures
from app.lesson.choices import Learner
from app.lesson.experiments import Check
from app.lesson.language import number
from app.lesson.language import translated as _
from app.lesson.session import learner, lesson_state
from app.state import caches, predictors, shared_queue
from app.state.pictures import Picture
from app.state.queue.jobs import Job, Measurement, ModelKey, Snapshot, Source
from app.state.session import session_id
from fcn_core.errors import FcnError
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, PlannedScale, Scale
from fcn_core.maps.findings import findings
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import Geometry
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import MODELS
from fcn_core.synsets.ontology import Ontology


class NotReadyError(Exception):
    """A figure needs numbers that are still computed."""

    def __init__(self, share: float, what: str) -> None:
        super().__init__(what)
        self.share, self.what = share, what


@dataclass(eq=False)
class Stage:
    """One run of the page.

    Attributes
    ----------
    source : Picture
        The lesson's picture, for the network.
    values : dict
        Live values by name, formatted for the text; figures add theirs.
    checks : dict
        Checks by name, added by figures.
    waiting, futures : list
        Jobs and background tasks that figures wait for.
    paper : list of str
        HTML of the current figure, for the handout.
    printed : dict
        HTML of the figures drawn so far, by name.
    """

    model: ModelKey
    source: Picture
    values: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    waiting: list[Job] = field(default_factory=list)
    futures: list[Future[Any]] = field(default_factory=list)
    paper: list[str] = field(default_factory=list)
    printed: dict[str, str] = field(default_factory=dict)

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
        """The lesson's picture, to draw on: a copy if it is large."""
        return self.source.working

    @property
    def chosen(self) -> Learner:
        """What the learner chose."""
        return learner()

    @property
    def synset(self) -> str:
        """Wnid of what is looked for in the picture.

        Raises
        ------
        NotReadyError
            The learner chose none for a picture of their own, and the network still looks at it.
        """
        wnid = self.chosen.synset or pictures.first_synset(self.chosen.picture, self.ontology)
        if wnid:
            return wnid
        found = findings(self.class_maps("first look", self.source, NOTEBOOK_SCALES[:3]))
        return found[0].synset.wnid if found else self.ontology.find("dog").wnid

    @property
    def outline(self) -> tuple[pictures.Corners, ...]:
        """The outline of what is looked for, in pixels of `picture`; empty if none was drawn."""
        name = self.chosen.picture
        if name not in pictures.outlines() or self.synset != pictures.first_synset(name, self.ontology):
            return ()
        share = self.picture.height / self.source.height
        return tuple(tuple((x * share, y * share) for x, y in drawn) for drawn in pictures.outlines()[name])

    def widget(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments by which a widget shows and changes a choice: see :class:`app.state.choices.Choices`."""
        return lesson_state().choices.widget(name, *args, **kwargs)

    def say(self, **values: object) -> None:
        """Add live values for the text; numbers are formatted."""
        self.values.update(
            {
                name: number(value) if isinstance(value, float) else str(value)
                for name, value in values.items()
            }
        )

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
                predictor = self.result_of(
                    caches.preparation(self.model), _("{model} is loading", model=self.spec.title)
                )
                caches.preparation.clear(self.model)
            kept[self.model] = predictor.geometry
        return kept[self.model]

    def class_maps(
        self, purpose: str, image: Source, scales: tuple[Scale, ...], fit: Fit = "aspect"
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
        submit = partial(shared_queue.queue().submit, image, self.model, scales, fit, session=session_id())
        return self._finished(purpose, (image.sha256, self.model, scales, fit), submit)[1].class_maps

    def measured(self, purpose: str, image: Source, plan: PlannedScale, what: Measurement) -> Any:
        """Return a measurement of a picture, made by the queue; see `class_maps`."""
        measure = partial(shared_queue.queue().measure, image, self.model, plan, what, session=session_id())
        return self._finished(purpose, (image.sha256, self.model, plan, what), measure)[0].result

    def _finished(self, purpose: str, key: Any, submit: Callable[[], Job]) -> tuple[Job, Snapshot]:
        """Return the finished job of a purpose; submit it if the session has none of this key."""
        kept = lesson_state().jobs
        before = kept.get(purpose)
        if before is None or before[0] != key:
            kept[purpose] = (key, submit())
            if before is not None:
                _leave(*before, now=key)
        job = kept[purpose][1]
        shared_queue.queue().keep_alive(job, session=session_id())
        now = shared_queue.queue().look(job)
        if now.state == "cancelled":
            del kept[purpose]
            self.waiting.append(job)
            raise NotReadyError(0.0, _("computing again"))
        if now.error:
            raise FcnError(now.error)
        if not now.finished:
            self.waiting.append(job)
            raise NotReadyError(now.share, progress_words(now, self.spec.title))
        return job, now

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


def _leave(key: Any, job: Job, now: Any) -> None:
    """Leave a job whose purpose has another one now, unless another purpose has it, too.

    If that is of another picture or model, nobody waits for the measurements of this one: they would hold up the class
    maps that come before the next measurements.
    """
    kept, left = lesson_state().jobs, [job]
    if key[:2] != now[:2]:
        of_it = [each for each, (k, j) in kept.items() if j.key.kind == "measurement" and k[:2] == key[:2]]
        left += [kept.pop(each)[1] for each in of_it]
    for each in left:
        if all(other is not each for _key, other in kept.values()):
            shared_queue.queue().leave(each, session=session_id())


def progress_words(now: Snapshot, title: str) -> str:
    """Describe what the queue does for a job."""
    if now.state == "queued":
        return _("waiting in the queue")
    if now.state == "loading" or now.running is None:
        return _("{model} is loading", model=title)
    return _(
        "the network runs at {height} × {width} pixels", height=now.running.height, width=now.running.width
    )
