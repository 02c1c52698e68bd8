"""Prove a conversion: the spatial mean of the map of logits equals the classifier's own answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fcn_core.errors import ConversionError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Comparison:
    """The difference between the mean of a map of logits and a classifier's answer.

    Attributes
    ----------
    error : float
        Largest absolute difference of logits; infinite if the map is not finite.
    span : float
        Largest minus smallest of the compared logits of the classifier, to compare the error with.
    compared, classes : int
        Number of classes that were compared, and of all classes.
    """

    error: float
    span: float
    compared: int
    classes: int


def largest_error(classifier: keras.Model, network: keras.Model, image: np.ndarray) -> tuple[float, float]:
    """Compare the spatial mean of `network`'s logits with the answer of `classifier` to the same input.

    The classifier is called unchanged: no code of the conversion takes part in its answer.

    Parameters
    ----------
    classifier : keras.Model
        The classifier that `network` was made from.
    network : keras.Model
        The fully convolutional network; its output is logits.
    image : ndarray of shape (N, H, W, C)
        Preprocessed input of the classifier's size.

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
    answer = np.asarray(classifier(image, training=False))
    mean = np.asarray(network(image, training=False)).mean(axis=(1, 2))
    found = compare_answers(answer, mean)
    return found.error, found.span


def compare_answers(answer: np.ndarray, logits: np.ndarray) -> Comparison:
    """Compare logits with a classifier's answer: logits, or the logarithms of its probabilities.

    A softmax does not depend on a constant added to all logits, so both sides are centred over the classes first. A
    class whose probability is too small for float32 (about 1e-38) is left out, as its logarithm is not known.

    Parameters
    ----------
    answer : ndarray of shape (N, classes)
        The classifier's output. If it is not negative and sums to one, it is read as probabilities, else as logits.
    logits : ndarray of shape (N, classes)

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
