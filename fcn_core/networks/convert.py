"""A Keras classifier becomes a fully convolutional network, and its graph's geometry is read off.

The method is the notebook's: drop the global pooling and let a 1x1 convolution hold the Dense layer's
weights (Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015).
Because pooling and Dense are both linear, the spatial mean of the new map of logits is the classifier's own
logits. Denser maps come from the a-trous construction (Chen et al., "Rethinking Atrous Convolution", 2017):
the last strides become dilation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np

from fcn_core.errors import ConversionError
from fcn_core.networks.geometry import Geometry, Node, Window, trace
from fcn_core.networks.keras_settings import DataFormat, keras_settings
from fcn_core.networks.layers import SoftmaxMap

Output = Literal["probabilities", "logits"]

# Layers and operations that keep every cell where it is.
_POINTWISE = (
    "Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax", "BatchNormalization", "LayerNormalization",
    "Dropout", "SpatialDropout2D", "GaussianNoise", "Rescaling", "Normalization", "Add", "Multiply", "Concatenate",
    "Subtract", "Average", "Maximum", "Minimum", "SoftmaxMap", "LayerScale", "StochasticDepth", "Identity",
    "Sigmoid", "Silu", "Relu", "Relu6", "HardSigmoid", "HardSilu", "Gelu", "Tanh", "TrueDivide", "Divide",
    "CustomScaleLayer",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",  # training
)  # fmt: skip
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_POOLINGS = ("MaxPooling2D", "AveragePooling2D")
_GLOBAL_POOLINGS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
_HALO = 24
# What may stand in a head beside the pooling and the linear layer.
_HEAD = ("Dropout", "Reshape", "Flatten", "Identity", "Activation", "Softmax")


def to_fully_convolutional(
    classifier: keras.Model, *, output: Output = "probabilities", output_stride: int | None = None
) -> keras.Model:
    """Turn a classifier into a network that gives a map of classes for any input size.

    Parameters
    ----------
    classifier : keras.Model
        A functional or sequential image classifier that ends in global average pooling, (Dropout), Dense. A 1x1
        convolution on the pooled features in place of the Dense layer (MobileNet) serves as well, and so do models
        inside the model (a headless body with a new head on top). Its weights are shared, not copied, where the
        layers stay as they are.
    output : {"probabilities", "logits"}
        What the model returns, of shape (N, h, w, classes): the notebook's probabilities, which sum to one at
        every location, or the logits below them.
    output_stride : int, optional
        Input pixels from one cell to the next, smaller than the classifier's own (usually 32): the strides beyond
        it become dilation, and the map grows denser without new weights.

    Returns
    -------
    keras.Model
        Model of free input size, in the data format and precision of the classifier, whatever is set in this
        process. Its layers "logits" and (with probabilities) "probabilities" can be had by name.

    Raises
    ------
    ConversionError
        The head is another one (the message names it), or the graph allows no such output stride.

    Notes
    -----
    From the 2020 notebook: the Dense kernel (2048, 1000) of ResNet50 becomes a kernel (1, 1, 2048, 1000).

    Examples
    --------
    >>> network = to_fully_convolutional(keras.applications.ResNet50(weights=None))
    >>> network.compute_output_shape((1, 200, 300, 3))
    (1, 7, 10, 1000)
    """
    with keras_settings(*_settings(classifier)):
        flat = _flatten(classifier)
        features, kernel, bias = _head(flat)
        body = _any_size(keras.Model(flat.inputs[0], features, name=classifier.name))
        clone = _same_layer if output_stride is None else _dilate(body, output_stride)
        feature_map = _rebuild(body, clone, free_size=True)
        head = keras.layers.Conv2D(kernel.shape[-1], 1, use_bias=bias is not None, name="logits")
        logits = head(feature_map.outputs[0])
        head.set_weights([kernel[None, None]] + ([] if bias is None else [bias]))
        result = logits if output == "logits" else SoftmaxMap(name="probabilities")(logits)
        return keras.Model(feature_map.inputs[0], result, name=f"{classifier.name}_fcn")


@dataclass(frozen=True)
class Comparison:
    """How far the mean of a map of logits is from a classifier's answer.

    Attributes
    ----------
    error : float
        Largest absolute difference of logits; infinite where the map is not finite.
    span : float
        Largest minus smallest of the classifier's logits that were compared, to judge the error by.
    compared, classes : int
        How many classes were compared, of how many.
    """

    error: float
    span: float
    compared: int
    classes: int


def largest_error(classifier: keras.Model, network: keras.Model, image: np.ndarray) -> tuple[float, float]:
    """Compare the spatial mean of `network`'s logits with what `classifier` itself answers on one input.

    The classifier is called as it is: nothing of the conversion has a part in its answer.

    Parameters
    ----------
    classifier : keras.Model
        The classifier that `network` was made from.
    network : keras.Model
        Fully convolutional, giving logits.
    image : ndarray of shape (N, H, W, C)
        Preprocessed input of the classifier's size.

    Returns
    -------
    error : float
        Largest absolute difference.
    span : float
        Largest minus smallest logit of the classifier, to judge the error by.

    Raises
    ------
    ConversionError
        The classifier's answer is not finite.
    """
    answer = np.asarray(classifier(image, training=False))
    mean = np.asarray(network(image, training=False)).mean(axis=(1, 2))
    found = compare_answers(answer, mean)
    return found.error, found.span


def compare_answers(answer: np.ndarray, logits: np.ndarray) -> Comparison:
    """Compare logits with a classifier's answer: logits, or the logarithms of its probabilities.

    Softmax forgets a constant that is added to all logits, so both sides are centred over the classes first. A
    class whose probability is too small for float32 (about 1e-38) is left out: its logarithm is not known.

    Parameters
    ----------
    answer : ndarray of shape (N, classes)
        The classifier's output. Not negative and with a sum of one, it is probabilities.
    logits : ndarray of shape (N, classes)

    Raises
    ------
    ConversionError
        The answer is not finite.
    """
    expected, found = np.asarray(answer, np.float64), np.asarray(logits, np.float64)
    if not np.isfinite(expected).all():
        raise ConversionError(
            "Expected a finite answer of the classifier on the picture of the proof. Received NaN or infinity: its "
            "weights let it overflow, so there is nothing to compare with."
        )
    finite = bool(np.isfinite(found).all())
    found = found if finite else np.zeros_like(found)
    known: np.ndarray = np.ones(expected.shape, bool)
    if expected.min() >= 0 and np.allclose(expected.sum(axis=-1), 1, atol=1e-3):
        known = expected >= np.finfo(np.float32).tiny
        expected = np.log(np.where(known, expected, 1))
        expected = expected - expected.mean(axis=-1, keepdims=True, where=known)
        found = found - found.mean(axis=-1, keepdims=True, where=known)
    highest = expected.max(axis=-1, initial=-np.inf, where=known)
    lowest = expected.min(axis=-1, initial=np.inf, where=known)
    return Comparison(
        error=float(np.abs(found - expected).max(initial=0, where=known)) if finite else math.inf,
        span=float((highest - lowest).max()),
        compared=int(known.sum(axis=-1).min()),
        classes=known.shape[-1],
    )


def _head(classifier: keras.Model) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Walk back from the output to the pooled features; give them and the linear map that follows."""
    head: list[Any] = []
    makers = {id(t): node for node in _nodes(classifier) for t in node.outputs}
    node = makers[id(classifier.outputs[0])]
    while not node.is_input and len(head) < 8:
        head.insert(0, node)
        slides = _kind(node) in (*_POOLINGS, *_GLOBAL_POOLINGS, *_CONVOLUTIONS) and not _is_linear(node)
        if slides or len(node.input_tensors) != 1:
            break
        node = makers[id(node.input_tensors[0])]
    weighing = [i for i, node in enumerate(head) if _is_linear(node)]
    active = [(i, name) for i, node in enumerate(head) if (name := _activation(node)) != "linear"]
    if (
        len(weighing) == 1
        and _kind(head[0]) == "GlobalAveragePooling2D"
        and all(_kind(node) in _HEAD for i, node in enumerate(head) if i not in (0, *weighing))
        and (not active or (len(active) == 1 and active[0][1] == "softmax" and active[0][0] >= weighing[0]))
    ):
        kernel, *bias = head[weighing[0]].operation.get_weights()
        kernel = kernel.reshape(-1, kernel.shape[-1])
        features = head[0].input_tensors[0]
        channels = features.shape[1 if _data_format(classifier) == "channels_first" else -1]
        if len(kernel) == channels:
            return features, kernel, bias[0] if bias else None
    found = [
        kind if (name := _activation(n)) in ("linear", kind.lower()) else f"{kind}({name})"
        for n in head
        for kind in (_kind(n),)
    ]
    raise ConversionError(
        f"Expected a classifier that ends in GlobalAveragePooling2D, (Dropout), Dense. Received {classifier.name!r}, "
        f"which ends in {' -> '.join(found) or 'its input'}. Only a head that is linear after the average can become "
        f"a 1x1 convolution whose mean is the classifier's answer."
    )


def _kind(node: Any) -> str:
    return type(node.operation).__name__


def _is_linear(node: Any) -> bool:
    """Whether the node weighs the channels of one cell: a Dense layer or a 1x1 convolution."""
    return _kind(node) == "Dense" or (
        _kind(node) == "Conv2D"
        and _pair(node.operation.kernel_size) == _pair(node.operation.strides) == (1, 1)
    )


def _activation(node: Any) -> str:
    activation = getattr(node.operation, "activation", None)
    if activation is None:
        return "softmax" if _kind(node) == "Softmax" else "linear"
    return str(getattr(activation, "__name__", activation))


def _graph(model: Any) -> Any:
    """The model's graph of nodes; a built Sequential keeps it inside."""
    graph = model if hasattr(model, "_nodes_by_depth") else getattr(model, "_functional", None)
    if graph is None:
        raise ConversionError(
            f"Expected a functional or built sequential Keras model. Received {type(model).__name__} "
            f"{getattr(model, 'name', '')!r}, whose graph of layers is not known; rebuild it with keras.Input."
        )
    return graph


def _nodes(model: keras.Model) -> Iterator[Any]:
    """The model's own graph nodes, inputs first."""
    by_depth = _graph(model)._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def _layers(model: keras.Model) -> Iterator[Any]:
    """The model's layers and those of models inside it, in order of computation."""
    for node in _nodes(model):
        if isinstance(node.operation, keras.Model):
            yield from _layers(node.operation)
        else:
            yield node.operation


def _data_format(model: keras.Model) -> DataFormat:
    """Where the model has its channels, which the settings of this process do not tell of a model that was read."""
    formats = (getattr(layer, "data_format", None) for layer in _layers(model))
    return next(filter(None, formats), keras.config.image_data_format())


def _settings(model: keras.Model) -> tuple[DataFormat, Any]:
    """Data format and precision of the model: what is built from it takes those of its last layer with weights."""
    policies = [layer.dtype_policy for layer in _layers(model) if getattr(layer, "weights", None)]
    return _data_format(model), policies[-1] if policies else keras.config.dtype_policy()


def _same_layer(layer: Any) -> Any:
    return layer


def _rebuild(model: keras.Model, clone: Callable[[Any], Any], *, free_size: bool = False) -> keras.Model:
    """Send a new input through the model's graph, with the layers that `clone` gives for its layers."""
    shape = list(model.inputs[0].shape[1:])
    spatial = (1, 2) if _data_format(model) == "channels_first" else (0, 1)
    if free_size:
        shape = [None if axis in spatial else side for axis, side in enumerate(shape)]
    image = keras.Input(shape, name="image")
    try:
        result = _graph(model)._run_through_graph([image], operation_fn=clone)
        result = result[0] if isinstance(result, list) else result
        if free_size and any(result.shape[1 + axis] is not None for axis in spatial):
            raise ValueError(f"the last map has the fixed shape {result.shape}")
    except (ValueError, TypeError) as error:
        raise ConversionError(
            f"Expected layers that take any size of input. Received {model.name!r}, in which one does not: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return keras.Model(image, result, name=model.name)


def _flatten(classifier: keras.Model) -> keras.Model:
    """The same graph without models inside models."""
    if len(_graph(classifier).inputs) != 1 or len(classifier.outputs) != 1:
        raise ConversionError(
            f"Expected a classifier with one input and one output. Received {classifier.name!r} with "
            f"{len(classifier.inputs)} and {len(classifier.outputs)}."
        )
    if not any(isinstance(node.operation, keras.Model) for node in _nodes(classifier)):
        return classifier

    def inside(layer: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return layer
        return lambda x, **_: _graph(layer)._run_through_graph([x], operation_fn=inside)

    return _rebuild(classifier, inside)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


@keras.saving.register_keras_serializable(package="fcn_core")
class CropToSmallest(keras.layers.Layer):  # type: ignore[misc]
    """Cut the last rows and columns off several maps, so that all are as large as the smallest."""

    def __init__(self, data_format: DataFormat | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format or keras.config.image_data_format()

    def get_config(self) -> dict[str, Any]:
        """Return what makes the layer again."""
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


def _any_size(body: keras.Model) -> keras.Model:
    """Let a body take any size although its branches meet only at some: NASNet pads by hand for the size it has."""
    try:
        nodes = read_geometry(body)[0].nodes
    except ConversionError:  # layers whose windows are not known: the conversion does without
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

    return _rebuild(body, crop_first) if uneven else body


def _dilate(body: keras.Model, output_stride: int) -> Callable[[Any], Any]:
    """Plan the a-trous construction: a function that gives each layer, or its dilated twin, for the new graph.

    Every tensor carries the stride it has, the rate by which its grid is denser than it was, and its phase: old cell
    ``i`` is new cell ``i*rate + phase`` (of an input whose sides are multiples of the stride). A window that would
    carry the stride beyond `output_stride` slides by one instead, and all windows after it are spread by the rate;
    zero padding before them grows likewise.
    """
    state: dict[int, tuple[int, int, int]] = {}
    twins: dict[int, Any] = {}
    for node in _nodes(body):
        layer, kind = node.operation, _kind(node)
        states = {state[id(t)] for t in node.input_tensors}
        stride, rate, phase = max(states, default=(1, 1, 0))
        if len(states) > 1:
            raise ConversionError(
                f"Output stride {output_stride} needs the branches that meet in {layer.name!r} of {body.name!r} to "
                f"look at the same pixels. Received branches that do not; keep the network's own stride."
            )
        changes: dict[str, Any] = {}
        if kind in _CONVOLUTIONS or kind in _POOLINGS:
            size = max(_pair(layer.kernel_size if kind in _CONVOLUTIONS else layer.pool_size))
            step, dilation = max(_pair(layer.strides)), max(_pair(getattr(layer, "dilation_rate", 1)))
            if kind in _POOLINGS and size > 1 and rate > 1:
                raise ConversionError(
                    f"Output stride {output_stride} needs the pooling layer {layer.name!r} to be dilated, which Keras "
                    f"cannot do. Received a network with pooling after stride {stride}; ask for a larger output stride."
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
            twins[id(layer)] = _twin(layer, changes)
        for tensor in node.outputs:
            state[id(tensor)] = (stride, rate, phase)
    reached = max(stride for stride, *_ in state.values())
    if reached != output_stride:
        raise ConversionError(
            f"Expected an output stride that the network can have. Received {output_stride}; "
            f"{body.name!r} would come to {reached}. Ask for 8, 16 or 32."
        )
    return lambda layer: twins.get(id(layer), layer)


def _twin(layer: Any, changes: dict[str, Any]) -> Any:
    """The same layer with some settings changed and the same weights."""
    twin = type(layer).from_config({**layer.get_config(), **changes})
    if layer.weights:
        twin.build(layer._build_shapes_dict["input_shape"])
        twin.set_weights(layer.get_weights())
    return twin


def read_geometry(network: keras.Model) -> tuple[Geometry, tuple[Any, ...]]:
    """Read the spatial structure off a fully convolutional Keras model.

    Returns
    -------
    geometry : Geometry
        Every layer that slides, joins or pads, in order of computation; the nodes where the graph may be cut
        into parts are marked.
    cut_tensors : tuple of KerasTensor
        The tensors at the cuts, in the order of the marked nodes.

    Raises
    ------
    ConversionError
        A layer whose windows are not known.
    """
    channels_first = _data_format(network) == "channels_first"
    spatial, channel_axis = (slice(2, 4), 1) if channels_first else (slice(1, 3), 3)
    nodes: list[Node] = []
    index: dict[int, int] = {}  # tensor -> the node that fixed its cells, -1 for the input
    read: dict[int, dict[int, Any]] = {}  # node -> the tensors of its cells that later nodes read
    for graph_node in _nodes(network):
        layer, kind = graph_node.operation, _kind(graph_node)
        tensor = graph_node.outputs[0]
        if graph_node.is_input:
            index[id(tensor)] = -1
            continue
        if kind == "CropToSmallest":  # the node that joins the maps takes the smallest
            for source, cropped in zip(graph_node.input_tensors, graph_node.outputs, strict=True):
                index[id(cropped)] = index[id(source)]
            continue
        sources = [t for t in graph_node.input_tensors if id(t) in index]
        if len(tensor.shape) != 4 or tuple(tensor.shape[spatial]) == (1, 1):
            continue  # a vector beside the map (squeeze-and-excite)
        # without sources it is a map of what was taken for a vector: of slices, say
        if not sources or (kind == "Concatenate" and layer.axis % 4 != channel_axis):
            raise _not_placed(layer, kind)
        inputs = tuple(dict.fromkeys(index[id(t)] for t in sources))
        y, x = _windows(layer, kind)
        squeezed = len(sources) < len(graph_node.input_tensors)
        if len(inputs) == 1 and not squeezed and kind not in _CONVOLUTIONS and y == x == Window():
            index[id(tensor)] = inputs[0]  # the same cells
            continue
        for source in sources:
            read.setdefault(index[id(source)], {})[id(source)] = source
        channels = int(tensor.shape[channel_axis])
        nodes.append(Node(layer.name, inputs, channels, y, x, whole=squeezed, macs=_macs(layer, kind)))
        index[id(tensor)] = len(nodes) - 1
    if not nodes:
        raise ConversionError(
            f"Expected a network with a convolution or pooling. Received {network.name!r}, whose cells are the pixels."
        )
    cuts = _cuts(nodes, lambda i: len(read[i]) == 1)
    geometry = Geometry(tuple(replace(n, cut=i in cuts) for i, n in enumerate(nodes)))
    return geometry, tuple(next(iter(read[i].values())) for i in cuts)


def _windows(layer: Any, kind: str) -> tuple[Window, Window]:
    """The layer's sliding windows along y and x."""
    if kind in _CONVOLUTIONS or kind in _POOLINGS:
        size = _pair(layer.kernel_size if kind in _CONVOLUTIONS else layer.pool_size)
        dilation = _pair(layer.dilation_rate) if kind in _CONVOLUTIONS else (1, 1)
        same = layer.padding == "same"
        y, x = (
            Window(k, s, d, same=same and (k, s) != (1, 1))
            for k, s, d in zip(size, _pair(layer.strides), dilation, strict=True)
        )
        return y, x
    if kind in ("ZeroPadding2D", "Cropping2D"):
        sign, sides = (1, layer.padding) if kind == "ZeroPadding2D" else (-1, layer.cropping)
        y, x = (Window(before=sign * before, after=sign * after) for before, after in sides)
        return y, x
    if kind in _POINTWISE:
        return Window(), Window()
    raise _not_placed(layer, kind)


def _not_placed(layer: Any, kind: str) -> ConversionError:
    return ConversionError(
        f"Expected layers whose windows are known (convolution, pooling, padding, pointwise). Received {kind} "
        f"{layer.name!r}: its cells cannot be placed on the picture."
    )


def _macs(layer: Any, kind: str) -> int:
    """Multiply-adds for one cell of the layer's output."""
    if kind not in _CONVOLUTIONS:
        return 0
    return int(sum(np.prod(w.shape) for w in layer.weights if len(w.shape) == 4))


def _cuts(nodes: list[Node], single: Callable[[int], bool]) -> list[int]:
    """Where to cut: nodes through which everything passes, in one tensor (`single`).

    A part ends where the stride grows, since what is computed twice for a halo of so many rows is least within one
    stride and a map is smallest after it has grown; else where the map is smallest before the halo exceeds 24 rows of
    the part's input. Strides 1 and 2 are left out: handing the largest maps from part to part costs most.
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
    """Cut a network into parts that follow one another, at the tensors :func:`read_geometry` gave."""
    ends = [*cut_tensors, network.outputs[0]]
    return [keras.Model(a, b) for a, b in zip([network.inputs[0], *cut_tensors], ends, strict=True)]
