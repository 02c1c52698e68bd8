"""Large responses are sent in chunks, and completely."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.server.chunked_responses import _CHUNK, ChunkedResponses
from tests.app.server.asgi import Client, answering, scope


@pytest.mark.parametrize("size", [0, 1, _CHUNK, _CHUNK + 1, 10 * _CHUNK])
def test_chunks_are_small_and_complete(size: int) -> None:
    body, client = bytes(i % 251 for i in range(size)), Client()
    asyncio.run(ChunkedResponses(answering(body=body))(scope(), client.receive, client.send))
    chunks = [m for m in client.sent if m["type"] == "http.response.body"]
    assert client.body == body
    assert all(len(chunk["body"]) <= _CHUNK for chunk in chunks)
    assert [chunk.get("more_body", False) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


def test_a_streamed_response_stays_open_until_its_last_chunk() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, False):
            await send({"type": "http.response.body", "body": bytes(2 * _CHUNK), "more_body": more})

    client = Client()
    asyncio.run(ChunkedResponses(app)(scope(), client.receive, client.send))
    assert [m["more_body"] for m in client.sent[1:]] == [True, True, True, False]


def test_range_requests_are_answered_whole() -> None:
    asked: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(dict(scope["headers"]))

    client = Client()
    asyncio.run(ChunkedResponses(app)(scope(range="bytes=1-", accept="*"), client.receive, client.send))
    assert asked == [{b"accept": b"*"}]
