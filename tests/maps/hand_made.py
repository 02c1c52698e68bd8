"""Class maps with given probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellAxis, CellGrid


def class_map(rows: Sequence[Sequence[Mapping[int, float]]], side: int = 320) -> ClassMap:
    """Return cells with the given probabilities; what is left of 1 is spread over the other classes."""
    height, width = len(rows), len(rows[0])
    logits = np.zeros((height, width, 1000), np.float32)
    for row, cells in enumerate(rows):
        for column, shares in enumerate(cells):
            logits[row, column] = np.log((1 - sum(shares.values())) / (1000 - len(shares)))
            for class_id, share in shares.items():
                logits[row, column, class_id] = np.log(share)
    grid = CellGrid(CellAxis(32 * height, height, 32, 16, 100), CellAxis(32 * width, width, 32, 16, 100))
    return ClassMap(logits, grid, PlannedScale(Scale(side, side), 32 * height, 32 * width, False), 0.0)


def patches(shares: Sequence[Mapping[int, float]], side: int = 4) -> ClassMap:
    """Return squares of cells beside each other, each with one mapping of probabilities."""
    return class_map([[share for share in shares for _ in range(side)]] * side)
