"""Presence: the probability that a synset is in the picture at all, from class maps alone.

A heatmap tells where a synset would be if it were there. Its peak is not the probability that it is there: a sum over
118 classes of dogs reaches 0.9 somewhere in most pictures of a street. Six numbers of the class maps, weighted and
added (logistic regression), tell it better. ``assets/presence.json`` holds the weights and how they were found;
``scripts/train_presence.py`` writes it. What the network has no class for, such as a person, has weights of its own
(:mod:`fcn_core.maps.taught`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from fcn_core.errors import ScaleError
from fcn_core.maps.heatmap import ClassMap, Float64
from fcn_core.maps.taught import taught_synset
from fcn_core.maps.windows import terms_of
from fcn_core.synsets.ontology import Ontology, Synset
from fcn_core.system.assets import asset

ClassMaps = Mapping[str, ClassMap] | Sequence[ClassMap]

#: Names of the six numbers, in the order of the columns of `features`.
FEATURES = ("standing", "odds", "one_class", "spread", "area", "classes")

_SEEN = 0.1  # probability from which a window counts as showing the synset
_TINY = 1e-6  # probabilities nearer to 0 and 1 than this differ by rounding only
_SMALL = 1e-4  # the same for shares


@dataclass(frozen=True)
class ReadOut:
    """Weights that turn the features of a synset into the log-odds that it is present.

    Attributes
    ----------
    weights : (6,) float ndarray
        In the order of `FEATURES`.
    intercept : float
    """

    weights: Float64
    intercept: float

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> ReadOut:
        """Return the read-out of a JSON object with ``weights`` by name and an ``intercept``."""
        weights = mapping["weights"]
        if sorted(weights) != sorted(FEATURES):
            raise ValueError(
                f"Expected the weights of {sorted(FEATURES)}. Received those of {sorted(weights)}."
            )
        return cls(np.array([float(weights[name]) for name in FEATURES]), float(mapping["intercept"]))

    def probability(self, table: Float64) -> Float64:
        """Return the probability of each row of `features`, (n,)."""
        log_odds = table @ self.weights + self.intercept
        probability: Float64 = 1 / (1 + np.exp(-log_odds))
        return probability


@cache
def shipped() -> ReadOut:
    """Return the read-out that comes with the program; it is read once."""
    return ReadOut.from_json(json.loads(asset("presence.json").read_text(encoding="utf-8")))


def presence(class_maps: ClassMaps, synset: str | Synset, *, ontology: Ontology | None = None) -> float:
    """Return the probability that a synset is in the picture at all.

    Parameters
    ----------
    class_maps : mapping to ClassMap, or sequence of ClassMap
        One or more scales, as :func:`fcn_core.compute_class_maps` returns them. The network does not run.
    synset : str or Synset
        A word ("dog"), a wnid ("n02084071"), or a synset of the ontology.
    ontology : Ontology, optional
        The shipped one by default.

    Returns
    -------
    float
        From 0 to 1, calibrated: of photographs with 0.7, the synset is in about seven of ten.

    Raises
    ------
    ScaleError
        There is no class map.
    SynsetError
        No synset, or more than one, has this word.
    """
    ontology = ontology or _scales(class_maps)[0].outputs.ontology
    found = ontology.find(synset) if isinstance(synset, str) else synset
    return float(presences(class_maps, [ontology.class_ids(found.wnid)])[0])


def presences(
    class_maps: ClassMaps, groups: Sequence[Sequence[int]], read_out: ReadOut | None = None
) -> Float64:
    """Return the presence of several groups of classes at once, (n,); see `presence`.

    A group that has the classes of a taught synset gets its presence, if that is larger. For classes other than
    ImageNet's nothing was learned: the presence is then the largest probability of any window, as a mean over the
    scales.
    """
    scales = _scales(class_maps)
    if not scales[0].outputs.ontology.is_imagenet:
        return cast(Float64, np.mean([_peaks(class_map, groups) for class_map in scales], axis=0))
    found = (read_out or shipped()).probability(features(class_maps, groups))
    for number, group in enumerate(groups):
        if taught := taught_synset(group, scales[0].outputs.ontology):
            found[number] = max(found[number], taught.presence(scales))
    return found


def features(class_maps: ClassMaps, groups: Sequence[Sequence[int]]) -> Float64:
    """Compute the six numbers of each group of classes.

    Parameters
    ----------
    class_maps : mapping to ClassMap, or sequence of ClassMap
    groups : sequence of sequence of int
        The classes of each synset.

    Returns
    -------
    (n, 6) float64 ndarray
        One row a group, one column a name of `FEATURES`:

        ``standing``
            How far the best class stands above the other classes of its cell, in standard deviations; the largest
            over the cells.
        ``odds``
            Log-odds of the largest probability over windows of four by four cells, whose logits are averaged.
        ``one_class``
            Log-odds of the share of that probability that one class has alone.
        ``spread``
            Log-odds of the share of the cells over which the probability is spread: ``(sum p)**2 / (n sum p**2)``.
        ``area``
            Log-odds of the share of windows with a probability above 0.1, at the scale with the largest share.
        ``classes``
            Logarithm of the number of classes.

        All but the last two are means over the scales, so they are defined for any set of scales.

    Raises
    ------
    ScaleError
        There is no class map.
    """
    scales = _scales(class_maps)
    used, places = np.unique(np.concatenate([np.asarray(g, np.intp) for g in groups]), return_inverse=True)
    sizes = np.array([len(group) for group in groups])
    each = np.stack([_of_one_scale(class_map, used, places, sizes) for class_map in scales])
    table = np.empty((len(groups), len(FEATURES)))
    table[:, :4] = each[:, :, :4].mean(axis=0)
    table[:, 4] = each[:, :, 4].max(axis=0)
    table[:, 5] = np.log(sizes)
    return table


def _peaks(class_map: ClassMap, groups: Sequence[Sequence[int]]) -> Float64:
    """Return the largest probability of each group in any window of four by four cells, (n,)."""
    logits = class_map.logits.reshape(-1, class_map.logits.shape[-1])
    windows = np.asarray(terms_of(class_map).windows @ logits)[None]
    averaged = replace(class_map, logits=windows, middle=())
    ids = [np.asarray(group, np.intp) for group in groups]
    return np.array([min(float(averaged.probability_of_any(each).max()), 1.0) for each in ids])


def _scales(class_maps: ClassMaps) -> list[ClassMap]:
    scales = list(class_maps.values()) if isinstance(class_maps, Mapping) else list(class_maps)
    if not scales:
        raise ScaleError("Expected at least one scale. Received none. Choose for example 400x640.")
    return scales


def _of_one_scale(
    class_map: ClassMap, used: npt.NDArray[np.intp], places: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]
) -> Float64:
    """Return standing, odds, one class, spread and area of each group, (n, 5)."""
    terms = terms_of(class_map)
    starts = np.r_[0, sizes.cumsum()[:-1]]
    logits = np.ascontiguousarray(class_map.logits.reshape(-1, class_map.logits.shape[-1])[:, used].T)
    windows = np.asarray(terms.windows @ logits.T).T

    standing = np.maximum.reduceat(((logits - terms.mean) / terms.deviation)[places], starts).max(axis=1)
    cells = np.minimum(np.add.reduceat(np.exp(logits - terms.log_normaliser)[places], starts), 1.0)
    alone = np.exp(windows - terms.window_log_normaliser)[places]
    seen = np.minimum(np.add.reduceat(alone, starts), 1.0)
    rows, best = np.arange(len(sizes)), seen.argmax(axis=1)
    peak = seen[rows, best].astype(np.float64)
    one = np.maximum.reduceat(alone, starts)[rows, best] / np.maximum(peak, 1e-12)
    total, squares = cells.sum(axis=1, dtype=np.float64), np.square(cells, dtype=np.float64).sum(axis=1)
    spread = total**2 / np.maximum(squares, 1e-30) / cells.shape[1]
    area = (seen > _SEEN).mean(axis=1)
    columns = (
        standing,
        _log_odds(peak, _TINY),
        _log_odds(one, _SMALL),
        _log_odds(spread, _SMALL),
        _log_odds(area, _SMALL),
    )
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _log_odds(share: npt.ArrayLike, least: float) -> Float64:
    bounded = np.clip(np.asarray(share, np.float64), least, 1 - least)
    return cast(Float64, np.log(bounded / (1 - bounded)))
