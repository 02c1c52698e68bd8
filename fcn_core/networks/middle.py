"""What the middle of a network says: maps of inner layers, which come with the same pass as the class map.

The layers are cuts of the network (:mod:`fcn_core.networks.structure`), so a pass in bands has their maps as well.
Their cells are as fine as those of the class map, or finer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcn_core.networks.geometry import CellGrid, Geometry

MOST_PIXELS = round(1.1 * 800 * 1280)
"""Largest input of a pass that returns middle maps. The notebook's third scale fits with any proportions; larger inputs
would cost four times the memory and more, and their middle says nothing more about where an object ends."""


@dataclass(frozen=True, eq=False)
class MiddleMap:
    """What one inner layer of the network says at each of its cells.

    Attributes
    ----------
    name : str
        The layer.
    values : (h, w, C) float16 ndarray
        Half precision: of EfficientNet-Lite2 all middle maps together need 28 % of the memory of the class map. Convert
        them before you compute sums: half precision overflows at 65504.
    cells : CellGrid
        Positions of the h x w cells in the network's input.
    """

    name: str
    values: NDArray[np.float16]
    cells: CellGrid


def middle_layers(geometry: Geometry, names: Iterable[str]) -> tuple[Geometry, ...]:
    """Return, for each of these layers, the beginning of the network that ends with it.

    Raises
    ------
    ValueError
        The network has no cut at such a layer.
    """
    ends = {node.name: end for end, node in enumerate(geometry.nodes, 1) if node.cut}
    unknown = [name for name in names if name not in ends]
    if unknown:
        raise ValueError(f"Expected layers among the cuts {', '.join(ends)}. Received: {', '.join(unknown)}")
    return tuple(Geometry(geometry.nodes[: ends[name]]) for name in names)


def part_of(layer: Geometry) -> int:
    """Return the number, from 0, of the part of the network that ends with this layer."""
    return len(layer.parts()) - 1


def middle_values(layers: Sequence[Geometry], height: int, width: int) -> int:
    """Return how many numbers these layers return for an input of `height` x `width` pixels."""
    grids = [layer.grid(height, width) for layer in layers]
    return sum(layer.nodes[-1].channels * h * w for layer, (h, w) in zip(layers, grids, strict=True))


def empty_maps(layers: Sequence[Geometry], height: int, width: int) -> tuple[MiddleMap, ...]:
    """Return the middle maps of an input, to be filled; none if it has more than `MOST_PIXELS` pixels."""
    if height * width > MOST_PIXELS:
        return ()
    return tuple(
        MiddleMap(
            layer.nodes[-1].name,
            np.empty((*layer.grid(height, width), layer.nodes[-1].channels), np.float16),
            layer.cells(height, width),
        )
        for layer in layers
    )
