"""Make standard output and standard error safe to write to.

They may be closed (``>&-``), full (``/dev/full``), a pipe without a reader, or in an encoding that lacks a character.
A failure of standard output is an error. A failure of standard error is ignored, because the work itself has not
failed.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from fcn_core.errors import OutputError

_OUTPUT, _ERROR = 1, 2


class _Output(io.FileIO):
    """A file descriptor that reports its first failure and ignores all later writes, including the last flush."""

    _lost = False

    def write(self, data: Any) -> int:
        if self._lost:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # a non-blocking pipe is full
                select.select([], [self], [])
        except BrokenPipeError:
            self._lost = True
            raise
        except OSError as error:
            self._lost = True
            how = "is closed" if error.errno == errno.EBADF else f"cannot be written ({error.strerror})"
            raise OutputError(
                f"Expected a writable standard output. Received one that {how}. Send it to another file or program."
            ) from error
        return written


class _Complaints(_Output):
    """A file descriptor that ignores failures."""

    def write(self, data: Any) -> int:
        with suppress(OSError, OutputError):
            return super().write(data)
        return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Print safely in this context: printing raises the errors below and no others.

    If a standard stream is closed, no file that is opened later takes its place. Characters that the encoding lacks are
    printed as escapes. A stream that was redirected in Python is not changed.

    Raises
    ------
    OutputError
        Standard output is closed, or cannot be written.
    BrokenPipeError
        The reader of standard output has gone.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, _Output, _OUTPUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, _Complaints, _ERROR)
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        yield
    finally:
        with suppress(OSError, OutputError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Open closed descriptors, because the next file that is opened would become a standard stream.

    Standard output becomes a file that cannot be written, so that printing fails.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if descriptor == _ERROR else os.O_RDONLY)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def _guarded(stream: TextIO | None, kind: type[_Output], descriptor: int) -> TextIO:
    if (
        stream is not None and stream.isatty()
    ):  # a terminal is never full, and Windows writes to it in another way
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(kind(descriptor, "w", closefd=False)),
        encoding=stream.encoding if stream is not None else "utf-8",
        line_buffering=descriptor == _ERROR or getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
