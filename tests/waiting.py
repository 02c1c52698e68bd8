"""Waiting for what happens, never for a time: no result may depend on how fast or how busy a machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600.0  # seconds; what is waited for takes a few at most, so that only what hangs comes to this


def wait_until(
    happened: Callable[[], object], found: Callable[[], object] = lambda: "nothing", pause: float = 0.005
) -> None:
    """Return as soon as something has happened, asked every `pause` seconds; tell what was found if it never does."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, found()
        time.sleep(pause)


class Clock:
    """In place of a module's `time`: its monotonic clock stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


class Ticks:
    """In place of a module's `time`: every look at its clocks is one second later than the last."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter(self) -> float:
        self.now += 1
        return float(self.now)
