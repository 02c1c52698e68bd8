"""Limit repeated log records, so that a hostile client cannot fill the log."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

_SOURCES = frozenset({"asyncio", "uvicorn", "websockets", "starlette", "streamlit", "app"})


class RateLimit(logging.Filter):
    """Pass a limited number of similar records per period; the next period's first record counts the omitted ones.

    Records are similar if the same line of the program logs them, even with other arguments. Records of exceptions are
    similar if the exceptions also have the same type and were raised at the same line.

    Parameters
    ----------
    records : int
        Passed in each period.
    seconds : float
        Length of a period.
    clock : callable
        Monotonic time in seconds.
    """

    def __init__(self, records: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._records, self._seconds, self._clock = records, seconds, clock
        self._counts: dict[tuple[object, ...], tuple[float, int]] = {}  # start of the period, records in it
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes."""
        place, now = _place(record), self._clock()
        with self._lock:
            since, count = self._counts.get(place, (now, 0))
            omitted = 0
            if now - since >= self._seconds:
                since, count, omitted = now, 0, max(0, count - self._records)
            self._counts[place] = since, count + 1
        if omitted:
            record.msg = f"{record.getMessage()} (and {omitted} similar records before, omitted)"
            record.args = ()
        return count < self._records


def _place(record: logging.LogRecord) -> tuple[object, ...]:
    """Return where a record was logged, and the type and place of its exception."""
    kind, _, trace = record.exc_info or (None, None, None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ()
    return (record.pathname, record.lineno, kind, *at)


def limit(records: int = 10, seconds: float = 60.0) -> None:
    """Limit what the server and the app log, and shorten asyncio's errors to one line each."""
    bound = RateLimit(records, seconds)

    class Bounded(logging.getLoggerClass()):  # type: ignore[misc]
        """A logger created later, as modules are imported when first needed."""

        def __init__(self, name: str, level: int = logging.NOTSET) -> None:
            super().__init__(name, level)
            if name.split(".")[0] in _SOURCES:
                self.addFilter(bound)

    for name in (*_SOURCES, *logging.root.manager.loggerDict):
        if name.split(".")[0] in _SOURCES:
            logging.getLogger(name).addFilter(bound)
    logging.setLoggerClass(Bounded)
    asyncio.get_running_loop().set_exception_handler(_handle_error)


def _handle_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, OSError):  # such as too many open files: not an internal error
        logger.error("%s: %s", context["message"], error.strerror)
    elif "_start_serving" in context["message"]:  # asyncio retries a failed accept after the server has ended
        logger.error("The server ended while too many files were open.")
    else:
        loop.default_exception_handler(context)
