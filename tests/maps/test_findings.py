"""Findings: hand-made class maps, and the real network on a cat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.findings import Finding, findings
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.synsets.ontology import Ontology

EGYPTIAN_CAT, TABBY, ESPRESSO, MISSILE = 285, 281, 967, 657


def class_map(cells: list[Mapping[int, float]], side: int = 320) -> ClassMap:
    """Return one row of cells with the given probabilities; the rest is spread over the other classes."""
    logits = np.zeros((1, len(cells), 1000), np.float32)
    for column, shares in enumerate(cells):
        rest = (1 - sum(shares.values())) / (1000 - len(shares))
        logits[0, column] = np.log(rest)
        for class_id, share in shares.items():
            logits[0, column, class_id] = np.log(share)
    grid = CellGrid(CellAxis(32, 1, 32, 16, 100), CellAxis(32 * len(cells), len(cells), 32, 16, 100))
    return ClassMap(logits, grid, PlannedScale(Scale(side, side), 32, 32 * len(cells), False), 0.0)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([{EGYPTIAN_CAT: 0.98}], ["Egyptian cat"]),
        ([{EGYPTIAN_CAT: 0.6, TABBY: 0.38}], ["cat"]),
        ([{ESPRESSO: 0.97}], ["espresso"]),
        ([{ESPRESSO: 0.95}, {EGYPTIAN_CAT: 0.5, TABBY: 0.4}, {MISSILE: 0.7}], ["espresso", "cat", "missile"]),
        ([{ESPRESSO: 0.09}], []),
        ([{}], []),
    ],
)
def test_a_class_is_named_if_the_network_is_sure_of_it_else_its_kind(
    cells: list[Mapping[int, float]], expected: list[str]
) -> None:
    ontology = Ontology.load()
    found = findings([class_map(cells)])
    assert [ontology.label(f.wnid) for f in found] == expected


def test_the_peak_is_that_of_the_mean_over_the_scales() -> None:
    coarse, fine = class_map([{ESPRESSO: 0.9}]), class_map([{ESPRESSO: 0.5}])
    (finding,) = findings({"1": coarse, "2": fine})
    assert finding == Finding(Ontology.load().classes[ESPRESSO], pytest.approx(0.7, abs=1e-5))


def test_findings_are_few_sorted_and_none_is_a_kind_of_another(chelsea: np.ndarray, lite2) -> None:  # type: ignore[no-untyped-def]
    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import NOTEBOOK_SCALES
    from fcn_core.pipeline import compute_class_maps

    ontology = Ontology.load()
    maps = compute_class_maps(image_from_array(chelsea, "cat"), lite2, NOTEBOOK_SCALES[:2])
    for used in (list(maps.values())[:1], list(maps.values())):
        found = findings(used)
        wnids = [f.wnid for f in found]
        assert ontology.label(wnids[0]) == "cat", "the family is sure, the breed is not"
        assert 1 <= len(found) <= 6
        assert [f.peak for f in found] == sorted((f.peak for f in found), reverse=True)
        assert not any(b in ontology.ancestors(a) for a in wnids for b in wnids)
    assert findings(maps, ontology, limit=1) == findings(list(maps.values()))[:1]
