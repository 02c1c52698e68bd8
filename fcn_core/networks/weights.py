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
    """A published file of weights, and how it is recognised."""

    name: str
    size: int
    digest: str
    algorithm: str = "sha256"
    package: str | None = None
    url: str | None = None


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
