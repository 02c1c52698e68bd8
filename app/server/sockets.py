"""Who may open a socket, whose session it may take up, and which messages it may send."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.server.sessions import Owners

logger = logging.getLogger(__name__)

#: What the page itself sends. Streamlit heeds others as well: ``clear_cache`` empties the caches of all users.
HEEDED = frozenset(
    {"rerun_script", "stop_script", "file_urls_request", "app_heartbeat", "backend_operation_request"}
)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared with, not bound to
_UNSUPPORTED, _TRY_AGAIN = 1003, 503  # closing code of RFC 6455 for text; HTTP status
_PROTOCOLS = "sec-websocket-protocol"


class SocketGuard:
    """Refuse sockets of other sites' pages and sessions of other browsers, and drop what a page never sends.

    Parameters
    ----------
    app : callable
        What serves the sockets.
    owners : Owners
        Which browser a session belongs to.
    most : int
        Sockets open at once.
    """

    def __init__(self, app: ASGIApp, owners: Owners, most: int) -> None:
        self._app, self._owners, self._most = app, owners, most
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if not same_origin(connection.headers):
            logger.warning("A page of another site asked for a socket. It was refused.")
            await _refuse(receive, send, 403)
        elif self._open >= self._most:
            logger.warning("A page was refused a socket: %d are open, the most there may be.", self._open)
            await _refuse(receive, send, _TRY_AGAIN)
        else:
            self._open += 1
            try:
                own = self._without_foreign_session(scope, connection)
                await self._app(own, _heeded(receive, send), self._remembering(send, connection))
            finally:
                self._open -= 1

    def _without_foreign_session(self, scope: Scope, connection: HTTPConnection) -> Scope:
        """The handshake, less the session it names where that is another browser's: it begins one of its own."""
        protocols = [entry.strip() for entry in connection.headers.get(_PROTOCOLS, "").split(",")]
        if len(protocols) < 3 or not protocols[2] or self._owners.may_use(protocols[2], connection):
            return scope
        logger.warning("A session was asked for by another browser than its own. It was refused.")
        own = {**scope, "headers": list(scope["headers"]), "subprotocols": scope.get("subprotocols", [])[:2]}
        MutableHeaders(scope=own)[_PROTOCOLS] = ", ".join(protocols[:2])
        return own

    def _remembering(self, send: Send, connection: HTTPConnection) -> Send:
        """Note whose the session is when the first message tells its id."""
        told = False

        async def send_and_note(message: Message) -> None:
            nonlocal told
            if not told and message["type"] == "websocket.send" and message.get("bytes"):
                sent = ForwardMsg.FromString(message["bytes"])
                if sent.WhichOneof("type") == "new_session":
                    told = True
                    self._owners.add(sent.new_session.initialize.session_id, connection)
            await send(message)

        return send_and_note


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a socket is asked for by the app's own page, or by one of a site that is named in the settings.

    Streamlit lets in pages of this very machine on any port as well, and asks an outside host for its own address
    to compare with.
    """
    origin = headers.get("origin")
    if origin is None or not config.get_option(
        "server.enableCORS"
    ):  # no browser; or whoever runs it wants all
        return True
    try:
        asking = urlsplit(origin)
        host = asking.hostname
    except ValueError:
        return False
    if asking.netloc.lower() == headers.get("host", "").lower() or origin in _named_origins():
        return True
    return host is not None and host not in _LOCAL and host in _named_hosts()


def _named_origins() -> list[str]:
    return [origin.strip() for origin in config.get_option("server.corsAllowedOrigins")]


def _named_hosts() -> set[str | None]:
    names = [*_named_origins(), config.get_option("browser.serverAddress")]
    return {urlsplit(name if "//" in name else f"//{name}").hostname for name in names}


async def _refuse(receive: Receive, send: Send, status: int) -> None:
    await receive()  # the request to connect
    headers: list[tuple[bytes, bytes]] = [(b"content-length", b"0")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})


def _heeded(receive: Receive, send: Send) -> Receive:
    """Messages the page sends; others are dropped, and a text ends the connection."""

    async def receive_heeded() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            data: Any = message.get("bytes")
            if data is None:
                logger.warning("A socket sent text. It was closed.")
                await send({"type": "websocket.close", "code": _UNSUPPORTED})
                return {"type": "websocket.disconnect", "code": _UNSUPPORTED, "reason": ""}
            try:
                kind = BackMsg.FromString(data).WhichOneof("type")
            except DecodeError:
                return message  # Streamlit ends the connection
            if kind in HEEDED:
                return message
            logger.warning("A socket sent a message that no page sends. It was ignored.")

    return receive_heeded
