"""From a picture to an analysis: run the network once per scale, then compute what is cheap.

:func:`compute_class_maps` runs the network and knows no synset. :func:`interpret` reads one synset out of its
result, so a new synset, mean or threshold never runs the network again. :func:`analyse` does both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal, TypedDict, Unpack, get_args

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.errors import Cancelled, FcnError, ScaleError
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage, blocks_of, enlarge
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, PlannedScale, Scale, plan_scales
from fcn_core.images.working import working_copy
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap, Heatmap, MapKind, combine, synset_heatmap
from fcn_core.maps.presence import presences
from fcn_core.maps.region import Box, boxes_of, hysteresis_mask, suggest_threshold, threshold_mask
from fcn_core.maps.taught import taught_synset
from fcn_core.synsets.ontology import Ontology, Synset
from fcn_core.system import memory

# Below this presence mask and boxes are empty: what is not there is not marked. From here on a synset is there more
# often than not (51 of 100 pairs, on development photographs kept apart): 2 of 100 absent synsets reach it, and of the
# present ones 83 of 100 that cover at least 1 % of the picture, 88 of 100 that cover at least 5 %.
PRESENCE_FLOOR = 0.15


@dataclass(frozen=True)
class Step:
    """Progress of :func:`compute_class_maps`.

    Attributes
    ----------
    scale : PlannedScale
        The scale that is being computed.
    index, count : int
        Its position, from 0, among all scales (coarse first), and their number.
    share : float
        Finished part of this scale, from 0 to 1.
    class_map : ClassMap or None
        The result, once the scale is done.
    """

    scale: PlannedScale
    index: int
    count: int
    share: float
    class_map: ClassMap | None = None


Progress = Callable[[Step], None]


class MapKeywords(TypedDict, total=False):
    """The fields of :class:`MapOptions` as keyword arguments."""

    kind: MapKind
    fit: Fit
    threshold: float | Literal["auto"]
    snap: bool
    always_mark: bool


@dataclass(frozen=True)
class MapOptions:
    """How maps are computed from a network's answers.

    Attributes
    ----------
    kind : {"probability", "evidence"}
        What a heatmap shows: the probabilities of the synset's classes, summed as in the notebook, or the positive
        part of their largest logit.
    fit : {"aspect", "exact"}
        How a picture is resized to a scale: with its proportions kept at the same number of pixels, or stretched as
        in the notebook.
    threshold : float in [0, 1] or "auto"
        Value of the fine map from which a pixel belongs to the mask; "auto": Otsu's, and no unsure parts if `snap`.
    snap : bool
        Whether the fine map follows the picture's regions. It is then computed from probability and evidence
        together; otherwise it is the mean of the heatmaps of `kind`.
    always_mark : bool
        Whether mask and boxes show the strongest trace even where the synset is probably absent.

    Raises
    ------
    FcnError
        An option has a value that does not exist.
    """

    kind: MapKind = "probability"
    fit: Fit = "aspect"
    threshold: float | Literal["auto"] = "auto"
    snap: bool = True
    always_mark: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (("kind", self.kind, get_args(MapKind)), ("fit", self.fit, get_args(Fit))):
            if value not in known:
                raise FcnError(
                    f"Expected {name}={' or '.join(map(repr, known))}. Received {value!r}. Choose one of the two."
                )
        if self.threshold != "auto" and not 0 <= self.threshold <= 1:
            raise FcnError(
                f"Expected a threshold from 0 to 1, or 'auto'. Received {self.threshold!r}. Choose for example 0.5."
            )

    def updated(self, keywords: MapKeywords) -> MapOptions:
        """Return a copy with some options replaced.

        Raises
        ------
        TypeError
            A keyword is not an option.
        """
        known = [each.name for each in fields(self)]
        unknown = [name for name in keywords if name not in known]
        if unknown:
            raise TypeError(f"Expected the options {', '.join(known)}. Received {', '.join(unknown)}.")
        return replace(self, **keywords)


@dataclass(frozen=True, eq=False)
class Analysis:
    """Where one model sees one synset in one picture.

    Heatmaps and their means are there from the start. The fine map, the threshold, the mask and the boxes are
    computed when they are first read, and kept. They come from the picture's working copy (`at_working_size`), so a
    picture and its working copy have the same ones.

    Attributes
    ----------
    image : RGBImage
    model : ModelInfo
    synset : Synset
    class_ids : tuple of int
        Classes of the synset, from 0.
    options : MapOptions
    class_maps, heatmaps : mapping of str to ClassMap, Heatmap
        By scale as requested ("200x320"), coarse first.
    arithmetic, geometric : Heatmap
        Means over the scales at the finest grid, by the notebook's formulas.
    heatmap_seconds : float
        Time that the heatmaps and their means took.
    make_fine : callable or None
        Returns the fine map where the caller keeps it; None: it is computed here.
    """

    image: RGBImage
    model: ModelInfo
    synset: Synset
    class_ids: tuple[int, ...]
    options: MapOptions
    class_maps: Mapping[str, ClassMap]
    heatmaps: Mapping[str, Heatmap]
    arithmetic: Heatmap
    geometric: Heatmap
    heatmap_seconds: float
    make_fine: Callable[[], NDArray[np.float32]] | None = field(default=None, repr=False)

    @property
    def kind(self) -> MapKind:
        """What the heatmaps show."""
        return self.options.kind

    @property
    def fit(self) -> Fit:
        """How the picture was resized to the scales."""
        return self.options.fit

    @property
    def snapped(self) -> bool:
        """Whether the fine map follows the picture's regions."""
        return self.options.snap

    @cached_property
    def _small(self) -> Analysis | None:  # None instead of itself: the cycle would outlive its last user
        copy = working_copy(self.image)
        return None if copy is self.image else replace(self, image=copy)

    @property
    def at_working_size(self) -> Analysis:
        """The same analysis of the picture's working copy (:mod:`fcn_core.images.working`)."""
        return self._small or self

    @cached_property
    def _timed_fine(self) -> tuple[NDArray[np.float32], float]:
        start = time.perf_counter()
        size = self.image.height, self.image.width
        if self.make_fine is not None:
            fine = self.make_fine()
            fine = fine if fine.shape == size else blocks_of(fine, *size)
        else:
            class_maps = tuple(self.class_maps.values())
            fine = fine_map(self.image.pixels, class_maps, self.class_ids, snap=self.snapped, kind=self.kind)
        return fine, time.perf_counter() - start

    @property
    def fine(self) -> NDArray[np.float32]:
        """Fine map at the picture's size, (H, W), from 0 to 1; mask and boxes are made from it."""
        if self._small is None:
            return self._timed_fine[0]
        return enlarge(self._small.fine, self.image.height, self.image.width)  # not kept: it is large

    @cached_property
    def presence(self) -> float:
        """Probability that the synset is in the picture at all, from 0 to 1; see :func:`fcn_core.presence`."""
        return float(presences(self.class_maps, [self.class_ids])[0])

    @property
    def presence_floor(self) -> float:
        """Presence from which the synset counts as there."""
        return PRESENCE_FLOOR

    @property
    def present(self) -> bool:
        """Whether the synset counts as there."""
        return self.presence >= self.presence_floor

    @property
    def marked(self) -> bool:
        """Whether mask and boxes show something: the synset is there, or the options ask for it anyway."""
        return self.present or self.options.always_mark

    @cached_property
    def threshold(self) -> float:
        """Value of the fine map from which a pixel belongs to the mask."""
        chosen = self.options.threshold
        return self.suggested_threshold if chosen == "auto" else float(chosen)

    @property
    def is_taught(self) -> bool:
        """Whether the synset is told by more than its classes (:mod:`fcn_core.maps.taught`)."""
        return taught_synset(self.class_ids, self.model.outputs.ontology) is not None

    @property
    def suggested_threshold(self) -> float:
        """Otsu's threshold of the fine map."""
        return suggest_threshold(self.at_working_size.fine)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels of the object, (H, W); none where the synset is absent, unless the options ask for them."""
        if not self.marked:
            return np.zeros((self.image.height, self.image.width), np.bool_)
        if self._small is not None:
            return enlarge(self._small.mask, self.image.height, self.image.width)
        cut = hysteresis_mask if self.snapped and self.options.threshold == "auto" else threshold_mask
        return cut(self.fine, self.threshold)

    @property
    def coverage(self) -> float:
        """Share of the picture that the mask covers, from 0 to 1."""
        return float(self.at_working_size.mask.mean())

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Bounding box of each connected part of the mask, largest part first."""
        if self._small is not None:
            size = self.image.height, self.image.width
            return tuple(box.scaled(self._small.mask.shape, size) for box in self._small.boxes)
        return boxes_of(self.mask, self.fine) if self.marked else ()

    @property
    def seconds(self) -> float:
        """Time of the forward passes (also of those done earlier), the heatmaps and the fine map together."""
        passes = sum(m.seconds for m in self.class_maps.values())
        return passes + self.heatmap_seconds + self.at_working_size._timed_fine[1]

    @property
    def peak_rss_mb(self) -> float:
        """Largest memory of this process so far, in megabytes."""
        return memory.peak_rss_mb()


def compute_class_maps(
    image: RGBImage,
    model: Predictor,
    scales: Sequence[Scale] = NOTEBOOK_SCALES,
    fit: Fit = "aspect",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    resized: Callable[[int, int], ResizedImage] | None = None,
) -> dict[str, ClassMap]:
    """Run the network once per scale, coarse first.

    Parameters
    ----------
    image : RGBImage
    model : Predictor
    scales : sequence of Scale
    fit : {"aspect", "exact"}
        Keep the picture's proportions at the same number of pixels, or stretch it as in the notebook.
    progress : callable, optional
        Called with a :class:`Step` between bands and after each scale.
    cancelled : callable, optional
        Called between bands and scales; the work stops when it returns true.
    resized : callable, optional
        Returns the picture at a height and width, where another thread has it ready.

    Returns
    -------
    dict of str to ClassMap
        By scale as requested ("200x320").

    Raises
    ------
    ScaleError
        There is no scale, or one cannot be planned.
    MemoryBudgetError
        A scale does not fit into memory even in bands.
    Cancelled
        `cancelled` returned true.
    """
    plans = plan_scales(image.height, image.width, scales, fit)
    class_maps: dict[str, ClassMap] = {}
    for index, plan in enumerate(plans):

        def checkpoint(share: float, index: int = index, plan: PlannedScale = plan) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled(f"Cancelled before scale {plan.requested} was done.")
            if progress is not None:
                progress(Step(plan, index, len(plans), share))

        start, size = time.perf_counter(), (plan.height, plan.width)
        done = model.run(resized(*size) if resized else ResizedImage(image.pixels, *size), checkpoint)
        seconds, cells = time.perf_counter() - start, model.cells(*size)
        class_map = ClassMap(done.logits, cells, plan, seconds, done.middle, model.info.outputs)
        class_maps[str(plan.requested)] = class_map
        if progress is not None:
            progress(Step(plan, index, len(plans), 1.0, class_map))
    return class_maps


def interpret(
    image: RGBImage,
    class_maps: Mapping[str, ClassMap],
    synset: Synset,
    model: ModelInfo,
    options: MapOptions | None = None,
    *,
    fine: NDArray[np.float32] | Callable[[], NDArray[np.float32]] | None = None,
    ontology: Ontology | None = None,
    **keywords: Unpack[MapKeywords],
) -> Analysis:
    """Make an analysis of class maps that exist already, without running the network.

    Parameters
    ----------
    image : RGBImage
    class_maps : mapping of str to ClassMap
        From :func:`compute_class_maps`.
    synset : Synset
    model : ModelInfo
        Of the model that computed the class maps.
    options : MapOptions, optional
        `fit` only records how the class maps were computed.
    fine : (H, W) float32 ndarray, or callable that returns it, optional
        The fine map, where it is known from an analysis that differs in its threshold alone. A callable is called
        when the fine map is first read.
    ontology : Ontology, optional
        The model's by default.
    **keywords
        Single options (`kind`, `fit`, `threshold`, `snap`, `always_mark`), which replace those of `options`.

    Returns
    -------
    Analysis

    Raises
    ------
    ScaleError
        There is no class map.
    FcnError
        An option has a value that does not exist.
    """
    options = (options or MapOptions()).updated(keywords)
    if not class_maps:
        raise ScaleError("Expected at least one scale. Received none. Choose for example 400x640.")
    start = time.perf_counter()
    class_ids = (ontology or model.outputs.ontology).class_ids(synset.wnid)
    heatmaps = {key: synset_heatmap(m, class_ids, options.kind) for key, m in class_maps.items()}
    arithmetic = combine(tuple(heatmaps.values()), power=1.0)
    geometric = combine(tuple(heatmaps.values()), power=0.0)
    return Analysis(
        image=image,
        model=model,
        synset=synset,
        class_ids=class_ids,
        options=options,
        class_maps=class_maps,
        heatmaps=heatmaps,
        arithmetic=arithmetic,
        geometric=geometric,
        heatmap_seconds=time.perf_counter() - start,
        make_fine=fine if fine is None or callable(fine) else lambda: fine,
    )


def analyse(
    image: RGBImage,
    synset: str | Synset,
    model: Predictor,
    scales: Sequence[Scale] = NOTEBOOK_SCALES,
    options: MapOptions | None = None,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    **keywords: Unpack[MapKeywords],
) -> Analysis:
    """Show where a synset is in a picture: :func:`compute_class_maps`, then :func:`interpret`.

    Parameters
    ----------
    image : RGBImage
        From :func:`fcn_core.read_image`.
    synset : str or Synset
        A word ("dog"), a wnid ("n02084071"), or a synset of the model's ontology.
    model : Predictor
        From :func:`fcn_core.load_model`.
    scales, progress, cancelled
        See :func:`compute_class_maps`.
    options : MapOptions, optional
    **keywords
        Single options (`kind`, `fit`, `threshold`, `snap`, `always_mark`), which replace those of `options`.

    Returns
    -------
    Analysis

    Raises
    ------
    FcnError
        What the two functions raise, and :class:`fcn_core.errors.SynsetError` for `synset`.
    """
    options = (options or MapOptions()).updated(keywords)
    found = model.info.outputs.ontology.find(synset) if isinstance(synset, str) else synset
    class_maps = compute_class_maps(image, model, scales, options.fit, progress, cancelled)
    return interpret(image, class_maps, found, model.info, options)
