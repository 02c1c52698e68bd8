"""Connections that send no request are closed before they fill what the process may open."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from app import streamlit_patches

_PATIENCE = 20.0  # seconds for a request to arrive
_WAITING = 128  # connections that may wait for theirs
_FILES_AT_LEAST = 256


class Connection(Protocol):
    """A connection by HTTP, as the server keeps it."""

    @property
    def open(self) -> bool:
        """Whether it is there still, and no socket of a page."""

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered on it."""

    @property
    def requests(self) -> object:
        """What changes with each request."""

    def close(self) -> None:
        """End it at once."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something in the server's loop."""


class Connections:
    """What is open. The oldest that waits gives way to new ones beyond a number, and none waits for long.

    Parameters
    ----------
    waiting : int
        How many may wait.
    most : int
        How many there may be at once.
    patience : float
        Seconds a connection may wait for its next request.
    """

    def __init__(self, waiting: int, most: int, patience: float) -> None:
        self._may_wait, self._most, self._patience = waiting, most, patience
        self._open: dict[Connection, None] = {}  # oldest first

    def add(self, connection: Connection) -> None:
        """Take a new one in."""
        self._open = {other: None for other in self._open if other.open}
        waiting = [other for other in self._open if other.waiting]
        surplus = max(len(waiting) + 1 - self._may_wait, 0)
        self._close(waiting[:surplus])
        if len(self._open) >= self._most:
            self._close([*waiting[surplus:], *self._open][: len(self._open) + 1 - self._most])
        self._open[connection] = None
        self._look_again(connection)

    def _close(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.close()
            self._open.pop(connection, None)

    def _look_again(self, connection: Connection) -> None:
        before = connection.requests

        def look() -> None:
            if not connection.open:
                self._open.pop(connection, None)
            elif connection.waiting and connection.requests is before:
                self._close([connection])
            else:
                self._look_again(connection)

        connection.later(self._patience, look)


def watch() -> None:
    """Let the process open as many files as it may, and watch connections from here on."""
    streamlit_patches.watch_connections(Connections(_WAITING, _files() // 2, _PATIENCE).add)


def _files() -> int:
    """Descriptors the process may have, after asking for all that it may ask for."""
    if sys.platform == "win32":
        return 2 * _FILES_AT_LEAST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(_FILES_AT_LEAST, 65536 if soft == resource.RLIM_INFINITY else soft)
