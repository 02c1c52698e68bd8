"""Fetch a published file once: resumed after a cut, verified, moved into place when whole."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_core.errors import WeightsInvalid, WeightsUnavailable

if TYPE_CHECKING:
    from fcn_core.zoo import Progress, WeightsFile

_CHUNK = 1 << 18
_TIMEOUT = 30.0


def download(file: WeightsFile, folder: Path, progress: Progress | None = None) -> Path:
    """Download a weights file into `folder`.

    A cut download leaves ``<name>.part``, from which the next try goes on.

    Raises
    ------
    WeightsUnavailable
        No network, no space or no permission; the message says which file to put where by hand.
    WeightsInvalid
        What came is not the published file.
    """
    if file.url is None:
        raise ValueError(f"{file.name} has no address")
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(file, part, progress)
        with part.open("rb") as stream:
            received = hashlib.file_digest(stream, file.algorithm).hexdigest()
        if received != file.digest:
            size = part.stat().st_size
            part.unlink()
            raise WeightsInvalid(
                f"Expected {file.name} with {file.algorithm} {file.digest}. Received {size} bytes with {received} from "
                f"{file.url}. Something on the way (a proxy?) answered in its place; fetch the file by hand, {_by_hand(file)}"
            )
        part.replace(target)
    except (OSError, urllib.error.URLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsUnavailable(
            f"The weights of this model are not on this machine and could not be fetched ({reason}). "
            f"Fetch {file.url} ({file.size / 1e6:.0f} MB) where there is a network, {_by_hand(file)}"
        ) from error
    return target


def _by_hand(file: WeightsFile) -> str:
    return f"keep the name {file.name}, and set FCN_WEIGHTS_DIR to its folder."


def _fetch(file: WeightsFile, part: Path, progress: Progress | None) -> None:
    done = part.stat().st_size if part.exists() else 0
    if done >= file.size:
        part.unlink()
        done = 0
    request = urllib.request.Request(file.url or "", headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        if done and response.status != 206:
            done = 0
            with suppress(OSError):
                part.unlink()
        with part.open("ab") as stream:
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > file.size:
                    raise ValueError(f"more than the {file.size} bytes expected came")
                stream.write(chunk)
                if progress is not None:
                    progress(done, file.size)
    if done < file.size:
        raise ConnectionError(f"the connection ended after {done} of {file.size} bytes")
