"""Passes and files take turns with the memory that is kept for one of them."""

from __future__ import annotations

import threading

import pytest

from app.state.queue.memory_turns import MemoryTurns
from tests.waiting import PATIENCE, wait_until


def waiting(turns: MemoryTurns) -> int:
    with turns._changed:
        return turns._waiting.total()


def test_one_at_a_time_and_the_kinds_alternate_while_both_wait() -> None:
    turns, served = MemoryTurns(), list[str]()

    def take(kind: str) -> None:
        with turns.hold(kind):  # type: ignore[arg-type]
            served.append(kind)

    with turns.hold("file"):
        threads = []
        for place, kind in enumerate(["file", "file", "file", "pass", "pass"], start=1):
            threads.append(threading.Thread(target=take, args=(kind,)))
            threads[-1].start()
            wait_until(lambda place=place: waiting(turns) == place)  # type: ignore[misc]
        assert served == []
    for thread in threads:
        thread.join(PATIENCE)
    assert served == ["pass", "file", "pass", "file", "file"]


def test_it_is_free_again_after_a_fault() -> None:
    turns = MemoryTurns()
    with pytest.raises(ValueError, match="damaged"), turns.hold("pass"):
        raise ValueError("damaged")
    with turns.hold("pass"):
        pass
