"""Clean the folder of exported graphs: remove unfinished graphs, and unused ones of other versions.

Only files with names of this program are removed, and no link is followed. Processes of several versions may share the
folder. So a graph is first renamed in one step; a process that has loaded a graph does not need its files any more.
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

from fcn_core.networks.own_model import GRAPH_NAME
from fcn_core.networks.zoo import ALL_MODELS

MAKING = ".making-"  # prefix of an unfinished graph
MOST = 32  # graphs in the folder, of all models, weights and versions
UNUSED = 30 * 86400.0  # seconds until an unused graph of another version is removed
_DAY = 86400.0
_ABANDONED = 3600.0  # seconds; an export takes a few
_NAME = re.compile(rf"(?:{'|'.join(map(re.escape, (GRAPH_NAME, *ALL_MODELS)))})-(?:8|16|32)-[0-9a-f]{{16}}")


def mark_used(folder: Path) -> None:
    """Set the modification time of a graph to now; does nothing in a folder of another user."""
    with suppress(OSError):
        os.utime(folder)


def tidy(graphs: Path, made_by: Mapping[str, object]) -> None:
    """Delete unfinished graphs, graphs of other versions that were not used for a month, and graphs beyond `MOST`.

    Parameters
    ----------
    graphs : Path
        The folder of graphs.
    made_by : mapping
        Versions of this program, as it writes them under that name into a graph's description.
    """
    remove_abandoned(graphs, MAKING)
    found = sorted(((_age(folder), folder) for folder in graphs_in(graphs)), key=lambda each: abs(each[0]))
    for place, (age, folder) in enumerate(found):
        stale = _older(age, UNUSED) and _made_by(folder) != made_by
        if stale or (place >= MOST and _older(age, _DAY)):
            remove(folder)


def remove_abandoned(place: Path, prefix: str) -> None:
    """Delete folders with this prefix that are at least an hour old: killed processes have left them."""
    user = os.getuid() if hasattr(os, "getuid") else None
    with suppress(OSError):
        for folder in list(place.glob(f"{prefix}*")):
            with suppress(OSError):
                about = folder.lstat()
                mine = user is None or about.st_uid == user
                if mine and not folder.is_symlink() and _older(time.time() - about.st_mtime, _ABANDONED):
                    shutil.rmtree(folder, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a graph; it is renamed first, so that no process finds half of it."""
    aside = folder.with_name(f"{MAKING}{folder.name}-{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(aside)  # not moved into a new folder: the disk may be full
        if aside.is_symlink():
            aside.unlink()
        shutil.rmtree(aside, ignore_errors=True)


def cached_bytes(cache: Path) -> int:
    """Return the size of all files in the cache, without following links."""
    total = 0
    for folder, _, names in os.walk(cache):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - a walk of strings
    return total


def graphs_in(graphs: Path) -> Iterator[Path]:
    """Yield the folders of graphs, of all models and versions."""
    with suppress(OSError):
        for entry in list(os.scandir(graphs)):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _age(folder: Path) -> float:
    """Return the seconds since a graph was last used.

    It is the time of :func:`mark_used`, or that of the last reading, since earlier versions did not mark graphs.
    """
    times = [0.0]
    with suppress(OSError):
        times += [folder.lstat().st_mtime]
        about = (folder / "graph.bin").lstat()
        times += [about.st_mtime, about.st_atime]
    return time.time() - max(times)


def _older(age: float, seconds: float) -> bool:
    return not -_DAY < age < seconds  # a time in the future: the clock was set back


def _made_by(folder: Path) -> object:
    try:
        return json.loads((folder / "meta.json").read_text(encoding="utf-8"))["made_by"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
