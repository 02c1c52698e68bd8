"""Numbers about each region of a picture, from which a learned read-out tells whether it belongs to a synset.

They come from class maps of three scales, from where the random walk completes the object, from what else the network
sees in a region (clothing, buildings, landscape ...), and from the middle of the network where a class map has it. What
does not depend on the synset is a :class:`Scene`, made once a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fcn_core.maps.heatmap import ClassMap, Float32, Float64
from fcn_core.maps.random_walk import confidence, rim, steps, walk
from fcn_core.maps.superpixels import Pooling, Regions, squared_distances
from fcn_core.maps.taught import Taught, taught_synset
from fcn_core.networks.middle import MiddleMap
from fcn_core.synsets.ontology import Ontology

#: Scales for which the numbers were learned: each takes the chosen scale whose number of pixels is nearest.
SLOTS = {"coarse": 200 * 320, "middle": 400 * 640, "fine": 800 * 1280}

#: Kinds of things that a region may be instead of the synset. Their probability leaves the synset's own classes out.
KINDS = {
    "clothing": "n03051540",
    "covering": "n03122748",
    "structure": "n04341686",
    "geological formation": "n09287968",
    "plant": "n00017222",
    "animal": "n00015388",
    "dog": "n02084071",
    "bird": "n01503061",
    "food": "n07555863",
    "vehicle": "n04524313",
    "furniture": "n03405725",
    "container": "n03094503",
    "commodity": "n03076708",
    "device": "n03183080",
    "equipment": "n03294048",
    "sports equipment": "n04285146",
}

_ALIKE_COLOUR = 8.0  # sigma of colours in CIELAB
_SURE = 33  # one region of this many is taken as surely the object
_TINY = 1e-6
_MOST_ODDS = 13.8  # log-odds of 1 - _TINY


@dataclass(frozen=True, eq=False)
class _Answers:
    """What one scale says, whatever the synset."""

    class_map: ClassMap
    pool: Pooling  # (n, cells)
    members: Sequence[npt.NDArray[np.intp]]  # classes of each of `KINDS`
    kinds: Float64  # (n, kinds): their probability, averaged over the regions
    mean: Float32  # (h, w): of the logits of all classes
    deviation: Float32  # (h, w)


@dataclass(frozen=True, eq=False)
class _Middle:
    """A middle map over the regions: values (n, C), and those standardised over the picture and of length 1."""

    name: str
    values: Float32
    unit: Float32
    alike: Float32  # (n, n): share of each other region in an average over those that are alike


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture and its class maps say of its regions, before any synset is asked for; made by `read_scene`.

    Attributes
    ----------
    regions : Regions
    answers : tuple
        Of the scales coarse, middle and fine; one scale may stand for several.
    steps : (n, n) float ndarray
        Probabilities of the random walk's steps.
    neighbours : (n, n) sparse array
        See `Regions.neighbours`.
    alike_colour : (n, n) float ndarray
        Share of each other region in an average over those of similar colour.
    middle : tuple
        The network's middle layers that the class maps hold.
    """

    regions: Regions
    answers: tuple[_Answers, ...]
    steps: Float64
    neighbours: Pooling
    alike_colour: Float64
    middle: tuple[_Middle, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the network's middle layers that the class maps hold."""
        return tuple(each.name for each in self.middle)

    @property
    def ontology(self) -> Ontology:
        """Whose classes are the network's."""
        return self.answers[0].class_map.outputs.ontology


def read_scene(regions: Regions, class_maps: Sequence[ClassMap]) -> Scene:
    """Compute what does not depend on the synset."""
    chosen = [nearest_scale(class_maps, pixels) for pixels in SLOTS.values()]
    answers = {id(m): _read_answers(regions, m) for m in chosen}
    fine = answers[id(chosen[-1])]
    with_middle = [m for m in class_maps if m.middle]
    middle = nearest_scale(with_middle, SLOTS["middle"]).middle if with_middle else ()
    alike = np.exp(-squared_distances(regions.colours) / (2 * _ALIKE_COLOUR**2)) * regions.sizes
    return Scene(
        regions,
        tuple(answers[id(m)] for m in chosen),
        steps(regions, fine.pool @ fine.class_map.logits.reshape(fine.pool.shape[1], -1)),
        regions.neighbours(),
        alike / alike.sum(axis=1, keepdims=True),
        tuple(_read_middle(regions, each, _pool(each, answers.values(), regions)) for each in middle),
    )


def nearest_scale(class_maps: Sequence[ClassMap], pixels: int) -> ClassMap:
    """Return the class map whose scale has the number of pixels nearest to this one."""
    return min(class_maps, key=lambda m: abs(math.log(m.scale.height * m.scale.width / pixels)))


def region_features(scene: Scene, class_ids: Sequence[int]) -> dict[str, npt.NDArray[np.floating]]:
    """Return the numbers about each region, (n,) each, by name.

    Parameters
    ----------
    scene : Scene
    class_ids : sequence of int
        Classes of the synset.
    """
    regions = scene.regions
    found: dict[str, npt.NDArray[np.floating]] = {}
    distinct = {id(each): each for each in scene.answers}
    said = {key: _about(each, class_ids, regions) for key, each in distinct.items()}
    for slot, each in zip(SLOTS, scene.answers, strict=True):
        found |= {f"{slot} {name}": values for name, values in said[id(each)].items()}
    pixels = [each.class_map.scale.height * each.class_map.scale.width for each in distinct.values()]
    confident = confidence(
        regions.sizes, pixels, [(said[key]["probability"], said[key]["evidence"]) for key in distinct]
    )
    walked = walk(regions, scene.steps, confident)
    found |= {
        "confidence": confident,
        "first walk": walked.first,
        "walk": walked.both,
        "neighbours' walk": scene.neighbours @ walked.both,
        "mean probability": np.mean([found[f"{slot} probability"] for slot in SLOTS], axis=0),
    }
    area = regions.sizes / regions.sizes.sum()
    found |= {
        name: np.full(area.size, value)
        for name, value in {
            "picture's walk cut": walked.cut,
            "picture's walk area": float(area[walked.first > walked.cut].sum()),
            "picture's walk median": float(np.median(walked.both)),
            "picture's confidence area": float(area[confident > 0.5].sum()),
            "picture's confidence median": float(np.median(confident)),
        }.items()
    }
    sure, not_sure = _shares(confident**4, area), _shares((1 - confident) ** 8, area)
    border = _shares(rim(regions), area)
    surest = np.argsort(-confident, kind="stable")[: max(5, area.size // _SURE)]
    found |= _places_and_colours(regions, sure, surest)
    both = np.stack([confident, walked.both], axis=1)
    found["alike colour confidence"], found["alike colour walk"] = (scene.alike_colour @ both).T
    for layer in scene.middle:
        for name, weights in (("object", sure), ("background", not_sure), ("border", border)):
            typical = weights.astype(np.float32) @ layer.unit
            likeness = layer.unit @ (typical / max(float(np.linalg.norm(typical)), _TINY))
            found[f"{layer.name} like {name}"] = likeness
        found[f"{layer.name} like nearest"] = (layer.unit @ layer.unit[surest].T).max(axis=1)
        averages = layer.alike @ both.astype(np.float32)
        found[f"{layer.name} alike confidence"], found[f"{layer.name} alike walk"] = averages.T
        found |= {f"{layer.name} {c}": column for c, column in enumerate(layer.values.T)}
    return found


def _read_answers(regions: Regions, class_map: ClassMap) -> _Answers:
    pool = regions.pooling(class_map.cells)
    count = class_map.logits.shape[-1]
    members = _kinds(class_map.outputs.ontology, count)
    probabilities = class_map.probabilities.reshape(-1, count)
    belongs = np.zeros((count, len(members)), np.float32)
    for kind, ids in enumerate(members):
        belongs[ids, kind] = 1
    mean, deviation = class_map.logits.mean(axis=-1), class_map.logits.std(axis=-1)
    return _Answers(class_map, pool, members, pool @ (probabilities @ belongs), mean, deviation)


def _about(answers: _Answers, class_ids: Sequence[int], regions: Regions) -> dict[str, Float64]:
    """Return what one scale says of the synset, and of other kinds of things."""
    class_map, pool = answers.class_map, answers.pool
    ids = np.asarray(class_ids, np.intp)
    taught = taught_synset(class_ids, class_map.outputs.ontology)
    cells = _of_classes(answers, ids) if taught is None else _of_taught(answers, taught)
    pooled = pool @ np.stack([values.ravel() for values in cells.values()], axis=1).astype(np.float64)
    found = dict(zip(cells, pooled.T, strict=True))
    for kind, members, whole in zip(KINDS, answers.members, answers.kinds.T, strict=True):
        if taught is not None:  # the other classes share what it leaves
            found[kind] = whole * (1 - found["probability"])
            continue
        common = ids[np.isin(ids, members)]
        own = pool @ class_map.probability_of_any(common).ravel() if common.size else 0.0
        found[kind] = np.maximum(whole - own, 0)
    whole_picture = {
        "peak probability": found["probability"].max(),
        "whole probability": np.average(found["probability"], weights=regions.sizes),
        "peak evidence": found["evidence"].max(),
        "median evidence": np.median(found["evidence"]),
        "peak log-odds": found["log-odds"].max(),
    }
    return found | {n: np.full(regions.sizes.size, float(v)) for n, v in whole_picture.items()}


def _of_classes(answers: _Answers, ids: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.floating]]:
    """Return what each cell says of a synset's classes."""
    class_map = answers.class_map
    probability = np.minimum(class_map.probability_of_any(ids), 1)
    best = class_map.logits[..., ids].max(axis=-1)
    return {
        "probability": probability,
        "evidence": np.maximum(best, 0),
        "log-odds": np.log(probability + _TINY) - np.log(1 - probability + _TINY),
        "margin": best - class_map.softmax_terms[0],
        "standardised": (best - answers.mean) / np.maximum(answers.deviation, _TINY),
        "best other": _best_other(class_map, ids),
    }


def _of_taught(answers: _Answers, taught: Taught) -> dict[str, npt.NDArray[np.floating]]:
    """Return what each cell says of a taught synset, as if it were one class more: with the logit of its odds."""
    class_map = answers.class_map
    odds = np.clip(taught.log_odds(class_map), -_MOST_ODDS, _MOST_ODDS)
    probability = expit(odds)
    logit = odds + class_map.log_normaliser
    largest, _ = class_map.softmax_terms
    return {
        "probability": probability,
        "evidence": np.maximum(logit, 0),
        "log-odds": odds,
        "margin": np.minimum(logit - largest, 0),
        "standardised": (logit - answers.mean) / np.maximum(answers.deviation, _TINY),
        "best other": np.exp(largest - class_map.log_normaliser) * (1 - probability),
    }


def _best_other(class_map: ClassMap, ids: npt.NDArray[np.intp]) -> Float32:
    """Return the probability of the best class that is not one of these, (h, w)."""
    largest = class_map.softmax_terms[0].copy()
    beaten = (
        class_map.logits[..., ids].max(axis=-1) >= largest
    )  # elsewhere the best class is another one anyway
    rest = class_map.logits[beaten]
    rest[:, ids] = -np.inf
    largest[beaten] = rest.max(axis=-1)
    exclusive = class_map.outputs.exclusive
    probability: Float32 = np.exp(largest - class_map.log_normaliser) if exclusive else expit(largest)
    return probability


def _places_and_colours(
    regions: Regions, sure: Float64, surest: npt.NDArray[np.intp]
) -> Mapping[str, Float64]:
    """Return how far each region is from where the object surely is, in place and colour."""
    rows, columns = regions.labels.shape
    side = max(rows, columns)
    y, x = regions.centres.T
    away = np.hypot(y - sure @ y, x - sure @ x)
    spread = math.sqrt(sure @ away**2)
    apart = regions.colours[:, None] - regions.colours[surest]
    return {
        "height in the picture": y / rows,
        "distance": away / side,
        "distance by spread": away / (spread + 3),
        "spread": np.full(y.size, spread / side),
        "colour distance": np.linalg.norm(regions.colours - sure @ regions.colours, axis=1),
        "nearest colour": np.sqrt((apart**2).sum(axis=-1).min(axis=1)),
    }


def _pool(middle: MiddleMap, answers: Iterable[_Answers], regions: Regions) -> Pooling:
    """Return what averages a middle map over the regions; a class map with the same cells has it already."""
    known = (each.pool for each in answers if each.class_map.cells == middle.cells)
    found = next(known, None)
    return regions.pooling(middle.cells) if found is None else found


def _read_middle(regions: Regions, middle: MiddleMap, pool: Pooling) -> _Middle:
    values = pool @ middle.values.reshape(-1, middle.values.shape[-1]).astype(np.float32)
    weights = regions.sizes / regions.sizes.sum()
    unit = (values - weights @ values) / (values.std(axis=0) + _TINY)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), _TINY)
    unit = unit.astype(np.float32)
    likeness = np.maximum(unit @ unit.T, 0)
    alike = (
        likeness * likeness * likeness * regions.sizes.astype(np.float32)
    )  # ten times as fast as a power of 3
    alike /= np.maximum(alike.sum(axis=1, keepdims=True), _TINY)  # 0 where nothing sets a region apart
    return _Middle(middle.name, values.astype(np.float32), unit, alike.astype(np.float32))


def _shares(weights: Float64, area: Float64) -> Float64:
    """Return the weights times the regions' areas, scaled to a sum of 1."""
    found = weights * area + 1e-9
    shares: Float64 = found / found.sum()
    return shares


@lru_cache(4)
def _kinds(ontology: Ontology, count: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the classes of each of `KINDS`; none of a kind that a network of so many classes does not know."""
    known = {w: ontology.class_ids(w) for w in KINDS.values() if w in ontology}
    same = count == len(ontology.classes)
    return tuple(np.asarray(known.get(w, ()) if same else (), np.intp) for w in KINDS.values())
