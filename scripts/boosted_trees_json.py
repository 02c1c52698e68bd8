"""Write boosted trees that LightGBM or scikit-learn learned as the JSON that `fcn_core.maps.boosted_trees` reads.

For scripts that train: ``from_lightgbm(booster.dump_model())``, or ``from_scikit_learn(classifier, names)`` for a
``HistGradientBoostingClassifier`` of two classes. Neither package is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_VALUE_DIGITS = 6  # thresholds stay exact: one may equal a value of the training data


def from_lightgbm(dump: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a LightGBM model for one output (binary or cross entropy).

    Parameters
    ----------
    dump : mapping
        What ``Booster.dump_model()`` returns. The features had no missing values and no categories.
    """
    if dump["num_tree_per_iteration"] != 1:
        raise ValueError("Expected a model with one output. Received one of several.")
    trees = []
    for info in dump["tree_info"]:
        tree = _empty()
        _add_lightgbm(info["tree_structure"], tree)
        trees.append(tree)
    return {"features": list(dump["feature_names"]), "base": 0.0, "trees": trees}


def from_scikit_learn(classifier: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the JSON object of a fitted ``HistGradientBoostingClassifier`` of two classes.

    Parameters
    ----------
    classifier : HistGradientBoostingClassifier
        Without categories. scikit-learn shows its trees under private names only.
    names : sequence of str
        Names of the features.
    """
    trees = []
    for (predictor,) in classifier._predictors:
        tree = _empty()
        _add_scikit_learn(predictor.nodes, 0, tree)
        trees.append(tree)
    return {"features": list(names), "base": float(classifier._baseline_prediction.item()), "trees": trees}


def _empty() -> dict[str, list[Any]]:
    return {key: [] for key in ("feature", "threshold", "left", "right", "leaves")}


def _leaf(tree: dict[str, list[Any]], value: float) -> int:
    tree["leaves"].append(round(float(value), _VALUE_DIGITS))
    return -len(tree["leaves"])


def _node(tree: dict[str, list[Any]], feature: int, threshold: float) -> int:
    tree["feature"].append(int(feature))
    tree["threshold"].append(float(threshold))
    tree["left"].append(0)
    tree["right"].append(0)
    return len(tree["feature"]) - 1


def _add_lightgbm(node: Mapping[str, Any], tree: dict[str, list[Any]]) -> int:
    """Add a node and what is below it; return its number, below 0 for a leaf."""
    if "split_feature" not in node:
        return _leaf(tree, node["leaf_value"])
    if node["decision_type"] != "<=":
        raise ValueError(
            f"Expected features that are numbers. Received a split by {node['decision_type']!r}."
        )
    number = _node(tree, node["split_feature"], node["threshold"])
    tree["left"][number] = _add_lightgbm(node["left_child"], tree)
    tree["right"][number] = _add_lightgbm(node["right_child"], tree)
    return number


def _add_scikit_learn(nodes: Any, at: int, tree: dict[str, list[Any]]) -> int:
    """Add node number `at` and what is below it; return its new number, below 0 for a leaf."""
    node = nodes[at]
    if node["is_leaf"]:
        return _leaf(tree, node["value"])
    if node["is_categorical"]:
        raise ValueError("Expected features that are numbers. Received a split by category.")
    number = _node(tree, node["feature_idx"], node["num_threshold"])
    tree["left"][number] = _add_scikit_learn(nodes, int(node["left"]), tree)
    tree["right"][number] = _add_scikit_learn(nodes, int(node["right"]), tree)
    return number
