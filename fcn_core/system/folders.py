"""Folders outside the program: the cache, and temporary folders if there can be no cache."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import platformdirs

from fcn_core import settings
from fcn_core.errors import StorageError

logger = logging.getLogger(__name__)

_LOCK = threading.Lock()
_IN_MEMORY = "/dev/shm"  # noqa: S108 - on Linux; the program makes a folder of its own in it


def cache_dir() -> Path:
    """Return the folder of exported graphs and downloaded weights.

    It is ``FCN_CACHE_DIR``, else the user's cache folder, else a temporary folder that is removed when the process
    ends. A warning is logged once for a temporary folder.

    Raises
    ------
    SettingInvalid
        ``FCN_CACHE_DIR`` begins with an unknown home folder.
    StorageError
        No folder is writable.
    """
    own = settings.CACHE_DIR.value()
    if own:
        return own
    try:
        return platformdirs.user_cache_path("fcn_core", appauthor=False).expanduser()
    except RuntimeError:  # neither HOME nor the user database names a home folder
        return _without_home()


def _without_home() -> Path:
    try:
        with _LOCK:
            return _announced_root()
    except OSError as error:
        raise StorageError(
            f"Expected a home folder for the cache, or a temporary folder. Received neither ({error}). Set "
            f"FCN_CACHE_DIR to a writable folder."
        ) from error


@lru_cache(maxsize=1)
def _announced_root() -> Path:
    folder = temporary_root()
    logger.warning(
        "There is no home folder: models and weights are stored in %s, for this process only. Set FCN_CACHE_DIR to a "
        "writable folder to keep them.", folder,
    )  # fmt: skip
    # Keras imports Matplotlib, which would make another folder and warn about it.
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    return folder


@lru_cache(maxsize=1)
def temporary_root() -> Path:
    """Return a temporary folder that is removed when the process ends; the same one at every call.

    Raises
    ------
    OSError
        No temporary folder is writable.
    """
    folder = tempfile.mkdtemp(prefix="fcn_core-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def scratch_places() -> Iterator[Path]:
    """Yield folders for short-lived files that do not fit into the cache: first on disk, then in memory."""
    with suppress(OSError):  # no temporary folder is writable
        yield Path(tempfile.gettempdir())
    if sys.platform.startswith("linux") and Path(_IN_MEMORY).is_dir():
        yield Path(_IN_MEMORY)


@lru_cache(maxsize=1)
def give_matplotlib_a_place() -> None:
    """Give Matplotlib a settings folder in memory if no disk is writable: its import would fail without one."""
    if "MPLCONFIGDIR" in os.environ:
        return
    for place in scratch_places():
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="fcn_core-", dir=place)
            if str(place) == _IN_MEMORY:
                os.environ["MPLCONFIGDIR"] = folder
                atexit.register(shutil.rmtree, folder, ignore_errors=True)
            else:
                Path(folder).rmdir()  # Matplotlib makes one itself
            return


def require_space(folder: Path, needed: int) -> None:
    """Check that a folder has enough free space, as far as the system reports it.

    Parameters
    ----------
    folder : Path
    needed : int
        Bytes.

    Raises
    ------
    OSError
        ``ENOSPC``: there is less free space; the message holds both numbers.
    """
    try:
        about = shutil.disk_usage(folder)
    except OSError:
        return  # writing will show it
    if about.free < needed and about.total:  # some network drives report nothing
        told = f"{os.strerror(errno.ENOSPC)}: {megabytes(about.free)} of {megabytes(needed)} MB are free"
        raise OSError(errno.ENOSPC, told)


def megabytes(count: int) -> str:
    """Return a number of bytes as megabytes, with a decimal below 10."""
    return f"{count / 1e6:.0f}" if count >= 10e6 or not count else f"{count / 1e6:.1f}"
