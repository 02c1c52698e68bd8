"""What may stay in the folder of exported graphs: nothing left half made, and none of other versions without use.

Only what this program names is touched, and no link is followed. Several processes, of several versions, may share the
folder: what goes is moved aside in one step first, and whoever has loaded a graph needs its files no longer.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fcn_core.networks.zoo import MODELS

MAKING = ".making-"  # what is under way is called so
MOST = 32  # graphs that are kept, of all models, weights and versions
UNUSED = 30 * 86400.0  # seconds, for those of other versions
_DAY = 86400.0
_ABANDONED = 3600.0  # seconds; an export takes a few
_NAME = re.compile(rf"(?:{'|'.join(map(re.escape, MODELS))})-(?:8|16|32)-[0-9a-f]{{16}}")


def mark_used(folder: Path) -> None:
    """Leave word, in its time of modification, that a graph is in use; in a folder of others that is not possible."""
    with suppress(OSError):
        os.utime(folder)


def tidy(graphs: Path, made_by: Mapping[str, object]) -> None:
    """Delete what was left half made, what other versions made and nobody used for a month, and what is too much.

    Parameters
    ----------
    graphs : Path
        The folder of graphs.
    made_by : mapping
        What this version writes into a graph's description under that name.
    """
    remove_abandoned(graphs, MAKING)
    found = sorted(((_age(folder), folder) for folder in _graphs(graphs)), key=lambda each: abs(each[0]))
    for place, (age, folder) in enumerate(found):
        stale = _older(age, UNUSED) and _made_by(folder) != made_by
        if stale or (place >= MOST and _older(age, _DAY)):
            remove(folder)


def remove_abandoned(place: Path, prefix: str) -> None:
    """Delete folders called so that processes which were killed have left, an hour old or more."""
    user = os.getuid() if hasattr(os, "getuid") else None
    with suppress(OSError):
        for folder in list(place.glob(f"{prefix}*")):
            with suppress(OSError):
                about = folder.lstat()
                mine = user is None or about.st_uid == user
                if mine and not folder.is_symlink() and _older(time.time() - about.st_mtime, _ABANDONED):
                    shutil.rmtree(folder, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a graph: out of its place in one step, so that nobody finds half of it."""
    aside = folder.with_name(f"{MAKING}{folder.name}-{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(aside)  # no folder is made for it: the disk may be full
        if aside.is_symlink():
            aside.unlink()
        shutil.rmtree(aside, ignore_errors=True)


def held_bytes(cache: Path) -> int:
    """Bytes of all files in the cache, links not followed."""
    total = 0
    for folder, _, names in os.walk(cache):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - a walk of strings
    return total


def _graphs(graphs: Path) -> Iterator[Path]:
    with suppress(OSError):
        for entry in list(os.scandir(graphs)):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _age(folder: Path) -> float:
    """Seconds since a graph was last used, as far as its times tell: earlier versions leave no mark, but read it."""
    times = [0.0]
    with suppress(OSError):
        times += [folder.lstat().st_mtime]
        about = (folder / "graph.bin").lstat()
        times += [about.st_mtime, about.st_atime]
    return time.time() - max(times)


def _older(age: float, seconds: float) -> bool:
    return not -_DAY < age < seconds  # from the future: the clock was moved back


def _made_by(folder: Path) -> object:
    try:
        return json.loads((folder / "meta.json").read_text(encoding="utf-8"))["made_by"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
