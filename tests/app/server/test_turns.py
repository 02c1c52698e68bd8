"""Who asked first has the first turn; who asks again stands at the end."""

from __future__ import annotations

import asyncio

from app.server.turns import Turn, Turns
from tests.app.server.asgi import settled
from tests.waiting import PATIENCE


def test_as_many_as_may_have_a_turn_at_once() -> None:
    async def scene() -> None:
        turns = Turns(2, longest=PATIENCE, spacing=PATIENCE)
        pages = [Turn(turns) for _ in range(4)]
        asked = [asyncio.create_task(page.begin()) for page in pages]
        await settled()
        assert [task.done() for task in asked] == [True, True, False, False]
        pages[1].end()
        await settled()
        assert [task.done() for task in asked] == [True, True, True, False]
        pages[1].end()  # twice is once
        await settled()
        assert [task.done() for task in asked] == [True, True, True, False]
        for page in pages:
            page.end()
        await settled()
        assert all(task.done() for task in asked)

    asyncio.run(scene())


def test_who_asks_again_and_again_lets_others_in_between() -> None:
    async def scene() -> None:
        turns = Turns(1, longest=PATIENCE, spacing=0)
        greedy, other = Turn(turns), Turn(turns)
        order = []

        async def ask(page: Turn, name: str, times: int) -> None:
            for _ in range(times):
                await page.begin()
                order.append(name)

        first = asyncio.create_task(ask(greedy, "greedy", 3))
        await settled(3)
        second = asyncio.create_task(ask(other, "other", 1))
        while not second.done():
            await settled()
        assert order.index("other") <= 2, order
        other.end()
        while not first.done():
            await settled()
        assert sorted(order) == ["greedy"] * 3 + ["other"]

    asyncio.run(scene())


def test_a_turn_ends_though_its_work_does_not() -> None:
    async def scene() -> None:
        turns = Turns(1, longest=0, spacing=PATIENCE)
        await Turn(turns).begin()
        await Turn(turns).begin()
        await Turn(turns).begin()

    asyncio.run(scene())


def test_a_pages_next_work_waits_for_its_last() -> None:
    async def scene() -> None:
        turns = Turns(2, longest=PATIENCE, spacing=PATIENCE)
        page = Turn(turns)
        await page.begin()
        again = asyncio.create_task(page.begin())
        await settled()
        assert not again.done()
        page.end()
        await settled()
        assert again.done()
        assert not turns.free.locked()

    asyncio.run(scene())


def test_who_leaves_while_waiting_takes_no_turn() -> None:
    async def scene() -> None:
        turns = Turns(1, longest=PATIENCE, spacing=0)
        first, second, third = Turn(turns), Turn(turns), Turn(turns)
        await first.begin()
        leaving = asyncio.create_task(second.begin())
        await settled()
        leaving.cancel()
        waiting = asyncio.create_task(third.begin())
        await settled()
        second.end()
        assert not waiting.done()
        first.end()
        await settled()
        assert waiting.done()

    asyncio.run(scene())
