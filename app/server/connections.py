"""Close idle HTTP connections before they use up the process's files or memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from app import streamlit_patches
from app.server.sockets import longest_message
from fcn_core.system import memory

_PATIENCE = 20.0  # seconds for a request to arrive, or for the client to read more of a response
_MOST_IDLE = 128  # connections without a request
_CONNECTION_MB = 0.15  # memory of a connection with a request, for received and unsent data
_BUDGET_SHARE = 0.12  # of the memory budget, for all connections
_MOST = 4096
_WANTED_FILES = 65536  # open files to ask the system for
_WINDOWS_FILES = 512  # sockets that `select` supports on Windows


class Connection(Protocol):
    """An HTTP connection of the server."""

    @property
    def open(self) -> bool:
        """Whether it is open and has not become a WebSocket."""

    @property
    def idle(self) -> bool:
        """Whether no request is being answered on it."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not accepted yet."""

    @property
    def progress(self) -> object:
        """A value that changes with each request and whenever data is sent."""

    def close(self) -> None:
        """Close it immediately."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Schedule a call in the server's event loop."""


class Connections:
    """The open connections. The oldest idle ones are closed for new ones; stalled ones are closed after a time.

    Parameters
    ----------
    most_idle : int
        Connections without a request.
    most : int
        Connections in all.
    patience : float
        Seconds between two checks. A connection is closed if it waits for its client at both and has made no progress
        between them.
    """

    def __init__(self, most_idle: int, most: int, patience: float) -> None:
        self._most_idle, self._most, self._patience = most_idle, most, patience
        self._open: dict[Connection, object] = {}  # oldest first, with the progress at the last check
        self._checking = False

    def add(self, connection: Connection) -> None:
        """Add a new connection, and close others for it if there are too many."""
        self._forget_closed()
        idle = [other for other in self._open if other.idle]
        surplus = max(len(idle) + 1 - self._most_idle, 0)
        self._close(idle[:surplus])
        if len(self._open) >= self._most:
            self._close([*idle[surplus:], *self._open][: len(self._open) + 1 - self._most])
        self._open[connection] = connection.progress
        if not self._checking:
            self._checking = True
            connection.later(self._patience, self._check)

    def _forget_closed(self) -> None:
        self._open = {connection: seen for connection, seen in self._open.items() if connection.open}

    def _close(self, connections: Iterable[Connection]) -> None:
        for connection in list(connections):
            connection.close()
            self._open.pop(connection, None)

    def _check(self) -> None:
        self._forget_closed()
        self._close(
            connection
            for connection, seen in self._open.items()
            if (connection.idle or connection.unsent) and connection.progress == seen
        )
        for connection in self._open:
            self._open[connection] = connection.progress
        self._checking = bool(self._open)
        if self._checking:
            next(iter(self._open)).later(self._patience, self._check)


def watch() -> None:
    """Limit all connections opened from now on."""
    most = min(most_files() // 4, _MOST, int(memory.budget_mb() * _BUDGET_SHARE / _CONNECTION_MB))
    found = Connections(min(_MOST_IDLE, most), most, _PATIENCE).add
    streamlit_patches.watch_connections(found, longest_message())


def most_files() -> int:
    """Raise the limit of open files as far as the system allows, and return it."""
    if sys.platform == "win32":
        return _WINDOWS_FILES
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit than the one it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _WANTED_FILES if soft == resource.RLIM_INFINITY else soft
