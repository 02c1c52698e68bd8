"""Folders outside the program: the cache, and a temporary one where there can be no cache."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import platformdirs

from fcn_core import settings
from fcn_core.errors import FcnError

logger = logging.getLogger(__name__)

_LOCK = threading.Lock()


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
