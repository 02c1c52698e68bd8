"""Large answers leave in pieces, and whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.server import answers
from tests.app.server.asgi import Client, answering, scope


@pytest.mark.parametrize("size", [0, 1, answers._PIECE, answers._PIECE + 1, 10 * answers._PIECE])
def test_no_piece_is_large_and_none_is_lost(size: int) -> None:
    body, client = bytes(i % 251 for i in range(size)), Client()
    asyncio.run(answers.Pieces(answering(body=body))(scope(), client.receive, client.send))
    pieces = [m for m in client.sent if m["type"] == "http.response.body"]
    assert client.body == body
    assert all(len(piece["body"]) <= answers._PIECE for piece in pieces)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_an_answer_that_goes_on_goes_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, False):
            await send({"type": "http.response.body", "body": bytes(2 * answers._PIECE), "more_body": more})

    client = Client()
    asyncio.run(answers.Pieces(app)(scope(), client.receive, client.send))
    assert [m["more_body"] for m in client.sent[1:]] == [True, True, True, False]


def test_nobody_is_served_parts() -> None:
    asked: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(dict(scope["headers"]))

    client = Client()
    asyncio.run(answers.Pieces(app)(scope(range="bytes=1-", accept="*"), client.receive, client.send))
    assert asked == [{b"accept": b"*"}]
