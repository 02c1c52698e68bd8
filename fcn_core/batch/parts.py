"""The files that hold rows: Parquet, or JSON with one row a line."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from fcn_core.batch.checked import DAMAGES, checked_row, damaged
from fcn_core.batch.rows import COLUMNS, Row
from fcn_core.errors import DatasetError, OutputError

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_ROWS = 256  # rows that are in memory at a time while a part is read
_WHAT = "a part of the table"


@dataclass(frozen=True)
class PartFormat:
    """How rows are kept in a file.

    Attributes
    ----------
    name, suffix : str
    write : callable
        Takes a path and rows, and writes the file.
    read : callable
        Takes a path and the names of columns (None: all), and yields rows, checked.
    """

    name: str
    suffix: str
    write: Callable[[Path, Iterable[Row]], None]
    read: Callable[[Path, Sequence[str] | None], Iterator[Row]]


def replace_with(path: Path, write: Callable[[Path], object], sync: bool = True) -> None:
    """Write a file under another name, and give it its own when it is complete; with `sync`, when it is on the disk.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # a link there is not followed
        write(part)
        if sync:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:  # also: what was to be written could not be read, or the user stopped
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    OutputError
        It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written."""
    full = error.errno in _FULL
    return OutputError(
        f"Expected a folder that can be written{', with enough space' if full else ''}. Received {path.parent}, in "
        f"which {path.name} cannot be written ({error.strerror or error}). "
        f"{'Free some space there' if full else 'Check its permissions'}, or choose another --out."
    )


def unusable(folder: Path, error: OSError) -> OutputError:
    """Return the error for a place in which there can be no results."""
    return OutputError(
        f"Expected a folder for the results that can be made and written. Received {folder}, which cannot "
        f"({error.strerror or error}). Choose another --out."
    )


def require_pyarrow() -> None:
    """Check that Parquet can be written.

    Raises
    ------
    DatasetError
        PyArrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DatasetError(
            "Expected the package pyarrow for Parquet files. Received none: it is not installed. Install it (pip "
            "install pyarrow), or choose --format jsonl."
        )


@cache
def schema() -> Any:
    """Return the types of the columns, for PyArrow."""
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    words = pa.dictionary(pa.int32(), text)  # few different ones
    box = pa.struct([(name, whole) for name in ("x0", "y0", "x1", "y1", "area")] + [("score", number)])
    types: Mapping[str, Any] = {
        **dict.fromkeys(
            ("wnid", "synset", "model", "weights", "weights_sha256", "engine", "precision"), words
        ),
        **dict.fromkeys(("presence", "threshold", "seconds"), number),
        **dict.fromkeys(("width", "height", "area", "output_stride"), whole),
        **dict.fromkeys(("asked", "present"), pa.bool_()),
        "peaks": pa.list_(pa.struct([("scale", text), ("peak", number)])),
        "boxes": pa.list_(box),
        "mask": pa.struct([("size", pa.list_(whole)), ("counts", text)]),
    }
    return pa.schema([(name, types.get(name, text)) for name in COLUMNS])


def write_parquet(file: Path | BinaryIO, rows: Iterable[Row]) -> None:
    """Write rows into a file, by its path or open."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema(), compression="zstd") as writer:
        for block in _blocks(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(block, schema()))


def _read_parquet(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if missing := [name for name in COLUMNS if name not in file.schema_arrow.names]:
                raise ValueError(f"it has no {missing[0]}")
            for batch in file.iter_batches(_ROWS, columns=list(columns or COLUMNS)):
                for row in batch.to_pylist():
                    yield checked_row(row, columns)
    except (*DAMAGES, pa.ArrowException) as error:
        raise damaged(path, _WHAT, error) from error


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row))


def _read_lines(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = checked_row(json.loads(line))
                yield row if columns is None else {name: row[name] for name in columns}
    except DAMAGES as error:
        raise damaged(path, _WHAT, error) from error


def json_line(value: Any) -> str:
    """Return a value as one line of JSON in ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n"


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == _ROWS:
            yield block
            block = []
    if block:
        yield block


#: The formats in which rows can be kept, by their names.
PART_FORMATS: Mapping[str, PartFormat] = {
    "parquet": PartFormat("parquet", ".parquet", write_parquet, _read_parquet),
    "jsonl": PartFormat("jsonl", ".jsonl", _write_lines, _read_lines),
}
