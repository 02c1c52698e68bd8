"""How good answers to "is it there at all?" are: average precision, calibration, and findings against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BINS = 10


@dataclass(frozen=True)
class Truth:
    """A category of a photograph.

    Attributes
    ----------
    class_ids : frozenset of int
        The classes of its synset.
    present : bool
    largest : float
        Share of the picture that its largest object covers, 0 to 1.
    """

    class_ids: frozenset[int]
    present: bool
    largest: float


def average_precision(answers: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the mean, over the true ones, of the precision of all answers that are at least as high.

    Parameters
    ----------
    answers : (n,) array_like
        Higher is more certain.
    truth : (n,) bool array_like

    Raises
    ------
    ValueError
        None is true.
    """
    values, true = np.asarray(answers, np.float64), np.asarray(truth, np.bool_)
    if not true.any():
        raise ValueError("Expected at least one that is present. Received none.")
    order = np.argsort(-values, kind="stable")
    hits = true[order].cumsum()
    # Equal answers are reached together: the precision after the last of them holds for each.
    last = np.searchsorted(-values[order], -values[order], side="right") - 1
    return float((hits[last] / (last + 1))[true[order]].mean())


def calibration_error(answers: npt.ArrayLike, truth: npt.ArrayLike, above: float = 0.1) -> float:
    """Return the expected calibration error: by how much answers differ from how often they are true.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015; ten bins of equal width.

    Parameters
    ----------
    answers : (n,) array_like
        Probabilities.
    truth : (n,) bool array_like
    above : float
        Answers of at most this are left out: most pairs of a photograph and a synset are near 0. NaN if none is left.
    """
    values, true = np.asarray(answers, np.float64), np.asarray(truth, np.float64)
    chosen = values > above
    if not chosen.any():
        return float("nan")
    values, true = values[chosen], true[chosen]
    bins = np.minimum((values * _BINS).astype(np.intp), _BINS - 1)
    differences = np.abs(np.bincount(bins, values) - np.bincount(bins, true))
    return float(differences.sum() / values.size)


def calibration_error_by_chance(
    answers: npt.ArrayLike, above: float = 0.1, *, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the calibration error that these answers would show if they were exactly the probabilities.

    With few answers, how often something is true differs from its probability by chance alone. An error within this
    range says nothing against the answers.

    Parameters
    ----------
    answers : (n,) array_like
        Probabilities.
    above : float
        As for `calibration_error`.
    draws : int
        How often the truth is drawn from the answers.
    seed : int

    Returns
    -------
    mean, low, high : float
        Over the draws; 90 % of them lie from `low` to `high`.
    """
    values = np.asarray(answers, np.float64)
    random = np.random.default_rng(seed)
    errors = [calibration_error(values, random.random(values.size) < values, above) for _ in range(draws)]
    low, high = np.quantile(errors, (0.05, 0.95))
    return float(np.mean(errors)), float(low), float(high)


def judge(
    found: Iterable[Sequence[int]], truths: Sequence[Truth], large: float = 0.05
) -> tuple[list[bool], list[bool]]:
    """Compare what was found in a photograph with what is there.

    Something found concerns the categories that it has classes in common with. If it is such a category or a kind of
    one (a beagle: dog), it is right if one of those is present. If it is broader (a vehicle: bus, car, truck) or
    overlaps, it is right if one of the categories that it has classes in common with is present. What concerns no
    category is not counted.

    Parameters
    ----------
    found : iterable of sequence of int
        The classes of each synset found.
    truths : sequence of Truth
        All categories, present or not.
    large : float
        A present category whose largest object covers more than this share of the picture is expected to be found.

    Returns
    -------
    right : list of bool
        One for each that concerns a category.
    named : list of bool
        One for each large object: whether something found has classes in common with it.
    """
    groups = [frozenset(ids) for ids in found]
    right = []
    for group in groups:
        broader = [truth.present for truth in truths if group <= truth.class_ids]
        concerned = broader or [truth.present for truth in truths if group & truth.class_ids]
        if concerned:
            right.append(any(concerned))
    expected = [truth for truth in truths if truth.present and truth.largest > large]
    return right, [any(group & truth.class_ids for group in groups) for truth in expected]
