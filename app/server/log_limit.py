"""A log that a hostile client cannot fill."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

_SOURCES = frozenset({"asyncio", "uvicorn", "websockets", "starlette", "streamlit", "app"})


class AtMost(logging.Filter):
    """Let so many equal records pass in a while; then one says how many were left out.

    Equal are those of one place in the program, whatever they quote, and of faults those of one kind raised at one
    place.

    Parameters
    ----------
    records : int
        Let through in each while.
    seconds : float
        A while.
    clock : callable
        Seconds, ever growing.
    """

    def __init__(self, records: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._records, self._seconds, self._clock = records, seconds, clock
        self._counts: dict[tuple[object, ...], tuple[float, int]] = {}  # since when, how many
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        place, now = _place(record), self._clock()
        with self._lock:
            since, count = self._counts.get(place, (now, 0))
            left_out = 0
            if now - since >= self._seconds:
                since, count, left_out = now, 0, max(0, count - self._records)
            self._counts[place] = since, count + 1
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} more like this before, left out)"
            record.args = ()
        return count < self._records


def _place(record: logging.LogRecord) -> tuple[object, ...]:
    """Where a record comes from, and where the fault was raised that it tells of."""
    kind, _, trace = record.exc_info or (None, None, None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ()
    return (record.pathname, record.lineno, kind, *at)


def limit(records: int = 10, seconds: float = 60.0) -> None:
    """Bound what the server and the app log; `asyncio`'s complaints become one line each."""
    bound = AtMost(records, seconds)

    class Bounded(logging.getLoggerClass()):  # type: ignore[misc]
        """A logger that is made later: modules are imported when they are first needed."""

        def __init__(self, name: str, level: int = logging.NOTSET) -> None:
            super().__init__(name, level)
            if name.split(".")[0] in _SOURCES:
                self.addFilter(bound)

    for name in (*_SOURCES, *logging.root.manager.loggerDict):
        if name.split(".")[0] in _SOURCES:
            logging.getLogger(name).addFilter(bound)
    logging.setLoggerClass(Bounded)
    asyncio.get_running_loop().set_exception_handler(_say)


def _say(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, OSError):  # too many open files: no fault of the program's
        logger.error("%s: %s", context["message"], error.strerror)
    elif (
        "_start_serving" in context["message"]
    ):  # it would listen again after such a time, and has ended meanwhile
        logger.error("The server ended while too many files were open.")
    else:
        loop.default_exception_handler(context)
