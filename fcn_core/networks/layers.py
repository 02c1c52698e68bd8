"""Custom Keras layers: the notebook's ``SoftmaxMap``, and a crop for maps of different sizes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fcn_core")
class SoftmaxMap(keras.layers.Layer):  # type: ignore[misc]
    """Softmax over the last axis of a tensor of any rank.

    Turns a map of logits of shape ``(..., C)`` into a map of probabilities of the same shape: in every
    cell, the ``C`` values are from 0 to 1 and sum to one. The largest logit is subtracted first, so that no
    exponential overflows; the result is the same because the softmax does not change when a constant is
    added to all logits.

    Notes
    -----
    From the 2020 course notebook "Fully Convolutional Neural Networks". Written with ``keras.ops``, so it runs
    on any Keras backend.

    Examples
    --------
    >>> import numpy as np
    >>> bool(np.allclose(SoftmaxMap()(np.ones((1, 2, 3, 4), "float32")), 0.25))
    True
    """

    def call(self, logits: Any) -> Any:
        """Return probabilities of the shape of `logits`."""
        exponentials = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
        return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return `input_shape`: the layer keeps it."""
        return input_shape


@keras.saving.register_keras_serializable(package="fcn_core")
class CropToSmallest(keras.layers.Layer):  # type: ignore[misc]
    """Crop the last rows and columns of several maps, so that all are as large as the smallest."""

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format or keras.config.image_data_format()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer."""
        return {**super().get_config(), "data_format": self.data_format}

    def call(self, maps: Any) -> Any:
        """Return the maps, cropped."""
        first = self.data_format == "channels_first"
        shapes = [keras.ops.shape(m)[2:] if first else keras.ops.shape(m)[1:3] for m in maps]
        rows, columns = shapes[0]
        for h, w in shapes[1:]:
            rows, columns = keras.ops.minimum(rows, h), keras.ops.minimum(columns, w)
        return [m[:, :, :rows, :columns] if first else m[:, :rows, :columns] for m in maps]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of the maps, cropped where all sizes are known."""
        axes = (2, 3) if self.data_format == "channels_first" else (1, 2)
        shapes = [list(shape) for shape in input_shape]
        for axis in axes:
            sizes = [shape[axis] for shape in shapes]
            for shape in shapes:
                shape[axis] = None if None in sizes else min(sizes)
        return [tuple(shape) for shape in shapes]
