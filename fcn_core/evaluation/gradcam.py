"""Grad-CAM and LayerCAM on the same network, for comparison.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017:
the last feature maps A_k are weighted by the spatial mean of the class score's gradient; the map is the positive part
of their sum, ``relu(sum_k mean(dy/dA_k) A_k)``, spread evenly over the picture.

The networks of this program end in global average pooling and Dense. That gradient is then the Dense layer's weight
divided by the number of cells, so the map is CAM (Zhou et al., "Learning Deep Features for Discriminative
Localization", CVPR 2016) without its negative part. The evidence of one class is the same up to the Dense layer's
bias; this program adds the scales, the classes of a synset, the placement of cells and the fine map.

Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 2021: feature maps of
any layer are weighted cell by cell by the positive part of the gradient, ``relu(sum_k relu(dy/dA_k) A_k)``. The maps M
of several stages, scaled to 0 to 1, become ``tanh(2 M)``, and the largest value of all stages counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.tensorflow import TensorFlowEngine
from fcn_core.images.resize import resize_array, resize_image
from fcn_core.maps.region import normalise
from fcn_core.networks.keras_settings import import_keras
from fcn_core.networks.zoo import model_spec

_GAMMA = 2.0  # of Jiang et al., equation 9


class _Gradients:
    """A network of the zoo on TensorFlow that gives feature maps and the gradients of a class score.

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

    _stages: int  # how many, counted from the last

    def __init__(
        self, name: str | None = None, random: bool = False, preprocessing: str | None = None
    ) -> None:
        spec = model_spec(name, preprocessing=preprocessing)
        import_keras(instead="leave out Grad-CAM and LayerCAM, which --compare includes")
        network = TensorFlowEngine(spec, random, output_stride=32).network
        import keras
        import tensorflow

        self._tf, self._preprocessing = tensorflow, spec.preprocessing
        self._head = network.get_layer("logits")
        self._body = keras.Model(network.inputs[0], _stage_ends(network, self._head.input)[-self._stages :])
        signature = [
            tensorflow.TensorSpec([1, None, None, network.inputs[0].shape[-1]], tensorflow.float32),
            tensorflow.TensorSpec([None], tensorflow.int32),
        ]
        self._traced = tensorflow.function(self._maps, input_signature=signature)

    def _maps(self, batch: Any, class_ids: Any) -> list[Any]:
        """Return for each stage the map of the class with the highest score."""
        tf = self._tf
        with tf.GradientTape() as tape:
            tape.watch(batch)
            features = tf.nest.flatten(self._body(batch, training=False))
            # The spatial mean of the map of logits equals the classifier's logits: pooling and Dense are linear.
            scores = tf.reduce_mean(self._head(features[-1]), axis=(0, 1, 2))
            score = tf.reduce_max(tf.gather(scores, class_ids))
        gradients = tape.gradient(score, features)
        return [
            tf.nn.relu(tf.reduce_sum(self._weights(gradient) * each, axis=-1))[0]
            for gradient, each in zip(gradients, features, strict=True)
        ]

    def _weights(self, gradient: Any) -> Any:
        """Return the weights of feature maps from the gradient of the score."""
        raise NotImplementedError

    def _run(
        self, pixels: NDArray[np.uint8], class_ids: Sequence[int], height: int, width: int
    ) -> list[NDArray[np.float32]]:
        batch = self._preprocessing.batch(resize_image(pixels, height, width))
        return [np.asarray(each) for each in self._traced(batch, np.asarray(class_ids, np.int32))]


class GradCAM(_Gradients):
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

    _stages = 1

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
        return self._run(pixels, class_ids, size, size)[0]

    def _weights(self, gradient: Any) -> Any:
        return self._tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)


class LayerCAM(_Gradients):
    """LayerCAM with TensorFlow on a model of the zoo, fused over the stages of strides 4, 8, 16 and 32.

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

    _stages = 4

    def __call__(
        self, pixels: NDArray[np.uint8], class_ids: Sequence[int], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Compute the map of the synset's class with the highest score.

        Parameters
        ----------
        pixels : (H, W, 3) uint8 ndarray
        class_ids : sequence of int
            Classes of the synset.
        size : (int, int)
            Height and width of the network's input.

        Returns
        -------
        (height / 4, width / 4) float32 ndarray
            From 0 to 1.
        """
        return fuse_stages(self.stages(pixels, class_ids, size))

    def stages(
        self, pixels: NDArray[np.uint8], class_ids: Sequence[int], size: tuple[int, int]
    ) -> list[NDArray[np.float32]]:
        """Compute the map of each stage, fine first; values of 0 or more."""
        return self._run(pixels, class_ids, *size)

    def _weights(self, gradient: Any) -> Any:
        return self._tf.nn.relu(gradient)


def _stage_ends(network: Any, last: Any) -> list[Any]:
    """Return the last feature maps of each stage: those that a layer with a stride of 2 reads, and `last`."""
    from fcn_core.networks.graph import CONVOLUTIONS, POOLINGS, kind_of, nodes_of, pair

    ends = {  # two such layers may read the same maps
        id(node.input_tensors[0]): node.input_tensors[0]
        for node in nodes_of(network)
        if kind_of(node) in (*CONVOLUTIONS, *POOLINGS) and max(pair(node.operation.strides)) > 1
    }
    return [*ends.values(), last]


def fuse_stages(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Fuse the maps of several stages as LayerCAM does: the largest of ``tanh(2 M)``, on the grid of the first map."""
    height, width = maps[0].shape
    scaled = [np.tanh(_GAMMA * normalise(each)) for each in maps]
    fused: NDArray[np.float32] = np.max([resize_array(each, height, width) for each in scaled], axis=0)
    return fused
