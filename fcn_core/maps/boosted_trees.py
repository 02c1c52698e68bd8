"""Gradient-boosted trees: read from JSON, and answer for many rows at once with NumPy alone.

A set of boosted trees is a sum: each tree sends a row of features down its splits to one leaf, and the values of the
leaves add up to a log-odds (Friedman, "Greedy function approximation: a gradient boosting machine", 2001). The trees
are learned elsewhere; ``scripts/boosted_trees_json.py`` writes what LightGBM or scikit-learn learned as this JSON::

    {"features": ["peak", "share"],         names of the columns
     "base": -1.5,                          log-odds before the first tree
     "trees": [{"feature": [0, 1],          column that each node looks at
                "threshold": [0.5, 2.0],    a row goes left if its value is at most this, otherwise right
                "left": [1, -1],            next node, or a leaf: -1 is leaf 0, -2 is leaf 1, and so on
                "right": [-3, -2],
                "leaves": [-0.7, 0.1, 0.9]}]}

Node 0 is the first. A tree of one leaf has no nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

_MOST_LEAVES = 256  # the number of a leaf fits into a byte


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Trees that turn rows of features into log-odds; made by `from_json`.

    Each tree is kept as a list of splits: all rows begin in leaf 0, and split number s moves the rows of one leaf
    that are above its threshold to leaf s + 1. So all trees take their split number s together, for all rows.

    Attributes
    ----------
    names : tuple of str
        Names of the features, in the order of the columns.
    base : float
        Log-odds before the first tree.
    columns, thresholds, leaves : (splits, trees) ndarray
        Feature, threshold and divided leaf of each split. A tree with fewer splits has infinite thresholds at its
        end, which move nothing.
    values : (trees, splits + 1) float ndarray
        Log-odds that each leaf adds.
    """

    names: tuple[str, ...]
    base: float
    columns: npt.NDArray[np.intp]
    thresholds: Float64
    leaves: npt.NDArray[np.uint8]
    values: Float64
    _order: npt.NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The splits sorted by feature: each column is compared with all its thresholds at once.
        object.__setattr__(self, "_order", np.argsort(self.columns, axis=None, kind="stable"))

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> BoostedTrees:
        """Return the trees that a JSON object holds; its keys are those above, and others are left alone.

        Raises
        ------
        ValueError
            A tree's lists do not fit together, a node is not reached or reached twice, or a tree has more than 256
            leaves.
        """
        names = tuple(mapping["features"])
        trees = [_splits(tree, number, len(names)) for number, tree in enumerate(mapping["trees"])]
        most = max((len(columns) for columns, *_ in trees), default=0)
        shape = (most, len(trees))
        columns, leaves = np.zeros(shape, np.intp), np.zeros(shape, np.uint8)
        thresholds = np.full(shape, np.inf)
        values = np.zeros((len(trees), most + 1))
        for number, (its_columns, its_thresholds, its_leaves, its_values) in enumerate(trees):
            count = len(its_columns)
            columns[:count, number] = its_columns
            thresholds[:count, number] = its_thresholds
            leaves[:count, number] = its_leaves
            values[number, : count + 1] = its_values
        return cls(names, float(mapping["base"]), columns, thresholds, leaves, values)

    def decision(self, features: npt.ArrayLike) -> Float64:
        """Return the log-odds of each row.

        Parameters
        ----------
        features : (n, k) float array_like
            One column a name. NaN goes left at every split, as it is above no threshold.

        Returns
        -------
        (n,) float64 ndarray

        Raises
        ------
        ValueError
            The number of columns differs from the number of names.
        """
        by_column = np.ascontiguousarray(np.asarray(features, np.float64).T)
        if by_column.ndim != 2 or by_column.shape[0] != len(self.names):
            raise ValueError(
                f"Expected rows of {len(self.names)} features. Received the shape {by_column.shape[::-1]}."
            )
        rows = by_column.shape[1]
        count, trees = self.columns.shape
        above = self._above(by_column).reshape(count, trees, rows)
        leaf = np.zeros((trees, rows), np.uint8)
        for split in range(count):
            moved = above[split]
            moved &= leaf == self.leaves[split][:, None]
            np.copyto(leaf, np.uint8(split + 1), where=moved)
        added: Float64 = self.values[np.arange(trees)[:, None], leaf]
        return np.asarray(self.base + added.sum(axis=0), np.float64)

    def _above(self, by_column: Float64) -> npt.NDArray[np.bool_]:
        """Return whether each row is above the threshold of each split, (splits * trees, n)."""
        ordered = self.columns.ravel()[self._order]
        thresholds = self.thresholds.ravel()[self._order][:, None]
        ends = np.searchsorted(ordered, np.arange(len(self.names)), side="right").tolist()
        above = np.empty((ordered.size, by_column.shape[1]), np.bool_)
        start = 0
        for column, end in zip(by_column, ends, strict=True):
            if end > start:
                np.greater(column, thresholds[start:end], out=above[start:end])
            start = end
        back = np.empty_like(self._order)
        back[self._order] = np.arange(back.size)
        found: npt.NDArray[np.bool_] = above[back]
        return found


_Splits = tuple[list[int], list[float], list[int], list[float]]


def _splits(tree: Mapping[str, Sequence[Any]], number: int, features: int) -> _Splits:
    """Return a tree's columns, thresholds and divided leaves, a split each, and the values of the leaves."""
    feature, threshold, left, right = (tree[key] for key in ("feature", "threshold", "left", "right"))
    values = tree["leaves"]
    count = len(feature)
    if not count == len(threshold) == len(left) == len(right) == len(values) - 1 < _MOST_LEAVES:
        raise ValueError(
            f"Expected tree {number} to have lists of one length, and one leaf more, at most {_MOST_LEAVES}. "
            f"Received {count}, {len(threshold)}, {len(left)}, {len(right)} and {len(values)} leaves."
        )
    if any(not 0 <= column < features for column in feature):
        raise ValueError(
            f"Expected tree {number} to look at columns from 0 to {features - 1}. Received: {feature}"
        )
    columns: list[int] = []
    thresholds: list[float] = []
    divided: list[int] = []
    order = [0.0] * (count + 1)
    seen: set[int] = set()
    waiting = [(0 if count else -1, 0)]
    while waiting:
        node, leaf = waiting.pop()
        if node in seen or not -count - 1 <= node < max(count, 1):
            raise ValueError(
                f"Expected tree {number} to reach each node and leaf once. Received {node} again or beyond."
            )
        seen.add(node)
        if node < 0:
            order[leaf] = float(values[-node - 1])
            continue
        columns.append(int(feature[node]))
        thresholds.append(float(threshold[node]))
        divided.append(leaf)
        waiting += [(right[node], len(columns)), (left[node], leaf)]
    if len(seen) != 2 * count + 1:
        raise ValueError(
            f"Expected tree {number} to reach each of its nodes. Received {len(seen)} that are reached."
        )
    return columns, thresholds, divided, order
