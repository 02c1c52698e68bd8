"""Random weights for proofs and measurements: none is zero or one, and signals keep their size through the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

#: Part of the name of a graph with random weights; raise it whenever the same seed gives other weights.
SCHEME = 2

_GAIN = 2.0  # of a kernel (He et al., "Delving Deep into Rectifiers", ICCV 2015)
_DEVIATION = (
    4.0  # after a normalisation: large enough that swish is nearly a ReLU, which scales with its input
)
_LOGITS = 20.0  # deviation of the logits of a network without normalisations
_LARGEST = 2.0  # growth of the mean square in max pooling
_SPREAD = 0.1  # of offsets and means, as a share of the deviation of the values they are added to

_NORMALISATIONS = ("BatchNormalization", "LayerNormalization")
_RECTIFIED = 0.5  # share of the mean square after an activation
_SIGMOID = 0.3  # mean square after a sigmoid of any input


def seed_weights(model: keras.Model, seed: int = 0, input_square: float = 1.0) -> None:
    """Give a model random weights that depend only on the seed, the same on every Keras backend.

    Kernels are He normal; biases and the factors, offsets, means and variances of batch normalisation are random too.
    The expected mean square of every tensor is computed through the graph, and each normalisation divides by it, as a
    trained one does: so neither depth nor added branches make the logits vanish or overflow.

    Parameters
    ----------
    model : keras.Model
        With one input and one output. Weights of other kinds do not change.
    seed : int
    input_square : float
        Mean square of the input of the model.

    Raises
    ------
    ConversionError
        The graph of the model is not known.
    """
    from fcn_core.networks.graph import activation_of, flatten, kind_of, nodes_of

    rng = np.random.default_rng(seed)
    squares: dict[int, float] = {}
    sums: set[int] = set()  # a rectifier changes little in a sum of rectified tensors
    nodes = list(nodes_of(flatten(model)))
    last = next((node for node in reversed(nodes) if getattr(node.operation, "weights", ())), None)
    normalised = any(kind_of(node) in _NORMALISATIONS for node in nodes)
    saturates = any(activation_of(node) in ("softmax", "sigmoid") for node in nodes[-3:])
    for node in nodes:
        layer, kind = node.operation, kind_of(node)
        sources = [id(tensor) for tensor in node.input_tensors]
        square = _combined(node, kind, [squares[source] for source in sources] or [input_square])
        weights = list(getattr(layer, "weights", ()))
        square *= _GAIN ** sum(len(weight.shape) > 1 for weight in weights)
        if weights and kind != "Normalization":  # it normalises the input, and is not trained
            drawn = [_draw(weight, kind, square, rng) for weight in weights]
            # the softmax of larger logits would be one class
            if node is last and saturates and not normalised and square > _LOGITS**2:
                drawn[0] = drawn[0] * np.float32(_LOGITS / np.sqrt(square))
            layer.set_weights(drawn)
        if kind in _NORMALISATIONS:
            square = _DEVIATION**2 if any(weight.name == "gamma" for weight in weights) else 1.0
        if kind == "MaxPooling2D" and not normalised:  # a normalisation would take it away
            square *= _LARGEST
        activation = "relu" if kind == "ReLU" else activation_of(node)
        if activation in ("sigmoid", "hard_sigmoid"):
            square = _SIGMOID
        elif kind == "ReLU" and layer.max_value is not None:
            square = min(square * _RECTIFIED, float(layer.max_value) ** 2)
        elif activation != "linear" and sums.isdisjoint(sources):
            square *= _RECTIFIED
        squares |= {id(tensor): square for tensor in node.outputs}
        if kind == "Add":
            sums |= {id(tensor) for tensor in node.outputs}


def _combined(node: Any, kind: str, squares: list[float]) -> float:
    """Return the mean square where several tensors, or one and a number, become one."""
    numbers = [float(value) ** 2 for value in node.arguments.args if isinstance(value, int | float)]
    if kind in ("Add", "Subtract"):
        return sum(squares) + sum(numbers)
    if kind == "Multiply":
        return float(np.prod(squares + numbers))
    return sum(squares) / len(squares)


def _draw(weight: Any, kind: str, square: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one weight of a layer; `square` is the mean square of its output before any normalisation."""
    shape, name = tuple(weight.shape), weight.name
    if len(shape) > 1:
        by_channel = "Depthwise" in kind or name == "depthwise_kernel"
        fan_in = np.prod(shape[:2] if by_channel else shape[:-1])
        drawn = rng.normal(0, np.sqrt(_GAIN / fan_in), shape)
    elif kind == "LayerScale":  # of a branch: nearly zero before training
        drawn = rng.uniform(0.2, 0.6, shape)
    elif name == "gamma":
        drawn = rng.uniform(0.4 * _DEVIATION, 1.4 * _DEVIATION, shape)
    elif name == "moving_variance":
        drawn = rng.uniform(0.5 * square, 1.5 * square, shape)
    elif name == "moving_mean":
        drawn = rng.normal(0, _SPREAD * np.sqrt(square), shape)
    elif name in ("beta", "bias"):
        drawn = rng.normal(0, _SPREAD * _DEVIATION, shape)
    else:
        drawn = np.asarray(weight)
    return drawn.astype(np.float32)
