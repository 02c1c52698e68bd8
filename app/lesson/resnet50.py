"""The notebook's network, ResNet50 without its last layers, as a small table: no weights and no TensorFlow are needed.

A test builds the network with Keras and compares every number.
"""

from __future__ import annotations

from dataclasses import dataclass

INPUT = 224
FEATURES = 2048
LAYERS = 175
WEIGHTS = 23_587_712


@dataclass(frozen=True)
class Stage:
    """A layer of ResNet50 after which the map has another size or another number of channels.

    Attributes
    ----------
    name, kind : str
        Name of the layer and its class in Keras.
    stride : int
        Input pixels from one of its cells to the next.
    """

    name: str
    kind: str
    stride: int
    channels: int

    def shape(self, size: int | None) -> tuple[int | None, ...]:
        """Return the shape of its output for square pictures of `size` pixels, or of any size."""
        cells = None if size is None else -(-size // self.stride)
        return (None, cells, cells, self.channels)


STAGES = (
    Stage("input_layer", "InputLayer", 1, 3),
    Stage("conv1_relu", "Activation", 2, 64),
    Stage("pool1_pool", "MaxPooling2D", 4, 64),
    Stage("conv2_block3_out", "Activation", 4, 256),
    Stage("conv3_block4_out", "Activation", 8, 512),
    Stage("conv4_block6_out", "Activation", 16, 1024),
    Stage("conv5_block3_out", "Activation", 32, FEATURES),
)
