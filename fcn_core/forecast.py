"""What a forward pass will hold and compute, foreseen from the geometry alone.

OpenVINO gives the tensors of a network of free input size to a few blocks, each to the first block that is free
when the tensor is made, and a block grows to its largest tensor. The same rule is followed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fcn_core.bands import Plan, plan
from fcn_core.geometry import Geometry, Node, trace

_BANDS = (512, 256, 192, 128, 96, 64, 48, 32, 24, 16, 8)  # rows
_STRIPS = (1, 2, 3, 4, 6, 8, 12)
_FLOAT = 4 / 2**20  # megabytes


@dataclass(frozen=True)
class Demand:
    """Memory (MB) and multiply-adds of a pass: over the whole where ``band`` is None, else in bands and strips."""

    mb: float
    macs: float
    band: int | None = None
    strip: int | None = None


def activations(nodes: Sequence[Node], height: int, width: int, channels: int) -> float:
    """Floats that OpenVINO holds while it runs `nodes` on an input of ``(1, channels, height, width)``."""
    rows, columns = trace(nodes, "y", height), trace(nodes, "x", width)
    sizes = [n.channels * r.size * c.size for n, r, c in zip(nodes, rows, columns, strict=True)]
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(i)
    never = len(nodes)
    place = {-1: -1}  # node -> the tensor that holds its cells
    tensors = {-1: [-1, max(readers[-1]), channels * height * width]}  # made, last read, floats
    for i, node in enumerate(nodes):
        last, made = max(readers.get(i, [never])), i
        if (
            len(node.inputs) > 1
        ):  # a sum goes with the convolution before it, and into the other summand if it can
            other, newest = min(node.inputs), max(node.inputs)
            if readers[newest] == [i] and place[newest] == newest:
                made = tensors.pop(newest)[0]
            if max(readers[other]) == i:
                place[i] = place[other]
                held = tensors[place[other]]
                held[1], held[2] = last, max(held[2], sizes[i])
                continue
        place[i] = i
        tensors[i] = [made, last, sizes[i]]
    blocks: list[list[int]] = []  # busy until, floats
    for made, last, size in sorted(tensors.values()):
        for block in blocks:
            if block[0] < made:
                block[:] = last, max(block[1], size)
                break
        else:
            blocks.append([last, size])
    return float(sum(size for _, size in blocks))


@lru_cache(maxsize=256)
def whole_demand(geometry: Geometry, height: int, width: int) -> Demand:
    """Demand of one pass over everything: activations, the input, the logits as computed and as given."""
    h, w = geometry.grid(height, width)
    given = (3 * height * width + 2 * geometry.nodes[-1].channels * h * w) * _FLOAT
    return Demand(held_mb(geometry, height, width) + given, geometry.macs(height, width))


@lru_cache(maxsize=256)
def held_mb(geometry: Geometry, height: int, width: int) -> float:
    """Memory (MB) that OpenVINO keeps after one pass over everything, for the next."""
    return activations(geometry.nodes, height, width, 3) * _FLOAT


def banded_demand(geometry: Geometry, height: int, width: int, available_mb: float) -> Demand:
    """Demand of the pass in bands, and strips if need be, that computes least among those that fit.

    Where none fits, the one that holds least.
    """
    best: Demand | None = None
    smallest: Demand | None = None
    for count in _STRIPS:
        strip = None if count == 1 else -(-width // count)
        for band in _BANDS:
            demand = _banded(geometry, height, width, band, strip)
            if smallest is None or demand.mb < smallest.mb:
                smallest = demand
            if demand.mb <= available_mb:
                if best is None or demand.macs < best.macs:
                    best = demand
                break
        if best is not None and demand.macs > best.macs:
            break
    assert smallest is not None  # noqa: S101
    return best or smallest


@lru_cache(maxsize=1024)
def _banded(geometry: Geometry, height: int, width: int, band: int, strip: int | None) -> Demand:
    bands = plan(geometry, height, width, band, strip)
    h, w = geometry.grid(height, width)
    held = geometry.nodes[-1].channels * h * w * _FLOAT
    columns, channels = bands.strips.length, 3
    macs = 0.0
    for part, tiling in zip(geometry.parts(), bands.parts, strict=True):
        across = trace(part, "x", columns)
        # The window it slides, and what is left over of an output of its own.
        held += (
            channels * tiling.length * columns + part[-1].channels * across[-1].size * tiling.cells // 2
        ) * _FLOAT
        rows = trace(part, "y", tiling.length)
        work = sum(n.macs * r.size * c.size for n, r, c in zip(part, rows, across, strict=True))
        macs += work * len(tiling.windows) * len(bands.strips.windows)
        columns, channels = across[-1].size, part[-1].channels
    return Demand(held + max(running_mb(geometry, bands)), macs, band, strip)


def running_mb(geometry: Geometry, bands: Plan) -> tuple[float, ...]:
    """Memory (MB) that each part of a banded pass holds while it runs."""
    running = []
    columns, channels = bands.strips.length, 3
    for part, tiling in zip(geometry.parts(), bands.parts, strict=True):
        across, depth = trace(part, "x", columns)[-1].size, part[-1].channels
        output = 2 * depth * across * tiling.cells  # as computed and as given
        running.append((activations(part, tiling.length, columns, channels) + output) * _FLOAT)
        columns, channels = across, depth
    return tuple(running)
