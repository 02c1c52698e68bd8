"""Guard WebSockets: who may open one, which session it may resume, and which messages it may send."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from google.protobuf.message import DecodeError
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.server import page_memory
from app.server.sessions import Owners
from app.server.work_slots import PageSlot, WorkSlots
from app.streamlit_patches import SESSION_SUBPROTOCOL, BackMsg, ForwardMsg

logger = logging.getLogger(__name__)

_RUN = "rerun_script"
_OPERATION = "backend_operation_request"  # a download that is created on request
# What the app's pages send. Streamlit accepts more: "clear_cache" empties the caches of all users.
ACCEPTED = frozenset({_RUN, "stop_script", "file_urls_request", "app_heartbeat", _OPERATION})
_MOST_FILE_URLS = (
    200  # upload addresses per request, of the page Many; the answer is many times longer than the request
)
_DECODED = 16 * 1024  # bytes; longer messages of the server are not decoded here
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared with, not bound to
_LONGEST = 100_000  # bytes of a message; the pages' own messages are below a tenth of that
_MOST_QUEUED = 100  # messages of a page that wait for a slot
_QUEUED_BYTES = 5 * _LONGEST
# Closing codes of RFC 6455.
_PROTOCOL_ERROR, _UNSUPPORTED, _POLICY, _TOO_BIG, _TRY_AGAIN_LATER = 1002, 1003, 1008, 1009, 1013
_SUBPROTOCOLS = "sec-websocket-protocol"


class SocketGuard:
    """Refuse sockets of other sites and sessions of other browsers, and drop messages that no page sends.

    If the maximum of sockets is open, a new one replaces the oldest of the address with most sockets, provided that its
    own address has fewer.

    Parameters
    ----------
    app : callable
        The ASGI application that serves the sockets.
    owners : Owners
        Which browser a session belongs to.
    most : int
        Maximum of open sockets.
    """

    def __init__(self, app: ASGIApp, owners: Owners, most: int) -> None:
        self._app, self._owners, self._most = app, owners, most
        self._open: dict[asyncio.Task[Any], str] = {}  # oldest first, with the client's address
        self._evicted: set[asyncio.Task[Any]] = set()
        self._runs = WorkSlots(at_once=4, longest=3.0, spacing=0.25)
        self._downloads = WorkSlots(at_once=1, longest=60.0, spacing=60.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI defines it."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        address = connection.client.host if connection.client else ""
        if not same_origin(connection.headers):
            logger.warning("A socket was refused: another site requested it.")
            await _refuse(receive, send)
        elif not self._make_room(address):
            logger.warning("A socket was refused: %d are open, which is the maximum.", self._most)
            await _refuse(receive, send)
        else:
            await self._serve(scope, receive, send, address)

    def _make_room(self, address: str) -> bool:
        """Return whether a socket may be opened, after evicting another for it if needed."""
        if len(self._open) - len(self._evicted) < self._most:
            return True
        counts = Counter(at for task, at in self._open.items() if task not in self._evicted)
        largest, count = counts.most_common(1)[0]
        if counts[address] + 1 >= count:
            return False
        oldest = next(task for task, at in self._open.items() if at == largest and task not in self._evicted)
        self._evicted.add(oldest)
        oldest.cancel()
        logger.warning("A socket was closed for one of another address: at most %d may be open.", self._most)
        return True

    async def _serve(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        connection, task = HTTPConnection(scope), asyncio.current_task()
        if task is None:
            raise RuntimeError("Expected each socket to run in its own task.")
        page = _Page(receive, send, PageSlot(self._runs), PageSlot(self._downloads))
        allowed = self._without_foreign_session(scope, connection)
        self._open[task] = address
        try:
            await self._app(allowed, page.receive, self._observed(page, send, connection))
        except asyncio.CancelledError:
            if task not in self._evicted:
                raise
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        finally:
            del self._open[task]
            self._evicted.discard(task)
            page.end()

    def _without_foreign_session(self, scope: Scope, connection: HTTPConnection) -> Scope:
        """Remove from the handshake a session of another browser, so that Streamlit starts a new session."""
        protocols = [entry.strip() for entry in connection.headers.get(_SUBPROTOCOLS, "").split(",")]
        session = protocols[SESSION_SUBPROTOCOL] if len(protocols) > SESSION_SUBPROTOCOL else ""
        if not session or self._owners.may_use(session, connection):
            return scope
        logger.warning("A socket may not resume a session of another browser. It gets a new session.")
        kept = scope.get("subprotocols", [])[:SESSION_SUBPROTOCOL]
        own = {**scope, "headers": list(scope["headers"]), "subprotocols": kept}
        MutableHeaders(scope=own)[_SUBPROTOCOLS] = ", ".join(protocols[:SESSION_SUBPROTOCOL])
        return own

    def _observed(self, page: _Page, send: Send, connection: HTTPConnection) -> Send:
        """Wrap `send` to learn the session's id from its first message, and when a page's work is done."""
        known = False

        async def observed_send(message: Message) -> None:
            nonlocal known
            data = message.get("bytes") if message["type"] == "websocket.send" else None
            if data and (not known or len(data) <= _DECODED):
                sent = ForwardMsg.FromString(data)
                kind = sent.WhichOneof("type")
                if kind == "new_session" and not known:
                    known = True
                    self._owners.add(sent.new_session.initialize.session_id, connection)
                page.release(kind)
            if page.closed:
                raise OSError("The socket is closed.")  # what servers raise when the client has gone
            await send(message)

        return observed_send


class _Page:
    """The messages of one page, which wait for the page's slots."""

    def __init__(self, receive: Receive, send: Send, run: PageSlot, download: PageSlot) -> None:
        self._receive, self._send = receive, send
        self._slots = {_RUN: run, _OPERATION: download}
        self._queue: asyncio.Queue[tuple[Message, str]] = asyncio.Queue()
        self._queued_bytes = 0
        self._disconnect: Message | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether the client has gone or was disconnected."""
        return self._disconnect is not None

    def end(self) -> None:
        """Stop reading, and release the slots."""
        if self._reader is not None:
            self._reader.cancel()
        for slot in self._slots.values():
            slot.release()

    def release(self, kind: str | None) -> None:
        """Release a slot if a message of this kind, sent to the page, says that the work is done."""
        if kind == "script_finished":
            self._slots[_RUN].release()
        elif kind == "backend_operation_response":
            self._slots[_OPERATION].release()

    async def receive(self) -> Message:
        """Return the page's next message once it has a slot; a disconnect replaces all queued messages."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        message, kind = await self._queue.get()
        if self._disconnect is None and kind in self._slots:
            await self._slots[kind].acquire()
            page_memory.relieve()
        self._queued_bytes -= _size(message)
        return self._disconnect or message

    async def _read(self) -> None:
        """Read messages as they arrive, so that a disconnect is noticed at once."""
        while self._disconnect is None:
            message = await self._receive()
            if message["type"] == "websocket.receive":
                kind = self._judge(message)
                if isinstance(kind, int):
                    await self._send({"type": "websocket.close", "code": kind})
                    self._disconnect = {"type": "websocket.disconnect", "code": kind, "reason": ""}
                if kind is not None:
                    self._queued_bytes += _size(message)
                    self._queue.put_nowait((message, str(kind)))
            else:
                if message["type"] == "websocket.disconnect":
                    self._disconnect = message
                self._queue.put_nowait((message, ""))
            await asyncio.sleep(0)  # let other tasks run

    def _judge(self, message: Message) -> str | int | None:
        """Return a message's kind, None to ignore it, or the code to close the socket with."""
        data = message.get("bytes")
        if data is None:
            logger.warning("A socket was closed: it sent text.")
            return _UNSUPPORTED
        if len(data) > longest_message():
            logger.warning("A socket was closed: it sent a message of %d bytes.", len(data))
            return _TOO_BIG
        if self._queue.qsize() >= _MOST_QUEUED or self._queued_bytes + len(data) > _QUEUED_BYTES:
            logger.warning("A socket was closed: it sent messages faster than they can be answered.")
            return _POLICY
        try:
            asked = BackMsg.FromString(data)
        except DecodeError:
            logger.warning("A socket was closed: its message cannot be decoded.")
            return _PROTOCOL_ERROR
        kind: str | None = asked.WhichOneof("type")
        if (
            kind not in ACCEPTED
            or len(asked.file_urls_request.file_names) > _MOST_FILE_URLS
            or (
                kind == _OPERATION
                and asked.backend_operation_request.WhichOneof("payload") != "deferred_file"
            )
        ):
            logger.warning("A message was ignored: the app's pages do not send messages of this kind.")
            return None
        return kind


def _size(message: Message) -> int:
    return len(message.get("bytes") or b"")


def longest_message() -> int:
    """Return how many bytes a page may send in one message.

    Streamlit's own limit is in whole megabytes, and a script run needs several times the size of its message.
    """
    return min(_LONGEST, int(st.get_option("server.maxWidgetStateSize")) * 10**6)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a socket was requested by the app's own page, or by a site named in the settings.

    Streamlit would also accept pages of this machine on any port.
    """
    origin = headers.get("origin")
    if origin is None or not st.get_option("server.enableCORS"):
        return True  # not a browser; or the operator allows all sites
    try:
        asking = urlsplit(origin)
        host = asking.hostname
    except ValueError:
        return False
    if host is None:
        return False
    if asking.netloc.lower() == headers.get("host", "").lower() or origin in _allowed_origins():
        return True
    return host not in _LOCAL_HOSTS and host in _allowed_hosts()


def _allowed_origins() -> list[str]:
    return [origin.strip() for origin in st.get_option("server.corsAllowedOrigins")]


def _allowed_hosts() -> set[str | None]:
    names = [name for name in (*_allowed_origins(), st.get_option("browser.serverAddress")) if name]
    whole = [
        name if "//" in name else f"//[{name}]" if name.count(":") > 1 else f"//{name}" for name in names
    ]
    return {urlsplit(name).hostname for name in whole}


async def _refuse(receive: Receive, send: Send) -> None:
    await receive()  # the request to connect
    await send({"type": "websocket.close", "code": _POLICY})  # the server answers 403
