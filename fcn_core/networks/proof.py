"""Prove a conversion: compare the map of logits with the classifier's own answer.

Two proofs exist. If everything after the pooling is linear, the **mean** of the map of logits equals the classifier's
logits for any input. Otherwise, a map of **one cell** equals them: the input is the classifier's own if the head starts
with ``Flatten``, and else the largest square whose map has one cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fcn_core.errors import ConversionError
from fcn_core.networks.spec import ProofKind

if TYPE_CHECKING:
    import keras

    from fcn_core.networks.convert import Conversion

_LARGEST_SIDE = 1024  # of an input that may give a map of one cell
_CERTAIN = 0.99  # float32 keeps too few digits of the distance of a larger sigmoid from 1


@dataclass(frozen=True)
class Comparison:
    """The difference between the mean of a map of logits and a classifier's answer.

    Attributes
    ----------
    error : float
        Largest absolute difference of logits; infinite if the map is not finite.
    span : float
        Largest minus smallest of the compared logits of the classifier, to compare the error with; of one class the
        size of its logit.
    compared, classes : int
        Number of classes that were compared, and of all classes.
    """

    error: float
    span: float
    compared: int
    classes: int


def largest_error(
    classifier: keras.Model, network: keras.Model, image: np.ndarray, *, sigmoid: bool = False
) -> tuple[float, float]:
    """Compare the spatial mean of `network`'s logits with the answer of `classifier` to the same input.

    The classifier is called unchanged: no code of the conversion takes part in its answer. For a map of one cell, the
    mean is that cell.

    Parameters
    ----------
    classifier : keras.Model
        The classifier that `network` was made from.
    network : keras.Model
        The fully convolutional network; its output is logits.
    image : ndarray
        A batch of preprocessed inputs of the proof's size.
    sigmoid : bool
        See :func:`compare_answers`.

    Returns
    -------
    error : float
        Largest absolute difference.
    span : float
        Largest minus smallest logit of the classifier, to compare the error with.

    Raises
    ------
    ConversionError
        The classifier's answer is not finite.
    """
    from fcn_core.networks.graph import channel_axis

    answer = np.asarray(classifier(image, training=False), np.float32)
    maps = np.asarray(network(image, training=False), np.float32)
    mean = maps.mean(axis=(2, 3) if channel_axis(network) == 1 else (1, 2))
    found = compare_answers(answer.reshape(mean.shape), mean, sigmoid=sigmoid)
    return found.error, found.span


def prove(
    classifier: keras.Model, conversion: Conversion, picture: Callable[..., np.ndarray]
) -> tuple[float, float]:
    """Prove a conversion on a picture of the size that its proof needs; see :func:`largest_error`.

    Parameters
    ----------
    classifier : keras.Model
    conversion : Conversion
        With logits as output.
    picture : callable
        Returns a batch of inputs of a shape, such as ``(1, 32, 32, 3)``.
    """
    from fcn_core.networks.graph import channel_axis, flatten

    network = conversion.network
    first, channels = channel_axis(network) == 1, network.inputs[0].shape[channel_axis(network)]

    def shape(height: int, width: int) -> tuple[int, ...]:
        return (1, channels, height, width) if first else (1, height, width, channels)

    def cells(height: int, width: int) -> int:
        try:
            found = network.compute_output_shape(shape(height, width))
        except ValueError:  # too small for a window
            return 0
        return int(np.prod(found[2:] if first else found[1:3]))

    own = flatten(classifier).inputs[0].shape
    size = proof_size(conversion.proof, own[2:4] if first else own[1:3], cells)
    image = picture(*shape(*size))
    return largest_error(
        accepting(classifier, *size), network, image, sigmoid=conversion.activation == "sigmoid"
    )


def proof_size(
    proof: ProofKind, own: tuple[int | None, int | None], cells: Callable[[int, int], int]
) -> tuple[int, int]:
    """Return the height and width of the input that a proof compares.

    Parameters
    ----------
    proof : {"mean", "one cell"}
    own : (int or None, int or None)
        Height and width of the classifier's own input; None where they are free.
    cells : callable
        Returns the number of cells of the map of an input of this height and width; 0 if it is too small.

    Raises
    ------
    ConversionError
        No input gives a map of one cell.
    """
    height, width = own
    if proof == "mean":
        return height or 64, width or 64
    if height and width and cells(height, width) == 1:
        return height, width
    low, high = 0, _LARGEST_SIDE  # the largest side with at most one cell is searched for between them
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cells(middle, middle) <= 1 else (low, middle)
    if low == 0 or cells(low, low) != 1:
        raise ConversionError(
            f"Expected an input whose map has one cell, to prove the conversion. Received a network whose smallest map "
            f"has {cells(high, high)} cells. Use it without a proof, or leave out the layers that make its map larger."
        )
    return low, low


def accepting(classifier: keras.Model, height: int, width: int) -> keras.Model:
    """Return the classifier if this is the size of its input, else the same graph of layers for inputs of any size."""
    from fcn_core.networks.graph import channel_axis, flatten, rebuild

    flat = flatten(classifier)
    own = flat.inputs[0].shape[2:4] if channel_axis(classifier) == 1 else flat.inputs[0].shape[1:3]
    if all(side in (None, wanted) for side, wanted in zip(own, (height, width), strict=True)):
        return classifier
    return rebuild(flat, lambda layer: layer, free_size=True)


def before_sigmoid(classifier: keras.Model) -> keras.Model:
    """Return the classifier up to its logits, without the sigmoid at its end, which hides how sure it is.

    A trained classifier is often surer than float32 can tell: then nothing of its answers could be compared. A last
    layer that has the sigmoid itself loses it, also in `classifier`.
    """
    import keras

    from fcn_core.networks.graph import flatten, is_linear, nodes_of

    flat = flatten(classifier)
    last = [node for node in nodes_of(flat) if not node.is_input][-1]
    if not is_linear(last):
        return keras.Model(flat.inputs[0], last.input_tensors[0])
    last.operation.activation = keras.activations.linear
    return flat


def compare_answers(answer: np.ndarray, logits: np.ndarray, *, sigmoid: bool = False) -> Comparison:
    """Compare logits with a classifier's answer: logits, or the logarithms of its probabilities.

    A softmax does not depend on a constant added to all logits, so both sides are centred over the classes first. A
    class whose probability is too small for float32 (about 1e-38) is left out, as its logarithm is not known.

    Parameters
    ----------
    answer : ndarray of shape (N, classes)
        The classifier's output. If it is not negative and sums to one, it is read as probabilities, else as logits.
    logits : ndarray of shape (N, classes)
    sigmoid : bool
        Whether the answer is a probability of each class by itself. Its logarithm of the odds is compared, but not of
        probabilities above 0.99: float32 does not have their digits, so that the logit has to be as large only.

    Raises
    ------
    ConversionError
        The answer is not finite.
    """
    expected, found = np.asarray(answer, np.float64), np.asarray(logits, np.float64)
    if not np.isfinite(expected).all():
        raise ConversionError(
            "Expected a finite answer of the classifier to the test picture. Received NaN or infinity, so there is "
            "nothing to compare with.. Check its weights."
        )
    finite = bool(np.isfinite(found).all())
    found = found if finite else np.zeros_like(found)
    known: np.ndarray = np.ones(expected.shape, bool)
    if sigmoid:
        known = (expected >= np.finfo(np.float32).tiny) & (expected < _CERTAIN)
        bound = np.log(_CERTAIN / (1 - _CERTAIN))
        finite = finite and bool((found[expected >= _CERTAIN] > bound - 0.01).all())
        inside = np.where(known, expected, 0.5)
        expected = np.log(inside / (1 - inside))
    elif expected.min() >= 0 and np.allclose(expected.sum(axis=-1), 1, atol=1e-3):
        known = expected >= np.finfo(np.float32).tiny
        expected = np.log(np.where(known, expected, 1))
        expected = expected - expected.mean(axis=-1, keepdims=True, where=known)
        found = found - found.mean(axis=-1, keepdims=True, where=known)
    highest = expected.max(axis=-1, initial=-np.inf, where=known)
    lowest = expected.min(axis=-1, initial=np.inf, where=known)
    span = highest - lowest if expected.shape[-1] > 1 else np.abs(highest)  # one class has no range
    return Comparison(
        error=float(np.abs(found - expected).max(initial=0, where=known)) if finite else math.inf,
        span=float(np.where(known.any(axis=-1), span, 0).max()),
        compared=int(known.sum(axis=-1).min()),
        classes=known.shape[-1],
    )
