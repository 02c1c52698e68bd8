"""The server loads the default model, and retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app import server
from app.state import shared_queue
from app.state.queue.loader import Health
from tests.waiting import PATIENCE


def test_loading_the_model_is_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def make_ready() -> None:
        done.append("ready")
        raise OSError("The disk is full.")

    async def scene() -> None:
        tried = asyncio.Event()
        loop = asyncio.get_running_loop()

        def try_again() -> None:
            done.append("again")
            if len(done) > 3:
                loop.call_soon_threadsafe(tried.set)

        monkeypatch.setattr(shared_queue, "try_again", try_again)
        async with server.lifespan(Any):
            await asyncio.wait_for(tried.wait(), PATIENCE)

    monkeypatch.setattr(shared_queue, "queue", make_ready)
    monkeypatch.setattr(server, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(server.log_limit, "limit", lambda: None)
    monkeypatch.setattr(server.connections, "watch", lambda: None)
    asyncio.run(scene())
    assert done[:4] == ["ready", "again", "again", "again"]
    assert "could not be made ready" in caplog.text


@pytest.mark.parametrize(("made", "ready", "warmed"), [(1, False, 1), (1, True, 0), (0, False, 0)])
def test_retrying_only_concerns_a_failed_model(
    monkeypatch: pytest.MonkeyPatch, made: int, ready: bool, warmed: int
) -> None:
    class Queue:
        count = 0

        def prepare(self, *_: object) -> None:
            self.count += 1

    class Made:
        def __init__(self) -> None:
            self.queue = Queue()

        def __call__(self) -> Queue:
            return self.queue

        def cache_info(self) -> Any:
            return type("Info", (), {"currsize": made})

    monkeypatch.setattr(shared_queue, "_queue", there := Made())
    monkeypatch.setattr(shared_queue, "health", lambda: Health(ready, ""))
    shared_queue.try_again()
    assert there.queue.count == warmed
