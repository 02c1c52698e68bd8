"""Learning a taught synset from made-up windows of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from fcn_core.evaluation.presence import average_precision
from scripts import train_taught


def test_weights_that_were_learned_rank_pictures_with_the_synset_first():
    """Learning finds the class that is there whenever the synset is, wherever in the picture."""
    rng = np.random.default_rng(0)
    present = np.arange(60) % 2 == 0
    bags = []
    for _ in range(3):
        windows = rng.normal(size=(60, 5, 50)).astype(np.float32)
        windows[present, rng.integers(0, 5, present.sum()), 7] += 6
        bags.append((windows.reshape(-1, 50), np.full(60, 5)))
    photographs = train_taught.Photographs(tuple(bags), present, np.ones(60), np.array(["images"] * 60))
    weights = train_taught.learn(photographs, np.arange(60) < 40)
    assert weights.argmax() == 7
    for answers in train_taught.answers(photographs, weights):
        assert average_precision(answers[40:], present[40:]) > 0.9


def test_the_slope_of_the_loss_is_that_of_its_differences():
    rng = np.random.default_rng(1)
    windows, counts, weights = (
        rng.normal(size=(12, 3)).astype(np.float32),
        np.array([5, 3, 4]),
        rng.normal(size=3),
    )
    answer, shares = train_taught.pooled(windows, counts, weights.astype(np.float32))
    assert np.add.reduceat(shares, [0, 5, 8]) == pytest.approx(np.ones(3))
    slope = np.add.reduceat(shares[:, None] * windows, [0, 5, 8])
    for place in range(3):
        moved = weights + 1e-3 * (np.arange(3) == place)
        after, _ = train_taught.pooled(windows, counts, moved.astype(np.float32))
        np.testing.assert_allclose((after - answer) / 1e-3, slope[:, place], atol=5e-3)


def test_scaling_makes_answers_log_odds():
    rng = np.random.default_rng(2)
    log_odds = rng.normal(0, 2, 4000)
    present = rng.random(4000) < 1 / (1 + np.exp(-log_odds))
    photographs = train_taught.Photographs((), present, np.ones(4000), np.array(["images"] * 4000))
    slope, intercept = train_taught.scaling(np.tile(log_odds / 3 + 1, (2, 2, 1)), photographs)
    assert slope == pytest.approx(3, abs=0.4)
    assert intercept == pytest.approx(-3, abs=0.4)
