"""Folders outside the program: the cache, and a temporary one where there can be no cache."""

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
from fcn_core.errors import FcnError

logger = logging.getLogger(__name__)

_LOCK = threading.Lock()
_IN_MEMORY = "/dev/shm"  # noqa: S108 - on Linux; a folder of one's own is made there


def cache_dir() -> Path:
    """Folder of exported graphs and downloaded weights: ``FCN_CACHE_DIR``, else the platform's user cache.

    Where neither is known, a temporary folder that lives as long as the process; a warning says so once.

    Raises
    ------
    FcnError
        ``FCN_CACHE_DIR`` begins with a home folder that is not known, or nothing can be written anywhere.
    """
    own = settings.CACHE_DIR.value()
    if own:
        return own
    try:
        return platformdirs.user_cache_path("fcn_core", appauthor=False).expanduser()
    except RuntimeError:  # neither HOME nor an entry among the users says where home is
        return _without_home()


def _without_home() -> Path:
    try:
        with _LOCK:
            return _announced_root()
    except OSError as error:
        raise FcnError(
            f"Expected a home folder for the cache, or a temporary folder. Received neither ({error}). Set "
            f"FCN_CACHE_DIR to a folder that can be written."
        ) from error


@lru_cache(maxsize=1)
def _announced_root() -> Path:
    folder = temporary_root()
    logger.warning(
        "There is no home folder here: models and weights are kept in %s, for this process only. Set FCN_CACHE_DIR to "
        "a folder that can be written to keep them.", folder,
    )  # fmt: skip
    # Keras imports Matplotlib, which would make a folder of its own, and say so too.
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    return folder


@lru_cache(maxsize=1)
def temporary_root() -> Path:
    """Give a temporary folder that goes with the process, the same at every call.

    Raises
    ------
    OSError
        There can be none.
    """
    folder = tempfile.mkdtemp(prefix="fcn_core-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def scratch_places() -> Iterator[Path]:
    """Folders for what is needed for a moment and the cache does not take, best first: on disk, then in memory."""
    with suppress(OSError):  # no temporary folder can be written
        yield Path(tempfile.gettempdir())
    if sys.platform.startswith("linux") and Path(_IN_MEMORY).is_dir():
        yield Path(_IN_MEMORY)


@lru_cache(maxsize=1)
def give_matplotlib_a_place() -> None:
    """Let Matplotlib keep its settings in memory where no disk takes a folder: it would refuse to be imported."""
    if "MPLCONFIGDIR" in os.environ:
        return
    for place in scratch_places():
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="fcn_core-", dir=place)
            if str(place) == _IN_MEMORY:
                os.environ["MPLCONFIGDIR"] = folder
                atexit.register(shutil.rmtree, folder, ignore_errors=True)
            else:
                Path(folder).rmdir()  # Matplotlib finds one by itself
            return


def require_room(folder: Path, needed: int) -> None:
    """Make sure, as far as the system tells, that a folder takes so many bytes.

    Raises
    ------
    OSError
        It does not: ``ENOSPC``, with both numbers.
    """
    try:
        about = shutil.disk_usage(folder)
    except OSError:
        return  # whoever writes will see
    if about.free < needed and about.total:  # some network drives tell nothing
        told = f"{os.strerror(errno.ENOSPC)}: {megabytes(about.free)} of {megabytes(needed)} MB are free"
        raise OSError(errno.ENOSPC, told)


def megabytes(count: int) -> str:
    """A number of bytes in megabytes, as people read it."""
    return f"{count / 1e6:.0f}" if count >= 10e6 or not count else f"{count / 1e6:.1f}"
