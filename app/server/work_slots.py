"""A fair limit on concurrent work, so that one page cannot keep the others waiting."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class WorkSlots:
    """A limit on concurrent work of one kind.

    Attributes
    ----------
    at_once : int
        Slots for all pages together.
    longest : float
        Seconds after which a slot is released even if the work has not ended.
    spacing : float
        Largest number of seconds that a page waits for its previous piece of work before it queues for the next.
    free : asyncio.Semaphore
        Free slots; it wakes waiting pages in the order of their requests.
    """

    at_once: int
    longest: float
    spacing: float
    free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.at_once)


class PageSlot:
    """The slot of one page, which has at most one."""

    def __init__(self, slots: WorkSlots) -> None:
        self._slots = slots
        self._released = asyncio.Event()
        self._released.set()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self) -> None:
        """Wait for a slot; pages that asked earlier get theirs first."""
        if not self._released.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._slots.spacing):
                    await self._released.wait()
            self.release()
        await self._slots.free.acquire()
        self._released.clear()
        self._timer = asyncio.get_running_loop().call_later(self._slots.longest, self.release)

    def release(self) -> None:
        """Release the slot for the next page; do nothing if the page has none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._released.is_set():
            self._released.set()
            self._slots.free.release()
