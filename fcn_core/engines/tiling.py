"""Big pictures in small memory: a network run band by band, exactly.

The network is cut into parts (see :func:`fcn_core.networks.convert.read_geometry`). Each part slides a window
of constant
height over its input: it asks the part before it for just the rows that fill the window, and forgets the rows that
no later window needs. Windows start at multiples of the part's stride and are congruent to the whole input modulo
that stride, so that every strided layer and every "same" padding keeps the phase it has in the whole; output cells
that saw the artificial border of a window are dropped. Hence the result equals the unbanded one, and since all
windows of a part have one shape, an engine prepares for it once. Very wide pictures are run in strips besides.
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

_ROWS = 64  # of the picture, that are made at a time


@dataclass(frozen=True)
class Window:
    """One window over an axis: where it starts in the input, and the output cells ``first:last`` taken from it."""

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class Tiling:
    """Windows of one length that together give every output cell of a part along one axis, each once.

    ``length`` counts input positions, ``cells`` the output cells of one window (with those to be dropped),
    ``stride`` input positions from output cell to output cell.
    """

    length: int
    cells: int
    stride: int
    windows: tuple[Window, ...]


def tile(nodes: Sequence[Node], axis: str, size: int, step: int) -> Tiling:
    """Cover an axis of a part's input with windows.

    Parameters
    ----------
    nodes : sequence of Node
        The part.
    axis : {"y", "x"}
        Along which to cut.
    size : int
        Positions of the whole input.
    step : int
        Input positions by which a window may advance, its halo not counted; less where equal windows allow it.

    Returns
    -------
    Tiling
        A single window over everything where the halo leaves no room for two.
    """
    return tilings(nodes, axis, size, (step,))[0]


def tilings(nodes: Sequence[Node], axis: str, size: int, steps: Sequence[int]) -> list[Tiling]:
    """Give :func:`tile` of every step; the part is looked through once."""
    traces = trace(nodes, axis, size)
    spoiled = _spoiled(nodes, axis, size, traces)
    return [_tile(traces[-1], spoiled, size, step) for step in steps]


def _tile(whole: Trace, spoiled: tuple[int, int], size: int, step: int) -> Tiling:
    stride = whole.stride
    before, after = spoiled
    inner = whole.size - before - after
    count = -(-inner // max(1, step // stride))
    if count <= 1:
        return Tiling(size, whole.size, stride, (Window(0, 0, whole.size),))
    cells = -(-inner // count) + before + after
    length = size - (whole.size - cells) * stride
    windows = [Window(0, 0, cells - after)]
    while windows[-1].last < whole.size:
        done = windows[-1].last
        start = min((done - before) * stride, size - length)
        at_end = start + length == size
        windows.append(Window(start, done, whole.size if at_end else start // stride + cells - after))
    return Tiling(length, cells, stride, tuple(windows))


def _spoiled(nodes: Sequence[Node], axis: str, size: int, traces: Sequence[Trace]) -> tuple[int, int]:
    """Output cells at both ends of an input of `size` positions that see beyond it."""
    clean: list[tuple[int, int]] = []  # first and last cell of each node that see the input alone
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
class Plan:
    """How a picture is run: the tiling of every part along y, and the strips of the whole along x."""

    parts: tuple[Tiling, ...]
    strips: Tiling

    @property
    def windows(self) -> int:
        """Windows in all."""
        return len(self.strips.windows) * sum(len(tiling.windows) for tiling in self.parts)


def plan(geometry: Geometry, height: int, width: int, steps: Sequence[int], strip: int | None = None) -> Plan:
    """Plan the bands of a picture.

    Parameters
    ----------
    geometry : Geometry
        The network.
    height, width : int
        Of its whole input.
    steps : sequence of int
        Rows of its own input by which the window of each part advances, in order.
    strip : int, optional
        Columns of the picture by which a strip advances; None for no strips.
    """
    parts, size = [], height
    for part, step in zip(geometry.parts(), steps, strict=True):
        parts.append(tile(part, "y", size, step))
        size = trace(part, "y", size)[-1].size
    return Plan(tuple(parts), strips(geometry, width, strip))


def strips(geometry: Geometry, width: int, strip: int | None) -> Tiling:
    """Cover the width of a picture with strips that advance by `strip` columns; None for one strip."""
    return tile(geometry.nodes, "x", width, width if strip is None else strip)


def run_in_bands(
    bands: Plan,
    runs: Sequence[Run],
    rows: Rows,
    height: int,
    *,
    axis: int = 2,
    checkpoint: Callable[[float], None] | None = None,
) -> Array:
    """Run a network over a picture whose rows are made as they are needed.

    Parameters
    ----------
    bands : Plan
        The windows, see :func:`plan`.
    runs : sequence of callable
        The network's parts in order: each takes and gives a batch of one; the last gives (1, h, w, classes).
    rows : callable
        ``rows(start, stop, left, right)`` gives that piece of the input as a batch of one; asked for in order.
    height : int
        Rows of the whole input.
    axis : int
        Where the rows of all batches but the last are: 2 for (N, C, H, W), 1 for (N, H, W, C).
    checkpoint : callable, optional
        Called with the finished share in [0, 1] after each window; may raise to stop.

    Returns
    -------
    ndarray of shape (h, w, classes)
        Equal to that of the whole network run at once, up to rounding.
    """
    across = bands.strips
    shape = (bands.parts[-1].windows[-1].last, across.windows[-1].last)
    done = 0

    def counted(run: Run, window: Array) -> Array:
        nonlocal done
        output = run(window)
        done += 1
        if checkpoint is not None:
            checkpoint(done / bands.windows)
        return output

    result: Array | None = None
    for strip in across.windows:
        flow = _picture(rows, height, strip.start, strip.start + across.length)
        for number, (tiling, run) in enumerate(zip(bands.parts, runs, strict=True), 1):
            flow = _outputs(tiling, partial(counted, run), flow, axis, 1 if number == len(runs) else axis)
        first, drop = 0, strip.first - strip.start // across.stride
        for piece in flow:
            if result is None:
                result = np.empty((*shape, piece.shape[-1]), np.float32)
            last = first + piece.shape[1]
            columns = slice(drop, drop + strip.last - strip.first)
            result[first:last, strip.first : strip.last] = piece[0, :, columns]
            first = last
    assert result is not None, "a plan has at least one window"  # noqa: S101
    return result


def _picture(rows: Rows, height: int, left: int, right: int) -> Iterator[Array]:
    for start in range(0, height, _ROWS):
        yield rows(start, min(start + _ROWS, height), left, right)


def _outputs(tiling: Tiling, run: Run, source: Iterator[Array], axis: int, axis_out: int) -> Iterator[Array]:
    """Output rows of a part, in order, from its input rows, in order.

    Nothing but the window is held between two outputs, and what a source gave beyond it: at most one output of the
    part before, copied, since the source may take it back when something else runs.
    """
    window: Array | None = None
    rest: Array | None = None
    spare: Array | None = None  # holds the rest
    start = filled = 0
    for place in tiling.windows:
        if window is not None:
            kept = filled - (place.start - start)  # less than none where no window reads the rows in between
            if kept > 0:
                window[_rows(0, kept, axis)] = window[_rows(filled - kept, filled, axis)]
            start, filled = place.start, kept
        while filled < tiling.length:
            piece = next(source) if rest is None else rest
            if window is None:
                window = _empty(piece, tiling.length, axis)
            used, left = min(tiling.length - filled, piece.shape[axis]), None
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
        above = place.first - place.start // tiling.stride
        yield run(window)[_rows(above, above + place.last - place.first, axis_out)]


def _empty(like: Array, rows: int, axis: int) -> Array:
    shape = list(like.shape)
    shape[axis] = rows
    return np.empty(shape, np.float32)


def _rows(start: int, stop: int, axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)
