"""Turn a Keras classifier into a fully convolutional network.

The method is the notebook's: drop the global pooling and put the weights of the Dense layer into a 1x1 convolution
(Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015). As pooling and Dense
are both linear, the spatial mean of the new map of logits equals the classifier's own logits. Denser maps come from the
a-trous construction (Chen et al., "Rethinking Atrous Convolution", 2017): the last strides become dilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from fcn_core.errors import ConversionError
from fcn_core.networks.geometry import trace
from fcn_core.networks.graph import (
    CONVOLUTIONS,
    POOLINGS,
    activation_of,
    build_settings,
    data_format,
    flatten,
    is_linear,
    kind_of,
    nodes_of,
    pair,
    rebuild,
)
from fcn_core.networks.keras_settings import keras_settings
from fcn_core.networks.layers import CropToSmallest, SoftmaxMap
from fcn_core.networks.structure import read_geometry

Output = Literal["probabilities", "logits"]

_GLOBAL_POOLINGS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
# Layers that a head may contain besides the pooling and the linear layer.
_HEAD = ("Dropout", "Reshape", "Flatten", "Identity", "Activation", "Softmax")


def to_fully_convolutional(
    classifier: keras.Model, *, output: Output = "probabilities", output_stride: int | None = None
) -> keras.Model:
    """Turn a classifier into a network that returns a class map for an input of any size.

    Parameters
    ----------
    classifier : keras.Model
        A functional or sequential image classifier that ends in global average pooling, (Dropout), Dense. The last
        layer may be a 1x1 convolution on the pooled features (MobileNet), and the classifier may contain other
        models (a headless body with a new head on top). Layers that do not change share their weights with it.
    output : {"probabilities", "logits"}
        Output of the model, of shape (N, h, w, classes): the notebook's probabilities, which sum to one in every
        cell, or the logits before the softmax.
    output_stride : int, optional
        Input pixels from one cell to the next, if smaller than the classifier's own (usually 32). The strides beyond
        it become dilation: the map is denser, with the same weights.

    Returns
    -------
    keras.Model
        It accepts any input size. It has the data format and precision of the classifier, not those set in this
        process, and layers named "logits" and, with probabilities, "probabilities".

    Raises
    ------
    ConversionError
        The classifier ends differently (the message says how), or cannot have this output stride.

    Notes
    -----
    From the 2020 notebook: the Dense kernel (2048, 1000) of ResNet50 becomes a kernel (1, 1, 2048, 1000).

    Examples
    --------
    >>> network = to_fully_convolutional(keras.applications.ResNet50(weights=None))
    >>> network.compute_output_shape((1, 200, 300, 3))
    (1, 7, 10, 1000)
    """
    with keras_settings(*build_settings(classifier)):
        flat = flatten(classifier)
        features, kernel, bias = _head(flat)
        body = _any_size(keras.Model(flat.inputs[0], features, name=classifier.name))
        clone = (lambda layer: layer) if output_stride is None else _dilate(body, output_stride)
        feature_map = rebuild(body, clone, free_size=True)
        head = keras.layers.Conv2D(kernel.shape[-1], 1, use_bias=bias is not None, name="logits")
        logits = head(feature_map.outputs[0])
        head.set_weights([kernel[None, None]] + ([] if bias is None else [bias]))
        result = logits if output == "logits" else SoftmaxMap(name="probabilities")(logits)
        return keras.Model(feature_map.inputs[0], result, name=f"{classifier.name}_fcn")


def _head(classifier: keras.Model) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return the features before the pooling, and kernel and bias of the linear layer after it."""
    head: list[Any] = []
    makers = {id(t): node for node in nodes_of(classifier) for t in node.outputs}
    node = makers[id(classifier.outputs[0])]
    while not node.is_input and len(head) < 8:
        head.insert(0, node)
        slides = kind_of(node) in (*POOLINGS, *_GLOBAL_POOLINGS, *CONVOLUTIONS) and not is_linear(node)
        if slides or len(node.input_tensors) != 1:
            break
        node = makers[id(node.input_tensors[0])]
    linear = [i for i, node in enumerate(head) if is_linear(node)]
    active = [(i, name) for i, node in enumerate(head) if (name := activation_of(node)) != "linear"]
    if (
        len(linear) == 1
        and kind_of(head[0]) == "GlobalAveragePooling2D"
        and all(kind_of(node) in _HEAD for i, node in enumerate(head) if i not in (0, *linear))
        and (not active or (len(active) == 1 and active[0][1] == "softmax" and active[0][0] >= linear[0]))
    ):
        kernel, *bias = head[linear[0]].operation.get_weights()
        kernel = kernel.reshape(-1, kernel.shape[-1])
        features = head[0].input_tensors[0]
        channels = features.shape[1 if data_format(classifier) == "channels_first" else -1]
        if len(kernel) == channels:
            return features, kernel, bias[0] if bias else None
    found = [
        kind if (name := activation_of(node)) in ("linear", kind.lower()) else f"{kind}({name})"
        for node in head
        for kind in (kind_of(node),)
    ]
    raise ConversionError(
        f"Expected a classifier that ends in GlobalAveragePooling2D, (Dropout), Dense. Received {classifier.name!r}, "
        f"which ends in {' -> '.join(found) or 'its input'}. Choose one with such a head: only a linear layer after "
        f"the average can become a 1x1 convolution."
    )


def _any_size(body: keras.Model) -> keras.Model:
    """Crop the maps where branches of different size meet: NASNet pads them for one input size only."""
    try:
        nodes = read_geometry(body)[0].nodes
    except ConversionError:  # the windows of a layer are not known, so neither are its sizes
        return body
    traces = [trace(nodes, "y", size) for size in range(224, 256)]
    uneven = {
        node.name
        for node in nodes
        if any(len({t[i].size for i in node.inputs if i >= 0}) > 1 for t in traces)
    }

    def crop_first(layer: Any) -> Any:
        if layer.name not in uneven:
            return layer
        return lambda maps: layer(CropToSmallest()(maps))

    return rebuild(body, crop_first) if uneven else body


def _dilate(body: keras.Model, output_stride: int) -> Callable[[Any], Any]:
    """Plan the a-trous construction: return a function from each layer to itself or to its dilated copy.

    Each tensor has a stride, a rate (how much denser its grid is than before) and a phase: old cell ``i`` is new cell
    ``i*rate + phase``, for inputs whose sides are multiples of the stride. A window that would make the stride larger
    than `output_stride` slides by one instead. All later windows are dilated, and zero padding is
    multiplied, by the rate.
    """
    state: dict[int, tuple[int, int, int]] = {}
    copies: dict[int, Any] = {}
    for node in nodes_of(body):
        layer, kind = node.operation, kind_of(node)
        states = {state[id(t)] for t in node.input_tensors}
        stride, rate, phase = max(states, default=(1, 1, 0))
        if len(states) > 1:
            raise ConversionError(
                f"Expected branches with the same cells where they meet in {layer.name!r} of {body.name!r}. Received "
                f"branches that differ at output stride {output_stride}. Keep the network's own stride."
            )
        changes: dict[str, Any] = {}
        if kind in CONVOLUTIONS or kind in POOLINGS:
            size = max(pair(layer.kernel_size if kind in CONVOLUTIONS else layer.pool_size))
            step, dilation = max(pair(layer.strides)), max(pair(getattr(layer, "dilation_rate", 1)))
            if kind in POOLINGS and size > 1 and rate > 1:
                raise ConversionError(
                    f"Expected no pooling after stride {output_stride}, as Keras cannot dilate it. Received pooling "
                    f"layer {layer.name!r} at stride {stride}. Choose a larger output stride."
                )
            if rate > 1 and size > 1:
                changes["dilation_rate"] = (dilation * rate, dilation * rate)
            reach, slide = (size - 1) * dilation, step > 1 and (rate > 1 or stride * step > output_stride)
            if layer.padding == "same" and (slide or rate > 1):
                phase += reach * rate // 2 - max(reach + 1 - step, 0) // 2 * rate
            if slide:
                changes["strides"] = (1, 1)
                rate *= step
            else:
                stride *= step
        elif kind in ("ZeroPadding2D", "Cropping2D") and rate > 1:
            key = "padding" if kind == "ZeroPadding2D" else "cropping"
            changes[key] = tuple(tuple(side * rate for side in pair) for pair in getattr(layer, key))
        if changes:
            copies[id(layer)] = _copy(layer, changes)
        for tensor in node.outputs:
            state[id(tensor)] = (stride, rate, phase)
    reached = max(stride for stride, *_ in state.values())
    if reached != output_stride:
        raise ConversionError(
            f"Expected an output stride that the network can have. Received {output_stride}, where {body.name!r} "
            f"would have {reached}. Choose 8, 16 or 32."
        )
    return lambda layer: copies.get(id(layer), layer)


def _copy(layer: Any, changes: dict[str, Any]) -> Any:
    """Return a copy of the layer with some settings changed and the same weights."""
    copy = type(layer).from_config({**layer.get_config(), **changes})
    if layer.weights:
        copy.build_from_config(layer.get_build_config())
        copy.set_weights(layer.get_weights())
    return copy
