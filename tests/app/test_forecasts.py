"""Forecasts of what scales cost, computed in one thread for all pages."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from app.state.queue import forecasts
from app.state.queue.forecasts import Forecasts, Size
from app.state.queue.jobs import ModelKey
from tests.waiting import PATIENCE, Clock, wait_until

KEY = ModelKey("efficientnet-lite2")


class Predictor:
    """Records requests, and answers them when its gate is open."""

    def __init__(self) -> None:
        self.asked: list[Size] = []
        self.gate = threading.Event()
        self.fails = False

    def forecast(self, height: int, width: int) -> Any:
        self.asked.append((height, width))
        assert self.gate.wait(PATIENCE)
        if self.fails:
            raise ZeroDivisionError
        return SimpleNamespace(seconds=1.0, memory_mb=float(height), fits=True, plan=None)


def test_a_page_does_not_wait_long_and_the_latest_request_comes_first() -> None:
    predictor = Predictor()
    costs = Forecasts(lambda _: predictor, patience=0.0)  # type: ignore[arg-type,return-value]
    assert costs.of(KEY, [(32, 32)]) == {}
    wait_until(lambda: predictor.asked)
    assert costs.of(KEY, [(64, 64), (96, 96)]) == {}
    assert costs.of(KEY, [(128, 128)]) == {}
    predictor.gate.set()
    wait_until(lambda: len(predictor.asked) == 4)  # without asking again, which would change the order
    assert predictor.asked == [(32, 32), (128, 128), (64, 64), (96, 96)]
    wait_until(lambda: len(costs.of(KEY, [(32, 32), (64, 64), (96, 96), (128, 128)])) == 4)


def test_a_patient_page_gets_all_costs_and_they_are_cached() -> None:
    predictor = Predictor()
    predictor.gate.set()
    costs = Forecasts(lambda _: predictor, patience=PATIENCE)  # type: ignore[arg-type,return-value]
    for _ in range(3):
        assert {size: cost.memory_mb for size, cost in costs.of(KEY, [(64, 64), (96, 96)]).items()} == {
            (64, 64): 64.0,
            (96, 96): 96.0,
        }
    assert len(predictor.asked) == 2


def test_similar_sizes_share_a_forecast() -> None:
    predictor = Predictor()
    predictor.gate.set()
    costs = Forecasts(lambda _: predictor, patience=PATIENCE)  # type: ignore[arg-type,return-value]
    assert len(costs.of(KEY, [(3900, 3900 - number) for number in range(32)])) == 32
    assert len(predictor.asked) == 1
    assert all(abs(forecasts._about(side) / side - 1) < 0.031 for side in range(32, 9000))


def test_an_old_forecast_is_shown_and_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(forecasts, "time", clock)
    predictor = Predictor()
    predictor.gate.set()
    costs = Forecasts(lambda _: predictor, patience=PATIENCE)  # type: ignore[arg-type,return-value]
    costs.of(KEY, [(64, 64)])
    clock.now += forecasts._LIFE + 1
    assert len(costs.of(KEY, [(64, 64)])) == 1
    wait_until(lambda: len(predictor.asked) == 2)


def test_no_model_no_costs_and_a_failure_does_not_stop_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    predictor = Predictor()
    predictor.gate.set()
    loaded: list[Predictor] = []
    costs = Forecasts(lambda _: loaded[0] if loaded else None, patience=0.0)  # type: ignore[arg-type,return-value]
    assert costs.of(KEY, [(64, 64)]) == {}
    assert not costs._asked
    loaded.append(predictor)
    predictor.fails = True
    costs.of(KEY, [(64, 64)])
    wait_until(lambda: "A forecast failed" in caplog.text)
    predictor.fails = False
    wait_until(lambda: costs.of(KEY, [(64, 64)]))
