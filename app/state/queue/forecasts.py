"""Forecasts of what scales cost, computed in one thread for all pages.

In little memory a forecast searches for the bands of a large scale, which takes a tenth of a second of pure Python: if
every page did that itself, the server would not have time to answer. One thread does it, the latest request first, and
a page waits only for a moment. Sizes that differ by a few percent share a forecast.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.state.queue.jobs import ModelKey
from fcn_core.engines.base import Predictor
from fcn_core.system import memory

logger = logging.getLogger(__name__)

Size = tuple[int, int]
_Key = tuple[ModelKey, int, int, float]
_LIFE = 600.0  # seconds; the memory in use changes
_MOST_KNOWN = 1024
_MOST_ASKED = 64  # at a time; older requests are dropped


@dataclass(frozen=True)
class Cost:
    """Expected cost of a scale: seconds, memory of the whole program, whether it fits, and whether in bands."""

    seconds: float
    memory_mb: float
    fits: bool
    banded: bool


class Forecasts:
    """Costs by model and size.

    Parameters
    ----------
    predictor : callable
        Returns a model, or None if it is not loaded.
    patience : float
        Seconds that a page waits for a forecast.
    """

    def __init__(self, predictor: Callable[[ModelKey], Predictor | None], patience: float = 0.3) -> None:
        self._predictor, self._patience = predictor, patience
        self._known: OrderedDict[_Key, tuple[Cost, float]] = OrderedDict()  # with the time of the forecast
        self._asked: OrderedDict[_Key, None] = OrderedDict()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="forecasts", daemon=True).start()

    def of(self, model: ModelKey, sizes: Iterable[Size]) -> dict[Size, Cost]:
        """Return the costs of sizes (height, width), as far as they are known in a moment."""
        budget = memory.budget_mb() - memory.lent_mb()
        keys: dict[Size, _Key] = {size: (model, _about(size[0]), _about(size[1]), budget) for size in sizes}
        with self._changed:
            if self._predictor(model) is None:
                return {}
            now = time.monotonic()
            for key in reversed(keys.values()):
                if key not in self._known or now - self._known[key][1] > _LIFE:
                    self._asked[key] = None
                    self._asked.move_to_end(key)
            while len(self._asked) > _MOST_ASKED:
                self._asked.popitem(last=False)
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(key in self._known for key in keys.values()), self._patience)
            return {size: self._known[key][0] for size, key in keys.items() if key in self._known}

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
                key, _ = self._asked.popitem()
            model, height, width, _budget = key
            try:
                predictor = self._predictor(model)
                if predictor is None:
                    continue
                found = predictor.forecast(height, width)
            except Exception:
                logger.exception("A forecast failed")
                continue
            cost = Cost(found.seconds, found.memory_mb, found.fits, found.plan is not None)
            with self._changed:
                self._known[key] = cost, time.monotonic()
                self._known.move_to_end(key)
                while len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
                self._changed.notify_all()


def _about(side: int) -> int:
    """Round a length so that it changes by at most a thirtieth."""
    step = max(1, 1 << (side.bit_length() - 5))
    return max(step, round(side / step) * step)
