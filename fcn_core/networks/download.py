"""Fetch a published file once: resumed after a cut, verified, moved into place when whole."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO

from fcn_core.errors import WeightsInvalid, WeightsUnavailable
from fcn_core.networks.weights import ByteProgress, WeightsFile
from fcn_core.system.folders import require_room

_CHUNK = 1 << 18
_TIMEOUT = 30.0
_WAIT = 0.2
_CANNOT_WRITE = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EEXIST", "ENOTDIR", "EISDIR")


def download(file: WeightsFile, folder: Path, progress: ByteProgress | None = None) -> Path:
    """Download a weights file into `folder`.

    A cut download leaves ``<name>.part``, from which the next try goes on; a full disk is left no fuller than it was.
    Of several processes that want the same file one fetches it and the others wait.

    Parameters
    ----------
    file : WeightsFile
        What to fetch; its digest is checked before the file gets its name.
    folder : Path
        Made where it is missing.
    progress : callable, optional
        Called with (bytes so far, bytes in all); may raise to stop, what came is kept.

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
        with _open_alone(part, file, progress) as stream:
            try:
                if not _is_whole(file, target):  # else another process was quicker
                    require_room(folder, file.size - stream.seek(0, os.SEEK_END))
                    _complete(file, stream, part, progress)
            except OSError as error:
                if _cannot_write(error):
                    _empty(stream)
                raise
            finally:
                if stream.seek(0, os.SEEK_END) == 0:
                    with suppress(OSError):
                        part.unlink()
        if not _is_whole(file, target):
            part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        if not _is_whole(file, target):
            raise WeightsUnavailable(_why_not(file, folder, error)) from error
    return target


def _cannot_write(error: Exception) -> bool:
    return errno.errorcode.get(getattr(error, "errno", None) or 0) in _CANNOT_WRITE


def _empty(stream: IO[bytes]) -> None:
    """Give back the room of what was begun."""
    with suppress(OSError):
        stream.truncate(0)


def _open_alone(part: Path, file: WeightsFile, progress: ByteProgress | None) -> IO[bytes]:
    """Open the partial file for appending once no other process has it open."""
    while True:
        stream = part.open("ab", buffering=0)  # or what cannot be written is tried again
        with suppress(FileNotFoundError):
            if _lock(stream) and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                return stream
        done = stream.seek(0, os.SEEK_END)
        stream.close()
        if progress is not None:
            progress(min(done, file.size), file.size)
        time.sleep(_WAIT)


def _complete(file: WeightsFile, stream: IO[bytes], part: Path, progress: ByteProgress | None) -> None:
    """Go on with what is there; if the whole is wrong then, start over once."""
    resumed = stream.tell() > 0
    _fetch(file, stream, progress)
    if resumed and not _is_whole(file, part):
        stream.truncate(0)
        _fetch(file, stream, progress)
    if not _is_whole(file, part):
        stream.truncate(0)
        raise WeightsInvalid(_not_the_file(file, f"{file.size} bytes with another digest"))


def _lock(stream: IO[bytes]) -> bool:
    """Whether the partial file is ours alone; where the system has no such locks, the digest decides in the end."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # some network drives have none either
    return True


def _fetch(file: WeightsFile, stream: IO[bytes], progress: ByteProgress | None) -> None:
    """Append to `stream` what it lacks of the file."""
    done = stream.seek(0, os.SEEK_END)
    if done > file.size:
        done = stream.truncate(0)
    if done == file.size:
        return None
    request = urllib.request.Request(file.url or "", headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if not done or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        stream.truncate(0)
        return _fetch(file, stream, progress)
    with response:
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        start = done if response.status == http.client.PARTIAL_CONTENT and goes_on else 0
        announced, kind = response.headers.get("Content-Length"), response.headers.get_content_type()
        if announced not in (None, str(file.size - start)) or kind == "text/html":
            raise WeightsInvalid(
                _not_the_file(file, f"{announced or 'some'} bytes of {kind} in place of {file.size - start}")
            )
        if start < done:
            done = stream.truncate(0)
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > file.size:
                stream.truncate(0)
                raise WeightsInvalid(_not_the_file(file, f"more than {file.size} bytes"))
            _write(stream, chunk)
            if progress is not None:
                progress(done, file.size)
    stream.flush()
    if done < file.size:
        raise ConnectionError(f"the connection ended after {done} of {file.size} bytes")
    return None


def _write(stream: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def _is_whole(file: WeightsFile, path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, file.algorithm).hexdigest() == file.digest
    except OSError:
        return False


def _not_the_file(file: WeightsFile, received: str) -> str:
    return (
        f"Expected {file.name} ({file.size} bytes, {file.algorithm} {file.digest}). Received {received} from "
        f"{file.url}. Something on the way (a proxy?) answered in its place, or what was begun was damaged; try again, "
        f"or fetch the file by hand, {_by_hand(file)}"
    )


def _why_not(file: WeightsFile, folder: Path, error: Exception) -> str:
    reason = error.reason if type(error) is urllib.error.URLError else str(error) or type(error).__name__
    if _cannot_write(error):
        return (
            f"The weights of this model could not be written to {folder} ({reason}). Free {file.size / 1e6:.0f} MB "
            f"there, or set FCN_CACHE_DIR elsewhere, or FCN_WEIGHTS_DIR to the folder of a {file.name} you have."
        )
    return (
        f"The weights of this model are not on this machine and could not be fetched ({reason}). "
        f"Fetch {file.url} ({file.size / 1e6:.0f} MB) where there is a network, {_by_hand(file)}"
    )


def _by_hand(file: WeightsFile) -> str:
    return f"keep the name {file.name}, and set FCN_WEIGHTS_DIR to its folder."
