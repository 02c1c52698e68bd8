"""Where the cells of a class map look: strides, paddings and theoretical receptive fields, axis by axis.

A cell depends mostly on the middle of its theoretical field: :mod:`fcn_core.engines.effective_field` measures it.

The arithmetic is that of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, extended to TensorFlow's "same" padding, whose offset depends on the size.
A :class:`Geometry` is plain data: it is read from a Keras graph once, saved as JSON beside an exported graph, and
needs no Keras afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from fcn_core.errors import ScaleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", "float", "NDArray[np.float64]")


@dataclass(frozen=True)
class CellAxis:
    """Cells along one axis of a network's input.

    Cell ``i`` can see the `extent` input pixels around ``first + i*stride``, clipped to the input. Positions are
    pixel indices: the centre of pixel 0 is 0.0. On a picture of any `length` pixels that shows the same view, pixel
    ``k`` covers ``k .. k + 1``.
    """

    input_size: int
    size: int
    stride: int
    first: float
    extent: int

    def centre(self, index: int) -> float:
        """Return the pixel position, in the network's input, of the centre of cell `index`."""
        return self.first + index * self.stride

    def index(self, position: Number, length: int) -> Number:
        """Return the fractional cell index at a pixel position of a picture of `length` pixels, clipped to the cells.

        Parameters
        ----------
        position : float or float64 ndarray
            Pixel indices: the centre of pixel 0 is 0.0.
        length : int
            Pixels of the picture along this axis.
        """
        found = ((position + 0.5) * self.input_size / length - 0.5 - self.first) / self.stride
        if isinstance(found, float):
            return min(max(found, 0.0), self.size - 1.0)
        return found.clip(0, self.size - 1)

    def span(self, index: int, side: float, length: int) -> tuple[float, float]:
        """Return the ends of a cell's frame on a picture of `length` pixels, clipped to the picture.

        Parameters
        ----------
        index : int
            The cell.
        side : float
            Side of the frame around the cell's centre, in pixels of the network's input.
        length : int
            Pixels of the picture along this axis.
        """
        scale, middle = length / self.input_size, self.centre(index) + 0.5
        return max((middle - side / 2) * scale, 0.0), min((middle + side / 2) * scale, float(length))

    def edges(self) -> list[float]:
        """Return the ``size + 1`` edges of the cells as shares of the picture: half-way between their centres."""
        middles = [(self.centre(i) + self.centre(i + 1)) / 2 + 0.5 for i in range(self.size - 1)]
        return [0.0, *(min(max(m / self.input_size, 0.0), 1.0) for m in middles), 1.0]

    @classmethod
    def even(cls, size: int) -> CellAxis:
        """Return `size` cells that divide a picture evenly, as most class activation tools assume."""
        return cls(size, size, 1, 0.0, 1)


@dataclass(frozen=True)
class CellGrid:
    """The cells of a class map along both axes."""

    y: CellAxis
    x: CellAxis


@dataclass(frozen=True)
class Window:
    """The sliding window of a layer along one axis: of a convolution, a pooling, or padding alone (``kernel=1``).

    ``before`` and ``after`` are explicit padding in cells; ``same`` means TensorFlow's "same" padding instead.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    same: bool = False

    @property
    def reach(self) -> int:
        """Number of input cells from the first to the last tap."""
        return (self.kernel - 1) * self.dilation + 1

    def padding(self, size: int) -> int:
        """Return the cells of padding before an input of `size` cells; negative where it is cropped."""
        if not self.same:
            return self.before
        return max((-(-size // self.stride) - 1) * self.stride + self.reach - size, 0) // 2


@dataclass(frozen=True)
class Node:
    """One spatial operation: what it reads, how its windows slide, and how many channels it returns.

    ``inputs`` are indices of earlier nodes; -1 is the network's input. A node with several inputs joins branches.
    ``whole`` marks an operation that reads the whole map at once (squeeze-and-excite): it cannot run in bands.
    ``cut`` marks a node where the graph is cut into parts. ``macs`` is the number of multiply-adds per cell.
    """

    name: str
    inputs: tuple[int, ...]
    channels: int
    y: Window = Window()
    x: Window = Window()
    whole: bool = False
    cut: bool = False
    macs: int = 0


@dataclass(frozen=True)
class Trace:
    """One node along one axis: its cell ``i`` depends on input positions ``i*stride + low .. i*stride + high``."""

    size: int
    stride: int
    low: int
    high: int


def trace(nodes: Sequence[Node], axis: str, size: int) -> tuple[Trace, ...]:
    """Follow an input of `size` positions through `nodes` along `axis` ("y" or "x")."""
    start = Trace(size, 1, 0, 0)
    traces: list[Trace] = []
    for node in nodes:
        sources = [start if i < 0 else traces[i] for i in node.inputs]
        window: Window = node.y if axis == "y" else node.x
        size_in, stride = min(s.size for s in sources), sources[0].stride
        low, high = min(s.low for s in sources), max(s.high for s in sources)
        before = window.padding(size_in)
        if window.same:
            size_out = -(-size_in // window.stride)
        else:
            size_out = (size_in + before + window.after - window.reach) // window.stride + 1
        traces.append(
            Trace(
                size_out,
                stride * window.stride,
                low - before * stride,
                high + (window.reach - 1 - before) * stride,
            )
        )
    return tuple(traces)


def smallest(nodes: Sequence[Node]) -> int:
    """Return the side of the smallest square input for which every node has a cell."""
    side = 1
    while any(t.size < 1 for axis in ("y", "x") for t in trace(nodes, axis, side)):
        side += 1
    return side


@dataclass(frozen=True)
class Geometry:
    """The spatial structure of a fully convolutional network, from input to class map."""

    nodes: tuple[Node, ...]

    @property
    def stride(self) -> int:
        """Input pixels from one cell to the next."""
        return trace(self.nodes, "y", 1024)[-1].stride

    @property
    def bandable(self) -> bool:
        """Whether every operation reads a limited neighbourhood, so that a picture can be run in bands."""
        return not any(node.whole for node in self.nodes)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the grid (h, w) of the class map of an input of `height` x `width` pixels."""
        cells = self.cells(height, width)
        return cells.y.size, cells.x.size

    def cells(self, height: int, width: int) -> CellGrid:
        """Return the cells of the class map of an input of `height` x `width` pixels.

        Raises
        ------
        ScaleError
            The input is too small for a cell.
        """
        found = CellGrid(_axis(self.nodes, "y", height), _axis(self.nodes, "x", width))
        if min(found.y.size, found.x.size) < 1:
            raise ScaleError(
                f"Expected an input of at least {self.smallest}x{self.smallest} pixels for this network. Received "
                f"{height}x{width}, which gives no cell. Choose a larger scale."
            )
        return found

    @cached_property
    def smallest(self) -> int:
        """Side of the smallest square input for which every node has a cell."""
        return smallest(self.nodes)

    def macs(self, height: int, width: int) -> float:
        """Return the multiply-adds of one forward pass."""
        rows, columns = trace(self.nodes, "y", height), trace(self.nodes, "x", width)
        return float(sum(n.macs * r.size * c.size for n, r, c in zip(self.nodes, rows, columns, strict=True)))

    def parts(self) -> tuple[tuple[Node, ...], ...]:
        """Return the parts between cuts; the inputs of each are renumbered, with -1 for its own input."""
        return self._parts

    @cached_property
    def _parts(self) -> tuple[tuple[Node, ...], ...]:
        parts, start = [], 0
        for end, node in enumerate(self.nodes):
            if node.cut or end == len(self.nodes) - 1:
                parts.append(
                    tuple(
                        replace(n, inputs=tuple(max(i - start, -1) for i in n.inputs))
                        for n in self.nodes[start : end + 1]
                    )
                )
                start = end + 1
        return tuple(parts)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain data for a JSON file."""
        return [asdict(node) for node in self.nodes]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> Geometry:
        """Return the geometry that :meth:`to_json` wrote."""
        return cls(
            tuple(
                Node(**{**d, "inputs": tuple(d["inputs"]), "y": Window(**d["y"]), "x": Window(**d["x"])})
                for d in data
            )
        )


@lru_cache(maxsize=512)
def _axis(nodes: tuple[Node, ...], axis: str, size: int) -> CellAxis:
    last = trace(nodes, axis, size)[-1]
    return CellAxis(size, last.size, last.stride, (last.low + last.high) / 2, last.high - last.low + 1)
