"""The same network with channels first, for OpenVINO, whose convolutions read their input so.

Some classifiers of Keras exist with channels last only (DenseNet, NASNet, ConvNeXt), and so do saved ones. Each layer
is replaced by one that computes the same on the transposed map.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fcn_core.networks.graph import call_node, copy_layer, kind_of, nodes_of
from fcn_core.networks.refusals import refusal

_SHAPED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_AXIS = (
    "BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization", "GroupNormalization",
    "Normalization", "Concatenate", "Softmax",
)  # fmt: skip


def channels_first(network: keras.Model) -> keras.Model:
    """Return a network that computes the same from (N, channels, h, w), in maps of that layout.

    Parameters
    ----------
    network : keras.Model
        With channels last, one input, and outputs that are maps.

    Raises
    ------
    ConversionError
        A layer has no such counterpart.
    """
    height, width, channels = network.inputs[0].shape[1:]
    image = keras.Input((channels, height, width), name="image", dtype=network.inputs[0].dtype)
    tensors: dict[int, Any] = {id(network.inputs[0]): image}
    made: dict[int, Any] = {}
    for node in nodes_of(network):
        if not node.is_input:
            called = _call(node, tensors, made)
            results = called if isinstance(called, list | tuple) else [called]
            tensors |= {id(tensor): result for tensor, result in zip(node.outputs, results, strict=True)}
    outputs = [tensors[id(tensor)] for tensor in network.outputs]
    return keras.Model(image, outputs if len(outputs) > 1 else outputs[0], name=network.name)


def _call(node: Any, tensors: dict[int, Any], made: dict[int, Any]) -> Any:
    layer, kind, source = node.operation, kind_of(node), node.input_tensors[0]
    on_map = len(source.shape) == 4
    if kind in ("GetItem", "Stack", "Flip", "Mean", "Max", "Reshape"):
        return _moved(node, tensors[id(source)], [tensors[id(t)] for t in node.input_tensors])
    if not on_map or not _changes(layer, kind):
        if not _same_for_every_channel(node):
            raise refusal("windows", f"{kind} {layer.name!r} with a number for each channel")
        return call_node(node, tensors)
    if id(layer) not in made:
        made[id(layer)] = _counterpart(layer, kind, source.shape)
    inputs = [tensors[id(tensor)] for tensor in node.input_tensors]
    return made[id(layer)](inputs if len(inputs) > 1 else inputs[0])


def _changes(layer: Any, kind: str) -> bool:
    return kind in (*_AXIS, "Dense", "LayerScale", "PReLU", "Rescaling") or hasattr(layer, "data_format")


def _same_for_every_channel(node: Any) -> bool:
    """Return whether all that a node gets beside tensors are single numbers."""
    values = [
        value for value in node.arguments.args if not isinstance(value, keras.KerasTensor | list | tuple)
    ]
    return all(np.size(value) == 1 for value in values if value is not None)


def _counterpart(layer: Any, kind: str, shape: Any) -> Any:
    """Return the layer that does the same with channels first; `shape` is that of its input with channels last."""
    channels = shape[-1]
    turned = (None, channels, None, None)
    if kind == "Dense":
        dense = keras.layers.Conv2D(
            layer.units, 1, activation=layer.activation, use_bias=layer.use_bias, data_format="channels_first",
            name=layer.name,
        )  # fmt: skip
        kernel, *bias = layer.get_weights()
        return _with_weights(dense, turned, [kernel[None, None], *bias])
    if kind == "LayerScale":
        scale = keras.layers.DepthwiseConv2D(1, use_bias=False, data_format="channels_first", name=layer.name)
        return _with_weights(scale, turned, [np.asarray(layer.gamma).reshape(1, 1, channels, 1)])
    if kind == "PReLU":
        (alpha,) = layer.get_weights()
        axes = [(0, 2, 3, 1)[axis] for axis in layer.shared_axes or ()]
        return _with_weights(
            keras.layers.PReLU(shared_axes=axes, name=layer.name), turned, [np.moveaxis(alpha, -1, 0)]
        )
    if kind == "Rescaling":
        scale, offset = (
            np.reshape(v, (-1, 1, 1)).tolist() if np.ndim(v) else v for v in (layer.scale, layer.offset)
        )
        return keras.layers.Rescaling(scale, offset, name=layer.name)
    if kind in _AXIS:
        axes = [{1: 2, 2: 3, 3: 1}[int(axis) % 4] for axis in np.atleast_1d(layer.axis)]
        axis = axes if isinstance(layer.axis, list | tuple) else axes[0]
        return copy_layer(layer, {"axis": axis}, turned)
    if activation_is_over_channels(layer):
        raise refusal("windows", f"{kind}({layer.activation.__name__}) {layer.name!r}")
    return copy_layer(layer, {"data_format": "channels_first"}, turned if kind in _SHAPED else None)


def activation_is_over_channels(layer: Any) -> bool:
    """Return whether the layer's activation reads all values of the last axis together."""
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return name in ("softmax", "log_softmax", "sparsemax", "glu")


def _with_weights(layer: Any, shape: Any, weights: list[Any]) -> Any:
    layer.build(shape)
    layer.set_weights(weights)
    return layer


def _moved(node: Any, x: Any, xs: list[Any]) -> Any:
    """Call an operation on axes, each of which has moved."""
    layer, kind, rank = node.operation, kind_of(node), len(node.input_tensors[0].shape)
    moved = {0: 0, 1: 2, 2: 3, 3: 1}
    if kind == "Stack":
        return keras.ops.stack(xs, axis=1)  # of channels: structure.py refuses others
    if kind == "Reshape":
        target = node.outputs[0].shape
        if rank == 2 and len(target) == 4 and tuple(target[1:3]) == (1, 1):
            return keras.layers.Reshape((target[3], 1, 1), name=layer.name)(x)
        if rank == 2 or tuple(node.input_tensors[0].shape[1:3]) == (1, 1):
            return keras.layers.Reshape(target[1:], name=layer.name)(x)
        raise refusal("windows", f"Reshape {layer.name!r}")
    if kind == "GetItem":
        values = {**dict(enumerate(node.arguments.args)), **node.arguments.kwargs}
        key = values.get("key", values.get(1))
        parts = list(key) if isinstance(key, tuple | list) else [key]
        if rank != 4 or parts[:-1] not in ([...], [slice(None)] * 3):
            raise refusal("windows", f"GetItem {layer.name!r}")
        return x[:, parts[-1]]
    axes = np.atleast_1d(layer.axis).tolist()
    axis = [moved[a % 4] for a in axes]
    if kind == "Flip":
        return keras.ops.flip(x, axis=axis[0])
    reduce = keras.ops.mean if kind == "Mean" else keras.ops.max
    return reduce(x, axis=tuple(axis), keepdims=layer.keepdims)
