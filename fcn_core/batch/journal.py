"""The journal of a run: the rows of the pictures that are done and not yet in a part of the table.

Each picture is one line, written at once. A process that is killed leaves at most one line that is not complete; it is
cut off when the journal is opened again.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fcn_core.batch.checked import DAMAGES, checked_picture, damaged
from fcn_core.batch.parts import replace_with, unwritable
from fcn_core.batch.rows import Row

MOST_PICTURES = 1000  # in a part of the table
MOST_BYTES = 8 * 2**20  # of their rows as JSON


class Journal:
    """A journal that is open for appending.

    Parameters
    ----------
    path : Path
        Created when the first picture is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures = 0
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._measure()

    @property
    def is_full(self) -> bool:
        """Whether it is time for a part of the table."""
        return self.pictures >= MOST_PICTURES or self._bytes >= MOST_BYTES

    def add(self, line: str) -> None:
        """Append the rows of a picture, a list as one line of JSON.

        Raises
        ------
        OutputError
            The disk is full, or the folder cannot be written.
        """
        data = line.encode()
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            written = self._file.write(data)
        except OSError as error:
            raise unwritable(self.path, error) from error
        if written != len(data):  # a full disk takes a part
            raise unwritable(self.path, OSError(errno.ENOSPC, "No space left on device"))
        self._bytes, self.pictures = self._bytes + len(data), self.pictures + 1

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        for rows, _ in _pictures(self.path):
            yield from rows

    def keep(self, wanted: Callable[[list[Row]], bool]) -> None:
        """Drop the pictures whose rows are not wanted."""
        self.close()

        def write(path: Path) -> None:
            with path.open("wb") as kept:
                kept.writelines(line for rows, line in _pictures(self.path) if wanted(rows))

        replace_with(self.path, write)
        self._measure()

    def _measure(self) -> None:
        """Count the pictures, and cut off a line that is not complete."""
        self.pictures = self._bytes = 0
        if self.path.is_symlink() or self.path.is_dir():
            raise damaged(self.path, "a journal", ValueError("it is no file"))
        for end in _line_ends(self.path):
            self._bytes, self.pictures = end, self.pictures + 1
        if self.path.exists() and self.path.stat().st_size > self._bytes:
            with self.path.open("rb+") as file:
                file.truncate(self._bytes)

    def close(self) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file: its rows are in a part of the table now."""
        self.close()
        self.path.unlink(missing_ok=True)


def _pictures(path: Path) -> Iterator[tuple[list[Row], bytes]]:
    """Yield the rows of each picture, and its line."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            for line in file:
                yield checked_picture(json.loads(line)), line
    except DAMAGES as error:
        raise damaged(path, "a journal", error) from error


def _line_ends(path: Path) -> Iterator[int]:
    """Yield where each complete line ends."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield file.tell()
