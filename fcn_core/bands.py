"""Big pictures in small memory: a network run band by band, exactly.

The network is cut into parts (see :func:`fcn_core.convert.read_geometry`). A band of a part's output rows needs the
input rows that its receptive field reaches, so each part asks the one before it for just those rows; rows that
no later band needs are forgotten. The result equals the unbanded one, because every window keeps the phase it
has in the whole picture and rows that saw an artificial border are dropped. The halo is computed from the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fcn_core.geometry import Node, Trace, trace

Array = NDArray[np.float32]
Rows = Callable[[int, int], Array]
Run = Callable[[Array], Array]


@dataclass(frozen=True)
class BandWindow:
    """Input rows ``start:stop`` of a part, and how many of its first output rows to drop."""

    start: int
    stop: int
    drop: int


@lru_cache(maxsize=4096)
def band_window(nodes: tuple[Node, ...], size: int, first: int, last: int) -> BandWindow:
    """Find the input rows from which output rows ``first:last`` of a part come out as in the whole.

    Parameters
    ----------
    nodes : tuple of Node
        The part.
    size : int
        Rows of the part's whole input.
    first, last : int
        Wanted output rows, half open.

    Returns
    -------
    BandWindow
        The smallest window that holds the receptive field and in which every strided layer keeps its phase.
    """
    whole = trace(nodes, "y", size)
    end = whole[-1]
    low = max(first * end.stride + end.low, 0)
    high = min((last - 1) * end.stride + end.high + 1, size)
    slack = 2 * end.stride
    for start in range(low, max(low - slack, -1), -1):
        for stop in range(high, min(high + slack, size) + 1):
            shift = _shift(whole, trace(nodes, "y", stop - start), start, stop == size)
            if shift is not None:
                return BandWindow(start, stop, first - shift)
    return BandWindow(0, size, first)


def _shift(whole: Sequence[Trace], window: Sequence[Trace], start: int, at_end: bool) -> int | None:
    """Rows by which the window's output lags behind the whole's; None where some layer's phase differs."""
    shift = 0
    for full, part in zip(whole, window, strict=True):
        shift, remainder = divmod(start + part.low - full.low, full.stride)
        if remainder or (start == 0 and shift) or (at_end and part.size + shift != full.size):
            return None
    return shift


@dataclass
class _Part:
    """One part of the network, its input rows, and the output rows that are still needed."""

    nodes: tuple[Node, ...]
    run: Run
    source: Rows
    size: int
    step: int
    axis: int
    kept: Array | None = None
    first: int = 0

    def band(self, first: int, last: int) -> Array:
        """Compute output rows ``first:last``."""
        window = band_window(self.nodes, self.size, first, last)
        result = self.run(self.source(window.start, window.stop))
        rows = slice(window.drop, window.drop + last - first)
        return result[:, rows] if self.axis == 1 else result[:, :, rows]

    def rows(self, first: int, last: int) -> Array:
        """Output rows ``first:last``; asked for in order, so that rows before `first` are forgotten."""
        pieces = []
        end = first
        if self.kept is not None:
            end = self.first + self.kept.shape[self.axis]
            pieces.append(np.take(self.kept, range(first - self.first, end - self.first), self.axis))
        height = trace(self.nodes, "y", self.size)[-1].size
        while end < last:
            stop = min(end + self.step, height)
            pieces.append(self.band(end, stop).copy())
            end = stop
        self.kept, self.first = np.concatenate(pieces, self.axis), first
        return self.kept[:, : last - first] if self.axis == 1 else self.kept[:, :, : last - first]


def run_in_bands(
    parts: Sequence[tuple[tuple[Node, ...], Run]],
    rows: Rows,
    height: int,
    band: int,
    *,
    axis: int = 2,
    checkpoint: Callable[[float], None] | None = None,
) -> Array:
    """Run a network over a picture whose rows are made as they are needed.

    Parameters
    ----------
    parts : sequence of (nodes, run)
        The network's parts in order; ``run`` takes and gives batches of one.
    rows : callable
        ``rows(start, stop)`` gives those rows of the input as a batch of one; asked for in order.
    height : int
        Rows of the whole input.
    band : int
        Input rows that a band covers, before its halo.
    axis : int
        Where the rows are: 2 for (N, C, H, W), 1 for (N, H, W, C).
    checkpoint : callable, optional
        Called with the finished share in [0, 1] after each band; may raise to stop.

    Returns
    -------
    ndarray
        The last part's output, equal to that of the whole network run at once up to rounding.
    """
    size, stride, source = height, 1, rows
    part: _Part | None = None
    for nodes, run in parts:
        end = trace(nodes, "y", size)[-1]
        stride *= end.stride
        part = _Part(nodes, run, source, size, max(1, band // stride), axis)
        source, size = part.rows, end.size
    assert part is not None, "a network has at least one part"  # noqa: S101
    result: Array | None = None
    for first in range(0, size, part.step):
        last = min(first + part.step, size)
        piece = part.band(first, last)
        if result is None:
            shape = list(piece.shape)
            shape[axis] = size
            result = np.empty(shape, np.float32)
        result[(slice(None),) * axis + (slice(first, last),)] = piece
        if checkpoint is not None:
            checkpoint(last / size)
    assert result is not None  # noqa: S101
    return result
