"""Download a published file once: resumed after an interruption, verified, and moved into place when complete.

pooch (1.9) is not used because it lacks two things that matter for 100 MB on a slow connection: it cannot resume a
download after an interruption, and it has no lock, so two processes would download the same file twice. httpx would
replace only the request itself.
"""

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
from fcn_core.system.folders import require_space

_CHUNK = 1 << 18
_TIMEOUT = 30.0
_WAIT = 0.2
_CANNOT_WRITE = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EEXIST", "ENOTDIR", "EISDIR")


def download(file: WeightsFile, folder: Path, progress: ByteProgress | None = None) -> Path:
    """Download a weights file into `folder`.

    An interrupted download leaves ``<name>.part``, which the next attempt completes; if the disk is full, the partial
    file is removed. If several processes want the same file, one downloads it and the others wait.

    Parameters
    ----------
    file : WeightsFile
        The file; its digest is checked before it gets its name.
    folder : Path
        Created if it is missing.
    progress : callable, optional
        Called with (bytes so far, bytes in all); may raise to stop. The partial file is kept.

    Raises
    ------
    WeightsUnavailable
        No network, no space or no permission; the message says which file to put where.
    WeightsInvalid
        The downloaded file is not the published one.
    """
    if file.url is None:
        raise ValueError(f"Expected a file with an address. Received: {file.name}")
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _open_alone(part, file, progress) as stream:
            try:
                if not _is_whole(file, target):  # otherwise another process has downloaded it
                    require_space(folder, file.most - stream.seek(0, os.SEEK_END))
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
    """Free the space of the partial file."""
    with suppress(OSError):
        stream.truncate(0)


def _open_alone(part: Path, file: WeightsFile, progress: ByteProgress | None) -> IO[bytes]:
    """Open the partial file for appending; wait while another process has locked it."""
    while True:
        stream = part.open("ab", buffering=0)  # a buffer would repeat a failed write when it is closed
        with suppress(FileNotFoundError):
            if _lock(stream) and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                return stream
        done = stream.seek(0, os.SEEK_END)
        stream.close()
        if progress is not None:
            progress(min(done, file.size), file.size)
        time.sleep(_WAIT)


def _complete(file: WeightsFile, stream: IO[bytes], part: Path, progress: ByteProgress | None) -> None:
    """Complete the partial file; if its digest is wrong afterwards, download it again from the start."""
    resumed = stream.tell() > 0
    _fetch(file, stream, progress)
    if resumed and not _is_whole(file, part):
        stream.truncate(0)
        _fetch(file, stream, progress)
    if not _is_whole(file, part):
        stream.truncate(0)
        raise WeightsInvalid(_not_the_file(file, f"{file.size} bytes with another digest"))


def _lock(stream: IO[bytes]) -> bool:
    """Lock the partial file; return whether that worked. On a system without locks, only the digest protects it."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # some network drives have no locks
    return True


def _fetch(file: WeightsFile, stream: IO[bytes], progress: ByteProgress | None) -> None:
    """Append the missing bytes of the file to `stream`."""
    done = stream.seek(0, os.SEEK_END)
    if done > file.most:
        done = stream.truncate(0)
    if file.exact and done == file.size:
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
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        start = done if response.status == http.client.PARTIAL_CONTENT and continues else 0
        announced, kind = response.headers.get("Content-Length"), response.headers.get_content_type()
        unlike = file.exact and announced not in (None, str(file.size - start))
        if unlike or kind == "text/html":
            raise WeightsInvalid(
                _not_the_file(file, f"{announced or 'some'} bytes of {kind} in place of {file.size - start}")
            )
        if start < done:
            done = stream.truncate(0)
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > file.most:
                stream.truncate(0)
                raise WeightsInvalid(_not_the_file(file, f"more than {file.most} bytes"))
            _write(stream, chunk)
            if progress is not None:
                progress(done, max(done, file.size))
    stream.flush()
    expected = file.size if file.exact else start + int(announced or 0)
    if done < expected:
        raise ConnectionError(f"the connection ended after {done} of {expected} bytes")
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
    size = f"{'' if file.exact else 'about '}{file.size} bytes"
    return (
        f"Expected {file.name} ({size}, {file.algorithm} {file.digest}). Received {received} from {file.url}. A proxy "
        f"may have answered instead, or the partial file was damaged; try again, or download the file by hand, "
        f"{_by_hand(file)}"
    )


def _why_not(file: WeightsFile, folder: Path, error: Exception) -> str:
    reason = error.reason if type(error) is urllib.error.URLError else str(error) or type(error).__name__
    if _cannot_write(error):
        return (
            f"Expected a writable folder for the weights of this model. Received {folder}, which cannot be written "
            f"({reason}). Free {file.size / 1e6:.0f} MB there, set FCN_CACHE_DIR to another folder, or set "
            f"FCN_WEIGHTS_DIR to a folder that has {file.name}."
        )
    return (
        f"Expected the weights of this model. Received none: they were not found locally and cannot be downloaded "
        f"({reason}). Download {file.url} ({file.size / 1e6:.0f} MB) on a machine with a network, {_by_hand(file)}"
    )


def _by_hand(file: WeightsFile) -> str:
    return f"keep the name {file.name}, and set FCN_WEIGHTS_DIR to its folder."
