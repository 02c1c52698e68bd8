"""Standard output and standard error, whatever they are connected to.

They may be closed (``>&-``), full (``/dev/full``), a pipe whose reader has gone, or of an encoding that lacks a
sign. What was to be printed and could not be is said; a complaint that nobody can read is no failure of the work.
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
    """A descriptor whose first failure is told; what comes after is dropped, the interpreter's last flush too."""

    _lost = False

    def write(self, data: Any) -> int:
        if self._lost:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # whoever made the pipe set it not to wait
                select.select([], [self], [])
        except BrokenPipeError:
            self._lost = True
            raise
        except OSError as error:
            self._lost = True
            how = "is closed" if error.errno == errno.EBADF else f"cannot be written ({error.strerror})"
            raise OutputError(
                f"Standard output {how}. Send it to a file or program that takes it."
            ) from error
        return written


class _Complaints(_Output):
    """A descriptor that takes what it can."""

    def write(self, data: Any) -> int:
        with suppress(OSError, OutputError):
            return super().write(data)
        return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let printing within raise no other error than these, and files opened within be no standard stream.

    Signs that the encoding lacks are printed as escapes. A stream that was redirected in Python is left as it is.

    Raises
    ------
    OutputError
        Standard output is closed, or cannot be written.
    BrokenPipeError
        Whoever read it has gone.
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
    """Give closed descriptors something, or the next file that is opened would become standard output.

    Standard output gets what cannot be written, so that what is printed is missed.
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
    ):  # a terminal is never full, and Windows has its own way to write to it
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(kind(descriptor, "w", closefd=False)),
        encoding=stream.encoding if stream is not None else "utf-8",
        line_buffering=descriptor == _ERROR or getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
