"""The learned read-out: from the numbers about a region to the probability that it belongs to the synset.

A read-out is a set of small gradient-boosted trees, learned by ``scripts/train_read_out.py`` from photographs with
masks and shipped as a readable file with its provenance. It knows no class: the same numbers serve every synset. One
was learned for each network whose middle layers are known, and one for any other network of the ImageNet classes, which
reads class maps alone. A taught synset (:mod:`fcn_core.maps.taught`) has read-outs of its own, learned from outlines of
nothing else: what the middle of the network says of a person differs from what it says of all things.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fcn_core.maps.boosted_trees import BoostedTrees
from fcn_core.maps.heatmap import Float64
from fcn_core.maps.region_features import Scene, region_features
from fcn_core.maps.taught import taught_synset
from fcn_core.system.assets import asset

_FOLDER = "read_outs"


def object_probability(scene: Scene, class_ids: Sequence[int]) -> Float64:
    """Return the probability that each region belongs to a synset, (n,), 0 to 1.

    Parameters
    ----------
    scene : Scene
        From :func:`fcn_core.maps.region_features.read_scene`.
    class_ids : sequence of int
        Classes of the synset.
    """
    taught = taught_synset(class_ids, scene.ontology)
    trees = read_out(scene.layers, None if taught is None else taught.wnid)
    features = region_features(scene, class_ids)
    log_odds = trees.decision(np.stack([features[name] for name in trees.names], axis=1))
    probability: Float64 = 1 / (1 + np.exp(-log_odds))
    return probability


@cache
def read_out(layers: tuple[str, ...], synset: str | None = None) -> BoostedTrees:
    """Return the read-out for class maps with these middle layers; for unknown ones, that for any network.

    Parameters
    ----------
    layers : tuple of str
        Names of the middle layers.
    synset : str, optional
        Wnid of a taught synset.
    """
    files = map(_load, sorted(asset(_FOLDER).glob("*.json")))
    known = {tuple(each["layers"]): each for each in files if each.get("synset") == synset}
    return BoostedTrees.from_json(known.get(layers) or known[()])


@cache
def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
