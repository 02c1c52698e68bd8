"""Send responses in chunks, so that a response that nobody reads uses no memory."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send

from app.server.middleware import HTTPMiddleware

_CHUNK = 64 * 1024  # bytes that the server buffers for a client that does not read


class ChunkedResponses(HTTPMiddleware):
    """Send large bodies in chunks, each after the client has accepted the one before, and never partial content.

    Streamlit passes a picture or download to the server in one message, and for a ``Range`` request a copy of the part.
    No page requests ranges, so the header is removed.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""

        async def send_in_chunks(message: Message) -> None:
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= _CHUNK:
                await send(message)
                return
            whole = memoryview(body)
            for start in range(0, len(whole), _CHUNK):
                more = start + _CHUNK < len(whole) or message.get("more_body", False)
                await send({**message, "body": bytes(whole[start : start + _CHUNK]), "more_body": more})

        without_range = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._app({**scope, "headers": without_range}, receive, send_in_chunks)
