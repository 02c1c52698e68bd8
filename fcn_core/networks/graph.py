"""The graph of a Keras model: its nodes in order, its layers, and the same graph rebuilt with other layers.

Keras has no public access to the nodes of a graph. These private names of Keras 3.15 are used here and nowhere else:
``Model._nodes_by_depth``, ``Sequential._functional`` and ``Functional._run_through_graph``.
``tests/networks/test_graph.py`` checks each of them, and fails first when Keras changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from fcn_core.networks.keras_settings import DataFormat
from fcn_core.networks.refusals import refusal

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
POOLINGS = ("MaxPooling2D", "AveragePooling2D")


def nodes_of(model: keras.Model) -> Iterator[Any]:
    """Yield the nodes of the model's graph: inputs first, each node after the nodes that it reads."""
    by_depth = _graph(model)._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def layers_of(model: keras.Model) -> Iterator[Any]:
    """Yield the layers of the model and of models inside it, in order of computation."""
    for node in nodes_of(model):
        if isinstance(node.operation, keras.Model):
            yield from layers_of(node.operation)
        else:
            yield node.operation


def kind_of(node: Any) -> str:
    """Return the class name of the node's layer or operation."""
    return type(node.operation).__name__


def activation_of(node: Any) -> str:
    """Return the name of the node's activation function; "linear" if it has none."""
    function = getattr(node.operation, "activation", None)
    if function is None:
        return "softmax" if kind_of(node) == "Softmax" else "linear"
    return str(getattr(function, "__name__", function))


def is_linear(node: Any) -> bool:
    """Return whether the node is a linear layer on the channels of a cell: Dense or a 1x1 convolution."""
    return kind_of(node) == "Dense" or (
        kind_of(node) == "Conv2D"
        and pair(node.operation.kernel_size) == pair(node.operation.strides) == (1, 1)
    )


def pair(value: Any) -> tuple[int, int]:
    """Return both sides of a size, which Keras accepts as one number or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def data_format(model: keras.Model) -> DataFormat:
    """Return the data format that the model was built with, which may differ from the setting."""
    formats = (getattr(layer, "data_format", None) for layer in layers_of(model))
    return next(filter(None, formats), keras.config.image_data_format())


def build_settings(model: keras.Model) -> tuple[DataFormat, Any]:
    """Return the data format of the model and the precision of its last layer with weights."""
    policies = [layer.dtype_policy for layer in layers_of(model) if getattr(layer, "weights", None)]
    return data_format(model), policies[-1] if policies else keras.config.dtype_policy()


def channel_axis(model: keras.Model) -> int:
    """Return the axis of the channels in the maps of the model: 1 or 3."""
    return 1 if data_format(model) == "channels_first" else 3


def call_node(node: Any, tensors: Mapping[int, Any]) -> Any:
    """Call the node's layer or operation again, with other tensors (by the id of those in the graph)."""
    arguments, options = node.arguments.fill_in(tensors)
    return node.operation(*arguments, **options)


def has_numbers_only(node: Any) -> bool:
    """Return whether what a node gets beside tensors is single numbers, not arrays."""
    layer = node.operation
    values = [*node.arguments.args, *(getattr(layer, name, 0) for name in ("scale", "offset"))]
    return all(
        np.ndim(value) == 0 for value in values if not isinstance(value, keras.KerasTensor | list | tuple)
    )


def copy_layer(layer: Any, changes: Mapping[str, Any], shape: Any = None) -> Any:
    """Return a copy of the layer with some settings changed and the same weights, for the same or another shape."""
    copy = type(layer).from_config({**layer.get_config(), **changes})
    if layer.weights:
        if shape is None:
            copy.build_from_config(layer.get_build_config())
        else:
            copy.build(shape)
        copy.set_weights(layer.get_weights())
    return copy


def rebuild(
    model: keras.Model,
    clone: Callable[[Any], Any],
    *,
    free_size: bool = False,
    reserved: tuple[str, ...] = (),
) -> keras.Model:
    """Rebuild the model's graph on a new input, and replace each layer by the result of `clone`.

    Parameters
    ----------
    model : keras.Model
        With one input and one output.
    clone : callable
        Receives a layer; returns what to call in its place: the same layer, another layer or a function.
    free_size : bool
        Whether the height and width of the new input are free.
    reserved : tuple of str
        Names for layers to come: layers that have them are copied under another name.

    Raises
    ------
    ConversionError
        A layer does not accept the new input.
    """
    graph = _graph(model)
    shape = list(graph.inputs[0].shape[1:])
    spatial = (1, 2) if data_format(model) == "channels_first" else (0, 1)
    if free_size:
        shape = [None if axis in spatial else side for axis, side in enumerate(shape)]
    image = keras.Input(shape, name="image", dtype=graph.inputs[0].dtype)
    try:
        result = graph._run_through_graph([image], operation_fn=_with_names_of_their_own(clone, reserved))
        result = result[0] if isinstance(result, list) else result
        fixed = len(result.shape) == 4 and any(result.shape[1 + axis] is not None for axis in spatial)
        if free_size and fixed:
            raise ValueError(f"the last map has the fixed shape {result.shape}")
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise refusal("size", f"{model.name!r}, in which one does not ({reason})") from error
    return keras.Model(image, result, name=model.name)


def _with_names_of_their_own(
    clone: Callable[[Any], Any], reserved: tuple[str, ...] = ()
) -> Callable[[Any], Any]:
    """Rename copies of layers whose name another layer has already: models inside a model may share names."""
    owners: dict[str, Any] = dict.fromkeys(("image", *reserved))
    copies: dict[int, Any] = {}

    def named(layer: Any) -> Any:
        made = clone(layer)
        if not isinstance(made, keras.Operation) or owners.setdefault(made.name, made) is made:
            return made
        if id(made) not in copies:
            name = next(name for i in range(1, 10**6) if (name := f"{made.name}_{i}") not in owners)
            copies[id(made)] = owners[name] = copy_layer(made, {"name": name})
        return copies[id(made)]

    return named


def flatten(classifier: keras.Model) -> keras.Model:
    """Return the same graph without models inside models.

    Raises
    ------
    ConversionError
        The model has several inputs or outputs, or its graph is not known.
    """
    graph = _graph(classifier)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise refusal(
            "outputs", f"{classifier.name!r} with {len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        )
    if not any(isinstance(node.operation, keras.Model) for node in nodes_of(graph)):
        return graph

    named = _with_names_of_their_own(lambda layer: layer)

    def inside(layer: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return named(layer)
        return lambda x, **_: _graph(layer)._run_through_graph([x], operation_fn=inside)

    return rebuild(graph, inside)


def _graph(model: Any) -> Any:
    """Return the model that has the graph of nodes; a built Sequential keeps one inside, a subclassed one is traced."""
    graph = model if hasattr(model, "_nodes_by_depth") else getattr(model, "_functional", None)
    if graph is None and getattr(model, "built", False):
        shape = (model.get_build_config() or {}).get("input_shape")
        if isinstance(shape, list | tuple) and len(shape) > 1 and not isinstance(shape[0], list | tuple):
            image = keras.Input(shape[1:])
            try:
                graph = keras.Model(image, model.call(image), name=model.name)
            except Exception as error:  # whatever the code of its author raises
                raise refusal(
                    "graph", f"{model.name!r}, whose call fails on keras.Input ({error!s:.120})"
                ) from error
    if graph is None:
        raise refusal("graph", f"{type(model).__name__} {getattr(model, 'name', '')!r}")
    return graph
