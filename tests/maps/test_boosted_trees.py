"""Boosted trees: hand-made ones, and a plain walk down random ones."""

import json
import math

import numpy as np
import pytest

from fcn_core.maps.boosted_trees import BoostedTrees

STUMP = {"feature": [0], "threshold": [0.5], "left": [-1], "right": [-2], "leaves": [-1.0, 2.0]}
CHAIN = {  # "share" first; its right side asks for "peak" twice
    "feature": [1, 0, 0],
    "threshold": [0.1, 0.9, 0.3],
    "left": [-2, 2, -3],
    "right": [1, -1, -4],
    "leaves": [8.0, 1.0, 2.0, 4.0],
}
LEAF = {"feature": [], "threshold": [], "left": [], "right": [], "leaves": [0.25]}


def trees(*each, base=0.0, features=("peak", "share")):
    return BoostedTrees.from_json({"features": features, "base": base, "trees": each, "made": {"by": "hand"}})


@pytest.mark.parametrize(
    ("given", "row", "expected"),
    [
        ((STUMP,), (0.4, 9), -1),
        ((STUMP,), (0.5, 9), -1),  # at most: left
        ((STUMP,), (np.nextafter(0.5, 1), 9), 2),
        ((STUMP,), (math.nan, 9), -1),
        ((CHAIN,), (9, 0.1), 1),
        ((CHAIN,), (0.3, 0.2), 2),
        ((CHAIN,), (0.9, 0.2), 4),
        ((CHAIN,), (1.0, 0.2), 8),
        ((LEAF,), (0, 0), 0.25),
        ((STUMP, LEAF, CHAIN, STUMP), (1.0, 0.2), 2 + 0.25 + 8 + 2),
        ((), (0, 0), 0),
    ],
)
def test_a_row_goes_down_each_tree_to_one_leaf(given, row, expected):
    assert trees(*given).decision([row]).tolist() == [expected]
    assert trees(*given, base=-1.5).decision([row, row]).tolist() == [expected - 1.5] * 2


def random_tree(rng, leaves, features):
    tree = {key: [] for key in LEAF}

    def grow(count):
        if count == 1:
            tree["leaves"].append(rng.normal())
            return -len(tree["leaves"])
        node = len(tree["feature"])
        tree["feature"].append(int(rng.integers(features)))
        tree["threshold"].append(rng.normal())
        tree["left"].append(None)
        tree["right"].append(None)
        left = int(rng.integers(1, count))
        tree["right"][node] = grow(count - left)  # numbers need not follow the order of the walk
        tree["left"][node] = grow(left)
        return node

    grow(leaves)
    return tree


def walk(tree, row):
    node = 0 if tree["feature"] else -1
    while node >= 0:
        side = "left" if row[tree["feature"][node]] <= tree["threshold"][node] else "right"
        node = tree[side][node]
    return tree["leaves"][-node - 1]


@pytest.mark.parametrize("leaves", [2, 16, 256])
def test_many_rows_and_trees_give_what_a_plain_walk_gives(leaves):
    rng = np.random.default_rng(leaves)
    grown = [random_tree(rng, int(rng.integers(1, leaves + 1)), 7) for _ in range(20)]
    rows = rng.normal(size=(50, 7))
    found = trees(*json.loads(json.dumps(grown)), base=0.5, features=list("abcdefg"))
    assert found.names == tuple("abcdefg")
    expected = [0.5 + sum(walk(tree, row) for tree in grown) for row in rows]
    np.testing.assert_allclose(found.decision(rows), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.decision(np.asfortranarray(rows)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"threshold": [0.1, 0.9]}, "lists of one length"),
        ({"leaves": [1.0, 2.0]}, "one leaf more"),
        ({"feature": [1, 0, 2]}, "columns from 0 to 1"),
        ({"feature": [1, 0, -1]}, "columns from 0 to 1"),
        ({"left": [-2, 0, -3]}, "once. Received 0"),
        ({"left": [-2, -1, -3]}, "once. Received -1"),
        ({"left": [-2, 3, -3]}, "once. Received 3"),
        ({"right": [-1, 1, -4]}, "each of its nodes"),
    ],
)
def test_a_tree_that_is_none_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        trees(STUMP, CHAIN | changed)


def test_more_leaves_than_a_byte_counts_are_refused():
    with pytest.raises(ValueError, match="at most 256"):
        trees(random_tree(np.random.default_rng(0), 257, 2))


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0, 2.0, 3.0]], [1.0, 2.0]])
def test_rows_of_another_length_are_refused(rows):
    with pytest.raises(ValueError, match="rows of 2 features"):
        trees(STUMP).decision(rows)


def test_no_rows_have_no_answers():
    assert trees(STUMP).decision(np.zeros((0, 2))).shape == (0,)
