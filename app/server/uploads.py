"""Guard uploads: limit what a session and all sessions together may send and store."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import streamlit as st
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import streamlit_patches
from app.server.middleware import HTTPMiddleware
from app.server.sessions import Owners
from app.state import picture_files
from fcn_core.system import memory

logger = logging.getLogger(__name__)

REFUSED = "X-Refused"  # header of an answer that says in words, to users, why a file was refused
_FULL = "Refused, because the server is receiving more than it has memory for. Choose again in a minute."
_PATH = re.compile(streamlit_patches.UPLOAD_PATH)
_TIMEOUT = 30.0  # seconds without data after which an upload is aborted
_LARGE = 4 * 2**20  # bytes
_MOST_UPLOADS = 64  # at the same time: a browser may send fifty files of the page Many together


class _UploadRefusedError(Exception):
    """An upload that is refused, with the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(eq=False)
class _Upload:
    """An upload in progress."""

    session: str
    bytes: int = 0
    evicted: asyncio.Event = field(default_factory=asyncio.Event)


class UploadGuard(HTTPMiddleware):
    """Limit the files that are stored and in progress, and remove files with their session.

    An upload that sends nothing for half a minute is aborted. If the uploads in progress are too many, or exceed twice
    the bytes that one file may have, the oldest of the session that sends most is aborted.
    """

    def __init__(self, app: ASGIApp, owners: Owners, most_uploads: int = _MOST_UPLOADS) -> None:
        super().__init__(app)
        self._owners, self._most_uploads = owners, most_uploads
        self._uploads: dict[_Upload, None] = {}  # oldest first

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        match = _PATH.search(scope["path"])
        if match is None or scope["method"] not in ("PUT", "DELETE"):
            await self._app(scope, receive, send)
            return
        session, file = match.groups()
        if not self._owners.may_use(session, HTTPConnection(scope)):
            await PlainTextResponse("This session belongs to another browser.", 403)(scope, receive, send)
        elif scope["method"] == "DELETE":
            await self._app(scope, receive, send)
        else:
            await self._put(session, file, scope, receive, send)

    async def _put(self, session: str, file: str, scope: Scope, receive: Receive, send: Send) -> None:
        upload = _Upload(session)
        self._uploads[upload] = None
        started = False

        async def limited_receive() -> Message:
            message = await self._next(upload, receive)
            upload.bytes += len(message.get("body", b""))
            self._evict()
            if upload.evicted.is_set():
                raise _UploadRefusedError(503, _FULL)
            return message

        async def send_after_storing(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._make_room(session, file)
            started = True
            await send(message)

        try:
            await self._app(scope, limited_receive, send_after_storing)
        except _UploadRefusedError as refused:
            logger.warning("An upload was refused (%d): %s", refused.status, refused.reason)
            if not started:
                headers = {REFUSED: "1"} | ({"Connection": "close"} if refused.status == 408 else {})
                await PlainTextResponse(refused.reason, refused.status, headers)(scope, receive, send)
        except ClientDisconnect:
            pass  # there is nobody to answer
        finally:
            del self._uploads[upload]
            if upload.bytes > _LARGE:  # two copies existed while it was read; small files reuse freed memory
                memory.trim_heap()

    async def _next(self, upload: _Upload, receive: Receive) -> Message:
        """Return the next part of a file, unless the upload is evicted or sends nothing.

        Raises
        ------
        _UploadRefusedError
            Nothing arrived in time.
        """
        part = asyncio.ensure_future(receive())
        evicted = asyncio.ensure_future(upload.evicted.wait())
        try:
            await asyncio.wait((part, evicted), timeout=_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if upload.evicted.is_set():
                return {"type": "http.request", "body": b"", "more_body": True}
            if not part.done():
                raise _UploadRefusedError(
                    408, f"Nothing of it arrived for {_TIMEOUT:.0f} seconds. Choose it again."
                )
            return part.result()
        finally:
            part.cancel()
            evicted.cancel()

    def _evict(self) -> None:
        """Evict the oldest upload of the session that sends most until the rest is within the limits."""
        while True:
            coming = [upload for upload in self._uploads if not upload.evicted.is_set()]
            largest_file = int(st.get_option("server.maxUploadSize")) << 20
            if sum(upload.bytes for upload in coming) > 2 * largest_file:
                session = _largest((upload.session, upload.bytes) for upload in coming)
            elif len(coming) > self._most_uploads:
                session = _largest((upload.session, 1) for upload in coming)
            else:
                return
            next(upload for upload in coming if upload.session == session).evicted.set()

    def _make_room(self, session: str, file: str) -> None:
        """Keep a file that has arrived, and evict older ones if there is no memory for all.

        Raises
        ------
        _UploadRefusedError
            The file's session has ended.
        """
        store = streamlit_patches.upload_store()
        if not streamlit_patches.is_known(session):
            store.remove_session_files(session)
            raise _UploadRefusedError(410, "The session has ended. Reload the page and choose it again.")
        picture_files.evict_files(store, session, file)


def _largest(amounts: Iterable[tuple[str, int]]) -> str:
    """Return the key with the largest sum of amounts."""
    sums: Counter[str] = Counter()
    for key, amount in amounts:
        sums[key] += amount
    return sums.most_common(1)[0][0]
