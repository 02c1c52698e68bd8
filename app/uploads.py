"""Uploads arrive, stay in memory, and no longer than their session."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from contextlib import suppress
from functools import cache, wraps
from typing import Any

from starlette.formparsers import MultiPartParser
from streamlit import config, runtime
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from fcn_core import resources, settings
from fcn_core.errors import SettingInvalid

logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds


@cache
def keep_in_memory() -> None:
    """Let uploads arrive, none be written to disk, and those of closed sessions go; once a process.

    Streamlit receives files through Starlette, which moves those above 1 MB to a temporary file. What Streamlit
    lets in is bounded by ``server.maxUploadSize`` all the same.
    """
    MultiPartParser.spool_max_size = sys.maxsize
    _let_in()
    _answer_uploads()
    threading.Thread(target=_forget_closed_sessions, name="forget", daemon=True).start()


def _let_in() -> None:
    """Let Streamlit take files as large as ``FCN_MAX_UPLOAD_MB`` says, where it says so, and no larger."""
    if settings.MAX_UPLOAD_MB.given():
        with suppress(SettingInvalid):  # said on the page
            config.set_option("server.maxUploadSize", settings.MAX_UPLOAD_MB.value())


def _answer_uploads() -> None:
    """Let every browser that asks where to send a file hear it.

    When a script run begins, Streamlit clears the messages not sent yet, this answer among them, and the browser waits
    for it without end: what was chosen just as a result arrived was lost without a word.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_all_else(queue: Any, *arguments: Any, **named: Any) -> None:
        waiting = getattr(queue, "_queue", [])  # another Streamlit may call it otherwise
        answers = [m for m in waiting if m.WhichOneof("type") == "file_urls_response"]
        clear(queue, *arguments, **named)
        if answers:
            kept = {id(message) for message in queue._queue}
            queue._queue += [message for message in answers if id(message) not in kept]

    setattr(ForwardMsgQueue, "clear", clear_all_else)  # noqa: B010


def _forget_closed_sessions() -> None:
    """Drop sessions that nobody came back to within ``server.disconnectedSessionTTL``.

    Streamlit drops them when the next session is closed, which on a quiet server may be days later.
    """
    while True:
        time.sleep(_EVERY)
        try:
            if runtime.exists():
                running: Any = runtime.get_instance()
                running._get_async_objs().eventloop.call_soon_threadsafe(_drop_expired, running._session_mgr)
        except (AttributeError, RuntimeError) as error:  # another Streamlit, or one that is shutting down
            logger.warning("Closed sessions are forgotten only when others close: %s", type(error).__name__)
            return


_known: set[str] = set()  # sessions there were at the last look


def _drop_expired(sessions: Any) -> None:
    kept = sessions._session_storage._cache
    before = dict(kept._data)
    len(kept)  # asking for it drops what is past its time
    gone = [info.session for key, info in before.items() if key not in kept._data]
    for session in gone:  # the server's loop may hold on to the last one until another comes
        session.shutdown()
        session.session_state.clear()
        session._fragment_storage.clear()
    now = {*kept._data, *(info.session.id for info in sessions.list_active_sessions())}
    if gone or _known - now:
        before.clear()
        session = None
        gone.clear()
        gc.unfreeze()  # what was left out of collections may hold the session
        gc.collect()  # a session and its pictures refer to each other
        gc.freeze()
        resources.trim()
    _known.clear()
    _known.update(now)
