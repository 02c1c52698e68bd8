"""Taught synsets: what the network has no class for, told from what its classes say together.

ImageNet has three classes of persons: ballplayer, groom and scuba diver. Yet the network sees jerseys, jeans and
sunglasses, and where it sees them there is mostly a person. A taught synset is a weighted sum of how far each class
stands above the others in a window of the picture. ``assets/taught.json`` holds the weights by class and how they were
found; ``scripts/train_taught.py`` writes it, from photographs of which it is known whether the synset is there. Where
it is was taught from outlines (:mod:`fcn_core.maps.read_out`), which begin with each cell's own sum.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import expit

from fcn_core.maps.heatmap import ClassMap, Float32, Float64, Heatmap
from fcn_core.maps.windows import terms_of
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.assets import asset


@dataclass(frozen=True, eq=False)
class Taught:
    """A synset with weights of its own.

    Attributes
    ----------
    wnid : str
    class_ids : frozenset of int
        The classes below it.
    weights : (classes,) ndarray
        Of each class.
    slope, intercept : float
        Turn the sum into the log-odds that the synset is in the picture.
    """

    wnid: str
    class_ids: frozenset[int]
    weights: Float64
    slope: float
    intercept: float

    def log_odds(self, class_map: ClassMap) -> Float64:
        """Return the log-odds that each cell shows the synset, (h, w)."""
        odds: Float64 = self.slope * self._cells(class_map).astype(np.float64) + self.intercept
        return odds.reshape(class_map.grid)

    def heatmap(self, class_map: ClassMap) -> Heatmap:
        """Return the probability that each cell shows the synset."""
        return Heatmap(expit(self.log_odds(class_map)).astype(np.float32), "probability", class_map.cells)

    def evidence(self, class_map: ClassMap) -> Float64:
        """Return the weighted sum in each window, (windows,)."""
        return np.asarray(terms_of(class_map).windows @ self._cells(class_map), np.float64)

    def _cells(self, class_map: ClassMap) -> Float32:
        """Return the weighted sum of the standardised logits of each cell, (cells,)."""
        terms = terms_of(class_map)
        logits = class_map.logits.reshape(-1, class_map.logits.shape[-1])
        weights = self.weights.astype(np.float32)
        found: Float32 = (logits @ weights - terms.mean * weights.sum()) / terms.deviation
        return found

    def presence(self, class_maps: Iterable[ClassMap]) -> float:
        """Return the probability that the synset is in the picture at all, 0 to 1."""
        pooled = np.mean([pool(self.evidence(class_map)) for class_map in class_maps])
        return float(expit(self.slope * pooled + self.intercept))


def pool(evidence: Float64) -> float:
    """Return a smooth maximum over the windows: the logarithm of the mean of their exponentials."""
    largest = float(evidence.max())
    return largest + float(np.log(np.mean(np.exp(evidence - largest))))


def taught_synsets(ontology: Ontology) -> Mapping[str, Taught]:
    """Return the taught synsets of a network by wnid; none if its classes are not ImageNet's.

    Parameters
    ----------
    ontology : Ontology
        Whose classes are the network's.
    """
    return shipped() if ontology.is_imagenet else {}


def taught_synset(class_ids: Sequence[int], ontology: Ontology) -> Taught | None:
    """Return the taught synset that has exactly these classes; None if it is not taught.

    Parameters
    ----------
    class_ids : sequence of int
    ontology : Ontology
        Whose classes are the network's.
    """
    asked = frozenset(int(each) for each in class_ids)
    return next((each for each in taught_synsets(ontology).values() if each.class_ids == asked), None)


@cache
def shipped() -> Mapping[str, Taught]:
    """Return the taught synsets that come with the program; they are read once."""
    document = json.loads(asset("taught.json").read_text(encoding="utf-8"))
    return {wnid: from_json(wnid, each) for wnid, each in document["synsets"].items()}


def from_json(wnid: str, mapping: Mapping[str, Any]) -> Taught:
    """Return the taught synset of a JSON object with ``weights``, ``slope`` and ``intercept``.

    The weights are by class: its wnid, and its label for the reader.
    """
    ontology = Ontology.load()
    places = {each: class_id for class_id, each in enumerate(ontology.classes)}
    given = {name.partition(" ")[0]: float(weight) for name, weight in mapping["weights"].items()}
    unknown = sorted(set(given) - set(places))
    if unknown:
        raise ValueError(f"Expected weights of ImageNet's classes. Received those of {', '.join(unknown)}.")
    weights = np.zeros(len(places))
    for each, weight in given.items():
        weights[places[each]] = weight
    class_ids = frozenset(ontology.class_ids(wnid))
    return Taught(wnid, class_ids, weights, float(mapping["slope"]), float(mapping["intercept"]))
