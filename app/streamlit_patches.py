"""Everything that uses private names of Streamlit, Starlette and Uvicorn, and nothing else.

Checked with Streamlit 1.67, Starlette 1.10 and Uvicorn 0.54. Each section says why no official way exists.
`tests/app/test_streamlit_patches.py` checks each private name, so its tests fail first when another version differs.

`st.App` officially accepts routes, middleware and a lifespan; `app/server` uses them where that is enough. Some
platforms start `streamlit_app.py` as a plain script, without `st.App`: the patches that protect privacy must work
there, too.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

import streamlit
from starlette.formparsers import MultiPartParser
from streamlit import config, net_util, runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import (
    DeletedFile,
    UploadedFile,
    UploadedFileManager,
    UploadedFileRec,
)
from streamlit.web.server.starlette import starlette_app_utils

from fcn_core import settings
from fcn_core.errors import SettingInvalid
from fcn_core.system import memory

# Classes that other modules name in annotations, and the messages on the wire. Streamlit documents none of them.
__all__ = ["BackMsg", "DeletedFile", "ForwardMsg", "UploadedFile", "UploadedFileManager", "UploadedFileRec"]

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 10.0  # between two searches for expired sessions


@cache
def apply() -> None:
    """Apply all patches; once a process."""
    _keep_uploads_in_memory()
    _set_upload_limit()
    _keep_upload_addresses()
    _keep_last_messages()
    _disable_address_lookups()
    threading.Thread(target=_drop_expired_sessions, name="expired-sessions", daemon=True).start()


# --- Paths and names of Streamlit's protocol ------------------------------------------------------------------------
# Streamlit 1.67 does not export them. The guards in `app/server` need them to recognise its requests.

XSRF_COOKIE = "_streamlit_xsrf"
UPLOAD_PATH = r"/_stcore/upload_file/([^/]+)/([^/]+)$"  # session id, file id
METRICS_PATH = "_stcore/metrics"
RESERVED_PATHS = frozenset({"_stcore", "static", "media", "component"})
SESSION_SUBPROTOCOL = 2  # position of the session id among a WebSocket's subprotocols


def page_html() -> str:
    """Return the HTML file that Streamlit sends for each page, with its inline scripts."""
    return (Path(streamlit.__file__).with_name("static") / "index.html").read_text(encoding="utf-8")


def xsrf_token(cookie: str | None) -> bytes | None:
    """Decode a browser's XSRF cookie, which is masked anew each time; None if it is missing or invalid."""
    if not cookie:
        return None
    token, _ = starlette_app_utils.decode_xsrf_token_string(cookie)
    return token or None


# --- Uploads --------------------------------------------------------------------------------------------------------


def _keep_uploads_in_memory() -> None:
    """Keep uploads out of temporary files.

    Starlette 1.10 spools parts above 1 MB to the disk. Its parser takes the limit from this class attribute alone, and
    Streamlit 1.67 does not pass the request through any code of the app.
    """
    MultiPartParser.spool_max_size = sys.maxsize


def _set_upload_limit() -> None:
    """Make `FCN_MAX_UPLOAD_MB`, if set, Streamlit's upload limit.

    ``st.set_option`` of Streamlit 1.67 refuses server options; they can be set before the start only.
    """
    if settings.MAX_UPLOAD_MB.given():
        with suppress(SettingInvalid):  # the page shows it
            config.set_option("server.maxUploadSize", settings.MAX_UPLOAD_MB.value())


def _keep_upload_addresses() -> None:
    """Deliver every answer to a browser that asks where to send a file.

    When a script run begins, Streamlit 1.67 clears the messages not sent yet, among them this answer, and the browser
    waits forever: a file chosen just as a result arrived was lost. No option or hook concerns the queue.

    Only a clear that retains messages is changed. Streamlit also clears the queue after sending it; messages retained
    then would be sent twice.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_others(queue: Any, retain_lifecycle_msgs: bool = False, **named: Any) -> None:
        pending = getattr(queue, "_queue", [])  # another version may name it differently
        answers = [m for m in pending if m.WhichOneof("type") == "file_urls_response"]
        clear(queue, retain_lifecycle_msgs, **named)
        if answers and retain_lifecycle_msgs:
            kept = {id(message) for message in queue._queue}
            queue._queue += [message for message in answers if id(message) not in kept]

    setattr(ForwardMsgQueue, "clear", clear_others)  # noqa: B010


def _keep_last_messages() -> None:
    """Deliver the last messages of a run before a part of the page runs again.

    A run is over in its thread some moments before the event loop has its last messages. If just then a part that looks
    again and again (``run_every``) asks for its next run, Streamlit 1.67 starts a new runner for it, and drops what the
    old one still had to say: what a click brought, or that the part is to look again. The page then stayed as it was,
    for ever. Streamlit knows this and helps itself only for parts that are gone.
    """
    create = AppSession._create_scriptrunner

    @wraps(create)
    def create_after_messages(session: Any, rerun_data: Any) -> None:
        ended = session._scriptrunner
        if ended is None or not rerun_data.fragment_id:
            create(session, rerun_data)
            return

        def later() -> None:
            now = session._scriptrunner
            if session._state is AppSessionState.SHUTDOWN_REQUESTED:
                return
            if now is None or now is ended:
                create(session, rerun_data)
            elif not now.request_rerun(rerun_data):  # of a run that began meanwhile, and has ended, too
                create_after_messages(session, rerun_data)

        session._event_loop.call_soon(later)  # all that the ended run has to say is in the loop before it

    setattr(AppSession, "_create_scriptrunner", create_after_messages)  # noqa: B010


def here() -> tuple[UploadedFileManager, str]:
    """Return the store of uploaded files and the id of the session whose script runs.

    Streamlit 1.67 has no public access to either; ``st.file_uploader`` can neither add nor remove a file.
    """
    context: Any = get_script_run_ctx()
    return context.uploaded_file_mgr, context.session_id


def upload_store() -> UploadedFileManager:
    """Return the running server's store of uploaded files."""
    return runtime.get_instance().uploaded_file_mgr


def stored_files(store: UploadedFileManager) -> dict[str, dict[str, UploadedFileRec]]:
    """Return a copy of the stored records by session id and file id."""
    files: Any = store
    return {session: dict(records) for session, records in list(files.file_storage.items())}


def add_file(store: UploadedFileManager, session: str, file: UploadedFileRec) -> None:
    """Store a file as if it had been uploaded."""
    files: Any = store
    files.add_file(session_id=session, file=file)


def remove_file(store: UploadedFileManager, session: str, file: str) -> None:
    """Remove a file from the store."""
    files: Any = store
    files.remove_file(session_id=session, file_id=file)


# --- Network --------------------------------------------------------------------------------------------------------


def _disable_address_lookups() -> None:
    """Prevent Streamlit from asking outside hosts for the server's address.

    Streamlit 1.67 does so to compare it with the origin of a WebSocket from another site. `SocketGuard` refuses such
    sockets earlier, but does not exist where the app runs as a plain script; no option disables the lookup.
    """

    def no_address() -> None:
        return None

    for name in ("get_external_ip", "get_internal_ip"):
        setattr(net_util, name, no_address)


# --- Sessions -------------------------------------------------------------------------------------------------------
# Streamlit 1.67 has no public access to other sessions than the one whose script runs.


def is_serving() -> bool:
    """Return whether a Streamlit server runs in this process."""
    return bool(runtime.exists())


def is_known(session: str) -> bool:
    """Return whether a session is connected or may reconnect. Call it in the server's event loop."""
    sessions: Any = runtime.get_instance()._session_mgr
    return sessions.is_active_session(session) or session in sessions._session_storage._cache


def clear_page_caches() -> None:
    """Clear the session-scoped caches of all sessions; pages recompute what they need. Call it in any thread.

    The official ``clear`` of a session-scoped cache reaches the current session only.
    """
    if not is_serving():
        return
    running: Any = runtime.get_instance()
    for info in list(running._session_mgr.list_active_sessions()):
        info.session.clear_session_caches()


def _drop_expired_sessions() -> None:
    """Drop sessions that did not reconnect within ``server.disconnectedSessionTTL``.

    Streamlit 1.67 drops them only when the next session closes, on a quiet server perhaps days later.
    """
    while True:
        time.sleep(_SWEEP_SECONDS)
        try:
            if is_serving():
                running: Any = runtime.get_instance()
                running._get_async_objs().eventloop.call_soon_threadsafe(
                    _drop_expired, running._session_mgr, running.uploaded_file_mgr
                )
        except RuntimeError:  # the server has not started yet, or is shutting down
            continue
        except AttributeError as error:  # another version of Streamlit
            logger.warning(
                "Expired sessions are dropped only when other sessions close: %s", type(error).__name__
            )
            return


_known: set[str] = set()  # sessions at the last sweep
_connected: set[str] = set()  # those of them with an open page


def _drop_expired(sessions: Any, files: Any) -> None:
    kept = sessions._session_storage._cache
    before = dict(kept._data)
    len(kept)  # a TTL cache drops expired entries when its length is read
    expired = [info.session for key, info in before.items() if key not in kept._data]
    for (
        session
    ) in expired:  # the event loop may keep a reference to the last one until another session closes
        session.shutdown()
        session.session_state.clear()
        session._fragment_storage.clear()
    connected = {info.session.id for info in sessions.list_active_sessions()}
    now = {*kept._data, *connected}
    orphans = [session for session in list(files.file_storage) if session not in now]
    for orphan in orphans:  # a file can arrive after its session has ended
        files.remove_session_files(orphan)
    if expired or orphans or _known - now or _connected - connected:
        before.clear()
        session = None
        expired.clear()
        _collect()
    for seen, there in ((_known, now), (_connected, connected)):
        seen.clear()
        seen.update(there)


def _collect() -> None:
    """Free the memory of dropped sessions: they and their pictures refer to each other."""
    gc.unfreeze()  # a frozen object may refer to a session
    gc.collect()
    gc.freeze()
    memory.trim_heap()


# --- History ----------------------------------------------------------------------------------------------------------


def is_history_navigation() -> bool:
    """Return whether the user went back or forward in the browser's history, which caused this run.

    Streamlit 1.67 uses it for widgets that are bound to the address; these lose their parameter while they are not
    drawn. ``st.query_params`` alone does not tell: a browser may send the address of some moments ago.
    """
    return bool(getattr(get_script_run_ctx(), "is_history_navigation", False))


# --- Connections ----------------------------------------------------------------------------------------------------

_HTTP_PROTOCOLS = (
    "uvicorn.protocols.http.h11_impl.H11Protocol",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
)


def watch_connections(found: Callable[[UvicornConnection], None], longest_message: int) -> None:
    """Report every new HTTP connection, and bound the messages that pages send.

    Uvicorn 0.54 waits forever for a request that does not arrive or is not complete; ``timeout_keep_alive`` starts
    after the first one. It also reads a whole WebSocket message before any middleware sees it, up to ``ws_max_size``.
    Streamlit 1.67 starts Uvicorn itself and sets that to what the server may send, which is much more than pages need.

    Parameters
    ----------
    found : callable
        Called with each new connection.
    longest_message : int
        Bytes of the longest message that a page may send.
    """
    for name in _HTTP_PROTOCOLS:
        module, _, kind = name.rpartition(".")
        try:
            protocol: Any = getattr(importlib.import_module(module), kind)
        except ImportError:  # this parser is not installed
            continue
        protocol.connection_made = _reporting(protocol.connection_made, found, longest_message)


def _reporting(
    made: Callable[..., None], found: Callable[[UvicornConnection], None], longest_message: int
) -> Callable[..., None]:
    @wraps(made)
    def made_and_reported(protocol: Any, transport: Any) -> None:
        protocol.config.ws_max_size = longest_message
        made(protocol, transport)
        found(UvicornConnection(protocol))

    return made_and_reported


class UvicornConnection:
    """An HTTP connection of Uvicorn."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    @property
    def open(self) -> bool:
        """Whether it is open and has not become a WebSocket."""
        return self._protocol in self._protocol.connections

    @property
    def idle(self) -> bool:
        """Whether no request is being answered on it."""
        return self._protocol.cycle is None or bool(self._protocol.cycle.response_complete)

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not accepted yet."""
        return int(self._protocol.transport.get_write_buffer_size())

    @property
    def progress(self) -> object:
        """A value that changes with each request and whenever data is sent."""
        return self._protocol.cycle, self.unsent

    def close(self) -> None:
        """Close it immediately."""
        self._protocol.transport.abort()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Schedule a call in the server's event loop."""
        self._protocol.loop.call_later(seconds, call)
