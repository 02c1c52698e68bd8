"""Memory and multiply-adds of a forward pass, computed from the geometry alone.

OpenVINO puts the tensors of a network of free input size into a few blocks of memory: each tensor into the first block
that is free when the tensor is made, and a block grows to its largest tensor. The same rule is used here. The parts of
a pass in bands are compiled as one network (:mod:`fcn_core.engines.openvino_parts`) and share their blocks. Some of
their tensors do not follow the rule, so the largest block is counted twice there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

from fcn_core.engines.bands import Bands, Plan, covers, strips
from fcn_core.networks.geometry import Geometry, Node, Trace, trace
from fcn_core.networks.middle import MOST_PIXELS, middle_values

_STEPS = (512, 384, 256, 192, 160, 128, 96, 80, 64, 48, 40, 32, 24, 16, 12, 8)  # rows
_STRIPS = (1, 2, 3, 4, 6, 8, 12)
_FLOAT = 4 / 2**20  # megabytes
_CALL = 1e8  # multiply-adds that take as long as calling a part
_PRICES = (0, 10, 30, 100, 300, 1000, 3000, 10000)  # of a float in memory, in multiply-adds


@dataclass(frozen=True)
class Demand:
    """Memory (MB) and multiply-adds of a pass: over the whole picture if ``plan`` is None, else in bands."""

    mb: float
    macs: float
    plan: Plan | None = None


class _Lifetime(NamedTuple):  # thousands are made: half the time of a dataclass
    """A tensor of `size` floats: the node that makes it and the last node that reads it."""

    made: int
    read: int
    size: int


def activations(nodes: Sequence[Node], height: int, width: int, channels: int) -> float:
    """Return the floats in memory while OpenVINO runs `nodes` on an input (1, channels, height, width)."""
    rows, columns = trace(nodes, "y", height), trace(nodes, "x", width)
    return float(sum(_blocks(_tensors(nodes, rows, columns, channels * height * width))))


def _tensors(
    nodes: Sequence[Node], rows: Sequence[Trace], columns: Sequence[Trace], floats: int
) -> tuple[_Lifetime, ...]:
    """Return the input, with its number of `floats`, and the tensors that `nodes` make, in the order they are made."""
    sizes = [n.channels * r.size * c.size for n, r, c in zip(nodes, rows, columns, strict=True)]
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(i)
    never = len(nodes)
    place = {-1: -1}  # node -> the tensor that contains its cells
    tensors = {-1: _Lifetime(-1, max(readers[-1]), floats)}
    for i, node in enumerate(nodes):
        last, made = max(readers.get(i, [never])), i
        if len(node.inputs) > 1:  # a sum is fused with the convolution before it, in place if possible
            other, newest = min(node.inputs), max(node.inputs)
            if readers[newest] == [i] and place[newest] == newest:
                made = tensors.pop(newest).made
            if max(readers[other]) == i:
                place[i] = place[other]
                shared = tensors[place[other]]
                tensors[place[other]] = _Lifetime(shared.made, last, max(shared.size, sizes[i]))
                continue
        place[i] = i
        tensors[i] = _Lifetime(made, last, sizes[i])
    return tuple(sorted(tensors.values(), key=lambda t: (t.made, t.read, t.size)))


def _blocks(tensors: Iterable[_Lifetime]) -> list[int]:
    """Return the floats of each block that OpenVINO needs for `tensors`, in the order they are made."""
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
def whole_demand(geometry: Geometry, height: int, width: int, middle: tuple[Geometry, ...] = ()) -> Demand:
    """Return the demand of a pass over the whole: activations, input, and logits as computed and as returned.

    The outputs of the `middle` layers need three times their size beside the activations (measured): OpenVINO copies
    them out and keeps them, and the engine has them in single precision until they are converted.
    """
    h, w = geometry.grid(height, width)
    floats = 3 * height * width + 2 * geometry.nodes[-1].channels * h * w
    exchanged = (floats + 3 * middle_values(middle, height, width)) * _FLOAT
    return Demand(cached_mb(geometry, height, width) + exchanged, geometry.macs(height, width))


@lru_cache(maxsize=256)
def cached_mb(geometry: Geometry, height: int, width: int) -> float:
    """Return the memory (MB) that OpenVINO caches after a pass over the whole for the next one."""
    return activations(geometry.nodes, height, width, 3) * _FLOAT


def middle_mb(middle: tuple[Geometry, ...], height: int, width: int) -> float:
    """Return the memory (MB) of the middle maps that a pass returns, whole or in bands: in half precision."""
    return middle_values(middle, height, width) * _FLOAT / 2 if height * width <= MOST_PIXELS else 0.0


def banded_demand(geometry: Geometry, height: int, width: int, available_mb: float) -> Demand:
    """Return the demand of the fastest pass in bands that fits into `available_mb`, with strips if needed.

    If none fits, return that of the pass that needs the least memory.
    """
    (undivided,) = _demands(geometry, height, width, None, (height,))
    if undivided.mb <= available_mb:
        return undivided
    best: Demand | None = None
    smallest: Demand | None = None
    for count in _STRIPS:
        strip = None if count == 1 else -(-width // count)
        if best is not None and _demands(geometry, height, width, strip, (height,))[0].macs >= best.macs:
            break  # bands can only add to what these strips compute
        demands = _demands(geometry, height, width, strip)
        smallest = demands[0] if smallest is None or demands[0].mb < smallest.mb else smallest
        fitting = next((d for d in reversed(demands) if d.mb <= available_mb), None)
        if best is not None and (fitting is None or fitting.macs > best.macs):
            break
        best = fitting
    assert smallest is not None  # noqa: S101
    return best or smallest


@dataclass(frozen=True)
class _Way:
    """One way to run a part in bands: its bands, its memory in floats, and its multiply-adds in one strip."""

    bands: Bands
    tensors: tuple[_Lifetime, ...]
    running: float  # of these tensors
    exchanged: int  # of its input and output
    row: int  # of a row of its output
    macs: float


@lru_cache(maxsize=28)
def _demands(
    geometry: Geometry, height: int, width: int, strip: int | None, steps: tuple[int, ...] = _STEPS
) -> tuple[Demand, ...]:
    """Return the demands of passes in bands, from the least memory to the fewest multiply-adds.

    Two numbers, the same for all parts, choose how each part runs: a limit on the memory that it uses while it runs,
    and a price, in multiply-adds, of the memory that it keeps during the whole pass. All limits and some prices are
    tried. Demands that need both more memory and more multiply-adds than another are left out.
    """
    across = strips(geometry, width, strip)
    h, w = geometry.grid(height, width)
    parts: list[list[_Way]] = []
    size, columns, channels = height, across.length, 3
    for part in geometry.parts():
        parts.append(_ways(part, size, columns, channels, steps))
        size, columns = trace(part, "y", size)[-1].size, trace(part, "x", columns)[-1].size
        channels = part[-1].channels
    demands: dict[tuple[int, ...], Demand] = {}
    for most, price in product(sorted({way.running for ways in parts for way in ways}), _PRICES):
        chosen = [
            min(
                (way for way in ways if way.running <= most),
                key=lambda way: way.macs + price * way.exchanged,
                default=ways[-1],
            )
            for ways in parts
        ]
        key = tuple(map(id, chosen))
        if key in demands:
            continue
        tensors, first = list[_Lifetime](), 0
        for part, way in zip(geometry.parts(), chosen, strict=True):
            tensors += [_Lifetime(t.made + first, t.read + first, t.size) for t in way.tensors]
            first += len(part) + 2
        blocks = _blocks(tensors)
        floats = sum(blocks) + max(blocks) + geometry.nodes[-1].channels * h * w
        floats += sum(way.exchanged for way in chosen)
        floats += sum(_most_waiting(a.bands, b.bands) * a.row for a, b in pairwise(chosen))
        macs = sum(way.macs for way in chosen) * len(across.bands)
        plan = Plan(tuple(way.bands for way in chosen), across)
        demands[key] = Demand(floats * _FLOAT, macs, plan)
    best: list[Demand] = []
    for demand in sorted(demands.values(), key=lambda d: (d.mb, d.macs)):
        if not best or demand.macs < best[-1].macs:
            best.append(demand)
    return tuple(best)


def _ways(part: Sequence[Node], height: int, width: int, channels: int, steps: Sequence[int]) -> list[_Way]:
    """Return the ways to run a part, from the largest bands to the smallest."""
    columns = trace(part, "x", width)
    row = part[-1].channels * columns[-1].size
    ways: list[_Way] = []
    for bands in dict.fromkeys(covers(part, "y", height, steps)):
        rows = trace(part, "y", bands.length)
        tensors = _tensors(part, rows, columns, channels * bands.length * width)
        macs = sum(n.macs * r.size * c.size for n, r, c in zip(part, rows, columns, strict=True)) + _CALL
        exchanged = channels * bands.length * width + row * bands.cells
        ways.append(_Way(bands, tensors, sum(_blocks(tensors)), exchanged, row, macs * len(bands.bands)))
    return ways


def _most_waiting(source: Bands, target: Bands) -> int:
    """Return the largest number of rows that `source` has computed and `target` has not read yet."""
    computed = [band.last for band in source.bands]
    ends = [band.start + target.length for band in target.bands]
    return max(computed[bisect_left(computed, end)] - end for end in ends)
