"""How much may be uploaded: a file, a session, all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, runtime

from app import streamlit_patches
from app.server.sessions import Owners
from app.state import picture_files
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_PATH = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")
_QUIET = 30.0  # seconds an upload may send nothing
_LARGE = 4 * 2**20  # bytes
_ARRIVALS = 32  # files on their way at once


class _RefusedError(Exception):
    """An upload that is not let in, with the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(eq=False)
class _Arrival:
    """An upload on its way."""

    session: str
    bytes: int = 0
    displaced: asyncio.Event = field(default_factory=asyncio.Event)


class UploadGuard:
    """Bound what sessions store and what is on its way, and let no file outlive its session.

    A file on its way that is silent for half a minute is given up, and where those on their way are too many, in number
    or of more than twice the bytes a file may have, the oldest of the session that sends most.
    """

    def __init__(self, app: ASGIApp, owners: Owners, arrivals: int = _ARRIVALS) -> None:
        self._app, self._owners, self._arrivals = app, owners, arrivals
        self._arriving: dict[_Arrival, None] = {}  # oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        match = _PATH.search(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] not in ("PUT", "DELETE"):
            await self._app(scope, receive, send)
            return
        session, file = match.groups()
        if not self._owners.may_use(session, HTTPConnection(scope)):
            await PlainTextResponse("This session is another browser's.", 403)(scope, receive, send)
        elif scope["method"] == "DELETE":
            await self._app(scope, receive, send)
        else:
            await self._put(session, file, scope, receive, send)

    async def _put(self, session: str, file: str, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = _Arrival(session)
        self._arriving[arrival] = None
        begun = False

        async def bounded_receive() -> Message:
            message = await self._next(arrival, receive)
            arrival.bytes += len(message.get("body", b""))
            self._displace()
            if arrival.displaced.is_set():
                raise _RefusedError(503, "Too many files arrive at once. Send this one again in a minute.")
            return message

        async def send_once_kept(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._keep(session, file)
            begun = True
            await send(message)

        try:
            await self._app(scope, bounded_receive, send_once_kept)
        except _RefusedError as refused:
            logger.warning("An upload was refused (%d): %s", refused.status, refused.reason)
            if not begun:
                headers = {"Connection": "close"} if refused.status == 408 else None
                await PlainTextResponse(refused.reason, refused.status, headers)(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to hear of it
        finally:
            del self._arriving[arrival]
            if (
                arrival.bytes > _LARGE
            ):  # it was there twice while it was read; smaller ones make room for others
                memory.trim_heap()

    async def _next(self, arrival: _Arrival, receive: Receive) -> Message:
        """The next part of a file, unless it stays away or the file has to give way."""
        part = asyncio.ensure_future(receive())
        displaced = asyncio.ensure_future(arrival.displaced.wait())
        try:
            await asyncio.wait((part, displaced), timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
            if arrival.displaced.is_set():
                return {"type": "http.request", "body": b"", "more_body": True}
            if not part.done():
                raise _RefusedError(408, f"Nothing of the file came for {_QUIET:.0f} seconds. Send it again.")
            return part.result()
        finally:
            part.cancel()
            displaced.cancel()

    def _displace(self) -> None:
        """Have the oldest of who sends most give way to the others where those on their way are too many."""
        while True:
            coming = [arrival for arrival in self._arriving if not arrival.displaced.is_set()]
            if sum(arrival.bytes for arrival in coming) > 2 * (
                int(config.get_option("server.maxUploadSize")) << 20
            ):
                session = _largest((arrival.session, arrival.bytes) for arrival in coming)
            elif len(coming) > self._arrivals:
                session = _largest((arrival.session, 1) for arrival in coming)
            else:
                return
            next(arrival for arrival in coming if arrival.session == session).displaced.set()

    def _keep(self, session: str, file: str) -> None:
        """Let a file that has arrived stay, and those go that it takes the place of.

        Raises
        ------
        _RefusedError
            Its session is gone.
        """
        store = runtime.get_instance().uploaded_file_mgr
        if not streamlit_patches.is_known(session):
            store.remove_session_files(session)
            raise _RefusedError(410, "The session is gone. Reload the page and send the file again.")
        picture_files.evict_files(store, session, file)


def _largest(amounts: Iterable[tuple[str, int]]) -> str:
    """Whose amounts are most in all."""
    counts: Counter[str] = Counter()
    for of, amount in amounts:
        counts[of] += amount
    return counts.most_common(1)[0][0]
