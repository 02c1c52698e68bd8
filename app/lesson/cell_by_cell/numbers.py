"""The numbers of one cell: the terms of a logit, the softmax, and the sum below a synset.

They are rounded to thousandths so that what is shown adds up: the rest of a sum is what remains of its rounded total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from app.lesson.experiments import softmax
from fcn_core.engines.last_layer import LastLayer
from fcn_core.maps.heatmap import ClassMap, synset_heatmap

TERMS = 5
"""Channels that are shown of each sum."""
TOP = 5
"""Classes that are shown of each cell."""
PARTS = 3
"""Classes that are shown of the sum below the synset."""

Cell = tuple[int, int]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Term:
    """One channel's part of a logit.

    Attributes
    ----------
    channel : int
    feature, weight, product : float
        What goes into the last layer, its weight for the class, and their product.
    """

    channel: int
    feature: float
    weight: float
    product: float


@dataclass(frozen=True)
class LogitSum:
    """A logit as a sum, in thousandths except the terms' own numbers: products + rest + bias = logit.

    Attributes
    ----------
    terms : tuple of Term
        The largest ones in absolute value, the largest first.
    products : tuple of int
        Of these terms.
    rest, bias, logit : int
        `rest` is that of all other channels.
    """

    terms: tuple[Term, ...]
    products: tuple[int, ...]
    rest: int
    bias: int
    logit: int


@dataclass(frozen=True)
class SynsetSum:
    """The probability of a synset in one cell as a sum, in thousandths: parts + rest = total.

    Attributes
    ----------
    classes : tuple of int
        Class ids of the most probable classes below the synset.
    parts : tuple of int
        Their probabilities.
    rest, total : int
        `rest` is that of the other classes below the synset.
    """

    classes: tuple[int, ...]
    parts: tuple[int, ...]
    rest: int
    total: int


def strongest(logits: Array, class_ids: Sequence[int]) -> tuple[int, ...]:
    """Return the ids of the `TOP` classes of one cell with the largest logits (C,).

    The strongest class below the synset follows if it is none of them.
    """
    first = np.argsort(-logits, kind="stable")[:TOP].tolist()
    ids = list(class_ids)
    best = ids[int(logits[ids].argmax())]
    return tuple(first if best in first else [*first, best])


def thousandths(value: float) -> int:
    """Round to thousandths."""
    return round(1000 * float(value))


def apportion(shares: Sequence[float], total: int) -> list[int]:
    """Round shares up or down to thousandths so that they add up to a total: those that lose most are rounded up."""
    exact = [max(1000 * float(share), 0.0) for share in shares]
    found = [int(each) for each in exact]
    by_loss = sorted(range(len(exact)), key=lambda i: found[i] - exact[i])
    missing = total - sum(found)
    for i in by_loss[:missing] if missing > 0 else by_loss[missing:] if missing < 0 else ():
        found[i] += 1 if missing > 0 else -1
    return found


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one class map, and what is looked for in it.

    Attributes
    ----------
    class_map : ClassMap
    class_ids : tuple of int
        The classes below the synset.
    """

    class_map: ClassMap
    class_ids: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.class_map.grid

    @property
    def all(self) -> tuple[Cell, ...]:
        """All cells, row by row."""
        rows, columns = self.grid
        return tuple((row, column) for row in range(rows) for column in range(columns))

    @cached_property
    def heat(self) -> Array:
        """The synset's probability in each cell, (h, w)."""
        return synset_heatmap(self.class_map, self.class_ids).values

    @cached_property
    def probabilities(self) -> Array:
        """Those of all classes, (h, w, C)."""
        return softmax(self.class_map.logits.astype(np.float64))

    @property
    def peak(self) -> Cell:
        """The cell with the highest probability of the synset; among rounded equals, the largest logit decides."""
        largest = self.class_map.logits[..., list(self.class_ids)].max(axis=-1)
        return max(self.all, key=lambda cell: (thousandths(float(self.heat[cell])), float(largest[cell])))

    @cached_property
    def listed(self) -> dict[Cell, tuple[int, ...]]:
        """The classes that are shown of each cell."""
        return {cell: strongest(self.class_map.logits[cell], self.class_ids) for cell in self.all}

    @property
    def classes(self) -> tuple[int, ...]:
        """Ids of all classes that are shown of any cell."""
        return tuple(sorted({each for listed in self.listed.values() for each in listed}))

    def logit(self, last: LastLayer, cell: Cell, class_id: int) -> LogitSum:
        """Write a logit as the sum that the last layer computes."""
        n = last.column(class_id)
        products = last.features[cell].astype(np.float64) * last.kernel[:, n]
        largest = np.argsort(-np.abs(products), kind="stable")[:TERMS].tolist()
        terms = tuple(
            Term(c, float(last.features[cell][c]), float(last.kernel[c, n]), float(products[c]))
            for c in largest
        )
        shown = tuple(thousandths(term.product) for term in terms)
        bias, logit = thousandths(last.bias[n]), thousandths(self.class_map.logits[cell][class_id])
        return LogitSum(terms, shown, logit - bias - sum(shown), bias, logit)

    def sum_below(self, cell: Cell) -> SynsetSum:
        """Write the synset's probability as the sum over its classes."""
        ids = np.array(self.class_ids)
        found = self.probabilities[cell][ids]
        largest = np.argsort(-found, kind="stable")[:PARTS]
        total = thousandths(self.heat[cell])
        parts = [thousandths(share) for share in found[largest].tolist()]
        if (rest := total - sum(parts)) < 0:
            *parts, rest = apportion(
                [*found[largest].tolist(), float(np.delete(found, largest).sum())], total
            )
        return SynsetSum(tuple(ids[largest].tolist()), tuple(parts), rest, total)
