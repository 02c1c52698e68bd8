"""The graph of a Keras model: its nodes in order, its layers, and the same graph rebuilt with other layers.

Keras has no public access to the nodes of a graph. These private names of Keras 3.15 are used here and nowhere else:
``Model._nodes_by_depth``, ``Sequential._functional`` and ``Functional._run_through_graph``.
``tests/networks/test_graph.py`` checks each of them, and fails first when Keras changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from fcn_core.errors import ConversionError
from fcn_core.networks.keras_settings import DataFormat

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


def rebuild(model: keras.Model, clone: Callable[[Any], Any], *, free_size: bool = False) -> keras.Model:
    """Rebuild the model's graph on a new input, and replace each layer by the result of `clone`.

    Parameters
    ----------
    model : keras.Model
        With one input and one output.
    clone : callable
        Receives a layer; returns what to call in its place: the same layer, another layer or a function.
    free_size : bool
        Whether the height and width of the new input are free.

    Raises
    ------
    ConversionError
        A layer does not accept the new input.
    """
    shape = list(model.inputs[0].shape[1:])
    spatial = (1, 2) if data_format(model) == "channels_first" else (0, 1)
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
            f"Expected layers that accept an input of any size. Received {model.name!r}, in which one does not "
            f"({' '.join(str(error).split())[:200]}). Choose another classifier."
        ) from error
    return keras.Model(image, result, name=model.name)


def flatten(classifier: keras.Model) -> keras.Model:
    """Return the same graph without models inside models.

    Raises
    ------
    ConversionError
        The model has several inputs or outputs, or its graph is not known.
    """
    if len(_graph(classifier).inputs) != 1 or len(classifier.outputs) != 1:
        raise ConversionError(
            f"Expected a classifier with one input and one output. Received {classifier.name!r} with "
            f"{len(classifier.inputs)} and {len(classifier.outputs)}. Build a keras.Model with one of each from it."
        )
    if not any(isinstance(node.operation, keras.Model) for node in nodes_of(classifier)):
        return classifier

    def inside(layer: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return layer
        return lambda x, **_: _graph(layer)._run_through_graph([x], operation_fn=inside)

    return rebuild(classifier, inside)


def _graph(model: Any) -> Any:
    """Return the model that has the graph of nodes; a built Sequential keeps one inside."""
    graph = model if hasattr(model, "_nodes_by_depth") else getattr(model, "_functional", None)
    if graph is None:
        raise ConversionError(
            f"Expected a functional or built sequential Keras model. Received {type(model).__name__} "
            f"{getattr(model, 'name', '')!r}, whose graph of layers is not known. Rebuild it with keras.Input."
        )
    return graph
