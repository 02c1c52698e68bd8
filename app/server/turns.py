"""Work that pages ask for begins in turn, so that one page cannot keep the others from theirs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Turns:
    """How much work of one kind is under way at once.

    Attributes
    ----------
    at_once : int
        Of all pages.
    longest : float
        Seconds after which a turn ends though its work may not have.
    spacing : float
        Seconds that a page's next piece of work waits for its last one.
    """

    at_once: int
    longest: float
    spacing: float
    free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.at_once)


class Turn:
    """One page's turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._ended = asyncio.Event()
        self._ended.set()
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Wait for the turn: those who asked before, of other pages, have it first."""
        if not self._ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._turns.spacing):
                    await self._ended.wait()
            self.end()
        await self._turns.free.acquire()
        self._ended.clear()
        self._timer = asyncio.get_running_loop().call_later(self._turns.longest, self.end)

    def end(self) -> None:
        """Let the next have it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._ended.is_set():
            self._ended.set()
            self._turns.free.release()
