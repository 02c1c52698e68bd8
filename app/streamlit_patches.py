"""Whatever touches private names of Streamlit, and of the servers it stands on; nothing else does.

Each entry says what happens without it. `tests/test_streamlit_patches.py` asks of each private name whether it is still
what is relied on here: it is the first to fail where another Streamlit differs.
"""

from __future__ import annotations

import gc
import importlib
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from typing import Any

from starlette.formparsers import MultiPartParser
from streamlit import config, net_util, runtime
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

__all__ = ["DeletedFile", "UploadedFile", "UploadedFileManager", "UploadedFileRec"]  # for other modules

logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds


@cache
def apply() -> None:
    """Change what must be changed; once a process."""
    _keep_uploads_in_memory()
    _let_in()
    _answer_uploads()
    _ask_nobody()
    threading.Thread(target=_forget_closed_sessions, name="forget", daemon=True).start()


def _keep_uploads_in_memory() -> None:
    """Streamlit receives files through Starlette, which moves those above 1 MB to a temporary file."""
    MultiPartParser.spool_max_size = sys.maxsize


def _let_in() -> None:
    """Let Streamlit take files as large as ``FCN_MAX_UPLOAD_MB`` says, where it says so, and no larger."""
    if settings.MAX_UPLOAD_MB.given():
        with suppress(SettingInvalid):  # said on the page
            config.set_option("server.maxUploadSize", settings.MAX_UPLOAD_MB.value())


def _answer_uploads() -> None:
    """Let every browser that asks where to send a file hear it.

    When a script run begins, Streamlit clears the messages not sent yet, this answer among them, and the browser waits
    for it without end: what was chosen just as a result arrived was lost without a word. A queue whose messages were
    sent is cleared, too, without retaining anything: what was kept then would be sent again each time.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_all_else(queue: Any, retain_lifecycle_msgs: bool = False, **named: Any) -> None:
        waiting = getattr(queue, "_queue", [])  # another Streamlit may call it otherwise
        answers = [m for m in waiting if m.WhichOneof("type") == "file_urls_response"]
        clear(queue, retain_lifecycle_msgs, **named)
        if answers and retain_lifecycle_msgs:
            kept = {id(message) for message in queue._queue}
            queue._queue += [message for message in answers if id(message) not in kept]

    setattr(ForwardMsgQueue, "clear", clear_all_else)  # noqa: B010


def _ask_nobody() -> None:
    """Streamlit asks outside hosts for the server's addresses, to compare with a page's origin and to print them."""

    def nobody() -> None:
        return None

    for name in ("get_external_ip", "get_internal_ip"):
        setattr(net_util, name, nobody)


def _forget_closed_sessions() -> None:
    """Drop sessions that nobody came back to within ``server.disconnectedSessionTTL``.

    Streamlit drops them when the next session is closed, which on a quiet server may be days later.
    """
    while True:
        time.sleep(_EVERY)
        try:
            if runtime.exists():
                running: Any = runtime.get_instance()
                running._get_async_objs().eventloop.call_soon_threadsafe(
                    _drop_expired, running._session_mgr, running.uploaded_file_mgr
                )
        except (AttributeError, RuntimeError) as error:  # another Streamlit, or one that is shutting down
            logger.warning("Closed sessions are forgotten only when others close: %s", type(error).__name__)
            return


_known: set[str] = set()  # sessions there were at the last look
_connected: set[str] = set()  # of these


def _drop_expired(sessions: Any, files: Any) -> None:
    kept = sessions._session_storage._cache
    before = dict(kept._data)
    len(kept)  # asking for it drops what is past its time
    gone = [info.session for key, info in before.items() if key not in kept._data]
    for session in gone:  # the server's loop may hold on to the last one until another comes
        session.shutdown()
        session.session_state.clear()
        session._fragment_storage.clear()
    connected = {info.session.id for info in sessions.list_active_sessions()}
    now = {*kept._data, *connected}
    strays = [session for session in list(files.file_storage) if session not in now]
    for stray in strays:  # a file may arrive when its session is gone
        files.remove_session_files(stray)
    if gone or strays or _known - now or _connected - connected:
        before.clear()
        session = None
        gone.clear()
        _collect()
    for seen, there in ((_known, now), (_connected, connected)):
        seen.clear()
        seen.update(there)


def _collect() -> None:
    """Give back what sessions held: they and their pictures refer to each other."""
    gc.unfreeze()  # what was left out of collections may hold a session
    gc.collect()
    gc.freeze()
    memory.trim_heap()


_relieved = -math.inf  # when


def relieve() -> None:
    """Let what sessions keep to be faster go where it leaves too little to a network. Called in the server's loop."""
    global _relieved
    now, most = time.monotonic(), memory.budget_mb() - memory.reserved_mb()
    if now - _relieved < _EVERY or memory.rss_mb() <= most:
        return
    _relieved = now
    _clear_page_caches(runtime.get_instance())
    memory.trim_heap()
    logger.warning("Pages recompute what they show: the process held more than %d MB.", most)


def clear_page_caches() -> None:
    """Let what sessions keep to be faster go: they make it again. Called in any thread."""
    if runtime.exists():
        _clear_page_caches(runtime.get_instance())


def _clear_page_caches(running: Any) -> None:
    for info in list(running._session_mgr.list_active_sessions()):
        info.session.clear_session_caches()


def is_known(session: str) -> bool:
    """Whether a session is connected, or may still come back. Called in the server's loop."""
    sessions: Any = runtime.get_instance()._session_mgr
    return sessions.is_active_session(session) or session in sessions._session_storage._cache


def here() -> tuple[UploadedFileManager, str]:
    """Where files are stored, and the session whose script runs."""
    context: Any = get_script_run_ctx()
    return context.uploaded_file_mgr, context.session_id


def stored_files(store: UploadedFileManager) -> dict[str, dict[str, UploadedFileRec]]:
    """What is stored: session, file's id, record; a copy."""
    files: Any = store
    return {session: dict(records) for session, records in list(files.file_storage.items())}


def add_file(store: UploadedFileManager, session: str, file: UploadedFileRec) -> None:
    """Store a file as if it had been uploaded."""
    files: Any = store
    files.add_file(session_id=session, file=file)


def remove_file(store: UploadedFileManager, session: str, file: str) -> None:
    """Let a file go."""
    files: Any = store
    files.remove_file(session_id=session, file_id=file)


def browser_of(cookie: str | None) -> bytes | None:
    """What a browser's XSRF cookie says, whatever mask it is under; None without one."""
    if not cookie:
        return None
    token, _ = starlette_app_utils.decode_xsrf_token_string(cookie)
    return token or None


_HTTP = (
    "uvicorn.protocols.http.h11_impl.H11Protocol",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
)


def watch_connections(found: Callable[[HTTPConnection], None], longest_message: int) -> None:
    """Tell of every new connection by HTTP. Uvicorn waits for a request that does not come, or not whole, for ever.

    It gathers a page's message before anybody can judge it, and takes the bound for what Streamlit sends as that for
    what pages do: `longest_message` is theirs.
    """
    for name in _HTTP:
        module, _, kind = name.rpartition(".")
        try:
            protocol: Any = getattr(importlib.import_module(module), kind)
        except ImportError:  # a parser that is not installed
            continue
        protocol.connection_made = _telling(protocol.connection_made, found, longest_message)


def _telling(
    made: Callable[..., None], found: Callable[[HTTPConnection], None], longest_message: int
) -> Callable[..., None]:
    @wraps(made)
    def made_and_told(protocol: Any, transport: Any) -> None:
        protocol.config.ws_max_size = longest_message
        made(protocol, transport)
        found(HTTPConnection(protocol))

    return made_and_told


class HTTPConnection:
    """A connection by HTTP, as Uvicorn keeps it."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    @property
    def open(self) -> bool:
        """Whether it is there still, and no socket of a page."""
        return self._protocol in self._protocol.connections

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered on it."""
        return self._protocol.cycle is None or bool(self._protocol.cycle.response_complete)

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return int(self._protocol.transport.get_write_buffer_size())

    @property
    def progress(self) -> object:
        """What changes with each request and with what is sent."""
        return self._protocol.cycle, self.unsent

    def close(self) -> None:
        """End it at once."""
        self._protocol.transport.abort()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something in the server's loop."""
        self._protocol.loop.call_later(seconds, call)
