"""Findings: a few synsets that the network sees in a picture, each at a useful level of the hierarchy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcn_core.maps.heatmap import ClassMap, combine, synset_heatmap
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.search import STARTING_POINTS

_CANDIDATES = 16  # classes with the highest peaks, which are considered
_LOWEST_PEAK = 0.1  # mean peak below which a class is noise
_SURE = 0.95  # least share of its kind's probability for a class to be named itself
_MOST_CELLS = 6000  # larger grids are skipped: they change little and need 4 kB per cell
_KINDS = frozenset(STARTING_POINTS) - {"n00015388", "n03094503"}  # without animal and container


@dataclass(frozen=True)
class Finding:
    """A synset that the network sees in a picture.

    Attributes
    ----------
    wnid : str
    peak : float
        Largest value of the arithmetic mean of its probability heatmaps, 0 to 1.
    """

    wnid: str
    peak: float


def findings(
    class_maps: Mapping[str, ClassMap] | Sequence[ClassMap],
    ontology: Ontology | None = None,
    *,
    limit: int = 6,
) -> tuple[Finding, ...]:
    """Return the synsets that the network sees, strongest first.

    Parameters
    ----------
    class_maps : mapping to ClassMap, or sequence of ClassMap
        One or more scales, as :func:`fcn_core.compute_class_maps` returns them. The coarse scale alone is enough.
    ontology : Ontology, optional
        The shipped one by default.
    limit : int
        Largest number of findings.

    Returns
    -------
    tuple of Finding

    Notes
    -----
    Candidates are the classes with the highest peaks (mean over the scales, at least 0.1). A class is named itself if
    the network is sure of it: if it has at least 95 % of the probability of its everyday kind, as a mean over the
    cells, weighted by the probability of the class. Otherwise the kind is named (dog, cat, bird, vehicle: the
    nearest ancestor among `fcn_core.synsets.search.STARTING_POINTS`). "Animal" and "container" are too general and
    are skipped. Where one finding is an ancestor of another, only the descendant is kept.
    """
    ontology = ontology or Ontology.load()
    scales = list(class_maps.values()) if isinstance(class_maps, Mapping) else list(class_maps)
    usable = [m for m in scales if m.logits.shape[0] * m.logits.shape[1] <= _MOST_CELLS]
    chosen = usable or scales[:1]
    cells = [m.probabilities.reshape(-1, m.logits.shape[-1]) for m in chosen]
    peaks = np.mean([c.max(axis=0) for c in cells], axis=0)
    found: list[Finding] = []
    for class_id in np.argsort(-peaks)[:_CANDIDATES].tolist():
        if peaks[class_id] < _LOWEST_PEAK:
            break
        wnid = _level(class_id, cells, ontology)
        if any(f.wnid == wnid for f in found):
            continue
        heatmaps = [synset_heatmap(m, ontology.class_ids(wnid)) for m in chosen]
        found.append(Finding(wnid, combine(heatmaps).peak))
    found.sort(key=lambda f: -f.peak)
    above = {wnid for f in found for wnid in ontology.ancestors(f.wnid)}
    return tuple(f for f in found if f.wnid not in above)[:limit]


def _level(class_id: int, cells: Sequence[npt.NDArray[np.float32]], ontology: Ontology) -> str:
    """Return the wnid of the class, or that of its everyday kind where the network is not sure of the class."""
    wnid = ontology.classes[class_id]
    kind = next((w for w in ontology.ancestors(wnid) if w in _KINDS), None)
    if kind is None:
        return wnid
    ids = list(ontology.class_ids(kind))
    weights = [
        c[:, class_id] / len(c) for c in cells
    ]  # every scale has the same weight, although the numbers of cells differ
    alone = sum(float(w @ c[:, class_id]) for w, c in zip(weights, cells, strict=True))
    together = sum(float(w @ c[:, ids].sum(axis=1)) for w, c in zip(weights, cells, strict=True))
    return wnid if alone >= _SURE * together else ontology.collapse(kind)
