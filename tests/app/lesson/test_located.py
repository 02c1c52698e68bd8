"""How the lesson measures whether a heatmap finds the object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from app.lesson import located
from app.lesson.experiments import iou_curve, notebook_means
from app.lesson.located import agreement, locate
from app.state import caches
from fcn_core.evaluation.metrics import iou
from fcn_core.maps.heatmap import Heatmap, combine
from fcn_core.maps.region import normalise, threshold_mask
from fcn_core.networks.geometry import CellAxis, CellGrid
from tests.app.lesson.page import opened


def heatmap(values: npt.ArrayLike) -> Heatmap:
    cells = np.asarray(values, np.float32)
    return Heatmap(
        cells, "probability", CellGrid(CellAxis.even(cells.shape[0]), CellAxis.even(cells.shape[1]))
    )


TRUTH = np.array([[True, True, False, False]] * 4)


def test_the_share_on_the_object_is_that_of_the_sum() -> None:
    found = locate(heatmap(np.kron([[0.6, 0.2]], np.ones((4, 2)))), TRUTH)
    assert found.on == pytest.approx(0.75)
    assert found.beside == pytest.approx(1 / 3)


def test_a_map_that_knows_nothing_has_the_share_of_the_object() -> None:
    found = locate(heatmap([[0.5, 0.5]]), TRUTH)
    assert found.on == pytest.approx(TRUTH.mean())
    assert found.beside == pytest.approx(1.0)


def test_a_map_with_nothing_on_the_object_is_infinitely_wrong() -> None:
    zeros = np.zeros((4, 4), np.float32)
    zeros[:, 3] = 1
    found = locate(heatmap(zeros), TRUTH)
    assert (found.on, found.beside) == (0.0, np.inf)


def test_agreement_counts_maps_that_are_sure() -> None:
    maps = [heatmap(np.full((4, 4), value)) for value in (0.9, 0.2)]
    assert agreement(maps, TRUTH) == (1.0, 0.0)
    assert agreement([maps[0], *maps], TRUTH) == (1.0, 1.0)
    assert agreement(maps[1:], TRUTH) == (0.0, 0.0)


def test_the_notebooks_means_are_those_of_the_program() -> None:
    rng = np.random.default_rng(0)
    maps = [
        Heatmap(rng.random(size).astype(np.float32), "probability", None)
        for size in ((7, 10), (13, 20), (25, 40))
    ]
    arithmetic, geometric = notebook_means([m.values for m in maps], (25, 40))
    assert np.abs(arithmetic - combine(maps, 1.0).values).max() < 1e-6
    assert np.abs(geometric - combine(maps, 0.0).values).max() < 1e-6
    assert (geometric <= arithmetic + 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_of_iou_is_that_of_masks_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fine, truth = rng.random((30, 40)).astype(np.float32), rng.random((30, 40)) < 0.3
    thresholds, scores = iou_curve(fine, truth)
    assert scores == pytest.approx([iou(threshold_mask(normalise(fine), t), truth) for t in thresholds])
    assert scores[0] == pytest.approx(truth.mean())
    assert iou_curve(fine, np.zeros_like(truth))[1].max() == 0


@pytest.mark.usefixtures("lite2")
@pytest.mark.parametrize("is_sample", [True, False], ids=["a sample", "an own picture"])
def test_only_a_sample_is_masked_once_for_all_learners(
    is_sample: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    describe = caches.describe
    monkeypatch.setattr(caches, "describe", lambda *known: made.append(known) or describe(*known))
    for name in ("fine", "scene"):  # kept for a session, and all tests have the same
        monkeypatch.setattr(caches, name, getattr(caches, name).__wrapped__)
    if not is_sample:
        monkeypatch.setattr(located, "SAMPLES", {})
    caches.fine_of_sample.clear()
    for _learner in range(2):
        opened(step="8")
    assert (len(made) == 1) == is_sample
