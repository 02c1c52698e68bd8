"""A Keras network as an OpenVINO model, for inputs of any size; Keras has to run on its OpenVINO backend.

``keras.Model.export(format="openvino")`` calls a network of free input size on an input of one pixel. A window without
padding does not fit into that, so it fails for most networks (MobileNet, VGG, Inception). Here the network is called on
an input whose sizes are free in OpenVINO too.

One private name of Keras 3.15 is used: ``keras.src.backend.openvino.core.OpenVINOKerasTensor``, an OpenVINO tensor that
Keras' layers accept. ``tests/networks/test_graph.py`` checks it and fails first when Keras changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def to_openvino(network: keras.Model) -> Any:
    """Return an ``openvino.Model`` with the free axes and the outputs of the network.

    Parameters
    ----------
    network : keras.Model
        With one input. It is called as in inference.
    """
    import openvino
    from keras.src.backend.openvino.core import OpenVINOKerasTensor

    shape = [-1 if side is None else side for side in network.inputs[0].shape]
    image = openvino.opset13.parameter(shape, np.float32, name="image")
    outputs = network(OpenVINOKerasTensor(image.output(0)), training=False)
    results = outputs if isinstance(outputs, list | tuple) else [outputs]
    return openvino.Model([openvino.opset13.result(each.output) for each in results], [image], network.name)
