"""Answers leave in pieces, so that one nobody reads takes no memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PIECE = 64 * 1024  # bytes: what the server holds back of a client that does not read


class Pieces:
    """Send large bodies piece by piece, each when the client has taken the last; and whole ones alone.

    Streamlit hands the server a picture or a download at once, and for a part of one (``Range``) a copy of its own. No
    page asks for parts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_in_pieces(message: Message) -> None:
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= _PIECE:
                await send(message)
                return
            whole = memoryview(body)
            for start in range(0, len(whole), _PIECE):
                more = start + _PIECE < len(whole) or message.get("more_body", False)
                await send({**message, "body": bytes(whole[start : start + _PIECE]), "more_body": more})

        whole_only = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._app({**scope, "headers": whole_only}, receive, send_in_pieces)
