"""The notebook's ``SoftmaxMap``: a softmax over the channels of a map."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fcn_core")
class SoftmaxMap(keras.layers.Layer):  # type: ignore[misc]
    """Softmax over the last axis of a tensor of any rank.

    Turns a map of logits of shape ``(..., C)`` into a map of probabilities of the same shape: at every
    location the ``C`` values lie in [0, 1] and sum to one. The largest logit is subtracted first, so that no
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
