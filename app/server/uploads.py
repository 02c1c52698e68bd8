"""How much may be uploaded: a file, a session, all of them."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from app import streamlit_patches
from app.server.sessions import Owners
from fcn_core import resources

logger = logging.getLogger(__name__)

_PATH = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")
_QUIET = 30.0  # seconds an upload may send nothing
_FILES = 3  # of a session: an upload, a photo, and one that is to take a place
_LARGE = 4 * 2**20  # bytes
_ARRIVALS = 32  # files on their way at once
_SHARE = 0.12  # of the memory budget, for files of all sessions
_GAVE_WAY = "Your picture gave way to newer ones: the server keeps only so many. Send it again."


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
    arrivals : int
        Files on their way.
    """

    files: int
    bytes: int
    stored: int
    arriving: int
    arrivals: int = _ARRIVALS

    @classmethod
    def from_settings(cls) -> Room:
        """What the memory budget and the largest upload allow."""
        file = int(config.get_option("server.maxUploadSize")) << 20
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

    session: str
    bytes: int = 0
    displaced: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, eq=False)
class _Kept:
    """An upload that came, and that its session holds still, deleted or not."""

    session: str
    file: str
    data: bytes

    @property
    def held(self) -> bool:
        """Whether anything but this holds the bytes: the page's picture stays when its file is deleted."""
        return len(self.data) > 1 and sys.getrefcount(self.data) > 2  # Python holds those of one byte itself


class UploadGuard:
    """Bound what sessions hold of their files and what is on its way, and let no file outlive its session.

    Where there is no room for a new file, the session that holds most gives up its oldest. A file on its way that is
    silent for half a minute is given up, and where those on their way are too many the oldest of the session that sends
    most.
    """

    def __init__(self, app: ASGIApp, owners: Owners, room: Room | None = None) -> None:
        self._app, self._owners = app, owners
        self._room = room
        self._arriving: dict[_Arrival, None] = {}  # oldest first
        self._kept: list[_Kept] = []  # oldest first

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
                resources.trim()

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
            if sum(arrival.bytes for arrival in coming) > self.room.arriving:
                session = _largest((arrival.session, arrival.bytes) for arrival in coming)
            elif len(coming) > self.room.arrivals:
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
        if not streamlit_patches.is_known(session):
            streamlit_patches.remove_session_files(session)
            raise _RefusedError(410, "The session is gone. Reload the page and send the file again.")
        stored = streamlit_patches.stored_files()
        new = _Kept(session, file, stored[session][file].data)
        self._kept = [old for old in self._kept if old.held and streamlit_patches.is_known(old.session)]
        while len(own := stored[session]) > self.room.files:
            oldest = next(other for other in own if other != file)
            self._let_go(_Kept(session, oldest, own[oldest].data))
        self._make_room(self.room.bytes - len(new.data), session)
        self._make_room(self.room.stored - len(new.data))
        self._kept.append(new)

    def _make_room(self, most: int, of: str | None = None) -> None:
        """Let files go until those of a session, or of all, hold no more than so many bytes."""
        while kept := [old for old in self._kept if of in (None, old.session)]:
            if sum(len(old.data) for old in kept) <= most:
                return
            session = of or _largest((old.session, len(old.data)) for old in kept)
            self._let_go(next(old for old in kept if old.session == session))

    def _let_go(self, old: _Kept) -> None:
        self._kept = [kept for kept in self._kept if kept.data is not old.data]
        streamlit_patches.remove_file(old.session, old.file, old.data, _GAVE_WAY)
        logger.warning("A file gave way to a newer one: files may take %d MB in all.", self.room.stored >> 20)


def _largest(amounts: Iterable[tuple[str, int]]) -> str:
    """Whose amounts are most in all."""
    counts: Counter[str] = Counter()
    for of, amount in amounts:
        counts[of] += amount
    return counts.most_common(1)[0][0]
