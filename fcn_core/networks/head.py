"""The head of a classifier, from the pooling to the classes, and the same head on every cell of a map.

A tensor before the pooling is a map of cells. After it, it is a vector, which has lost the cells. The head starts at
the last layers that turn the map into a vector: global pooling, or ``Flatten``. On a map, each of its layers computes
for one cell what it computes for the vector: ``Dense`` becomes a 1x1 convolution; after ``Flatten`` of h x w cells, an
h x w convolution (Long, Shelhamer and Darrell 2015, for VGG).

If all layers of the head are linear and it starts with average pooling, the mean of the map of logits is the
classifier's answer for any input. Otherwise the two are equal where the map has one cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from fcn_core.networks.graph import (
    activation_of,
    call_node,
    channel_axis,
    copy_layer,
    has_numbers_only,
    is_linear,
    kind_of,
    nodes_of,
    pair,
)
from fcn_core.networks.refusals import refusal
from fcn_core.networks.spec import ProofKind

Activation = Literal["softmax", "sigmoid", "linear"]

# Layers and operations that do nothing to a trained classifier's vector, or only change its shape.
_UNCHANGED = (
    "Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization",
    "Identity", "Flatten", "Reshape", "Squeeze", "ExpandDims",
)  # fmt: skip
_AVERAGES = ("GlobalAveragePooling2D", "Mean", "AveragePooling2D")
_JOINS = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
_NORMALISATIONS = ("BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization")
# Operations on each value alone; numbers beside the tensor are kept.
_ELEMENTWISE = (
    "Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Rescaling", "Relu", "Relu6", "Sigmoid", "Silu", "HardSigmoid",
    "HardSilu", "Gelu", "Tanh", "Elu", "Selu", "Softplus", "LeakyRelu", "Divide", "TrueDivide", "Negative", "Cast",
)  # fmt: skip
_OVER_CHANNELS = ("softmax", "log_softmax", "sparsemax", "glu")  # activations of all channels together
_LINEAR = (
    *_UNCHANGED,
    "BatchNormalization",
    "Dense",
    "Conv2D",
    "Concatenate",
    "Add",
    "Subtract",
    "Average",
    "Rescaling",
    "Activation",
)


@dataclass(frozen=True)
class Head:
    """The head of a classifier.

    Attributes
    ----------
    features : KerasTensor
        The map that it reads.
    nodes : tuple
        Of the graph, from the pooling to the logits, in order.
    activation : {"softmax", "sigmoid", "linear"}
        What turns the logits into the classifier's answer.
    proof : {"mean", "one cell"}
        How the conversion is proved, see :mod:`fcn_core.networks.proof`.
    fused : bool
        Whether the last layer of `nodes` has that activation itself, so that it has to be left out.
    axis : int
        Of the channels in `features`.
    name : str
        Of the classifier.
    """

    features: Any
    nodes: tuple[Any, ...]
    activation: Activation
    proof: ProofKind
    fused: bool
    axis: int
    name: str

    def __str__(self) -> str:
        return " -> ".join(map(_described, self.nodes))


def read_head(classifier: keras.Model) -> Head:
    """Find the head of a flat graph (:func:`fcn_core.networks.graph.flatten`).

    Raises
    ------
    ConversionError
        There is none, it pools several maps, or a tensor before it has no grid of cells.
    """
    head = _read(classifier, windows=True)
    if head.proof == "one cell" and any(kind_of(node) == "AveragePooling2D" for node in head.nodes):
        # Then no smaller picture has one cell for it: it stays a pooling of the body.
        return _read(classifier, windows=False)
    return head


def _read(classifier: keras.Model, *, windows: bool) -> Head:
    """Find the head; with `windows`, average pooling over a whole map counts as global."""
    axis = channel_axis(classifier)
    makers: dict[int, Any] = {}
    vectors: set[int] = set()
    odd: Any = None  # the first node that turns a map into something without a grid
    for node in nodes_of(classifier):
        makers |= {id(tensor): node for tensor in node.outputs}
        if node.is_input:
            continue
        after = all(id(tensor) in vectors for tensor in node.input_tensors)
        if after or _reduces(node, axis, windows):
            vectors |= {id(tensor) for tensor in node.outputs}
        elif len(node.outputs[0].shape) != 4 and kind_of(node) != "GetItem":
            odd = odd or node
    last = classifier.outputs[0]
    if id(last) not in vectors:
        if odd is not None or len(last.shape) == 3:
            raise refusal("grid", f"{classifier.name!r} with {_described(odd or makers[id(last)])}")
        raise refusal("no head", f"{classifier.name!r}, which ends in {_ending(makers, last)}")
    used = _used(makers, vectors, last)
    nodes = [node for node in nodes_of(classifier) if id(node) in used]
    maps = {id(t): t for node in nodes for t in node.input_tensors if id(t) not in vectors}
    starts = [node for node in nodes if any(id(t) in maps for t in node.input_tensors)]
    if len(maps) != 1 or len({_is_flatten(node) for node in starts}) > 1:
        described = ", ".join(f"{_described(node)} {node.operation.name!r}" for node in starts)
        raise refusal("several maps", f"{classifier.name!r}, whose head starts with {described}")
    (features,) = maps.values()
    if len(features.shape) != 4:
        raise refusal("grid", f"{classifier.name!r} with {_described(makers[id(features)])} before its head")
    activation, fused, nodes = _without_activation(nodes, makers, last)
    if not any(is_linear(node) for node in nodes):
        raise refusal("no head", f"{classifier.name!r}, which ends in {_ending(makers, last)}")
    averaged = all(kind_of(node) in _AVERAGES for node in starts)
    linear = all(
        kind_of(node) in _LINEAR and (activation_of(node) == "linear" or (fused and node is _final(nodes)))
        for node in nodes
        if node not in starts
    )
    proof: ProofKind = "mean" if averaged and linear else "one cell"
    return Head(features, tuple(nodes), activation, proof, fused, axis, classifier.name)


def _reduces(node: Any, axis: int, windows: bool) -> bool:
    """Return whether a node turns a map into a vector of its channels, or of all its values."""
    kind, source, result = kind_of(node), node.input_tensors[0], node.outputs[0]
    if len(source.shape) != 4:
        return False
    spatial = [1, 2] if axis == 3 else [2, 3]
    if kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        return True
    if kind in ("Mean", "Max"):
        axes = node.operation.axis
        return axes is not None and sorted(a % 4 for a in np.atleast_1d(axes)) == spatial
    if kind == "AveragePooling2D" and windows:
        layer, whole = node.operation, tuple(source.shape[a] for a in spatial)
        return layer.padding == "valid" and pair(layer.pool_size) == whole != (1, 1)
    return kind in ("Flatten", "Reshape") and len(result.shape) == 2


def _is_flatten(node: Any) -> bool:
    return kind_of(node) in ("Flatten", "Reshape")


def _used(makers: dict[int, Any], vectors: set[int], last: Any) -> set[int]:
    """Return the nodes with vectors that the last tensor depends on."""
    used, waiting = set[int](), [last]
    while waiting:
        node = makers[id(waiting.pop())]
        if id(node) not in used:
            used.add(id(node))
            waiting += [tensor for tensor in node.input_tensors if id(tensor) in vectors]
    return used


def _without_activation(
    nodes: list[Any], makers: dict[int, Any], last: Any
) -> tuple[Activation, bool, list[Any]]:
    """Return the final activation, whether the last layer has it itself, and the nodes up to the logits."""
    node = makers[id(last)]
    while kind_of(node) in _UNCHANGED and makers[id(node.input_tensors[0])] in nodes:
        node = makers[id(node.input_tensors[0])]
    name = activation_of(node)
    if name not in ("softmax", "sigmoid"):
        return "linear", False, nodes
    final: Activation = "softmax" if name == "softmax" else "sigmoid"
    return (final, True, nodes) if is_linear(node) else (final, False, nodes[: nodes.index(node)])


def _final(nodes: list[Any] | tuple[Any, ...]) -> Any:
    """Return the last node that computes something."""
    return next((node for node in reversed(nodes) if kind_of(node) not in _UNCHANGED), None)


def _described(node: Any) -> str:
    kind, name = kind_of(node), activation_of(node)
    return kind if name in ("linear", kind.lower()) else f"{kind}({name})"


def _ending(makers: dict[int, Any], last: Any) -> str:
    found: list[str] = []
    node = makers[id(last)]
    while not node.is_input and len(found) < 4:
        found.insert(0, _described(node))
        node = makers[id(node.input_tensors[0])]
    return " -> ".join(found) or "its input"


class OnMap:
    """Calls the layers of a head on a map: each computes for every cell what it computed for the vector."""

    def __init__(self, head: Head) -> None:
        self._head, self._axis, self._final = head, head.axis, _final(head.nodes)
        # whether the last layer gives the logits itself
        self._named = is_linear(self._final) and (
            head.fused or activation_of(self._final) not in _OVER_CHANNELS
        )
        self._tensors: dict[int, Any] = {}
        self._copies: dict[int, Any] = {}
        # of a flattened map: height, width, whether channels came first, and a pending scale and shift of its values
        self._flat: dict[int, _Flat] = {}

    def __call__(self, features: Any) -> Any:
        """Return the map of logits, from a layer with the name "logits"."""
        self._tensors[id(self._head.features)] = features
        for node in self._head.nodes:
            inputs = [self._tensors[id(tensor)] for tensor in node.input_tensors]
            self._tensors[id(node.outputs[0])] = self._call(node, inputs)
        logits = self._tensors[id(self._head.nodes[-1].outputs[0])]
        return logits if self._named else keras.layers.Identity(name="logits")(logits)

    def _call(self, node: Any, inputs: list[Any]) -> Any:
        kind, layer = kind_of(node), node.operation
        source, result = node.input_tensors[0], node.outputs[0]
        if id(source) == id(self._head.features):
            if _is_flatten(node):
                self._flat[id(result)] = _Flat.of(source, self._axis, kind == "Flatten" and layer.data_format)
            return inputs[0]
        flats = [self._flat[id(t)] for t in node.input_tensors if id(t) in self._flat]
        if kind in _UNCHANGED and len(inputs) == 1:
            if flats:
                self._flat[id(result)] = flats[0]
            elif self._channels(source) != self._channels(result):
                raise self._refused(node)
            return inputs[0]
        if flats:
            return self._after_flatten(node, inputs, flats)
        if is_linear(node):
            kernel, *bias = layer.get_weights()
            return self._convolve(node, kernel.reshape(1, 1, *kernel.shape[-2:]), bias, inputs[0])
        if kind in _NORMALISATIONS and self._over_channels(node):
            return self._copied(node, {"axis": self._axis})(inputs[0])
        if activation_of(node) in _OVER_CHANNELS:
            if activation_of(node) == "softmax":
                return keras.layers.Softmax(axis=self._axis, name=layer.name)(inputs[0])
            raise self._refused(node)
        if kind == "Concatenate":
            return keras.layers.Concatenate(axis=self._axis, name=layer.name)(inputs)
        if kind == "PReLU":
            return self._prelu(layer)(inputs[0])
        if _is_elementwise(node):
            return call_node(node, self._tensors)
        raise self._refused(node)

    def _after_flatten(self, node: Any, inputs: list[Any], flats: list[_Flat]) -> Any:
        kind, layer, flat = kind_of(node), node.operation, flats[0]
        result = node.outputs[0]
        if kind == "Dense":
            kernel, *bias = layer.get_weights()
            kernel, bias = flat.absorb(kernel, bias)
            return self._convolve(node, flat.windows(kernel), bias, inputs[0])
        if kind == "BatchNormalization" and len(flats) == 1:
            gamma = np.asarray(layer.gamma) if layer.scale else 1.0
            beta = np.asarray(layer.beta) if layer.center else 0.0
            scale = gamma / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
            self._flat[id(result)] = flat.then(
                scale, beta - scale * np.asarray(layer.moving_mean, np.float64)
            )
            return inputs[0]
        plain = all(each.scale is None for each in flats) and len(flats) == len(inputs)
        if plain and _is_elementwise(node) and activation_of(node) not in _OVER_CHANNELS:
            self._flat[id(result)] = flat
            return call_node(node, self._tensors)
        raise refusal(
            "after Flatten", f"{self._head.name!r} with {_described(node)} {layer.name!r} after Flatten"
        )

    def _convolve(self, node: Any, kernel: np.ndarray, bias: list[np.ndarray], x: Any) -> Any:
        """Call the convolution that equals a Dense layer or a 1x1 convolution."""
        layer, name, final = node.operation, activation_of(node), node is self._final
        apart = name in _OVER_CHANNELS or (final and self._head.fused)
        if id(layer) not in self._copies:
            shape: list[int | None] = [None, None, None, None]
            shape[self._axis] = kernel.shape[2] * getattr(layer, "groups", 1)
            made = keras.layers.Conv2D(
                kernel.shape[-1],
                kernel.shape[:2],
                groups=getattr(layer, "groups", 1),
                activation=None if apart else layer.activation,
                use_bias=bool(bias),
                dtype=layer.dtype_policy,
                name="logits" if final and self._named else layer.name,
            )
            made.build(tuple(shape))
            made.set_weights([kernel, *bias])
            self._copies[id(layer)] = made
        result = self._copies[id(layer)](x)
        if apart and not (final and self._head.fused):
            if name != "softmax":
                raise self._refused(node)
            return keras.layers.Softmax(axis=self._axis)(result)
        return result

    def _copied(self, node: Any, changes: dict[str, Any]) -> Any:
        layer = node.operation
        if id(layer) not in self._copies:
            shape: list[int | None] = [None, None, None, None]
            shape[self._axis] = self._channels(node.input_tensors[0])
            self._copies[id(layer)] = copy_layer(layer, changes, tuple(shape))
        return self._copies[id(layer)]

    def _over_channels(self, node: Any) -> bool:
        """Return whether a normalisation runs over the channels of a vector."""
        rank = len(node.input_tensors[0].shape)
        axes = {axis % rank for axis in np.atleast_1d(node.operation.axis)}
        return (self._axis if rank == 4 else 1) in axes

    def _prelu(self, layer: Any) -> Any:
        spatial = [1, 2] if self._axis == 3 else [2, 3]
        made = keras.layers.PReLU(shared_axes=spatial, name=layer.name)
        channels = layer.alpha.shape[-1]
        made.build((None, None, None, channels) if self._axis == 3 else (None, channels, None, None))
        made.set_weights([np.asarray(layer.alpha).reshape(made.alpha.shape)])
        return made

    def _channels(self, tensor: Any) -> int | None:
        """Return the values of a vector: its length, or its channels if it is a map of one cell."""
        shape = tensor.shape
        if len(shape) == 4 and shape[1 if self._axis == 3 else 3] == 1:
            return int(shape[self._axis])
        return int(shape[1]) if len(shape) == 2 and shape[1] is not None else None

    def _refused(self, node: Any) -> Exception:
        return refusal(
            "after the pooling",
            f"{self._head.name!r} with {_described(node)} {node.operation.name!r} after the pooling",
        )


def _is_elementwise(node: Any) -> bool:
    """Return whether a node computes with each value alone, or with values at the same place of several tensors."""
    alike = len({tuple(tensor.shape) for tensor in node.input_tensors}) == 1
    return (
        kind_of(node) in (*_ELEMENTWISE, *_JOINS)
        and kind_of(node) != "PReLU"
        and alike
        and has_numbers_only(node)
    )


@dataclass(frozen=True, eq=False)
class _Flat:
    """A flattened map of `height` x `width` cells; a scale and a shift of its values wait for the next Dense."""

    height: int
    width: int
    channels: int
    channels_first: bool  # in the order of the values
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    @classmethod
    def of(cls, features: Any, axis: int, flatten_format: Any) -> _Flat:
        """Return what flattening this map gives; Flatten moves the channels last if its data format says so."""
        spatial = (1, 2) if axis == 3 else (2, 3)
        first = axis == 1 and flatten_format != "channels_first"
        if axis == 3 and flatten_format == "channels_first":
            raise refusal("grid", "Flatten with channels first on a map with channels last")
        height, width = (int(features.shape[a]) for a in spatial)
        return cls(height, width, int(features.shape[axis]), first)

    def then(self, scale: np.ndarray, shift: np.ndarray) -> _Flat:
        """Return the same map with one more scale and shift of its values."""
        before = (1.0, 0.0) if self.scale is None or self.shift is None else (self.scale, self.shift)
        return _Flat(
            self.height,
            self.width,
            self.channels,
            self.channels_first,
            before[0] * scale,
            before[1] * scale + shift,
        )

    def absorb(self, kernel: np.ndarray, bias: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return kernel and bias of a Dense layer that also scales and shifts its input."""
        if self.scale is None or self.shift is None:
            return kernel, bias
        offset = self.shift @ kernel.astype(np.float64) + (bias[0] if bias else 0)
        return (self.scale[:, None] * kernel).astype(kernel.dtype), [offset.astype(kernel.dtype)]

    def windows(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel of a Dense layer as that of a convolution: (height, width, channels, outputs)."""
        if self.channels_first:
            kernel = kernel.reshape(self.channels, self.height, self.width, -1)
            return np.ascontiguousarray(np.moveaxis(kernel, 0, 2))
        return kernel.reshape(self.height, self.width, self.channels, -1)
