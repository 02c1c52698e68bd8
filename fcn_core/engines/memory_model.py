"""What a forward pass will hold and compute, foreseen from the geometry alone.

OpenVINO gives the tensors of a network of free input size to a few blocks, each to the first block that is free
when the tensor is made, and a block grows to its largest tensor. The same rule is followed here. The parts of a
banded pass are compiled as one network (see :mod:`fcn_core.engines.openvino_tiles`) and so share their blocks;
there some tensors were seen to get another block than by the rule, so that the largest is counted twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

from fcn_core.engines.tiling import Plan, Tiling, strips, tilings
from fcn_core.networks.geometry import Geometry, Node, Trace, trace

_STEPS = (512, 384, 256, 192, 160, 128, 96, 80, 64, 48, 40, 32, 24, 16, 12, 8)  # rows
_STRIPS = (1, 2, 3, 4, 6, 8, 12)
_FLOAT = 4 / 2**20  # megabytes
_CALL = 1e8  # multiply-adds in the time that calling a part costs
_PRICES = (0, 10, 30, 100, 300, 1000, 3000, 10000)  # of a float held, in multiply-adds


@dataclass(frozen=True)
class Demand:
    """Memory (MB) and multiply-adds of a pass: over the whole where ``plan`` is None, else in bands."""

    mb: float
    macs: float
    plan: Plan | None = None


class _Tensor(NamedTuple):  # thousands are made: half the time of a dataclass
    """Floats that are held from the node that makes them to the last that reads them."""

    made: int
    read: int
    size: int


def activations(nodes: Sequence[Node], height: int, width: int, channels: int) -> float:
    """Floats that OpenVINO holds while it runs `nodes` on an input of ``(1, channels, height, width)``."""
    rows, columns = trace(nodes, "y", height), trace(nodes, "x", width)
    return float(sum(_blocks(_tensors(nodes, rows, columns, channels * height * width))))


def _tensors(
    nodes: Sequence[Node], rows: Sequence[Trace], columns: Sequence[Trace], floats: int
) -> tuple[_Tensor, ...]:
    """What `nodes` make of an input of so many `floats`, in that order; first the input."""
    sizes = [n.channels * r.size * c.size for n, r, c in zip(nodes, rows, columns, strict=True)]
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(i)
    never = len(nodes)
    place = {-1: -1}  # node -> the tensor that holds its cells
    tensors = {-1: _Tensor(-1, max(readers[-1]), floats)}
    for i, node in enumerate(nodes):
        last, made = max(readers.get(i, [never])), i
        if (
            len(node.inputs) > 1
        ):  # a sum goes with the convolution before it, and into the other summand if it can
            other, newest = min(node.inputs), max(node.inputs)
            if readers[newest] == [i] and place[newest] == newest:
                made = tensors.pop(newest).made
            if max(readers[other]) == i:
                place[i] = place[other]
                held = tensors[place[other]]
                tensors[place[other]] = _Tensor(held.made, last, max(held.size, sizes[i]))
                continue
        place[i] = i
        tensors[i] = _Tensor(made, last, sizes[i])
    return tuple(sorted(tensors.values(), key=lambda t: (t.made, t.read, t.size)))


def _blocks(tensors: Iterable[_Tensor]) -> list[int]:
    """Floats of each of the blocks that hold `tensors`, given in the order they are made."""
    blocks: list[list[int]] = []  # busy until, floats
    for tensor in tensors:
        for block in blocks:
            if block[0] < tensor.made:
                block[:] = tensor.read, max(block[1], tensor.size)
                break
        else:
            blocks.append([tensor.read, tensor.size])
    return [size for _, size in blocks]


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
    (unbanded,) = _banded(geometry, height, width, None, (height,))
    if unbanded.mb <= available_mb:
        return unbanded
    best: Demand | None = None
    smallest: Demand | None = None
    for count in _STRIPS:
        strip = None if count == 1 else -(-width // count)
        if best is not None and _banded(geometry, height, width, strip, (height,))[0].macs >= best.macs:
            break  # bands add to what such strips compute
        demands = _banded(geometry, height, width, strip)
        smallest = demands[0] if smallest is None or demands[0].mb < smallest.mb else smallest
        fitting = next((d for d in reversed(demands) if d.mb <= available_mb), None)
        if best is not None and (fitting is None or fitting.macs > best.macs):
            break
        best = fitting
    assert smallest is not None  # noqa: S101
    return best or smallest


@dataclass(frozen=True)
class _Band:
    """One way to run a part: its tensors, the floats beside them, and its multiply-adds in one strip."""

    tiling: Tiling
    tensors: tuple[_Tensor, ...]
    running: float  # of these tensors
    given: int  # its window, and its output as given
    row: int  # floats of a row of its output
    macs: float


@lru_cache(maxsize=28)
def _banded(
    geometry: Geometry, height: int, width: int, strip: int | None, steps: tuple[int, ...] = _STEPS
) -> tuple[Demand, ...]:
    """Demands of passes in bands, from the least memory to the fewest multiply-adds; none is worse in both.

    In each pass all parts may use the same memory while they run, and weigh what they hold all the time against what
    they compute twice by the same price; all such memories and some prices are tried.
    """
    across = strips(geometry, width, strip)
    h, w = geometry.grid(height, width)
    parts: list[list[_Band]] = []
    size, columns, channels = height, across.length, 3
    for part in geometry.parts():
        parts.append(_ways(part, size, columns, channels, steps))
        size, columns = trace(part, "y", size)[-1].size, trace(part, "x", columns)[-1].size
        channels = part[-1].channels
    demands: dict[tuple[int, ...], Demand] = {}
    for most, price in product(sorted({band.running for bands in parts for band in bands}), _PRICES):
        chosen = [
            min(
                (b for b in bands if b.running <= most),
                key=lambda b: b.macs + price * b.given,
                default=bands[-1],
            )
            for bands in parts
        ]
        key = tuple(map(id, chosen))
        if key in demands:
            continue
        pool, first = list[_Tensor](), 0
        for part, band in zip(geometry.parts(), chosen, strict=True):
            pool += [_Tensor(t.made + first, t.read + first, t.size) for t in band.tensors]
            first += len(part) + 2
        blocks = _blocks(pool)
        held = (
            sum(blocks)
            + max(blocks)
            + sum(band.given for band in chosen)
            + geometry.nodes[-1].channels * h * w
        )
        held += sum(_left(a.tiling, b.tiling) * a.row for a, b in pairwise(chosen))
        macs = sum(band.macs for band in chosen) * len(across.windows)
        plan = Plan(tuple(band.tiling for band in chosen), across)
        demands[key] = Demand(held * _FLOAT, macs, plan)
    best: list[Demand] = []
    for demand in sorted(demands.values(), key=lambda d: (d.mb, d.macs)):
        if not best or demand.macs < best[-1].macs:
            best.append(demand)
    return tuple(best)


def _ways(part: Sequence[Node], height: int, width: int, channels: int, steps: Sequence[int]) -> list[_Band]:
    """The bands in which a part may run, from the largest to the smallest."""
    columns = trace(part, "x", width)
    row = part[-1].channels * columns[-1].size
    bands: list[_Band] = []
    for tiling in dict.fromkeys(tilings(part, "y", height, steps)):
        rows = trace(part, "y", tiling.length)
        tensors = _tensors(part, rows, columns, channels * tiling.length * width)
        macs = sum(n.macs * r.size * c.size for n, r, c in zip(part, rows, columns, strict=True)) + _CALL
        given = channels * tiling.length * width + row * tiling.cells
        bands.append(_Band(tiling, tensors, sum(_blocks(tensors)), given, row, macs * len(tiling.windows)))
    return bands


def _left(source: Tiling, target: Tiling) -> int:
    """Most rows that the windows of `source` have given and those of `target` have not yet taken."""
    given = [window.last for window in source.windows]
    ends = [window.start + target.length for window in target.windows]
    return max(given[bisect_left(given, end)] - end for end in ends)
