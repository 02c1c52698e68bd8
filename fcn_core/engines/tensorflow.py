"""The reference engine: the converted Keras network itself on TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fcn_core.engines.bands import Run
from fcn_core.engines.base import Engine, Logits, model_info
from fcn_core.engines.last_layer import not_a_convolution
from fcn_core.errors import EngineError
from fcn_core.images.resize import ResizedImage
from fcn_core.networks.keras_settings import import_keras, keras_settings
from fcn_core.networks.middle import part_of
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import ByteProgress, digest
from fcn_core.networks.zoo import require_weights


class TensorFlowEngine(Engine):
    """Runs the converted Keras network as one traced function of any input size.

    It runs in float32 with channels last. The settings of Keras are ignored, and restored afterwards. If Keras is not
    imported yet, it is imported on TensorFlow, and ``KERAS_BACKEND`` is ignored.

    Parameters
    ----------
    spec : ModelSpec
    random : bool
        Seeded random weights instead of the published ones.
    output_stride : {32, 16, 8}
    progress : callable, optional
        Called with (bytes so far, bytes in all) while weights are downloaded.

    Raises
    ------
    WeightsUnavailable, WeightsInvalid
        See :func:`fcn_core.networks.zoo.require_weights`.
    EngineError
        TensorFlow cannot be loaded, or Keras runs on another backend in this process.
    """

    axis = 1
    _leaner = "engine openvino"

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: ByteProgress | None = None
    ) -> None:
        import_keras()
        import keras
        import tensorflow

        if keras.backend.backend() != "tensorflow":
            raise EngineError(
                f"Expected Keras on TensorFlow. Received Keras on {keras.backend.backend()} in this process. Set "
                f"KERAS_BACKEND=tensorflow before the first import of Keras, or choose engine openvino."
            )
        from fcn_core.networks.convert import convert
        from fcn_core.networks.structure import read_geometry, split
        from fcn_core.networks.zoo import build_classifier

        path = None if random else require_weights(spec, progress)
        stride = None if output_stride == 32 else output_stride
        with keras_settings():
            classifier = build_classifier(spec, path)
            conversion = convert(classifier, output="logits", output_stride=stride)
            network = conversion.network
            geometry, self._cut_tensors = read_geometry(network)
        published = path is not None and digest(path, spec.weights.algorithm) == spec.weights.digest
        info = model_info(
            spec,
            "random" if random else "imagenet" if published else "unpublished",
            digest(path) if path else None,
            ("tensorflow", geometry.stride, output_stride),
            (geometry.nodes[-1].channels, conversion.exclusive),
        )
        super().__init__(info, geometry, spec)
        self.network = network
        self._tf, self._split = tensorflow, split
        middle = [self._cut_tensors[part_of(layer)] for layer in self._middle]
        with keras_settings():  # a model that is built outside leaves a policy behind
            whole = keras.Model(network.inputs[0], [network.outputs[0], *middle])
        self._traced = self._trace(whole)
        self._traced_parts: list[Any] = []

    def _trace(self, network: Any) -> Any:
        signature = [self._tf.TensorSpec([1, None, None, network.inputs[0].shape[-1]], self._tf.float32)]
        return self._tf.function(
            lambda x: network(x, training=False), input_signature=signature, autograph=False
        )

    def _batch(self, image: ResizedImage, top: int, end: int, left: int, right: int) -> Logits:
        """Return the picture between these rows and columns, preprocessed, as a batch of one: (1, rows, columns, 3)."""
        return np.ascontiguousarray(np.moveaxis(super()._batch(image, top, end, left, right), 1, -1))

    def _run_whole(self, batch: Logits) -> tuple[Logits, list[Logits]]:
        logits, *middle = map(np.asarray, self._tf.nest.flatten(self._traced(batch)))
        return logits[0], middle

    def _run_to_last_layer(self, batch: Logits, classes: Sequence[int]) -> tuple[Logits, Logits, Logits]:
        import keras

        last = self.network.layers[-1]
        if not isinstance(last, keras.layers.Conv2D) or last.kernel_size != (1, 1) or not last.use_bias:
            raise not_a_convolution(self._info.title)
        with keras_settings():
            before = keras.Model(self.network.inputs[0], last.input)
        features = np.asarray(before(batch, training=False))[0]
        kernel, bias = (np.asarray(each) for each in last.get_weights())
        return features, kernel[0, 0][:, list(classes)], bias[list(classes)]

    @staticmethod
    def _infer(run: Any, batch: Logits) -> Logits:
        return np.asarray(run(batch))

    def _part_runs(self) -> list[Run]:
        if not self._traced_parts:
            with keras_settings():
                parts = self._split(self.network, self._cut_tensors)
            self._traced_parts = [self._trace(part) for part in parts]
        return [partial(self._infer, run) for run in self._traced_parts]
