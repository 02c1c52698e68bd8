"""Who may open a socket, whose session it may take up, and which messages it may send."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
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

from app import streamlit_patches
from app.server.sessions import Owners
from app.server.turns import Turn, Turns

logger = logging.getLogger(__name__)

_RUN = "rerun_script"
_OPERATION = "backend_operation_request"  # a download that is made when asked for
#: What the page itself sends. Streamlit heeds others as well: ``clear_cache`` empties the caches of all users.
HEEDED = frozenset({_RUN, "stop_script", "file_urls_request", "app_heartbeat", _OPERATION})
_FILES_ASKED = 10  # addresses of files asked for at once; the answer is many times the question
_READ = 16 * 1024  # bytes: messages of the server beyond are none that are looked for
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared with, not bound to
_LONGEST = 100_000  # bytes of a message; a page's own are below a tenth of that
_UNANSWERED = 100  # messages of a page that may wait for their turn
_WAITING = 5 * _LONGEST  # bytes of these
# Closing codes of RFC 6455.
_PROTOCOL_ERROR, _UNSUPPORTED, _POLICY, _TOO_BIG, _TRY_AGAIN_LATER = 1002, 1003, 1008, 1009, 1013
_PROTOCOLS = "sec-websocket-protocol"


class SocketGuard:
    """Refuse sockets of other sites' pages and sessions of other browsers, and drop what a page never sends.

    Where as many sockets are open as there may be, the address that has most of them gives up its oldest for one of an
    address that has fewer.

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
        self._open: dict[asyncio.Task[Any], str] = {}  # oldest first, with the address
        self._given_up: set[asyncio.Task[Any]] = set()
        self._runs = Turns(at_once=4, longest=3.0, spacing=0.25)
        self._files = Turns(at_once=2, longest=60.0, spacing=60.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        address = connection.client.host if connection.client else ""
        if not same_origin(connection.headers):
            logger.warning("A page of another site asked for a socket. It was refused.")
            await _refuse(receive, send)
        elif not self._has_room(address):
            logger.warning("A page was refused a socket: %d are open, the most there may be.", self._most)
            await _refuse(receive, send)
        else:
            await self._serve(scope, receive, send, address)

    def _has_room(self, address: str) -> bool:
        """Whether a socket may be opened, after one was given up for it where that is due."""
        if len(self._open) - len(self._given_up) < self._most:
            return True
        having = Counter(at for task, at in self._open.items() if task not in self._given_up)
        most, count = having.most_common(1)[0]
        if having[address] + 1 >= count:
            return False
        oldest = next(task for task, at in self._open.items() if at == most and task not in self._given_up)
        self._given_up.add(oldest)
        oldest.cancel()
        logger.warning("A socket was closed for one of another address: %d may be open.", self._most)
        return True

    async def _serve(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        connection, task = HTTPConnection(scope), asyncio.current_task()
        if task is None:
            raise RuntimeError("A server runs each socket in a task of its own.")
        page = _Page(receive, send, Turn(self._runs), Turn(self._files))
        own = self._without_foreign_session(scope, connection)
        self._open[task] = address
        try:
            await self._app(own, page.receive, self._watching(page, send, connection))
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        finally:
            del self._open[task]
            self._given_up.discard(task)
            page.end()

    def _without_foreign_session(self, scope: Scope, connection: HTTPConnection) -> Scope:
        """The handshake, less the session it names where that is another browser's: it begins one of its own."""
        protocols = [entry.strip() for entry in connection.headers.get(_PROTOCOLS, "").split(",")]
        if len(protocols) < 3 or not protocols[2] or self._owners.may_use(protocols[2], connection):
            return scope
        logger.warning("A session was asked for by another browser than its own. It was refused.")
        own = {**scope, "headers": list(scope["headers"]), "subprotocols": scope.get("subprotocols", [])[:2]}
        MutableHeaders(scope=own)[_PROTOCOLS] = ", ".join(protocols[:2])
        return own

    def _watching(self, page: _Page, send: Send, connection: HTTPConnection) -> Send:
        """Note whose the session is when the first message tells its id, and when what was asked for is done."""
        told = False

        async def send_and_note(message: Message) -> None:
            nonlocal told
            data = message.get("bytes") if message["type"] == "websocket.send" else None
            if data and (not told or len(data) <= _READ):
                sent = ForwardMsg.FromString(data)
                kind = sent.WhichOneof("type")
                if kind == "new_session" and not told:
                    told = True
                    self._owners.add(sent.new_session.initialize.session_id, connection)
                page.note(kind)
            if page.is_gone:
                raise OSError("The socket is closed.")  # as of a client that has gone
            await send(message)

        return send_and_note


class _Page:
    """What a page asks for, in turn with others."""

    def __init__(self, receive: Receive, send: Send, run: Turn, file: Turn) -> None:
        self._receive, self._send = receive, send
        self._turns = {_RUN: run, _OPERATION: file}
        self._asked: asyncio.Queue[tuple[Message, str]] = asyncio.Queue()
        self._waiting = 0  # bytes of these
        self._gone: Message | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it was closed."""
        return self._gone is not None

    def end(self) -> None:
        """Nothing more is done for it."""
        if self._reading is not None:
            self._reading.cancel()
        for turn in self._turns.values():
            turn.end()

    def note(self, kind: str | None) -> None:
        """A message leaves for it."""
        if kind == "script_finished":
            self._turns[_RUN].end()
        elif kind == "backend_operation_response":
            self._turns[_OPERATION].end()

    async def receive(self) -> Message:
        """The next message that pages send, when its turn has come; of one that has gone, nothing that waits."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        message, kind = await self._asked.get()
        if self._gone is None and kind in self._turns:
            await self._turns[kind].begin()
            streamlit_patches.relieve()
        self._waiting -= _size(message)
        return self._gone or message

    async def _read(self) -> None:
        """Take what comes as it comes, so that the end is seen at once."""
        while self._gone is None:
            message = await self._receive()
            if message["type"] == "websocket.receive":
                kind = self._judge(message)
                if isinstance(kind, int):
                    await self._send({"type": "websocket.close", "code": kind})
                    self._gone = {"type": "websocket.disconnect", "code": kind, "reason": ""}
                if kind is not None:
                    self._waiting += _size(message)
                    self._asked.put_nowait((message, str(kind)))
            else:
                if message["type"] == "websocket.disconnect":
                    self._gone = message
                self._asked.put_nowait((message, ""))
            await asyncio.sleep(0)  # others have the loop in between

    def _judge(self, message: Message) -> str | int | None:
        """A message's kind; None where no page sends such, the code to end the connection with where that is due."""
        data = message.get("bytes")
        if data is None:
            logger.warning("A socket sent text. It was closed.")
            return _UNSUPPORTED
        if len(data) > longest_message():
            logger.warning("A socket sent a message of %d bytes. It was closed.", len(data))
            return _TOO_BIG
        if self._asked.qsize() >= _UNANSWERED or self._waiting + len(data) > _WAITING:
            logger.warning("A socket sent more than can be answered. It was closed.")
            return _POLICY
        try:
            asked = BackMsg.FromString(data)
        except DecodeError:
            logger.warning("A socket sent what is no message. It was closed.")
            return _PROTOCOL_ERROR
        kind: str | None = asked.WhichOneof("type")
        if (
            kind not in HEEDED
            or len(asked.file_urls_request.file_names) > _FILES_ASKED
            or (
                kind == _OPERATION
                and asked.backend_operation_request.WhichOneof("payload") != "deferred_file"
            )
        ):
            logger.warning("A socket sent a message that no page sends. It was ignored.")
            return None
        return kind


def _size(message: Message) -> int:
    return len(message.get("bytes") or b"")


def longest_message() -> int:
    """Bytes a page may send at once. Streamlit knows whole megabytes alone, and a run makes several times as many."""
    return min(_LONGEST, int(config.get_option("server.maxWidgetStateSize")) * 10**6)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a socket is asked for by the app's own page, or by one of a site that is named in the settings.

    Streamlit lets in pages of this very machine on any port as well, and asks an outside host for its own address
    to compare with.
    """
    origin = headers.get("origin")
    if origin is None or not config.get_option("server.enableCORS"):
        return True  # no browser; or whoever runs it wants all
    try:
        asking = urlsplit(origin)
        host = asking.hostname
    except ValueError:
        return False
    if host is None:
        return False
    if asking.netloc.lower() == headers.get("host", "").lower() or origin in _named_origins():
        return True
    return host not in _LOCAL and host in _named_hosts()


def _named_origins() -> list[str]:
    return [origin.strip() for origin in config.get_option("server.corsAllowedOrigins")]


def _named_hosts() -> set[str | None]:
    names = [name for name in (*_named_origins(), config.get_option("browser.serverAddress")) if name]
    whole = [
        name if "//" in name else f"//[{name}]" if name.count(":") > 1 else f"//{name}" for name in names
    ]
    return {urlsplit(name).hostname for name in whole}


async def _refuse(receive: Receive, send: Send) -> None:
    await receive()  # the request to connect
    await send({"type": "websocket.close", "code": _POLICY})  # the server answers 403
