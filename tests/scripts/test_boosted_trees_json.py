"""What LightGBM and scikit-learn write down becomes trees that give the same answer."""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest

from fcn_core.maps.boosted_trees import BoostedTrees
from tests.places import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "boosted_trees_json.py"))
ROWS = [(0.2, 0.0), (0.7, 0.0), (0.7, 5.0)]
ANSWERS = [-1.0, 0.5, 2.0]


def split(feature, threshold, left, right, kind="<="):
    return {
        "split_feature": feature,
        "threshold": threshold,
        "decision_type": kind,
        "left_child": left,
        "right_child": right,
    }


def lightgbm(kind="<=", outputs=1):
    inner = split(1, 1.0, {"leaf_value": 0.5}, {"leaf_value": 2.0}, kind)
    info = [
        {"tree_structure": split(0, 0.5, {"leaf_value": -1.0}, inner)},
        {"tree_structure": {"leaf_value": 0.0}},
    ]
    return {"num_tree_per_iteration": outputs, "feature_names": ["peak", "share"], "tree_info": info}


def scikit_learn(categorical=False):
    names = ("is_leaf", "value", "feature_idx", "num_threshold", "left", "right", "is_categorical")
    rows = [
        (False, 0, 0, 0.5, 1, 2, False),
        (True, -2.0, 0, 0, 0, 0, False),
        (False, 0, 1, 1.0, 3, 4, categorical),
        (True, -0.5, 0, 0, 0, 0, False),
        (True, 1.0, 0, 0, 0, 0, False),
    ]
    nodes = [dict(zip(names, row, strict=True)) for row in rows]
    return SimpleNamespace(
        _predictors=[(SimpleNamespace(nodes=nodes),)], _baseline_prediction=np.array([[1.0]])
    )


@pytest.mark.parametrize(
    "made",
    [
        SCRIPT["from_lightgbm"](lightgbm()),
        SCRIPT["from_scikit_learn"](scikit_learn(), ["peak", "share"]),
    ],
    ids=["LightGBM", "scikit-learn"],
)
def test_the_answers_stay_the_same(made):
    trees = BoostedTrees.from_json(made)
    assert trees.names == ("peak", "share")
    assert trees.decision(ROWS).tolist() == ANSWERS


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SCRIPT["from_lightgbm"](lightgbm(kind="==")), "numbers. Received a split by '=='"),
        (lambda: SCRIPT["from_lightgbm"](lightgbm(outputs=3)), "one output"),
        (lambda: SCRIPT["from_scikit_learn"](scikit_learn(categorical=True), ["a", "b"]), "by category"),
    ],
)
def test_what_the_json_cannot_say_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
