"""The class maps of a job as a page shows them, and what is computed from them without running the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from app.state import caches, shared_queue
from app.state.pictures import Picture
from app.state.queue.jobs import Job, coarse_first
from app.state.selection import Selection
from fcn_core.engines.load import ModelInfo
from fcn_core.maps.findings import Finding
from fcn_core.maps.heatmap import ClassMap
from fcn_core.pipeline import Analysis, SynsetMaps, interpret, read_maps
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
    def complete(self) -> bool:
        """Whether all scales are there."""
        return len(self.class_maps) == len(self.job.plans)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the network sees in the picture, strongest first."""
        return caches.findings(self.job.key, caches.identity(self.class_maps), self.class_maps)

    def maps(self, chosen: Selection) -> SynsetMaps:
        """Return the heatmaps of the chosen synset; cheap."""
        return read_maps(
            self.picture.working,
            self.class_maps,
            caches.ontology()[chosen.synset],
            self.info,
            kind=chosen.kind,
            fit=self.job.fit,
            ontology=caches.ontology(),
        )

    def analysis(self, chosen: Selection) -> Analysis:
        """Return the heatmaps and the region of the chosen synset, at the page's working size."""
        picture = self.picture.working
        fine = caches.fine(
            self.job.key,
            caches.identity(self.class_maps),
            chosen.synset,
            chosen.kind,
            chosen.snap,
            picture,
            self.class_maps,
        )
        return interpret(
            picture,
            self.class_maps,
            caches.ontology()[chosen.synset],
            self.info,
            kind=chosen.kind,
            fit=self.job.fit,
            threshold=chosen.cut,
            snap=chosen.snap,
            fine=fine,
            ontology=caches.ontology(),
        )

    def whole_analysis(self, chosen: Selection) -> Callable[[], Analysis]:
        """Return what computes the analysis of the whole picture, once: files are made outside the page's thread."""

        @cache
        def compute() -> Analysis:
            return interpret(
                self.picture.whole(),
                self.class_maps,
                Ontology.load()[chosen.synset],
                self.info,
                kind=chosen.kind,
                fit=self.job.fit,
                threshold=chosen.cut,
                snap=chosen.snap,
            )

        return compute


def coverage(analysis: Analysis) -> float:
    """Return the share of the picture that the mask covers, from 0 to 1."""
    return float(analysis.mask.mean())
