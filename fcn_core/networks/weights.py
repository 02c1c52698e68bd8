"""Published files of weights, and how they are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Called with the bytes so far and the bytes in all.
ByteProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights, and how it is recognised.

    Attributes
    ----------
    name : str
    size : int
        Bytes; if it is not `exact`, those of the parameters alone.
    digest, algorithm : str
        The digest is "" if the publisher gives none: such a file is not downloaded, but read where a user puts it.
    package : str, optional
        Python package that has the file.
    url : str, optional
        Its address.
    exact : bool
        Whether the publisher states the size.
    """

    name: str
    size: int
    digest: str
    algorithm: str = "sha256"
    package: str | None = None
    url: str | None = None
    exact: bool = True

    @property
    def most(self) -> int:
        """Bytes that the file does not exceed: beside the parameters it has their names."""
        return self.size if self.exact else self.size * 5 // 4 + 2**21


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
