"""Where the cells of a class map look: strides, paddings and receptive fields, axis by axis.

The arithmetic is that of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, extended to TensorFlow's "same" padding, whose offset depends on the size.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellAxis:
    """Cells along one axis of a network's input.

    Cell ``i`` looks at input pixels ``first + i*stride - extent/2 .. first + i*stride + extent/2``, clipped to the
    input. Positions are pixel indices: the centre of pixel 0 is 0.0.
    """

    input_size: int
    size: int
    stride: int
    first: float
    extent: int

    def centre(self, index: int) -> float:
        """Pixel position, in the network's input, at the centre of cell ``index``."""
        return self.first + index * self.stride


@dataclass(frozen=True)
class CellGrid:
    """The cells of a class map along both axes."""

    y: CellAxis
    x: CellAxis
