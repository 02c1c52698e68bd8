"""How much may be uploaded: a file, a session, all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime

from app import streamlit_patches
from app.server.sessions import Owners
from fcn_core import resources
from fcn_core.images import Limits

logger = logging.getLogger(__name__)

_PATH = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")
_QUIET = 30.0  # seconds an upload may send nothing
_FILES = 3  # of a session: an upload, a photo, and one that is to take a place
_SHARE = 0.12  # of the memory budget, for files of all sessions


@dataclass(frozen=True)
class Room:
    """What files may take, in bytes and in number.

    Attributes
    ----------
    files, bytes : int
        Of one session.
    stored : int
        Bytes of all sessions' files.
    arriving : int
        Bytes of all files on their way, beside those stored.
    """

    files: int
    bytes: int
    stored: int
    arriving: int

    @classmethod
    def from_settings(cls) -> Room:
        """What the memory budget and the largest upload allow."""
        file = Limits.from_env().max_bytes
        stored = max(2 * file, int(_SHARE * resources.budget_mb() * 2**20))
        return cls(_FILES, 2 * file, stored, 2 * file)


class _RefusedError(Exception):
    """An upload that is not let in, with the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(eq=False)
class _Arrival:
    """An upload on its way."""

    bytes: int = 0
    displaced: asyncio.Event = field(default_factory=asyncio.Event)


class UploadGuard:
    """Bound what sessions store and what is on its way, and let no file outlive its session.

    Where there is no room for a new file, the session that holds most gives up its oldest. A file on its way that is
    silent for half a minute, or the oldest where those on their way are too many, is given up.
    """

    def __init__(self, app: ASGIApp, owners: Owners, room: Room | None = None) -> None:
        self._app, self._owners = app, owners
        self._room = room
        self._arriving: dict[_Arrival, None] = {}  # oldest first

    @property
    def room(self) -> Room:
        """What there is room for."""
        if self._room is None:
            self._room = Room.from_settings()
        return self._room

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
        arrival = _Arrival()
        self._arriving[arrival] = None
        begun = False

        async def bounded_receive() -> Message:
            message = await self._next(arrival, receive)
            arrival.bytes += len(message.get("body", b""))
            self._displace(arrival)
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
        finally:
            del self._arriving[arrival]

    async def _next(self, arrival: _Arrival, receive: Receive) -> Message:
        """The next part of a file, unless it stays away or the file has to give way."""
        part = asyncio.ensure_future(receive())
        displaced = asyncio.ensure_future(arrival.displaced.wait())
        try:
            await asyncio.wait((part, displaced), timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
            if arrival.displaced.is_set():
                raise _RefusedError(503, "Too many files arrive at once. Send this one again in a minute.")
            if not part.done():
                raise _RefusedError(408, f"Nothing of the file came for {_QUIET:.0f} seconds. Send it again.")
            return part.result()
        finally:
            part.cancel()
            displaced.cancel()

    def _displace(self, newest: _Arrival) -> None:
        """Have the oldest on their way give way to the others where they are too many."""
        while sum(a.bytes for a in self._arriving if not a.displaced.is_set()) > self.room.arriving:
            oldest = next(a for a in self._arriving if not a.displaced.is_set())
            oldest.displaced.set()
            if oldest is newest:
                break

    def _keep(self, session: str, file: str) -> None:
        """Let a file that has arrived stay, and those go that it takes the place of.

        Raises
        ------
        _RefusedError
            Its session is gone.
        """
        if not streamlit_patches.is_known(session):
            runtime.get_instance().uploaded_file_mgr.remove_session_files(session)
            raise _RefusedError(410, "The session is gone. Reload the page and send the file again.")
        stored = streamlit_patches.stored_files()

        def size(of: str) -> int:
            return sum(len(record.data) for record in stored.get(of, {}).values())

        own = stored[session]
        while len(own) > self.room.files or size(session) > self.room.bytes:
            streamlit_patches.remove_file(session, next(old for old in own if old != file))
        while sum(map(size, list(stored))) > self.room.stored:
            others = {
                of: [f for f in held if (of, f) != (session, file)] for of, held in list(stored.items())
            }
            holder = max((of for of, held in others.items() if held), key=size)
            streamlit_patches.remove_file(holder, others[holder][0])
            logger.warning(
                "A file gave way to a newer one: files may take %d MB in all.", self.room.stored >> 20
            )
