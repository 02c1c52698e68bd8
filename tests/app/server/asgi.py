"""ASGI scopes, clients and applications for tests without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Message = dict[str, Any]
App = Callable[..., Awaitable[None]]


def scope(kind: str = "http", path: str = "/", method: str = "GET", **headers: str) -> dict[str, Any]:
    """Return the scope of a request from this machine; header names have underscores for dashes."""
    return {
        "type": kind,
        "method": method,
        "path": path,
        "root_path": "",
        "client": ("127.0.0.1", 50000),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }


class Client:
    """The client of one request or socket."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self.messages.put_nowait(message)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return await self.messages.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return next((m["status"] for m in self.sent if m["type"] == "http.response.start"), None)

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.sent if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"] == "http.response.body")

    @property
    def closed(self) -> int | None:
        return next((m["code"] for m in self.sent if m["type"] == "websocket.close"), None)


def answering(status: int = 200, body: bytes = b"", **headers: str) -> App:
    """Return an application that gives this response to every request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body})

    return app


async def settled(rounds: int = 50) -> None:
    """Let all tasks run that can."""
    for _ in range(rounds):
        await asyncio.sleep(0)
