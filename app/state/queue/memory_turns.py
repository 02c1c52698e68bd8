"""Passes of the network and files take turns: the memory that is kept for the one serves the other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Kind = Literal["pass", "file"]


class MemoryTurns:
    """A lock between passes and files. While both wait they alternate, so neither keeps the other waiting for long."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: Counter[Kind] = Counter()
        self._held = False
        self._last: Kind = "pass"

    @contextmanager
    def hold(self, kind: Kind) -> Iterator[None]:
        """Hold the lock for one pass or for one file."""
        other: Kind = "file" if kind == "pass" else "pass"
        with self._changed:
            self._waiting[kind] += 1
            self._changed.wait_for(
                lambda: not self._held and (self._last != kind or not self._waiting[other])
            )
            self._waiting[kind] -= 1
            self._held = True
        try:
            yield
        finally:
            with self._changed:
                self._held, self._last = False, kind
                self._changed.notify_all()
