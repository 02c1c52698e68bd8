"""Where the object of the lesson is, and how well heatmaps find it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from app.lesson import experiments, pictures
from app.lesson.experiments import Mask
from app.lesson.language import translated as _
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from app.state import caches, shared_queue
from app.state.samples import SAMPLES
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.pipeline import Analysis, interpret


@dataclass(frozen=True)
class Located:
    """How well one heatmap finds the object.

    Attributes
    ----------
    on : float
        Share of the map's sum that lies on the object, 0 to 1.
    beside : float
        Highest value beside the object, divided by the highest on it; infinite if there is nothing on it.
    """

    on: float
    beside: float


def locate(heatmap: Heatmap, truth: Mask) -> Located:
    """Measure how well a heatmap finds the object whose pixels are True in `truth` (H, W)."""
    spread = place(heatmap, *truth.shape)
    inside, outside = spread[truth], spread[~truth]
    highest, beside = float(inside.max(initial=0.0)), float(outside.max(initial=0.0))
    on, off = (float(part.sum(dtype=np.float64)) for part in (inside, outside))
    return Located(on / (on + off) if on + off else 0.0, beside / highest if highest else np.inf)


def agreement(heatmaps: Iterable[Heatmap], truth: Mask, sure: float = 0.5) -> tuple[float, float]:
    """Return the shares of the True pixels of `truth` where at least one map, and at least two, are above `sure`."""
    votes = np.sum([place(heatmap, *truth.shape)[truth] > sure for heatmap in heatmaps], axis=0)
    return float((votes >= 1).mean()), float((votes >= 2).mean())


def outline_mask(corners: Iterable[pictures.Corners], height: int, width: int) -> Mask:
    """Return a mask (height, width) that is True inside any of several outlines."""
    mask: Mask = np.logical_or.reduce([experiments.polygon_mask(each, height, width) for each in corners])
    return mask


def program_analysis(stage: Stage, always_mark: bool = False) -> Analysis:
    """Return the program's own analysis of the lesson's picture; its mask is computed when it is read.

    Raises
    ------
    NotReadyError
        The network still runs.
    FcnError
        It cannot run.
    """
    maps = stage.class_maps("mean", stage.source, NOTEBOOK_SCALES, "aspect")
    key, info = lesson_state().jobs["mean"][1].key, shared_queue.queue().info(stage.model)
    if info is None:
        raise AssertionError("The queue has class maps of a model that it does not know.")
    identity, wnid, picture = caches.identity(maps), stage.synset, stage.picture
    fine = partial(caches.fine, key, identity, wnid, "evidence", True, picture, maps)
    return interpret(
        picture,
        maps,
        stage.ontology[wnid],
        info,
        fine=partial(caches.fine_of_sample, key, wnid, fine) if stage.source.address in SAMPLES else fine,
        ontology=stage.ontology,
        always_mark=always_mark,
    )


def object_mask(stage: Stage) -> tuple[Mask, bool]:
    """Return the pixels of what is looked for, (H, W) of `stage.picture`, and whether an outline says so.

    Without an outline, the program's own mask takes its place, even where the program is not sure.
    """
    picture = stage.picture
    if stage.outline:
        return outline_mask(stage.outline, picture.height, picture.width), True
    mask = program_analysis(stage, always_mark=True).mask
    if not mask.any():
        word = stage.ontology.label(stage.synset)
        raise FcnError(
            _("Expected a place where “{word}” may be. Received none. Choose another word.", word=word)
        )
    return mask, False
