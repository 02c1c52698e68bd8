"""Grad-CAM on the same network, for comparison.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017:
the last feature maps A_k are weighted by the spatial mean of the class score's gradient; the map is the positive part
of their sum, ``relu(sum_k mean(dy/dA_k) A_k)``, spread evenly over the picture.

The networks of this program end in global average pooling and Dense. That gradient is then the Dense layer's weight
divided by the number of cells, so the map is CAM (Zhou et al., "Learning Deep Features for Discriminative
Localization", CVPR 2016) without its negative part. The evidence of one class is the same up to the Dense layer's
bias; this program adds the scales, the classes of a synset, the placement of cells and the fine map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.tensorflow import TensorFlowEngine
from fcn_core.images.resize import resize_image
from fcn_core.networks.keras_settings import import_keras
from fcn_core.networks.zoo import model_spec


class GradCAM:
    """Grad-CAM with TensorFlow on a model of the zoo.

    Parameters
    ----------
    name : str
        Model of the zoo.
    random : bool
        Seeded random weights instead of ImageNet's.

    Raises
    ------
    UnknownModel, WeightsUnavailable, WeightsInvalid, EngineError
        See `fcn_core.engines.load.load_model`.
    """

    def __init__(self, name: str | None = None, random: bool = False) -> None:
        spec = model_spec(name)
        import_keras(instead="leave out Grad-CAM, which --compare includes")
        network = TensorFlowEngine(spec, random, output_stride=32).network
        import keras
        import tensorflow

        self._tf, self._preprocessing = tensorflow, spec.preprocessing
        self._head = network.get_layer("logits")
        self._body = keras.Model(network.inputs, self._head.input)
        signature = [
            tensorflow.TensorSpec([1, None, None, network.inputs[0].shape[-1]], tensorflow.float32),
            tensorflow.TensorSpec([None], tensorflow.int32),
        ]
        self._traced = tensorflow.function(self._map, input_signature=signature)

    def __call__(
        self, pixels: NDArray[np.uint8], class_ids: Sequence[int], size: int = 224
    ) -> NDArray[np.float32]:
        """Compute the map of the synset's class with the highest score.

        Parameters
        ----------
        pixels : (H, W, 3) uint8 ndarray
        class_ids : sequence of int
            Classes of the synset.
        size : int
            Side of the square to which the picture is stretched, as is usual for Grad-CAM.

        Returns
        -------
        (size / 32, size / 32) float32 ndarray
            Values of 0 or more.
        """
        batch = self._preprocessing.batch(resize_image(pixels, size, size))
        cam: NDArray[np.float32] = np.asarray(self._traced(batch, np.asarray(class_ids, np.int32)))
        return cam

    def _map(self, batch: Any, class_ids: Any) -> Any:
        tf = self._tf
        features = self._body(batch, training=False)
        with tf.GradientTape() as tape:
            tape.watch(features)
            # The spatial mean of the map of logits equals the classifier's logits: pooling and Dense are linear.
            scores = tf.reduce_mean(self._head(features), axis=(0, 1, 2))
            score = tf.reduce_max(tf.gather(scores, class_ids))
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(0, 1, 2))
        return tf.nn.relu(tf.reduce_sum(features[0] * weights, axis=-1))
