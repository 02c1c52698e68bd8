"""Read the spatial structure of a fully convolutional Keras network, and cut the network into parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from fcn_core.errors import ConversionError
from fcn_core.networks.geometry import Geometry, Node, Window, trace
from fcn_core.networks.graph import CONVOLUTIONS, POOLINGS, data_format, kind_of, nodes_of, pair
from fcn_core.networks.refusals import refusal

# Layers and operations that keep every cell where it is.
_POINTWISE = (
    "Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax", "BatchNormalization",
    "Dropout", "SpatialDropout2D", "GaussianDropout", "AlphaDropout", "GaussianNoise", "ActivityRegularization",
    "Rescaling", "Normalization", "Add", "Multiply", "Concatenate", "Subtract", "Average", "Maximum", "Minimum",
    "SoftmaxMap", "LayerScale", "CustomScaleLayer", "StochasticDepth", "Identity", "TrueDivide", "Divide", "Negative",
    "Cast", "Clip", "Exp", "Square", "Sqrt", "Abs", "Power", "Sigmoid", "Silu", "Relu", "Relu6", "HardSigmoid",
    "HardSilu", "Gelu", "Tanh", "Elu", "Selu", "Softplus", "LeakyRelu",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",  # training
)  # fmt: skip
_NORMALISATIONS = ("LayerNormalization", "RMSNormalization", "UnitNormalization", "GroupNormalization")
_CHANNELS = ("GetItem", "Stack", "Flip", "Mean", "Max")  # where they select, join or reduce channels
_MULTIPLYING = (*CONVOLUTIONS, "Dense")
_POOLED = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
# Most rows of overlap, in rows of a part's input, before the part is cut.
_HALO = 24


def read_geometry(network: keras.Model) -> tuple[Geometry, tuple[Any, ...]]:
    """Read the spatial structure of a fully convolutional Keras model.

    Returns
    -------
    geometry : Geometry
        Every layer that slides, joins or pads, in order of computation. The nodes where the graph may be cut into
        parts are marked.
    cut_tensors : tuple of KerasTensor
        The tensors at the cuts, in the order of the marked nodes.

    Raises
    ------
    ConversionError
        The windows of a layer are not known.
    """
    channels_first = data_format(network) == "channels_first"
    spatial, channel_axis = (slice(2, 4), 1) if channels_first else (slice(1, 3), 3)
    nodes: list[Node] = []
    index: dict[int, int] = {}  # tensor -> the node that determines its cells, -1 for the input
    read: dict[int, dict[int, Any]] = {}  # node -> the tensors with its cells that later nodes read
    for graph_node in nodes_of(network):
        layer, kind = graph_node.operation, kind_of(graph_node)
        tensor = graph_node.outputs[0]
        if graph_node.is_input:
            index[id(tensor)] = -1
            continue
        if kind == "CropToSmallest":  # the node that joins the maps uses the smallest
            for source, cropped in zip(graph_node.input_tensors, graph_node.outputs, strict=True):
                index[id(cropped)] = index[id(source)]
            continue
        sources = [t for t in graph_node.input_tensors if id(t) in index]
        if kind in _POOLED or (kind in ("Mean", "Max") and _axes(layer) == {1, 2, 3} - {channel_axis}):
            continue  # a vector of the whole map (squeeze-and-excite)
        if not sources and (len(tensor.shape) != 4 or tuple(tensor.shape[spatial]) == (1, 1)):
            continue  # computed from such a vector
        if not sources or not _keeps_cells(graph_node, channel_axis):
            raise _not_placed(layer, kind)
        inputs = tuple(dict.fromkeys(index[id(t)] for t in sources))
        y, x = _windows(layer, kind)
        squeezed = len(sources) < len(graph_node.input_tensors) or _reads_all(layer, kind, channel_axis)
        other_channels = (
            inputs[0] >= 0
            and len(tensor.shape) == 4
            and tensor.shape[channel_axis] != nodes[inputs[0]].channels
        )
        if (
            len(inputs) == 1
            and not squeezed
            and not other_channels
            and kind not in _MULTIPLYING
            and y == x == Window()
        ):
            index[id(tensor)] = inputs[0]  # the same cells
            continue
        for source in sources:
            read.setdefault(index[id(source)], {})[id(source)] = source
        channels = int(tensor.shape[channel_axis])
        nodes.append(Node(layer.name, inputs, channels, y, x, whole=squeezed, macs=_macs(layer, kind)))
        index[id(tensor)] = len(nodes) - 1
    if not nodes:
        raise ConversionError(
            f"Expected a network with a convolution or pooling. Received {network.name!r}, which has none. Choose "
            f"another network."
        )
    cuts = _cuts(nodes, lambda i: len(read[i]) == 1)
    geometry = Geometry(tuple(replace(n, cut=i in cuts) for i, n in enumerate(nodes)))
    return geometry, tuple(next(iter(read[i].values())) for i in cuts)


def _axes(layer: Any) -> set[int]:
    """Return the axes of a map over which a layer computes."""
    return set() if layer.axis is None else {int(axis) % 4 for axis in np.atleast_1d(layer.axis)}


def _keeps_cells(node: Any, channel_axis: int) -> bool:
    """Return whether the rows and columns of a node's output are those of its input, which is one map or several."""
    layer, kind, tensor = node.operation, kind_of(node), node.outputs[0]
    if kind == "GetItem":  # every row and column, and some channels or one
        key = {**dict(enumerate(node.arguments.args)), **node.arguments.kwargs}
        return _takes_channels(key.get("key", key.get(1)), len(node.input_tensors[0].shape), channel_axis)
    if kind == "Stack":
        return bool(layer.axis % 4 == channel_axis) and all(len(t.shape) == 3 for t in node.input_tensors)
    if len(tensor.shape) != 4 or any(len(t.shape) == 3 for t in node.input_tensors):
        return False
    if kind in ("Concatenate", "Flip", "Mean", "Max"):
        return _axes(layer) == {channel_axis}
    return kind != "Dense" or channel_axis == 3


def _takes_channels(key: Any, rank: int, channel_axis: int) -> bool:
    """Return whether ``x[key]`` selects channels only."""
    parts = list(key) if isinstance(key, tuple | list) else [key]
    if any(part is None or not isinstance(part, int | slice | type(...)) for part in parts):
        return False
    where = parts.index(...) if ... in parts else len(parts)
    rest = parts[where + 1 :]
    whole = slice(None)
    full = [*parts[:where], *[whole] * (rank - where - len(rest)), *rest]
    return all(part == whole for axis, part in enumerate(full) if axis != channel_axis)


def _reads_all(layer: Any, kind: str, channel_axis: int) -> bool:
    """Return whether a layer normalises over rows and columns, so that it reads the whole map at once."""
    return kind == "GroupNormalization" or (kind in _NORMALISATIONS and _axes(layer) != {channel_axis})


def _windows(layer: Any, kind: str) -> tuple[Window, Window]:
    """Return the layer's sliding windows along y and x."""
    if kind in CONVOLUTIONS or kind in POOLINGS:
        size = pair(layer.kernel_size if kind in CONVOLUTIONS else layer.pool_size)
        dilation = pair(layer.dilation_rate) if kind in CONVOLUTIONS else (1, 1)
        same = layer.padding == "same"
        y, x = (
            Window(k, s, d, same=same and (k, s) != (1, 1))
            for k, s, d in zip(size, pair(layer.strides), dilation, strict=True)
        )
        return y, x
    if kind in ("ZeroPadding2D", "Cropping2D"):
        sign, sides = (1, layer.padding) if kind == "ZeroPadding2D" else (-1, layer.cropping)
        y, x = (Window(before=sign * before, after=sign * after) for before, after in sides)
        return y, x
    if kind in (*_POINTWISE, *_NORMALISATIONS, *_CHANNELS, "Dense"):
        return Window(), Window()
    raise _not_placed(layer, kind)


def _not_placed(layer: Any, kind: str) -> ConversionError:
    return refusal("windows", f"{kind} {layer.name!r}")


def _macs(layer: Any, kind: str) -> int:
    """Return the multiply-adds for one cell of the layer's output."""
    if kind not in _MULTIPLYING:
        return 0
    return int(sum(np.prod(w.shape) for w in layer.weights if len(w.shape) > 1))


def _cuts(nodes: list[Node], single: Callable[[int], bool]) -> list[int]:
    """Choose where to cut: at nodes that all data passes through, in one tensor (`single`).

    A part ends where the stride grows: then the fewest cells are computed twice for the overlap of bands, and the map
    is smallest. Otherwise it ends where the map is smallest before the overlap exceeds 24 rows of the part's input.
    There are no cuts at strides 1 and 2, where passing the large maps from part to part costs most.
    """
    through, earliest = list[int](), len(nodes)
    for i in range(len(nodes) - 1, -1, -1):
        if earliest >= i:
            through.insert(0, i)
        earliest = min(earliest, *nodes[i].inputs)
    traces = trace(nodes, "y", 4096)
    halos = [t.high - t.low + 1 - t.stride for t in traces]
    cuts: list[int] = []
    stride, halo = 2, 0
    while True:
        left = [i for i in through[:-1] if traces[i].stride >= 4 and single(i) and i > max(cuts, default=-1)]
        near = [i for i in left if halos[i] - halo <= _HALO * stride]
        grown = [i for i in near if traces[i].stride > stride]
        if grown:
            first = traces[grown[0]].stride
            cut = min((i for i in grown if traces[i].stride == first), key=lambda i: (nodes[i].channels, i))
        elif halos[-1] - halo > _HALO * stride and left:
            cut = min(near or left[:1], key=lambda i: (nodes[i].channels, -i))
        else:
            return cuts
        cuts.append(cut)
        stride, halo = traces[cut].stride, halos[cut]


def split(network: keras.Model, cut_tensors: Sequence[Any]) -> list[keras.Model]:
    """Cut a network into consecutive parts, at the tensors that :func:`read_geometry` returns."""
    ends = [*cut_tensors, network.outputs[0]]
    return [keras.Model(a, b) for a, b in zip([network.inputs[0], *cut_tensors], ends, strict=True)]
