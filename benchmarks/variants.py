"""The variants of the fine map that benchmarks/quality.py measures, each a function from a picture to a map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import ndimage

from fcn_core.engines.load import load_model
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage, resize_image
from fcn_core.images.scales import Scale, plan_scales
from fcn_core.maps import fine_map as internals
from fcn_core.maps.fine_map import SNAPPING, Snapping, fine_map, segment
from fcn_core.maps.heatmap import ClassMap, Heatmap, place, synset_heatmap
from fcn_core.maps.region import normalise
from fcn_core.networks.geometry import CellAxis, CellGrid, trace
from fcn_core.networks.zoo import model_spec

SCALES = {200: Scale(200, 320), 283: Scale(283, 453), 400: Scale(400, 640), 566: Scale(566, 905)}
SCALES |= {800: Scale(800, 1280), 1600: Scale(1600, 2560)}
THREE = (200, 400, 800)


@dataclass
class Picture:
    """A picture and what the network said of it, computed when asked for."""

    image: RGBImage
    models: dict[int, Any]
    known: dict[Any, Any] = field(default_factory=dict)

    def maps(
        self, scales: tuple[int, ...] = THREE, stride: int = 32, mirrored: bool = False
    ) -> list[ClassMap]:
        """Class maps, coarse first."""
        return [self.once((stride, s, mirrored), lambda s=s: self._pass(stride, s, mirrored)) for s in scales]

    def _pass(self, stride: int, scale: int, mirrored: bool) -> ClassMap:
        (plan,) = plan_scales(self.image.height, self.image.width, [SCALES[scale]])
        pixels = self.image.pixels[:, ::-1].copy() if mirrored else self.image.pixels
        if stride not in self.models:
            self.models[stride] = load_model("efficientnet-lite2", output_stride=stride)
        model, start = self.models[stride], time.perf_counter()
        logits = model.logits(ResizedImage(pixels, plan.height, plan.width))
        return ClassMap(logits, model.cells(plan.height, plan.width), plan, time.perf_counter() - start)

    def small(self) -> np.ndarray:
        """The picture at the size at which regions are sought, 0 to 1."""
        height, width = internals._bounded(self.image.height, self.image.width, internals._SNAP_SIDE)
        return self.once("small", lambda: resize_image(self.image.pixels, height, width) / 255)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]


Variant = Callable[[Picture, tuple[int, ...]], np.ndarray]


# --- maps without regions


def cell_values(kind: str) -> Callable[[ClassMap, tuple[int, ...]], np.ndarray]:
    def log_sum(logits: np.ndarray) -> np.ndarray:
        largest = logits.max(axis=-1)
        return largest + np.log(np.exp(logits - largest[..., None]).sum(axis=-1))

    def values(class_map: ClassMap, ids: tuple[int, ...]) -> np.ndarray:
        logits, chosen = class_map.logits, class_map.logits[..., list(ids)]
        others = np.setdiff1d(np.arange(logits.shape[-1]), ids)
        return {
            "largest logit": lambda: chosen.max(axis=-1),
            "margin to the largest other logit": lambda: chosen.max(-1) - logits[..., others].max(-1),
            "log-odds against all others": lambda: log_sum(chosen) - log_sum(logits[..., others]),
            "largest logit, standardised in its cell": lambda: (
                (chosen.max(-1) - logits.mean(-1)) / logits.std(-1)
            ),
            "probability at temperature 2": lambda: np.exp(log_sum(chosen / 2) - log_sum(logits / 2)),
            "probability at temperature 4": lambda: np.exp(log_sum(chosen / 4) - log_sum(logits / 4)),
        }[kind]()

    return values


def plain(
    kind: str, scales: tuple[int, ...] = THREE, stride: int = 32, mirrored: bool = False, even: bool = False
) -> Variant:
    """Mean over scales of cells placed on the picture."""

    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        height, width = picture.small().shape[:2]
        total = np.zeros((height, width))
        for flipped in (False, True) if mirrored else (False,):
            for class_map in picture.maps(scales, stride, flipped):
                if kind in ("probability", "evidence"):
                    heatmap = synset_heatmap(class_map, ids, kind)
                else:
                    heatmap = Heatmap(cell_values(kind)(class_map, ids), "evidence", class_map.cells)
                placed = place(heatmap, height, width, "even" if even else "centres")
                total += placed[:, ::-1] if flipped else placed
        return normalise(total)

    return run


def mixed(weight: float, how: str = "arithmetic") -> Variant:
    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        a, b = plain("probability")(picture, ids), plain("evidence")(picture, ids)
        return np.sqrt(a * b) if how == "geometric" else weight * a + (1 - weight) * b

    return run


# --- regions and edges, other ways


def averaged(base: Variant, method: str) -> Variant:
    """Mean over regions of the picture, and over several levels of them."""

    def labels(picture: Picture) -> list[np.ndarray]:
        from skimage.segmentation import felzenszwalb, slic

        small = np.clip(picture.small(), 0, 1)
        if method.startswith("SLIC"):
            return [slic(small, n, compactness=20, sigma=1, start_label=0) for n in (50, 100, 200)]
        levels = (200,) if method.endswith("one level") else (50, 100, 200, 400)
        return [felzenszwalb(small, scale=k, sigma=0.8, min_size=20) for k in levels]

    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        values, total = base(picture, ids), np.zeros(picture.small().shape[:2])
        for level in picture.once(method, lambda: labels(picture)):
            sizes = np.bincount(level.ravel())
            total += (np.bincount(level.ravel(), values.ravel()) / np.maximum(sizes, 1))[level]
        return total

    return run


def guided(base: Variant, radius: int = 12, epsilon: float = 1e-3) -> Variant:
    """Guided filter (He et al., TPAMI 2013), the picture's brightness as guide."""

    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        guide, values = picture.small().mean(axis=-1), base(picture, ids)

        def mean(x: np.ndarray) -> np.ndarray:
            return ndimage.uniform_filter(x, 2 * radius + 1)

        slope = (mean(guide * values) - mean(guide) * mean(values)) / (
            mean(guide**2) - mean(guide) ** 2 + epsilon
        )
        return mean(slope) * guide + mean(mean(values) - slope * mean(guide))

    return run


def pixel_walker(base: Variant) -> Variant:
    """Random walker on pixels (Grady, TPAMI 2006), seeded by the map's top 5 and bottom 40 per cent."""

    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        from skimage.segmentation import random_walker

        values, small = base(picture, ids), picture.small()
        low, high = np.quantile(values, (0.4, 0.95))
        seeds = np.where(values >= high, 1, np.where(values <= low, 2, 0))
        found = random_walker(small, seeds, beta=130, mode="cg_j", channel_axis=-1, return_full_prob=True)
        return found[0] + 0.5 * values

    return run


# --- the fine map and its parts


def fine(
    snapping: Snapping = SNAPPING, scales: tuple[int, ...] = THREE, stride: int = 32, mirrored: bool = False
) -> Variant:
    def run(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
        key = (snapping.regions, snapping.compactness)
        regions = picture.once(key, lambda: segment(picture.image.pixels, snapping))
        maps = picture.maps(scales, stride)
        found = fine_map(picture.image.pixels, maps, ids, regions=regions, snapping=snapping)
        if not mirrored:
            return found
        pixels = np.ascontiguousarray(picture.image.pixels[:, ::-1])
        turned = picture.once((*key, "mirrored"), lambda: segment(pixels, snapping))
        again = fine_map(pixels, picture.maps(scales, stride, True), ids, regions=turned, snapping=snapping)
        return found + again[:, ::-1]

    return run


def with_features(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
    """Steps that also heed the features at stride 16, where the graph is cut for bands: 88 channels at scale 400."""
    regions = segment(picture.image.pixels)
    features = picture.once("features", lambda: _features(picture))
    at = internals._logits_at(features, regions)
    apart = internals._squared_distances(at - at.mean(axis=0))
    apart /= np.median(apart)
    transitions = internals._transitions
    shares = iter((0.3, 0.1))  # nearby, anywhere
    internals._transitions = lambda differences: transitions(differences + apart / next(shares))
    try:
        return fine(replace(SNAPPING, answer=0.41, far_answer=1e3, far_colour=7))(picture, ids)
    finally:
        internals._transitions = transitions


def _features(picture: Picture) -> ClassMap:
    (logits,), engine = picture.maps((400,)), picture.models[32]
    nodes, plan = engine.geometry.nodes, logits.scale
    cut = max(i for i, node in enumerate(nodes) if node.cut)
    network = engine._network()
    model = engine._compile(engine._ov.Model([network.results[-1]], network.get_parameters()))
    rows = ResizedImage(picture.image.pixels, plan.height, plan.width).rows(0, plan.height)
    found = model({0: model_spec("efficientnet-lite2").preprocessing(rows)[None]})[0][0]
    traces = [trace(nodes, axis, size)[cut] for axis, size in (("y", plan.height), ("x", plan.width))]
    axes = [
        CellAxis(size, t.size, t.stride, (t.low + t.high) / 2, t.high - t.low + 1)
        for t, size in zip(traces, (plan.height, plan.width), strict=True)
    ]
    return ClassMap(np.moveaxis(found, 0, -1), CellGrid(*axes), plan, 0.0)


def walked_once(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
    return _parts(picture, ids, lambda first, _: first)


def colour_alone(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
    """Every region says the same: steps depend on colour and place."""
    return fine(replace(SNAPPING, answer=1e3, far_answer=1e3))(picture, ids)


def answers_alone(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
    return fine(replace(SNAPPING, colour=1e3, far_colour=1e3))(picture, ids)


def confidence_alone(picture: Picture, ids: tuple[int, ...]) -> np.ndarray:
    regions = segment(picture.image.pixels)
    return internals._confidence(regions, picture.maps(), ids, SNAPPING)[regions.labels]


def _parts(picture: Picture, ids: tuple[int, ...], choose: Callable[..., np.ndarray]) -> np.ndarray:
    complete, walk, walks = internals._complete, internals._walk, []

    def recorded(*arguments: np.ndarray) -> np.ndarray:
        walks.append(walk(*arguments))
        return walks[-1]

    regions = segment(picture.image.pixels)
    maps = picture.maps()
    internals._walk = recorded
    try:
        confidence = internals._confidence(regions, maps, ids, SNAPPING)
        complete(regions, internals._steps(regions, maps, SNAPPING), confidence, SNAPPING)
    finally:
        internals._walk = walk
    return choose(*walks)[regions.labels]


PLAIN: dict[str, Variant] = {
    "probability, cells spread evenly": plain("probability", even=True),
    "probability, cells placed": plain("probability"),
    "evidence, cells spread evenly": plain("evidence", even=True),
    "evidence, cells placed": plain("evidence"),
    **{
        f"{kind}, cells placed": plain(kind)
        for kind in (
            "largest logit",
            "largest logit, standardised in its cell",
            "margin to the largest other logit",
            "log-odds against all others",
            "probability at temperature 2",
            "probability at temperature 4",
        )
    },
    "half probability, half evidence": mixed(0.5),
    "root of probability times evidence": mixed(0.5, "geometric"),
    **{f"evidence, scale {s} alone": plain("evidence", (s,)) for s in THREE},
}

REGIONS: dict[str, Variant] = {
    "evidence over Felzenszwalb regions, one level": averaged(plain("evidence"), "Felzenszwalb, one level"),
    "evidence over Felzenszwalb regions, four levels": averaged(plain("evidence"), "Felzenszwalb"),
    "half and half over Felzenszwalb regions, four levels": averaged(mixed(0.5), "Felzenszwalb"),
    "half and half over SLIC regions, three levels": averaged(mixed(0.5), "SLIC"),
    "half and half, guided filter": guided(mixed(0.5)),
    "half and half, random walker on pixels": pixel_walker(mixed(0.5)),
}

PARTS: dict[str, Variant] = {
    "**fine map**": fine(),
    "the walkers' confidence before any walk": confidence_alone,
    "first walk alone": walked_once,
    "steps by colour and place alone": colour_alone,
    "steps by answers and place alone": answers_alone,
    "steps heed features at stride 16 as well": with_features,
    "scales 200 and 400 alone": fine(scales=(200, 400)),
    "scale 400 alone": fine(scales=(400,)),
}

PASSES: dict[str, Variant] = {
    "evidence, with mirrored pictures": plain("evidence", mirrored=True),
    "evidence, output stride 16": plain("evidence", stride=16),
    "evidence, output stride 8, scales 200 and 400": plain("evidence", (200, 400), 8),
    "evidence, four scales to 1600": plain("evidence", (*THREE, 1600)),
    "evidence, five scales 200 to 800": plain("evidence", (200, 283, 400, 566, 800)),
    "fine map with mirrored pictures": fine(mirrored=True),
    "fine map, output stride 16": fine(stride=16),
    "fine map, four scales to 1600": fine(scales=(*THREE, 1600)),
    "fine map, five scales 200 to 800": fine(scales=(200, 283, 400, 566, 800)),
}

# One step to either side of every number: what the setting is chosen from again in cross-validation.
STEPS: dict[str, tuple[float, ...]] = {
    "regions": (250, 800), "compactness": (10, 40), "colour": (7, 14), "distance": (0.07, 0.14),
    "answer": (0.28, 0.42), "far_colour": (3.5, 7), "far_answer": (0.34, 0.5), "far": (0, 0.05, 0.2),
    "stop": (0.07, 0.14), "background": (1, 4), "certainty": (5, 12), "border": (0, 1), "saturation": (0.95, 0.99, 1),
    "softness": (0.1, 0.25),
}  # fmt: skip
SETTINGS = {
    f"{name} {value:g}": replace(SNAPPING, **{name: type(getattr(SNAPPING, name))(value)})
    for name, values in STEPS.items()
    for value in values
}
