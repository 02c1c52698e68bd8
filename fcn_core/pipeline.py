"""From a picture to an analysis: the network once a scale, then everything that is cheap.

:func:`compute_class_maps` is the expensive half and knows no synset; :func:`interpret` is the cheap half, so a
new synset, mean or threshold never runs the network again. :func:`analyse` is both.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.load import ModelInfo, Predictor
from fcn_core.errors import Cancelled, FcnError, ScaleError
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, PlannedScale, ResizedImage, Scale, plan_scales
from fcn_core.maps.heatmap import ClassMap, Heatmap, MapKind, combine, synset_heatmap
from fcn_core.maps.region import Box, Regions, boxes_of, fine_map, suggest_threshold, threshold_mask
from fcn_core.synsets.ontology import Ontology, Synset
from fcn_core.system import memory

# Name in a manifest -> the distributions that may bring it.
_VERSIONS = {
    **{name: (name,) for name in ("numpy", "openvino", "keras", "scikit-image", "scipy", "pillow")},
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
}


@dataclass(frozen=True)
class Step:
    """How far an analysis has come: within one scale, or at its end with its class map.

    Attributes
    ----------
    scale : PlannedScale
        The one at work, the `index`-th of `count`, coarse first.
    share : float
        Of this scale, from 0 to 1.
    class_map : ClassMap or None
        Once the scale is done.
    """

    scale: PlannedScale
    index: int
    count: int
    share: float
    class_map: ClassMap | None = None


Progress = Callable[[Step], None]


@dataclass(frozen=True, eq=False)
class SynsetMaps:
    """One picture, one synset and one model: a heatmap a scale, and their means.

    Attributes
    ----------
    class_maps, heatmaps : mapping
        By scale as requested ("200x320"), coarse first.
    arithmetic, geometric : Heatmap
        Means over the scales at the finest grid, by the notebook's formulas.
    """

    image: RGBImage
    model: ModelInfo
    synset: Synset
    class_ids: tuple[int, ...]
    kind: MapKind
    fit: Fit
    class_maps: Mapping[str, ClassMap]
    heatmaps: Mapping[str, Heatmap]
    arithmetic: Heatmap
    geometric: Heatmap


@dataclass(frozen=True, eq=False)
class Analysis(SynsetMaps):
    """Everything about one picture, one synset and one model: the heatmaps, and the region made of them.

    Attributes
    ----------
    fine : ndarray of shape (H, W)
        0 to 1, at the picture's size, every cell placed at its receptive field's centre: mask and boxes come from it.
    threshold : float
        Where `fine` was cut.
    mask : bool ndarray of shape (H, W)
    boxes : tuple of Box
        One a connected part of the mask, largest first.
    snapped : bool
        Whether `fine` follows the picture's regions; it is then made from probability and evidence, whatever `kind`
        says.
    seconds : float
        From the decoded picture to this record.
    peak_rss_mb : float
        Largest memory the process has had so far.
    """

    snapped: bool
    fine: NDArray[np.float32]
    threshold: float
    mask: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    seconds: float
    peak_rss_mb: float


def compute_class_maps(
    image: RGBImage,
    model: Predictor,
    scales: Sequence[Scale] = NOTEBOOK_SCALES,
    fit: Fit = "aspect",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, ClassMap]:
    """Run the network once a scale, coarse first.

    Parameters
    ----------
    image : RGBImage
    model : Predictor
    scales : sequence of Scale
    fit : {"aspect", "exact"}
        Keep the picture's proportions at the same number of pixels, or stretch as the notebook does.
    progress : callable, optional
        Called between bands and with each finished scale.
    cancelled : callable, optional
        Asked between scales and bands whether to stop.

    Returns
    -------
    dict of str to ClassMap

    Raises
    ------
    ScaleError
        No scale was given, or one cannot be planned.
    MemoryBudgetError
        A scale does not fit even in bands.
    Cancelled
        `cancelled` said so.
    """
    plans = plan_scales(image.height, image.width, scales, fit)
    class_maps: dict[str, ClassMap] = {}
    for index, plan in enumerate(plans):

        def checkpoint(share: float, index: int = index, plan: PlannedScale = plan) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled(f"Stopped before scale {plan.requested} was done.")
            if progress is not None:
                progress(Step(plan, index, len(plans), share))

        start = time.perf_counter()
        logits = model.logits(ResizedImage(image.pixels, plan.height, plan.width), checkpoint)
        seconds = time.perf_counter() - start
        class_map = ClassMap(logits, model.cells(plan.height, plan.width), plan, seconds)
        class_maps[str(plan.requested)] = class_map
        if progress is not None:
            progress(Step(plan, index, len(plans), 1.0, class_map))
    return class_maps


def read_maps(
    image: RGBImage,
    class_maps: Mapping[str, ClassMap],
    synset: Synset,
    model: ModelInfo,
    *,
    kind: MapKind = "probability",
    fit: Fit = "aspect",
    ontology: Ontology | None = None,
) -> SynsetMaps:
    """Read a synset's heatmaps out of class maps that are already there: no network, and no region.

    Parameters
    ----------
    image, class_maps, synset, model, kind, fit, ontology
        See :func:`interpret`.

    Raises
    ------
    ScaleError
        There is no class map.
    """
    if not class_maps:
        raise ScaleError("Expected at least one scale. Received none; choose for example 400x640.")
    class_ids = (ontology or Ontology.load()).class_ids(synset.wnid)
    heatmaps = {key: synset_heatmap(m, class_ids, kind) for key, m in class_maps.items()}
    return SynsetMaps(
        image=image,
        model=model,
        synset=synset,
        class_ids=class_ids,
        kind=kind,
        fit=fit,
        class_maps=class_maps,
        heatmaps=heatmaps,
        arithmetic=combine(tuple(heatmaps.values()), power=1.0),
        geometric=combine(tuple(heatmaps.values()), power=0.0),
    )


def interpret(
    image: RGBImage,
    class_maps: Mapping[str, ClassMap],
    synset: Synset,
    model: ModelInfo,
    *,
    kind: MapKind = "probability",
    fit: Fit = "aspect",
    threshold: float | Literal["auto"] = "auto",
    snap: bool = True,
    regions: Regions | None = None,
    fine: NDArray[np.float32] | None = None,
    ontology: Ontology | None = None,
    started: float | None = None,
) -> Analysis:
    """Make an analysis from class maps that are already there: no network.

    Parameters
    ----------
    image, class_maps, synset, model
        As they are.
    kind : {"probability", "evidence"}
        The notebook's summed probabilities, or the positive part of the largest logit.
    fit : {"aspect", "exact"}
        How the class maps were made, for the record.
    threshold : float in [0, 1] or "auto"
        Where to cut the fine map.
    snap : bool
        Whether the fine map follows the picture's regions (from probability and evidence alike); if not, it is the mean
        of the heatmaps of `kind`.
    regions : Regions, optional
        From :func:`fcn_core.maps.region.segment`: saves its time where only the synset changed.
    fine : ndarray of shape (H, W), optional
        That of an earlier analysis: saves its time where only the threshold changed.
    ontology : Ontology, optional
        The shipped one by default.
    started : float, optional
        ``time.perf_counter()`` at which the work began, for the record.

    Raises
    ------
    ScaleError
        There is no class map.
    FcnError
        The threshold is not from 0 to 1.
    """
    started = time.perf_counter() if started is None else started
    maps = read_maps(image, class_maps, synset, model, kind=kind, fit=fit, ontology=ontology)
    if threshold != "auto" and not 0 <= threshold <= 1:
        raise FcnError(f"Expected a threshold from 0 to 1, or auto. Received {threshold!r}.")
    if fine is None:
        fine = fine_map(
            image.pixels,
            tuple(class_maps.values()),
            maps.class_ids,
            snap=snap,
            kind="evidence" if snap else kind,
            regions=regions,
        )
    cut = suggest_threshold(fine) if threshold == "auto" else float(threshold)
    mask = threshold_mask(fine, cut)
    return Analysis(
        **vars(maps),
        snapped=snap,
        fine=fine,
        threshold=cut,
        mask=mask,
        boxes=boxes_of(mask, fine),
        seconds=time.perf_counter() - started,
        peak_rss_mb=memory.peak_rss_mb(),
    )


def analyse(
    image: RGBImage,
    synset: str | Synset,
    model: Predictor,
    scales: Sequence[Scale] = NOTEBOOK_SCALES,
    *,
    kind: MapKind = "probability",
    fit: Fit = "aspect",
    threshold: float | Literal["auto"] = "auto",
    snap: bool = True,
    ontology: Ontology | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Analysis:
    """Show where a synset is in a picture: :func:`compute_class_maps`, then :func:`interpret`.

    Parameters
    ----------
    image : RGBImage
        From :func:`fcn_core.read_image`.
    synset : str or Synset
        A word ("dog"), a wnid ("n02084071"), or a synset of the ontology.
    model : Predictor
        From :func:`fcn_core.load_model`.
    scales, fit, progress, cancelled
        See :func:`compute_class_maps`.
    kind, threshold, snap, ontology
        See :func:`interpret`.

    Returns
    -------
    Analysis

    Raises
    ------
    FcnError
        Whatever the two halves raise, and :class:`fcn_core.errors.SynsetError` for `synset`.
    """
    started = time.perf_counter()
    ontology = ontology or Ontology.load()
    found = ontology.find(synset) if isinstance(synset, str) else synset
    class_maps = compute_class_maps(image, model, scales, fit, progress, cancelled)
    return interpret(
        image,
        class_maps,
        found,
        model.info,
        kind=kind,
        fit=fit,
        threshold=threshold,
        snap=snap,
        ontology=ontology,
        started=started,
    )


def versions() -> dict[str, str]:
    """Versions of Python and of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name, distributions in _VERSIONS.items():
        for distribution in distributions:
            with suppress(PackageNotFoundError):
                found[name] = version(distribution)
    return found
