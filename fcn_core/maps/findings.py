"""What is in a picture: a few synsets worth asking for, at a useful level of the hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcn_core.maps.heatmap import ClassMap, combine, synset_heatmap
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.search import STARTING_POINTS

_CANDIDATES = 16  # strongest classes that are looked at
_WEAKEST = 0.1  # mean peak below which a class is noise
_TORN = 0.95  # share of the kind's probability that a class needs to stand for itself
_MOST_CELLS = 6000  # larger grids are left out: they add little and hold 4 kB a cell
_KINDS = frozenset(STARTING_POINTS) - {"n00015388", "n03094503"}  # without animal and container


@dataclass(frozen=True)
class Finding:
    """A synset that is seen in a picture.

    Attributes
    ----------
    wnid : str
    peak : float
        Largest value of the arithmetic mean of its heatmaps, 0 to 1.
    """

    wnid: str
    peak: float


def what_is_in(class_maps: Sequence[ClassMap], ontology: Ontology, limit: int = 6) -> tuple[Finding, ...]:
    """Name what the network sees, strongest first.

    The rule: of the classes with the highest peaks (mean over the scales, at least 0.1), each is named itself
    where the network is sure of it, and by its everyday kind (dog, cat, bird, vehicle: the nearest ancestor
    among `fcn_core.synsets.search.STARTING_POINTS`) where it is torn between that kind's classes. Torn
    means: over the
    cells where the class is seen, weighted by its probability, it holds less than 95 % of the probability that
    the whole kind holds. "Animal" and "container" say too little and are passed over. Of two findings of which
    one is a kind of the other, the narrower stays.

    Parameters
    ----------
    class_maps : sequence of ClassMap
        One or more scales; the coarse one alone is enough.
    ontology : Ontology
    limit : int
        The number of findings at most.

    Returns
    -------
    tuple of Finding
    """
    usable = [m for m in class_maps if m.logits.shape[0] * m.logits.shape[1] <= _MOST_CELLS]
    chosen = usable or list(class_maps[:1])
    cells = [m.probabilities.reshape(-1, m.logits.shape[-1]) for m in chosen]
    peaks = np.mean([c.max(axis=0) for c in cells], axis=0)
    found: list[Finding] = []
    for class_id in np.argsort(-peaks)[:_CANDIDATES].tolist():
        if peaks[class_id] < _WEAKEST:
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
    """The class itself, or its everyday kind where the network is torn."""
    wnid = ontology.classes[class_id]
    kind = next((w for w in ontology.ancestors(wnid) if w in _KINDS), None)
    if kind is None:
        return wnid
    ids = list(ontology.class_ids(kind))
    weights = [c[:, class_id] / len(c) for c in cells]  # every scale counts the same, however many cells
    alone = sum(float(w @ c[:, class_id]) for w, c in zip(weights, cells, strict=True))
    together = sum(float(w @ c[:, ids].sum(axis=1)) for w, c in zip(weights, cells, strict=True))
    return wnid if alone >= _TORN * together else ontology.collapse(kind)
