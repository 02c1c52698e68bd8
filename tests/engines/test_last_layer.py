"""The last layer by itself: its features times its weights are the network's logits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fcn_core.engines.last_layer import LastLayer, read_openvino
from fcn_core.errors import EngineError, MemoryBudgetError
from fcn_core.system import memory

CLASSES = (285, 0, 999)


def _error(last: LastLayer, logits: np.ndarray) -> float:
    return float(np.abs(last.features @ last.kernel + last.bias - logits[..., list(last.classes)]).max())


@pytest.mark.parametrize("name", ["lite0", "lite2", "random_resnet50", "tf_lite0", "tf_random_resnet50"])
def test_it_computes_the_logits(
    name: str, request: pytest.FixtureRequest, chelsea: Any, resized: Any
) -> None:
    model = request.getfixturevalue(name)
    image = resized(chelsea, 130, 200)
    before = model.logits(image)
    last = model.last_layer(image, CLASSES)
    assert last.features.shape == (*before.shape[:2], last.kernel.shape[0])
    assert last.features.dtype == last.kernel.dtype == last.bias.dtype == np.float32
    limit = 1e-5 * float(np.abs(before).max() + 1)
    assert _error(last, before) < limit
    for wrong in (
        replace(last, kernel=np.roll(last.kernel, 1, axis=0)),
        replace(last, classes=CLASSES[::-1]),
        replace(last, features=last.features[::-1]),
    ):
        assert _error(wrong, before) > 10 * limit
    np.testing.assert_array_equal(model.logits(image), before, "later passes are as before")


def test_a_network_that_runs_in_parts_gives_it_too(lite0: Any, chelsea: Any, resized: Any) -> None:
    image = resized(chelsea, 130, 200)
    whole = lite0.logits(image)
    try:
        lite0._part_runs()
        assert _error(lite0.last_layer(image, CLASSES), whole) < 1e-4
        np.testing.assert_allclose(lite0.logits(image), whole, atol=1e-4)
    finally:
        lite0._in_parts, lite0._parts = False, None
        lite0._read(lite0._graph)


def test_too_little_memory_is_said(
    lite0: Any, chelsea: Any, resized: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "pass_budget_mb", lambda _: 0.0)
    with pytest.raises(MemoryBudgetError, match="memory"):
        lite0.last_layer(resized(chelsea, 130, 200), CLASSES)


@pytest.mark.parametrize("in_parts", [False, True])
def test_it_needs_the_memory_of_a_pass_over_the_whole(
    lite0: Any, chelsea: Any, resized: Any, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    """Whether earlier passes were in bands or not: this one is never."""
    monkeypatch.setattr(memory, "rss_mb", lambda: 300.0)
    monkeypatch.setenv("FCN_MEMORY_MB", "600")
    monkeypatch.setattr(lite0, "_in_parts", in_parts)
    monkeypatch.setattr(lite0, "_run_to_last_layer", lambda *_: pytest.fail("It runs beyond the budget."))
    bands = lite0.forecast(1600, 2560)
    assert bands.plan is not None and bands.fits
    with pytest.raises(MemoryBudgetError, match="cannot be run in bands") as refusal:
        lite0.last_layer(resized(chelsea, 1600, 2560), CLASSES)
    named = re.search(r"Choose (\d+)x(\d+) or a smaller scale", str(refusal.value))
    assert named is not None
    height, width = map(int, named.groups())
    assert 400 < height < 1600, "the largest that fits as a whole"
    monkeypatch.setattr(lite0, "_run_to_last_layer", lambda *_: (np.zeros(0),) * 3)
    assert lite0.last_layer(resized(chelsea, height, width), CLASSES).classes == CLASSES


def _node(kind: str, *inputs: Any, shape: tuple[int, ...] = ()) -> SimpleNamespace:
    node = SimpleNamespace(get_type_name=lambda: kind, shape=shape)
    node.input_value = lambda port: SimpleNamespace(get_node=lambda: inputs[port])
    return node


@pytest.mark.parametrize(
    "end",
    [
        _node("Relu"),
        _node("Add", _node("Relu"), _node("Constant")),
        _node("Add", _node("Convolution", None, _node("Constant", shape=(9, 4, 3, 3))), _node("Constant")),
    ],
    ids=["no sum", "no convolution", "a larger window"],
)
def test_another_end_of_the_network_is_refused(end: Any) -> None:
    read: Callable[..., Any] = read_openvino
    with pytest.raises(EngineError, match=r"ends with a convolution of 1 x 1.*Received Toy"):
        read(_node("Result", end), CLASSES, "Toy")
