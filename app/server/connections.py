"""Connections that nothing moves on are closed before they fill what the process may open or hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from app import streamlit_patches
from app.server.sockets import longest_message
from fcn_core.system import memory

_PATIENCE = 20.0  # seconds for a request to arrive, or an answer to be read on
_WAITING = 128  # connections that may wait for their request
_MEGABYTES = 0.15  # a connection holds while it is answered: what was read, what is to be sent
_SHARE = 0.12  # of the memory budget, for them
_MOST = 4096
_WANTED = 65536  # files a process may open, where the system lets it ask for more than it has
_OF_WINDOWS = 512  # sockets that `select` takes there


class Connection(Protocol):
    """A connection by HTTP, as the server keeps it."""

    @property
    def open(self) -> bool:
        """Whether it is there still, and no socket of a page."""

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered on it."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""

    @property
    def progress(self) -> object:
        """What changes with each request and with what is sent."""

    def close(self) -> None:
        """End it at once."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something in the server's loop."""


class Connections:
    """What is open. The oldest that waits gives way to new ones beyond a number, and none waits for long.

    Parameters
    ----------
    waiting : int
        How many may wait for their request.
    most : int
        How many there may be at once.
    patience : float
        Seconds from one look at them to the next. One that waits for its client at two looks, and has not moved from
        one to the other, is closed.
    """

    def __init__(self, waiting: int, most: int, patience: float) -> None:
        self._may_wait, self._most, self._patience = waiting, most, patience
        self._open: dict[Connection, object] = {}  # oldest first, with the progress at the last look
        self._looking = False

    def add(self, connection: Connection) -> None:
        """Take a new one in."""
        self._forget_closed()
        waiting = [other for other in self._open if other.waiting]
        surplus = max(len(waiting) + 1 - self._may_wait, 0)
        self._close(waiting[:surplus])
        if len(self._open) >= self._most:
            self._close([*waiting[surplus:], *self._open][: len(self._open) + 1 - self._most])
        self._open[connection] = connection.progress
        if not self._looking:
            self._looking = True
            connection.later(self._patience, self._look)

    def _forget_closed(self) -> None:
        self._open = {connection: seen for connection, seen in self._open.items() if connection.open}

    def _close(self, connections: Iterable[Connection]) -> None:
        for connection in list(connections):
            connection.close()
            self._open.pop(connection, None)

    def _look(self) -> None:
        self._forget_closed()
        self._close(
            connection
            for connection, seen in self._open.items()
            if (connection.waiting or connection.unsent) and connection.progress == seen
        )
        for connection in self._open:
            self._open[connection] = connection.progress
        self._looking = bool(self._open)
        if self._looking:
            next(iter(self._open)).later(self._patience, self._look)


def watch() -> None:
    """Watch connections from here on."""
    most = min(files() // 4, _MOST, int(memory.budget_mb() * _SHARE / _MEGABYTES))
    found = Connections(min(_WAITING, most), most, _PATIENCE).add
    streamlit_patches.watch_connections(found, longest_message())


def files() -> int:
    """How many files the process may open, after asking for all that it may ask for."""
    if sys.platform == "win32":
        return _OF_WINDOWS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a limit of its own below the one it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _WANTED if soft == resource.RLIM_INFINITY else soft
