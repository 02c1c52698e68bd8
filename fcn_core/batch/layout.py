"""Where a batch keeps what: manifests, parts of the table, journals, locks."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fcn_core.batch.checked import DAMAGES
from fcn_core.batch.parts import PART_FORMATS, PartFormat, unusable
from fcn_core.batch.picture_files import FOLDERS
from fcn_core.errors import DatasetError

SCHEMA = "fcn-batch/1"

#: What a batch writes into its folder, besides manifests, and replaces there.
ENTRIES = (*PART_FORMATS, "coco.json", "yolo", "contact-sheet", *FOLDERS.values(), "state")

#: How data sets that a batch wrote begin: others are not replaced.
COCO_BEGINS = '{"info": {"description": "fcn batch"},\n'
YOLO_BEGINS = "# Written by fcn batch, and replaced by it.\n"
YOLO_ENTRIES = ("labels", "images.txt", "data.yaml")

_NUMBERED = re.compile(r"(?:part|journal)-(\d+)-of-(\d+)-(\d+)\.\w+")
_LONGEST = 1 << 16  # bytes of a line
_PAUSE = 0.1  # seconds between two attempts to get a lock


@dataclass(frozen=True)
class Layout:
    """The files of one shard.

    Attributes
    ----------
    folder : Path
        That of the batch.
    shard : (int, int)
        The i-th of n, from 1.
    table : PartFormat
    """

    folder: Path
    shard: tuple[int, int]
    table: PartFormat

    @property
    def name(self) -> str:
        """The shard, in names of files."""
        return "{:05d}-of-{:05d}".format(*self.shard)

    @property
    def manifest(self) -> Path:
        """What the rows of this shard depend on."""
        return self.folder / ("manifest.json" if self.shard[1] == 1 else f"manifest-{self.name}.json")

    @property
    def tables(self) -> Path:
        """The folder of the parts of all shards."""
        return self.folder / self.table.name

    @property
    def state(self) -> Path:
        """The folder of journals and locks."""
        return self.folder / "state"

    @property
    def lock(self) -> Path:
        """Locked while a process works on this shard."""
        return self.state / f"lock-{self.name}"

    def part(self, number: int) -> Path:
        """A part of the table."""
        return self.tables / f"part-{self.name}-{number:06d}{self.table.suffix}"

    def journal(self, number: int) -> Path:
        """The journal of what will be this part."""
        return self.state / f"journal-{self.name}-{number:06d}.jsonl"

    def parts(self) -> list[Path]:
        """Return the parts of this shard, in order."""
        return _numbered(self.tables.glob(f"part-{self.name}-*{self.table.suffix}"))

    def journals(self) -> list[Path]:
        """Return the journals of this shard, in order."""
        return _numbered(self.state.glob(f"journal-{self.name}-*.jsonl"))

    def others(self) -> list[Layout]:
        """Return the shards that were made of the same pictures with another number of shards."""
        found = {
            (int(name[1]), int(name[2]))
            for place in (self.tables, self.state)
            for path in place.iterdir()
            if (name := _NUMBERED.fullmatch(path.name))
        }
        return [
            Layout(self.folder, shard, self.table) for shard in sorted(found) if shard[1] != self.shard[1]
        ]


def number_of(path: Path) -> int:
    """Return the number of a part or of a journal."""
    found = _NUMBERED.fullmatch(path.name)
    return int(found[3]) if found else -1


def parts_of_all(folder: Path, table: PartFormat) -> list[Path]:
    """Return the parts of all shards, in order."""
    return _numbered((folder / table.name).glob(f"part-*{table.suffix}"))


def _numbered(paths: Iterable[Path]) -> list[Path]:
    """Return those that a batch names so, in order."""
    return sorted(path for path in paths if _NUMBERED.fullmatch(path.name))


def table_format(folder: Path, wanted: Sequence[str]) -> PartFormat:
    """Return how rows are kept: as in an earlier run, else in the first of the wanted formats that can be added to."""
    for manifest in _manifests(folder):
        return PART_FORMATS[manifest["table"]]
    return PART_FORMATS[next((name for name in wanted if name in PART_FORMATS), "jsonl")]


def _manifests(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("manifest*.json")):
        if (found := read_manifest(path)) is not None:
            yield found


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return a manifest; None if there is none.

    Raises
    ------
    DatasetError
        It is no manifest of a batch.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except DAMAGES as error:
        raise _no_manifest(path, str(error)) from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise DatasetError(
            f"Expected the folder of an earlier batch, or a new one. Received {path}, which is something else. "
            "Choose another --out."
        )
    if not isinstance(found.get("table"), str) or found["table"] not in PART_FORMATS:
        raise _no_manifest(path, "it names no format of the table")
    if not isinstance(found.get("settings"), dict) or found.get("digest") != digest(found["settings"]):
        raise _no_manifest(path, "its digest is not that of its settings")
    return found


def digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of settings, the same for equal ones."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _no_manifest(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"Expected the manifest of an earlier run. Received {path}, which cannot be read ({why[:200]}). Choose another "
        "--out."
    )


def require_own(folder: Path, formats: Collection[str] = ()) -> None:
    """Check that a folder is that of an earlier batch, or has nothing that a batch would replace.

    In that of a batch, the data sets of these formats must be its own, too.

    Raises
    ------
    DatasetError
        It has results of something else.
    OutputError
        It is no folder, or cannot be read.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file")
        if next(_manifests(folder), None) is not None:
            found = [
                name
                for kind, (name, is_own) in _DATA_SETS.items()
                if kind in formats and _is_filled(folder / name) and not is_own(folder / name)
            ]
        else:
            found = [name for name in ENTRIES if _is_filled(folder / name)]
    except OSError as error:
        raise unusable(folder, error) from error
    if found:
        raise DatasetError(
            f"Expected a new folder, or that of an earlier batch. Received {folder}: it has {' and '.join(found)}"
            " of something else. Choose another --out."
        )


def _is_filled(path: Path) -> bool:
    """Return whether there is anything; a batch that was killed before it wrote a manifest left folders and a lock."""
    if path.is_symlink() or not path.is_dir():
        return path.is_symlink() or path.exists()
    return any(not each.name.startswith("lock-") for each in path.iterdir())


def _is_own_coco(path: Path) -> bool:
    return _first_lines(path, 1) == [COCO_BEGINS.rstrip()]


def _is_own_yolo(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    if any(each.name not in YOLO_ENTRIES and not _is_by_the_way(each) for each in path.iterdir()):
        return False
    first, second = (*_first_lines(path / "data.yaml", 2), "", "")[:2]
    if first == YOLO_BEGINS.rstrip():
        return True
    # Earlier versions of this program wrote no mark; the index is a kind of their own.
    index = "".join(_first_lines(path / "images.txt", 1))
    return first == "path: ." and second in ("names:", "names: {}") and "\tlabels/" in index


def _is_by_the_way(path: Path) -> bool:
    """Return whether a file is one that file managers and trainers leave in a data set."""
    return path.is_file() and (path.name.startswith(".") or path.suffix == ".cache")


def _first_lines(path: Path, count: int) -> list[str]:
    """Return the first lines of a file without their ends; none if it is no file. A long line is cut."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return [file.readline(_LONGEST).decode(errors="replace").rstrip() for _ in range(count)]


#: The data sets that a batch makes of its table: format, name in the folder, and whether it is that of a batch.
_DATA_SETS: Mapping[str, tuple[str, Callable[[Path], bool]]] = {
    "coco": ("coco.json", _is_own_coco),
    "yolo": ("yolo", _is_own_yolo),
}


def locked(path: Path, patience: float = 0.0) -> IO[bytes]:
    """Return a lock, which ends with the process at the latest. Systems and drives without locks have none.

    Parameters
    ----------
    path : Path
    patience : float
        Seconds to wait for a process that has it.

    Raises
    ------
    DatasetError
        Another process has it.
    """
    end = time.monotonic() + patience
    stream = path.open("ab")
    try:
        import fcntl
    except ImportError:
        return stream
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < end:
                time.sleep(_PAUSE)
                continue
            stream.close()
            raise DatasetError(
                f"Expected a folder that no other process works on. Received {path.parent.parent}, in which one "
                "does. Wait for it, or choose another --out."
            ) from error
        except OSError:  # some network drives have no locks
            pass
        return stream
