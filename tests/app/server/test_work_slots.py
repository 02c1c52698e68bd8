"""Slots are given in the order of requests, and a page that asks again queues at the end."""

from __future__ import annotations

import asyncio

from app.server.work_slots import PageSlot, WorkSlots
from tests.app.server.asgi import settled
from tests.waiting import PATIENCE


def test_slots_limit_concurrent_work() -> None:
    async def scene() -> None:
        slots = WorkSlots(2, longest=PATIENCE, spacing=PATIENCE)
        pages = [PageSlot(slots) for _ in range(4)]
        asked = [asyncio.create_task(page.acquire()) for page in pages]
        await settled()
        assert [task.done() for task in asked] == [True, True, False, False]
        pages[1].release()
        await settled()
        assert [task.done() for task in asked] == [True, True, True, False]
        pages[1].release()  # a second release does nothing
        await settled()
        assert [task.done() for task in asked] == [True, True, True, False]
        for page in pages:
            page.release()
        await settled()
        assert all(task.done() for task in asked)

    asyncio.run(scene())


def test_a_page_that_asks_repeatedly_does_not_block_others() -> None:
    async def scene() -> None:
        slots = WorkSlots(1, longest=PATIENCE, spacing=0)
        greedy, other = PageSlot(slots), PageSlot(slots)
        order = []

        async def ask(page: PageSlot, name: str, times: int) -> None:
            for _ in range(times):
                await page.acquire()
                order.append(name)

        first = asyncio.create_task(ask(greedy, "greedy", 3))
        await settled(3)
        second = asyncio.create_task(ask(other, "other", 1))
        while not second.done():
            await settled()
        assert order.index("other") <= 2, order
        other.release()
        while not first.done():
            await settled()
        assert sorted(order) == ["greedy"] * 3 + ["other"]

    asyncio.run(scene())


def test_a_slot_is_released_after_its_longest_time() -> None:
    async def scene() -> None:
        slots = WorkSlots(1, longest=0, spacing=PATIENCE)
        await PageSlot(slots).acquire()
        await PageSlot(slots).acquire()
        await PageSlot(slots).acquire()

    asyncio.run(scene())


def test_a_page_waits_for_its_own_last_work() -> None:
    async def scene() -> None:
        slots = WorkSlots(2, longest=PATIENCE, spacing=PATIENCE)
        page = PageSlot(slots)
        await page.acquire()
        again = asyncio.create_task(page.acquire())
        await settled()
        assert not again.done()
        page.release()
        await settled()
        assert again.done()
        assert not slots.free.locked()

    asyncio.run(scene())


def test_a_cancelled_wait_takes_no_slot() -> None:
    async def scene() -> None:
        slots = WorkSlots(1, longest=PATIENCE, spacing=0)
        first, second, third = PageSlot(slots), PageSlot(slots), PageSlot(slots)
        await first.acquire()
        leaving = asyncio.create_task(second.acquire())
        await settled()
        leaving.cancel()
        waiting = asyncio.create_task(third.acquire())
        await settled()
        second.release()
        assert not waiting.done()
        first.release()
        await settled()
        assert waiting.done()

    asyncio.run(scene())
