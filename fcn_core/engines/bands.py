"""Run a network band by band: large pictures need little memory, and the result is exact.

The network is cut into parts (see :func:`fcn_core.networks.structure.read_geometry`). Each part runs over its input in
bands of constant height. It asks the part before it only for the rows that complete the next band, and drops rows that
no later band reads. A band starts at a multiple of the part's stride, and its height equals that of the whole input
modulo the stride, so that every strided layer and every "same" padding keeps its phase. Output cells that saw the
artificial border of a band are dropped. Hence the result equals that of the whole. As all bands of a part have the same
shape, an engine prepares for it once. Very wide pictures are also cut into strips, which are bands along x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fcn_core.networks.geometry import Geometry, Node, Trace, trace

Array = NDArray[np.float32]
Rows = Callable[[int, int, int, int], Array]
Run = Callable[[Array], Array]

_ROWS = 64  # rows of the picture that are made at a time


@dataclass(frozen=True)
class Band:
    """One band along an axis: where it starts in the input, and the output cells ``first:last`` taken from it."""

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class Bands:
    """Bands of one length that give every output cell of a part along one axis, each once.

    Attributes
    ----------
    length : int
        Input positions of a band.
    cells : int
        Output cells of a band, including those to be dropped.
    stride : int
        Input positions from output cell to output cell.
    bands : tuple of Band
    """

    length: int
    cells: int
    stride: int
    bands: tuple[Band, ...]


def cover(nodes: Sequence[Node], axis: str, size: int, step: int) -> Bands:
    """Cover an axis of a part's input with bands.

    Parameters
    ----------
    nodes : sequence of Node
        The part.
    axis : {"y", "x"}
        The axis.
    size : int
        Positions of the whole input.
    step : int
        Largest number of input positions from band to band, without their overlap. Equal bands may have fewer.

    Returns
    -------
    Bands
        One band over the whole input if the overlap leaves no room for two.
    """
    return covers(nodes, axis, size, (step,))[0]


def covers(nodes: Sequence[Node], axis: str, size: int, steps: Sequence[int]) -> list[Bands]:
    """Return :func:`cover` for every step; the part is traced only once."""
    traces = trace(nodes, axis, size)
    spoiled = _spoiled(nodes, axis, size, traces)
    return [_cover(traces[-1], spoiled, size, step) for step in steps]


def _cover(whole: Trace, spoiled: tuple[int, int], size: int, step: int) -> Bands:
    stride = whole.stride
    before, after = spoiled
    inner = whole.size - before - after
    count = -(-inner // max(1, step // stride))
    if count <= 1:
        return Bands(size, whole.size, stride, (Band(0, 0, whole.size),))
    cells = -(-inner // count) + before + after
    length = size - (whole.size - cells) * stride
    bands = [Band(0, 0, cells - after)]
    while bands[-1].last < whole.size:
        done = bands[-1].last
        start = min((done - before) * stride, size - length)
        at_end = start + length == size
        bands.append(Band(start, done, whole.size if at_end else start // stride + cells - after))
    return Bands(length, cells, stride, tuple(bands))


def _spoiled(nodes: Sequence[Node], axis: str, size: int, traces: Sequence[Trace]) -> tuple[int, int]:
    """Count the output cells at both ends of an input of `size` positions that see beyond it."""
    clean: list[tuple[int, int]] = []  # first and last cell of each node that see only the input
    for node, traced in zip(nodes, traces, strict=True):
        sources = [(0, size - 1, size) if i < 0 else (*clean[i], traces[i].size) for i in node.inputs]
        first, last, length = (
            max(s[0] for s in sources),
            min(s[1] for s in sources),
            min(s[2] for s in sources),
        )
        window = node.y if axis == "y" else node.x
        padding = window.padding(length)
        clean.append(
            (
                max(-(-(first + padding) // window.stride), 0),
                min((last + padding - window.reach + 1) // window.stride, traced.size - 1),
            )
        )
    first, last = clean[-1]
    return first, traces[-1].size - 1 - last


@dataclass(frozen=True)
class Tap:
    """What to keep of the output of an inner part.

    Attributes
    ----------
    part : int
        The part, from 0.
    stride : int
        Pixels of the picture from cell to cell.
    values : (h, w, C) ndarray
        Of the output for the whole picture; :func:`run_in_bands` fills it.
    """

    part: int
    stride: int
    values: NDArray[np.floating]


@dataclass(frozen=True)
class Plan:
    """How to run a picture: the bands of each part along y, and the strips of the picture along x."""

    parts: tuple[Bands, ...]
    strips: Bands

    @property
    def runs(self) -> int:
        """Number of times that a part runs, over all parts and strips."""
        return len(self.strips.bands) * sum(len(part.bands) for part in self.parts)


def plan(geometry: Geometry, height: int, width: int, steps: Sequence[int], strip: int | None = None) -> Plan:
    """Plan the bands of a picture.

    Parameters
    ----------
    geometry : Geometry
        The network.
    height, width : int
        Size of its whole input, in pixels.
    steps : sequence of int
        For each part in order, the largest number of rows of its input from band to band.
    strip : int, optional
        Largest number of columns of the picture from strip to strip; None for one strip.
    """
    parts, size = [], height
    for part, step in zip(geometry.parts(), steps, strict=True):
        parts.append(cover(part, "y", size, step))
        size = trace(part, "y", size)[-1].size
    return Plan(tuple(parts), strips(geometry, width, strip))


def strips(geometry: Geometry, width: int, strip: int | None) -> Bands:
    """Cover the width of a picture with strips, at most `strip` columns apart; None for one strip."""
    return cover(geometry.nodes, "x", width, width if strip is None else strip)


def run_in_bands(
    planned: Plan,
    runs: Sequence[Run],
    rows: Rows,
    height: int,
    *,
    axis: int = 2,
    checkpoint: Callable[[float], None] | None = None,
    taps: Sequence[Tap] = (),
) -> Array:
    """Run a network over a picture whose rows are made when they are needed.

    Parameters
    ----------
    planned : Plan
        The bands, see :func:`plan`.
    runs : sequence of callable
        One function per part, in order. Each receives and returns a batch of one; the last returns
        (1, h, w, classes).
    rows : callable
        ``rows(start, stop, left, right)`` returns that piece of the input as a batch of one; called in order.
    height : int
        Rows of the whole input.
    axis : int
        The rows' axis in all batches but the last: 2 for (N, C, H, W), 1 for (N, H, W, C).
    checkpoint : callable, optional
        Called with the finished share in [0, 1] after each band; may raise to stop.
    taps : sequence of Tap
        Outputs of inner parts to keep.

    Returns
    -------
    (h, w, classes) float32 ndarray
        Equal to the result of the whole network run at once, up to rounding.
    """
    across = planned.strips
    shape = (planned.parts[-1].bands[-1].last, across.bands[-1].last)
    done = 0

    def counted(run: Run, band: Array) -> Array:
        nonlocal done
        output = run(band)
        done += 1
        if checkpoint is not None:
            checkpoint(done / planned.runs)
        return output

    result: Array | None = None
    for strip in across.bands:
        flow = _picture(rows, height, strip.start, strip.start + across.length)
        for number, (bands, run) in enumerate(zip(planned.parts, runs, strict=True), 1):
            flow = _outputs(bands, partial(counted, run), flow, axis, 1 if number == len(runs) else axis)
            for tap in taps:
                if tap.part == number - 1:
                    flow = _tapped(flow, tap, across, strip, axis)
        first, drop = 0, strip.first - strip.start // across.stride
        for piece in flow:
            if result is None:
                result = np.empty((*shape, piece.shape[-1]), np.float32)
            last = first + piece.shape[1]
            columns = slice(drop, drop + strip.last - strip.first)
            result[first:last, strip.first : strip.last] = piece[0, :, columns]
            first = last
    assert result is not None, "a plan has at least one band"  # noqa: S101
    return result


def channels_last(batch: Array, axis: int) -> Array:
    """Return a batch whose rows are at `axis` as (N, H, W, C), without copying it."""
    return np.moveaxis(batch, 1, -1) if axis == 2 else batch


def _tapped(source: Iterator[Array], tap: Tap, strips: Bands, strip: Band, axis: int) -> Iterator[Array]:
    """Pass on the output of a part, and keep the columns that belong to this strip.

    These are the columns under the cells that the class map takes from the strip. Such a cell sees all that they see
    and more, so they do not see beyond the strip either, if the class map reads every column of the part. The last
    strip also has the columns that no such cell is above.
    """
    first, drop = strip.first * strips.stride // tap.stride, strip.start // tap.stride
    whole = strip.last == strips.bands[-1].last
    last = tap.values.shape[1] if whole else strip.last * strips.stride // tap.stride
    done = 0
    for piece in source:
        rows = channels_last(piece, axis)[0]
        tap.values[done : done + len(rows), first:last] = rows[:, first - drop : last - drop]
        done += len(rows)
        yield piece


def _picture(rows: Rows, height: int, left: int, right: int) -> Iterator[Array]:
    for start in range(0, height, _ROWS):
        yield rows(start, min(start + _ROWS, height), left, right)


def _outputs(bands: Bands, run: Run, source: Iterator[Array], axis: int, axis_out: int) -> Iterator[Array]:
    """Yield the output rows of a part, in order, from its input rows, in order.

    Between two outputs, only the band is kept, and rows after it that the source has returned already: at most one
    output of the part before. They are copied, because the source may reuse their memory when another part runs.
    """
    window: Array | None = None
    rest: Array | None = None
    spare: Array | None = None  # memory for the rest
    start = filled = 0
    for band in bands.bands:
        if window is not None:
            reused = filled - (band.start - start)  # negative where no band reads the rows in between
            if reused > 0:
                window[_rows(0, reused, axis)] = window[_rows(filled - reused, filled, axis)]
            start, filled = band.start, reused
        while filled < bands.length:
            piece = next(source) if rest is None else rest
            if window is None:
                window = _empty(piece, bands.length, axis)
            used, left = min(bands.length - filled, piece.shape[axis]), None
            top, end = max(filled, 0), max(filled + used, 0)
            window[_rows(top, end, axis)] = piece[_rows(used - (end - top), used, axis)]
            filled += used
            if used < piece.shape[axis]:
                left = piece[_rows(used, piece.shape[axis], axis)]
                if rest is None:
                    if spare is None or spare.shape[axis] < left.shape[axis]:
                        spare = _empty(piece, left.shape[axis], axis)
                    spare[_rows(0, left.shape[axis], axis)] = left
                    left = spare[_rows(0, left.shape[axis], axis)]
            rest = left
        assert window is not None  # noqa: S101
        above = band.first - band.start // bands.stride
        yield run(window)[_rows(above, above + band.last - band.first, axis_out)]


def _empty(like: Array, rows: int, axis: int) -> Array:
    shape = list(like.shape)
    shape[axis] = rows
    return np.empty(shape, np.float32)


def _rows(start: int, stop: int, axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)
