"""The class maps of a job as a page shows them, and what is computed from them without running the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.state import caches, models, shared_queue
from app.state.caches import Outlined
from app.state.pictures import Picture
from app.state.queue.jobs import Job, coarse_first
from app.state.selection import Selection
from fcn_core.engines.base import ModelInfo
from fcn_core.maps.findings import WORTH_SAYING, Finding
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.presence import presence
from fcn_core.maps.taught import taught_synset
from fcn_core.pipeline import PRESENCE_FLOOR, Analysis, MapOptions, interpret
from fcn_core.synsets.ontology import Ontology


@dataclass(frozen=True, eq=False)
class View:
    """The class maps that a job has at this moment, and the picture they are of.

    It lives for one run: a session keeps the job only, so that the queue can evict its class maps.
    """

    job: Job
    picture: Picture
    info: ModelInfo
    class_maps: Mapping[str, ClassMap]

    @classmethod
    def of(cls, job: Job | None, picture: Picture) -> View | None:
        """Return the view of a job, or None if it has no class maps, not yet or no longer."""
        if job is None:
            return None
        class_maps, info = coarse_first(job.class_maps), shared_queue.queue().info(job.key.model)
        return cls(job, picture, info, class_maps) if class_maps and info is not None else None

    @property
    def ontology(self) -> Ontology:
        """The hierarchy above the classes of the class maps."""
        return self.info.outputs.ontology

    def fitting(self, chosen: Selection) -> Selection:
        """Return what to show of these class maps; they may be of the model that was chosen before.

        A synset that this model never learned gives way to what it sees.
        """
        if self.ontology is chosen.ontology:
            return chosen
        wnid = models.translated(chosen.synset, chosen.ontology, self.ontology)
        if not wnid and self.surest is not None:
            wnid = self.surest.synset.wnid
        shown = replace(chosen, synset=wnid or models.first_synsets(self.ontology)[0], threshold=None)
        return replace(shown, model=self.job.key.model.name)

    @property
    def complete(self) -> bool:
        """Whether all scales are there."""
        return len(self.class_maps) == len(self.job.plans)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is in the picture, most certain first."""
        return tuple(found for found in self._guesses if found.presence >= WORTH_SAYING)

    @property
    def doubtful(self) -> tuple[Finding, ...]:
        """What may be in the picture, but is not worth saying at first; most certain first."""
        return tuple(found for found in self._guesses if found.presence < WORTH_SAYING)

    @property
    def surest(self) -> Finding | None:
        """What is in the picture rather than anything else, even if that is not certain."""
        return next(iter(self._guesses), None)

    @property
    def _guesses(self) -> tuple[Finding, ...]:
        return caches.guesses(self.job.key, caches.identity(self.class_maps), self.class_maps)

    def present(self, wnid: str) -> bool:
        """Whether a synset counts as there."""
        synset = self.ontology[wnid]
        return presence(self.class_maps, synset, ontology=self.ontology) >= PRESENCE_FLOOR

    def analysis(self, chosen: Selection) -> Analysis:
        """Return the analysis of the chosen synset at the page's working size; its region is computed when read."""
        picture = self.picture.working

        def fine() -> NDArray[np.float32]:
            identity = caches.identity(self.class_maps)
            return caches.fine(
                self.job.key, identity, chosen.synset, chosen.kind, chosen.snap, picture, self.class_maps
            )

        return interpret(
            picture,
            self.class_maps,
            self.ontology[chosen.synset],
            self.info,
            self._options(chosen),
            fine=fine,
            ontology=self.ontology,
        )

    def outlined(self, chosen: Selection, wnid: str, others: tuple[str, ...] = ()) -> Outlined:
        """Return the outlines of a synset, none if it is not there; they are computed once.

        Where masks overlap, a place belongs to the one of the synset and `others` that is most probably there: by its
        presence times its fine map. But what lies for the most part on a person is worn or held, and keeps its place.
        """
        asked = self._asked(chosen, wnid)
        kind = asked.kind if not asked.snap else "evidence"
        way = asked.snap, kind, asked.threshold, asked.trace, others
        identity = caches.identity(self.class_maps)

        def mask() -> NDArray[np.bool_]:
            own: NDArray[np.bool_] = self.analysis(asked).mask
            return apart(own, [self._lost(chosen, wnid, own, other) for other in others])

        return caches.outlined(self.job.key, identity, wnid, way, mask)

    def _asked(self, chosen: Selection, wnid: str) -> Selection:
        """Return the selection for a synset that is outlined; the threshold is that of the chosen synset alone."""
        asked = replace(chosen, synset=wnid)
        return asked if wnid == chosen.synset else replace(asked, threshold=None, trace=False)

    def _lost(self, chosen: Selection, wnid: str, mask: NDArray[np.bool_], other: str) -> NDArray[np.bool_]:
        """Return the pixels of a synset's mask that belong to another one."""
        theirs = self.outlined(chosen, other).mask
        both: NDArray[np.bool_] = mask & theirs
        if not both.any() or self._is_on(theirs, both, wnid):
            return both
        if self._is_on(mask, both, other):
            return np.zeros_like(both)
        own, there = (self.analysis(self._asked(chosen, each)) for each in (wnid, other))
        lost: NDArray[np.bool_] = both & (there.presence * there.fine > own.presence * own.fine)
        return lost

    def _is_on(self, mask: NDArray[np.bool_], both: NDArray[np.bool_], wnid: str) -> bool:
        """Return whether a mask, of which `both` is a person's as well, is of something on that person."""
        is_taught = taught_synset(self.ontology.class_ids(wnid), self.ontology) is not None
        return is_taught and 2 * int(both.sum()) >= int(mask.sum())

    def _options(self, chosen: Selection) -> MapOptions:
        return MapOptions(chosen.kind, self.job.fit, chosen.cut, chosen.snap, chosen.trace)

    def whole_analysis(self, chosen: Selection) -> Callable[[], Analysis]:
        """Return what computes the analysis of the whole picture: files are made outside the page's thread."""

        def compute() -> Analysis:
            synset = self.ontology[chosen.synset]
            return interpret(self.picture.whole(), self.class_maps, synset, self.info, self._options(chosen))

        return compute


def apart(mask: NDArray[np.bool_], others: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return what is left of a mask outside of others; nothing if they cover more than two thirds of it.

    What is left then is the rim around the others, seldom the thing itself: looked at on 24 photographs.
    """
    left = mask.copy()
    for other in others:
        left &= ~other
    return left if 3 * left.sum() >= mask.sum() else np.zeros_like(mask)
