"""The folder of a batch: a table in parts, a journal of what is not in a part yet, and a manifest.

Everything is written so that the process may be killed at any moment. What is done is done: a part of the table and a
manifest appear complete or not at all, and a line of the journal that is not complete is cut off. A part that is
complete makes its journal void, whether that was removed or not.

Each shard has its own manifest, parts and journal, so that shards share the folder without waiting for each other.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from fcn_core.batch.checked import damaged, inside
from fcn_core.batch.inputs import Source, place_of
from fcn_core.batch.journal import Journal
from fcn_core.batch.layout import SCHEMA, Layout, digest, locked, number_of, read_manifest
from fcn_core.batch.parts import PartFormat, remove, replace_with, unusable
from fcn_core.batch.picture_files import FOLDERS
from fcn_core.batch.rows import Row
from fcn_core.errors import DatasetError
from fcn_core.system.installed import versions

#: Errors that another attempt may not have: the picture is analysed again by the next run.
PASSING = frozenset({"FetchError", "MemoryBudgetError", "MemoryError"})

_KEYS = ("path", "state", "error_type")
_PATIENCE = 10.0  # seconds, for another shard that makes a part of the same journal


@dataclass(frozen=True, slots=True)
class Done:
    """What is known of a picture that is in the table: its state then, and the kind of error, if there was one."""

    state: str
    error_type: str | None


class Store:
    """The rows of one shard of a batch. Use it as a context: it holds a lock.

    Parameters
    ----------
    layout : Layout
        Folder, shard, and how rows are kept.
    settings : mapping
        All that the rows depend on, as plain data for JSON.
    patience : float
        Seconds to wait for another process that works on this shard.

    Raises
    ------
    OutputError
        The folder cannot be written.
    DatasetError
        Another process works on this shard.
    """

    def __init__(self, layout: Layout, settings: Mapping[str, Any], patience: float = 0.0) -> None:
        self._layout, self._settings, self._table = layout, settings, layout.table
        self._digest = digest(settings)
        try:
            layout.tables.mkdir(parents=True, exist_ok=True)
            layout.state.mkdir(exist_ok=True)
            self._lock = locked(layout.lock, patience)
        except OSError as error:
            raise unusable(layout.folder, error) from error
        except ValueError as error:
            raise unusable(layout.folder, OSError(str(error))) from error
        try:
            for stray in layout.tables.glob(f".part-{layout.name}-*"):
                remove(stray)
            self._open_journal()
        except BaseException as error:
            self._lock.close()
            if isinstance(error, OSError):
                raise unusable(layout.folder, error) from error
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        self._lock.close()

    def changed_settings(self) -> list[str]:
        """Return the names of the settings that differ from those of the rows that are here."""
        before = read_manifest(self._layout.manifest)
        if before is None or before["digest"] == self._digest:
            return []
        theirs: dict[str, Any] = before["settings"]
        return [key for key in {**theirs, **self._settings} if theirs.get(key) != self._settings.get(key)]

    def begin(self, sources: Sequence[Source]) -> tuple[list[Source], dict[str, Done]]:
        """Make the folder ready, and return which pictures are to be done, and what is known of the others.

        Rows of other settings, and of pictures that have changed since, are removed.
        """
        if self.changed_settings():
            self._remove_all()
        self._write_manifest()
        states = {place_of(source.key): source.state for source in sources}
        done = _known(self._read_parts(_KEYS), self._journal.rows())
        stale = {
            key
            for key, each in done.items()
            if (state := states.get(place_of(key))) is not None
            and (each.state != state or each.error_type in PASSING)
        }
        if stale:
            self._remove(stale)
        found = {place_of(key): each for key, each in done.items() if key not in stale}
        found = {place: each for place, each in found.items() if place in states}
        for key, each in self._done_elsewhere(states).items():
            if each.state != states[place_of(key)]:
                raise DatasetError(
                    f"Expected pictures that are as they were when other shards analysed them. Received {key}, which "
                    "has changed. Run the command with the same --shard as then, or choose another --out."
                )
            found[place_of(key)] = each
        return [source for source in sources if place_of(source.key) not in found], found

    def add(self, line: str) -> None:
        """Keep the rows of a picture, a list as one line of JSON: all or, if the process is killed, none."""
        self._journal.add(line)
        if self._journal.is_full:
            self.flush()

    def flush(self) -> None:
        """Make the journal a part of the table."""
        if self._journal.pictures:
            part = self._layout.part(number_of(self._journal.path))
            replace_with(part, lambda path: self._table.write(path, self._journal.rows()))
            self._journal.remove()
            self._open_journal()

    def _write_manifest(self) -> None:
        about = {
            "schema": SCHEMA,
            "digest": self._digest,
            "table": self._table.name,
            "shard": list(self._layout.shard),
            "settings": self._settings,
            "versions": versions(),
        }
        text = json.dumps(about, indent=2) + "\n"
        replace_with(self._layout.manifest, lambda path: path.write_text(text, encoding="utf-8"))

    def _open_journal(self) -> None:
        """Open the journal that a killed process left, or that of the next part."""
        numbers = {number_of(path) for path in self._layout.parts()}
        for path in self._layout.journals():
            if number_of(path) in numbers:
                remove(path)  # it is a part, and the process was killed before it removed it
        left = self._layout.journals()
        number = number_of(left[0]) if left else max(numbers, default=-1) + 1
        self._journal = Journal(self._layout.journal(number))

    def _read_parts(self, columns: Sequence[str]) -> Iterator[Row]:
        for path in self._layout.parts():
            yield from self._table.read(path, columns)

    def _done_elsewhere(self, places: Container[str]) -> dict[str, Done]:
        """Return what shards of another number of shards have done of the pictures at these places."""
        done: dict[str, Done] = {}
        for other in self._layout.others():
            if (about := read_manifest(other.manifest)) is None or about["digest"] != self._digest:
                raise DatasetError(
                    f"Expected the results of other shards to have the same settings. Received other ones in "
                    f"{other.manifest}. Choose another --out."
                )
            if other.journals():
                with Store(other, self._settings, _PATIENCE) as store:
                    store.flush()
            for path in other.parts():
                done |= _known(other.table.read(path, _KEYS))
        return {key: each for key, each in done.items() if place_of(key) in places}

    def _remove(self, keys: Container[str]) -> None:
        """Remove the rows and files of these pictures."""
        for path in [path for path in self._rows_at() if self._checked(path, keys)]:
            self._remove_files(path, keys)
            if path == self._journal.path:
                self._journal.keep(lambda rows: rows[0]["path"] not in keys)
                continue
            kept = [row for row in self._table.read(path, None) if row["path"] not in keys]
            if kept:
                replace_with(path, lambda part, kept=kept: self._table.write(part, kept))  # type: ignore[misc]
            else:
                remove(path)

    def _remove_all(self) -> None:
        """Remove all rows and files of this shard."""
        for path in self._rows_at():
            self._checked(path)
        for path in self._rows_at():
            self._remove_files(path)
            if path != self._journal.path:
                remove(path)
        self._journal.remove()
        self._open_journal()

    def _rows_at(self) -> list[Path]:
        return [*self._layout.parts(), self._journal.path]

    def _rows(self, path: Path, keys: Container[str] | None) -> Iterator[Row]:
        """Yield what the rows of some pictures say of their files, in a part or the journal."""
        rows = (
            self._journal.rows() if path == self._journal.path else self._table.read(path, ("path", *FOLDERS))
        )
        return (row for row in rows if keys is None or row["path"] in keys)

    def _checked(self, path: Path, keys: Container[str] | None = None) -> bool:
        """Return whether there are rows of some pictures, after checking that no file of them is elsewhere.

        All are checked before any is removed.
        """
        some, seen = False, set()
        for row in self._rows(path, keys):
            some = True
            for name in filter(None, map(row.get, FOLDERS)):
                place = name.rpartition("/")[0]
                if place not in seen and not inside(self._layout.folder, name):
                    why = ValueError(f"{name} leads out of {self._layout.folder}")
                    raise damaged(path, "names of files in the folder of results", why)
                seen.add(place)
        return some

    def _remove_files(self, path: Path, keys: Container[str] | None = None) -> None:
        for row in self._rows(path, keys):
            for name in filter(None, map(row.get, FOLDERS)):
                remove(self._layout.folder / name)


def pictures(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each picture, which follow each other in every part."""
    for _, same in groupby(rows, key=lambda row: str(row["path"])):
        yield list(same)


def rows_of_parts(
    paths: Sequence[Path], table: PartFormat, columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of some parts, all columns of them or some."""
    for path in paths:
        yield from table.read(path, columns)


def _known(*several: Iterable[Row]) -> dict[str, Done]:
    return {row["path"]: Done(row["state"], row["error_type"]) for rows in several for row in rows}
