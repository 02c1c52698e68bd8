"""Random weights worth proving and measuring with: none is left at zero or one, and signals keep their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

#: Part of what names a graph with random weights; raised whenever the same seed gives other weights.
SCHEME = 2

_GAIN = 2.0  # of a kernel (He et al., "Delving Deep into Rectifiers", ICCV 2015)
_DEVIATION = 4.0  # after a normalisation: swish is then nearly a ReLU, which treats all sizes alike
_SPREAD = 0.1  # of offsets and means, as a share of the deviation of what they are added to

_RECTIFIED = 0.5  # share of the mean square that an activation lets through
_SIGMOID = 0.3  # mean square after a sigmoid, whatever comes before


def seed_weights(model: keras.Model, seed: int = 0, input_square: float = 1.0) -> None:
    """Give a model random weights that depend on the seed alone, the same on every Keras backend.

    Kernels are He normal; biases and the factors, offsets, means and variances of batch normalisation are random,
    too. So that neither depth nor added branches let the logits vanish or overflow, the mean square to be expected of
    every tensor is followed through the graph, and each normalisation divides by its own, as a trained one does.

    Parameters
    ----------
    model : keras.Model
        With one input and one output. Weights of kinds not named above stay as they are.
    seed : int
    input_square : float
        Mean square of the input that the model will see.

    Raises
    ------
    ConversionError
        The model's graph is not known.
    """
    from fcn_core.networks.convert import _activation, _flatten, _kind, _nodes

    rng = np.random.default_rng(seed)
    squares: dict[int, float] = {}
    sums: set[int] = set()  # a rectifier takes little from what was rectified before and only added to
    for node in _nodes(_flatten(model)):
        layer, kind = node.operation, _kind(node)
        sources = [id(tensor) for tensor in node.input_tensors]
        square = _combined(kind, [squares[source] for source in sources] or [input_square])
        weights = list(getattr(layer, "weights", ()))
        square *= _GAIN ** sum(len(weight.shape) > 1 for weight in weights)
        if weights and kind != "Normalization":  # of the input, and no weight to be trained
            layer.set_weights([_draw(weight, kind, square, rng) for weight in weights])
        if kind in ("BatchNormalization", "LayerNormalization"):
            square = _DEVIATION**2 if any(weight.name == "gamma" for weight in weights) else 1.0
        activation = "relu" if kind == "ReLU" else _activation(node)
        if activation == "sigmoid":
            square = _SIGMOID
        elif activation != "linear" and sums.isdisjoint(sources):
            square *= _RECTIFIED
        squares |= {id(tensor): square for tensor in node.outputs}
        if kind == "Add":
            sums |= {id(tensor) for tensor in node.outputs}


def _combined(kind: str, squares: list[float]) -> float:
    """Mean square where several tensors become one."""
    if kind == "Add":
        return sum(squares)
    if kind == "Multiply":
        return float(np.prod(squares))
    return sum(squares) / len(squares)


def _draw(weight: Any, kind: str, square: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one weight of a layer whose output has this mean square before any normalisation."""
    shape, name = tuple(weight.shape), weight.name
    if len(shape) > 1:
        by_channel = "Depthwise" in kind or name == "depthwise_kernel"
        fan_in = np.prod(shape[:2] if by_channel else shape[:-1])
        drawn = rng.normal(0, np.sqrt(_GAIN / fan_in), shape)
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
