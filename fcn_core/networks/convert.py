"""Turn a Keras classifier into a fully convolutional network.

The method is the notebook's: drop the global pooling and put the weights of the Dense layer into a 1x1 convolution
(Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015). As pooling and Dense
are both linear, the spatial mean of the new map of logits equals the classifier's own logits. Other heads are converted
as well (:mod:`fcn_core.networks.head`), and proved in another way (:mod:`fcn_core.networks.proof`).

Denser maps come from the a-trous construction (Chen et al., "Rethinking Atrous Convolution", 2017): the last strides
become dilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import keras

from fcn_core.errors import ConversionError
from fcn_core.networks.geometry import trace
from fcn_core.networks.graph import (
    CONVOLUTIONS,
    POOLINGS,
    build_settings,
    channel_axis,
    copy_layer,
    flatten,
    kind_of,
    nodes_of,
    pair,
    rebuild,
)
from fcn_core.networks.head import Activation, Head, OnMap, read_head
from fcn_core.networks.keras_settings import keras_settings
from fcn_core.networks.layers import CropToSmallest
from fcn_core.networks.spec import ProofKind
from fcn_core.networks.structure import read_geometry

Output = Literal["probabilities", "logits"]


def to_fully_convolutional(
    classifier: keras.Model, *, output: Output = "probabilities", output_stride: int | None = None
) -> keras.Model:
    """Turn a classifier into a network that returns a class map for an input of any size.

    Parameters
    ----------
    classifier : keras.Model
        An image classifier that ends in global pooling or Flatten and layers after it, of which each computes with the
        channels of one cell: Dense, 1x1 convolutions, normalisations, activations. It may contain other models (a
        headless body with a new head on top). Layers that do not change share their weights with it.
    output : {"probabilities", "logits"}
        Output of the model, of shape (N, h, w, classes): the notebook's probabilities, which sum to one in every
        cell (not those of a classifier that ends in a sigmoid), or the logits before the softmax or sigmoid.
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
        For one of the reasons in :data:`fcn_core.networks.refusals.REFUSALS`, or it cannot have this output stride.

    Notes
    -----
    From the 2020 notebook: the Dense kernel (2048, 1000) of ResNet50 becomes a kernel (1, 1, 2048, 1000).

    Examples
    --------
    >>> network = to_fully_convolutional(keras.applications.ResNet50(weights=None))
    >>> network.compute_output_shape((1, 200, 300, 3))
    (1, 7, 10, 1000)
    """
    return convert(classifier, output=output, output_stride=output_stride).network


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted classifier, and what holds for it.

    Attributes
    ----------
    network : keras.Model
    proof : {"mean", "one cell"}
        What its map of logits equals: see :mod:`fcn_core.networks.proof`.
    activation : {"softmax", "sigmoid", "linear"}
        What turns logits into the classifier's answer.
    """

    network: keras.Model
    proof: ProofKind
    activation: Activation

    @property
    def exclusive(self) -> bool:
        """Whether a place shows one class: not after a sigmoid, except for one output, which is one of two classes."""
        return self.activation != "sigmoid" or self.network.outputs[0].shape[channel_axis(self.network)] == 1


def convert(
    classifier: keras.Model, *, output: Output = "probabilities", output_stride: int | None = None
) -> Conversion:
    """Convert a classifier as :func:`to_fully_convolutional` does, and say which proof holds."""
    with keras_settings(*build_settings(classifier)):
        flat = flatten(classifier)
        head = read_head(flat)
        body = _any_size(keras.Model(flat.inputs[0], head.features, name=classifier.name))
        body = rebuild(body, lambda layer: layer, free_size=True, reserved=("logits", "probabilities"))
        network = keras.Model(body.inputs[0], OnMap(head)(body.outputs[0]), name=classifier.name)
        if output_stride is not None:
            network = rebuild(network, _dilate(network, output_stride), free_size=True)
        result = network.outputs[0]
        if output == "probabilities":
            result = _probabilities(head, result)(result)
        return Conversion(
            keras.Model(network.inputs[0], result, name=f"{classifier.name}_fcn"), head.proof, head.activation
        )


def _probabilities(head: Head, logits: Any) -> Any:
    """Return the layer from logits to probabilities: a softmax, also of a classifier that returns logits.

    It is Keras' own, which computes what `SoftmaxMap` does, so that Keras loads a saved network without this program.
    """
    if head.activation == "sigmoid" or logits.shape[head.axis] == 1:
        return keras.layers.Activation("sigmoid", name="probabilities")
    return keras.layers.Softmax(head.axis, name="probabilities")


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
            copies[id(layer)] = copy_layer(layer, changes)
        for tensor in node.outputs:
            state[id(tensor)] = (stride, rate, phase)
    reached = max(stride for stride, *_ in state.values())
    if reached != output_stride:
        raise ConversionError(
            f"Expected an output stride that the network can have. Received {output_stride}, where {body.name!r} "
            f"would have {reached}. Choose 8, 16 or 32."
        )
    return lambda layer: copies.get(id(layer), layer)
