"""Inputs that are made ahead: the same numbers, only where there is much memory, and without waiting for a pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from fcn_core.batch import stages
from fcn_core.batch.ahead import Ahead
from fcn_core.batch.stages import Stages, overlapped
from fcn_core.engines.base import Preparing
from fcn_core.images.read import image_from_array
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import parse_scales
from fcn_core.pipeline import compute_class_maps
from fcn_core.system import memory
from tests.waiting import PATIENCE

SCALES = parse_scales("64x96,128x192")
PLENTY = 10_000.0  # megabytes


def goes_on() -> None:
    """The checkpoint of a run that nobody stops."""


@pytest.fixture
def cat(chelsea):
    return image_from_array(chelsea, "cat")


def test_a_pass_over_an_input_made_ahead_gives_the_same_numbers(lite0, cat):
    ahead = Ahead(lite0, SCALES, "aspect", PLENTY)
    inputs = ahead.inputs(cat, goes_on)
    assert len(inputs) == 2
    for size, ready in inputs.items():
        done, expected = lite0.run(ready), lite0.run(ResizedImage(cat.pixels, *size))
        assert np.array_equal(done.logits, expected.logits)
        assert len(done.middle) == len(expected.middle) > 0
        for ours, theirs in zip(done.middle, expected.middle, strict=True):
            assert np.array_equal(ours.values, theirs.values)


def test_an_input_is_used_and_that_of_another_model_is_not(lite0, lite2, cat, monkeypatch):
    resized = ResizedImage(cat.pixels, 64, 96)
    expected = lite0.run(resized).logits
    ready, other = lite0.prepared(resized), lite2.prepared(resized)
    other.batch[:] = 0
    assert np.array_equal(lite0.run(other).logits, expected)
    monkeypatch.setattr(lite0, "_batch", None)
    assert np.array_equal(lite0.run(ready).logits, expected)


def test_an_input_is_made_while_a_pass_runs(lite0, cat):
    with lite0._lock, ThreadPoolExecutor(1) as other:  # as a pass holds it
        made = other.submit(Ahead(lite0, SCALES, "aspect", PLENTY).inputs, cat, goes_on)
        assert len(made.result(PATIENCE)) == 2


def test_little_memory_makes_none_and_reserves_none(lite0, cat):
    largest = Ahead(lite0, SCALES, "aspect", PLENTY).reserved_mb
    assert largest > 2 * 12 * (64 * 96 + 128 * 192) / 2**20
    ahead = Ahead(lite0, SCALES, "aspect", 7 * largest)
    assert (ahead.reserved_mb, ahead.inputs(cat, goes_on)) == (0, {})


def test_a_network_that_cannot_prepare_makes_its_inputs_itself(cat):
    network = SimpleNamespace(forecast=None, run=None)
    assert not isinstance(network, Preparing)
    ahead = Ahead(network, SCALES, "aspect", PLENTY)
    assert (ahead.reserved_mb, ahead.inputs(cat, goes_on)) == (0, {})


@pytest.mark.parametrize("expected", [{"plan": "bands", "fits": True}, {"plan": None, "fits": False}])
def test_a_pass_in_bands_makes_its_rows_itself(cat, expected):
    network = SimpleNamespace(forecast=lambda *_: SimpleNamespace(**expected), prepared=None)
    assert Ahead(network, SCALES, "aspect", PLENTY).inputs(cat, goes_on) == {}


def test_a_picture_of_odd_proportions_takes_no_more_memory_than_reserved(lite0):
    strip = image_from_array(np.zeros((40, 4000, 3), np.uint8), "strip")
    ahead = Ahead(lite0, parse_scales("64x96"), "aspect", PLENTY)
    reserved = ahead.reserved_mb * 2**20 / 2
    made = ahead.inputs(strip, goes_on).values()
    assert sum(each.batch.nbytes for each in made) <= reserved


def test_a_run_computes_what_single_pictures_do_and_drops_each_input_with_its_pass(lite0, cat, monkeypatch):
    left, compute = [], compute_class_maps

    def computed(*args, resized, **keywords):
        found = compute(*args, resized=resized, **keywords)
        left.append(len(resized.__self__.inputs))
        return found

    monkeypatch.setattr(stages, "compute_class_maps", computed)
    monkeypatch.setattr(memory, "budget_mb", lambda: 2 * PLENTY)
    made = Stages(lambda source, limits: cat, lambda *found: found, lambda *failed: failed)
    runs = list(overlapped(range(3), lite0, SCALES, "aspect", made))
    expected = compute(cat, lite0, SCALES)
    for _, _, found in runs:
        assert all(np.array_equal(found[key].logits, expected[key].logits) for key in expected)
    assert left == [0, 0, 0]
