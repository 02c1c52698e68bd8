"""A random walk between regions that completes an object from where the network is sure of it.

A walker starts in a region and steps to other regions. A step is more probable the more similar the two regions are in
colour, in position and in the network's answer; fewer steps lead to a similar region anywhere in the picture. In a
region of confidence c the walker stops as object with weight c, and as background with weight ``2 (1 - c)**8``, which
is larger at the picture's border. The probability x of stopping as object solves ``(I - P + D(a + b)) x = a``: a
variant of the random walker with priors of Grady, "Multilabel Random Walker Image Segmentation Using Prior Models",
CVPR 2005. Grady's steps follow one symmetric graph of neighbouring pixels; here P is the sum of two kernels between
regions, each normalised to steps that sum to one, the far one with a factor of 0.1. A second walk starts from x, softly
cut at its Otsu threshold, so that one threshold suits all pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from fcn_core.maps.heatmap import Float64
from fcn_core.maps.region import normalise, suggest_threshold
from fcn_core.maps.superpixels import Regions, squared_distances

_FULL_SCALE = 400 * 640  # a scale with at least this many pixels has full weight
_RIM = 0.03  # width of the border, as a share of the longer side

# Difference between two regions at which a step between them becomes unlikely (sigma of a Gaussian): of colour in
# CIELAB, of position as a share of the picture's longer side, and of the network's answer (positive parts of the
# logits, scaled to length 1); the same for steps to any place in the picture, and the number of those per nearby step.
_COLOUR, _DISTANCE, _ANSWER = 10.0, 0.1, 0.34
_FAR_COLOUR, _FAR_ANSWER, _FAR = 5.0, 0.41, 0.1

_STOP = 0.1  # rate at which a walker stops where the network is sure
_BACKGROUND, _CERTAINTY = 2.0, 8.0  # weight of the background, ``_BACKGROUND * (1 - object) ** _CERTAINTY``
_BORDER = 0.3  # weight of the background at the picture's border
_SATURATION = 0.97  # quantile of the picture's area from which the network counts as sure of the object
_SOFTNESS = 0.15  # width of the threshold before the second walk


@dataclass(frozen=True, eq=False)
class Walk:
    """What the walk says of each region, 0 to 1, (n,) each.

    Attributes
    ----------
    confidence : how sure the network is of the object, before any walk.
    first : the first walk, scaled to 0 to 1.
    both : the mean of both walks.
    cut : float
        Otsu's threshold of the first walk.
    """

    confidence: Float64
    first: Float64
    both: Float64
    cut: float


def confidence(sizes: Float64, pixels: Sequence[int], said: Sequence[tuple[Float64, Float64]]) -> Float64:
    """Return how sure the network is of the object in each region, 0 to 1.

    It is the mean of probability, which is precise, and evidence, which is complete. A scale with fewer pixels than
    400x640 has a weight in proportion to them.

    Parameters
    ----------
    sizes : (n,) float ndarray
        Of the regions.
    pixels : sequence of int
        Of each scale's input.
    said : sequence of two (n,) float ndarray
        Probability and evidence of the synset in each region, at each scale.
    """
    shares = [min(1.0, each / _FULL_SCALE) for each in pixels]
    both = np.zeros(sizes.size)
    for values in zip(*said, strict=True):
        both += normalise(sum(share * each for share, each in zip(shares, values, strict=True)))
    both = normalise(both).astype(np.float64)
    order = np.argsort(both)
    area = sizes[order].cumsum()
    sure = both[order][np.searchsorted(area, _SATURATION * area[-1])]
    confident: Float64 = np.minimum(both / max(sure, 1e-6), 1.0)
    return confident


def steps(regions: Regions, logits: npt.NDArray[np.floating]) -> Float64:
    """Return the probability of a step from each region to each other one, (n, n), from their logits (n, C)."""
    positive = np.maximum(logits, 0)
    positive /= np.maximum(np.linalg.norm(positive, axis=1, keepdims=True), 1e-6)
    answer = squared_distances(positive) / 2
    colour = squared_distances(regions.colours) / 2
    apart = squared_distances(regions.centres / max(regions.labels.shape)) / 2
    near = answer / _ANSWER**2 + colour / _COLOUR**2 + apart / _DISTANCE**2
    far = answer / _FAR_ANSWER**2 + colour / _FAR_COLOUR**2
    return (_transitions(near) + _FAR * _transitions(far)) / (1 + _FAR)


def walk(regions: Regions, steps_: Float64, confident: Float64) -> Walk:
    """Complete the object from where the network is sure of it."""
    background = _BACKGROUND * (1 - confident) ** _CERTAINTY + _BORDER * rim(regions)
    first = _walk(steps_, _STOP * confident, _STOP * background)
    cut = suggest_threshold(first[regions.labels])
    likely = _STOP / (1 + np.exp((cut - first) / _SOFTNESS))
    both = (first + _walk(steps_, likely, _STOP - likely)) / 2
    return Walk(confident, first, both, cut)


def rim(regions: Regions) -> Float64:
    """Return how near each region is to the picture's border: 1 at the border, 0 far from it."""
    rows, columns = regions.labels.shape
    y, x = regions.centres.T
    distance = np.minimum.reduce([y, x, rows - 1 - y, columns - 1 - x]).clip(0)
    return cast(Float64, np.exp(-distance / max(rows, columns) / _RIM))


def _walk(steps_: Float64, to_object: Float64, to_background: Float64) -> Float64:
    """Return the probability that a walker from each region stops as object, scaled to 0 to 1.

    `steps_` (n, n) are the probabilities of its steps, `to_object` and `to_background` (n,) the weights of stopping.
    """
    system = np.eye(steps_.shape[0]) - steps_ + np.diag(to_object + to_background)
    return cast(Float64, normalise(np.linalg.solve(system, to_object)).astype(np.float64))


def _transitions(differences: Float64) -> Float64:
    weights = np.exp(-differences)
    np.fill_diagonal(weights, 0)
    return cast(Float64, weights / (weights.sum(axis=1, keepdims=True) + 1e-6))
