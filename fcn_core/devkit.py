"""Reading the synsets of the ILSVRC devkit's ``meta_clsloc.mat``, without trusting it.

The file is a MATLAB 5 file. SciPy reads it, but believes what it says about itself: a few bytes can ask for
gigabytes. So it is inflated within a bound and walked first (MathWorks, "MAT-File Format", 2019), and SciPy
gets only the bytes that were walked.
"""

from __future__ import annotations

import io
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from fcn_core.errors import HierarchyInvalid

MAX_FILE_BYTES = 4 * 2**20  # the devkit's file has 177 kB,
MAX_INFLATED_BYTES = 8 * 2**20  # 1 MB inflated
MAX_SYNSETS = 10_000  # it has 1860,
MAX_ENTRIES = 50_000  # with 3500 words and 1900 children
MAX_NESTING = 4  # a struct array of plain arrays needs 2

HEADER_BYTES = 128
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC = range(6, 16)  # double, single, then the integers
FIELDS = ("ILSVRC2014_ID", "WNID", "words", "gloss", "children")


class Node(NamedTuple):
    """A synset as a file of synsets gives it."""

    wnid: str
    words: tuple[str, ...]
    gloss: str
    children: tuple[str, ...]
    parents: tuple[str, ...] = ()  # in the order of their importance, where the file tells


class _Malformed(ValueError):
    """Bytes that are not a MATLAB 5 file of plain arrays."""


def read_devkit(path: str | Path) -> list[Node]:
    """Read the synsets of a ``meta_clsloc.mat``.

    Parameters
    ----------
    path : str or Path
        ``meta_clsloc.mat`` of an ILSVRC devkit (2013 to 2017).

    Returns
    -------
    list of Node
        As in the file; whether they form a hierarchy is not examined.

    Raises
    ------
    HierarchyInvalid
        When the file cannot be read, is too large, is damaged, or holds something else.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise HierarchyInvalid(
                f"{str(path)!r} is not a file; expected the path of the devkit's meta_clsloc.mat"
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a null character in the path
        raise HierarchyInvalid(f"{str(path)!r} cannot be read ({fault}); expected meta_clsloc.mat") from fault
    try:
        return _nodes(_load(_inflated(data)))
    except Exception as fault:  # SciPy raises whatever its parser stumbles upon
        reason = str(fault) if isinstance(fault, _Malformed) else f"{type(fault).__name__}: {fault}"
        raise HierarchyInvalid(
            f"{str(path)!r} is damaged or is not the devkit's meta_clsloc.mat ({reason[:200]}); "
            "take it again from the ILSVRC devkit, or use the hierarchy that comes with the program"
        ) from fault


def _load(data: bytes) -> Any:
    """Return the struct array ``synsets`` of walked MATLAB 5 bytes."""
    from scipy.io import loadmat

    file: Any = io.BytesIO(data)
    variables = loadmat(file, variable_names=["synsets"])
    if "synsets" not in variables:
        raise _Malformed('it has no variable "synsets"')
    return variables["synsets"]


def _nodes(synsets: Any) -> list[Node]:
    """Turn the struct array into nodes; its cells are two-dimensional arrays."""
    missing = [field for field in FIELDS if field not in (synsets.dtype.names or ())]
    if missing:
        raise _Malformed(f'"synsets" has no field {missing[0]}')
    rows = synsets.ravel()
    if len(rows) > MAX_SYNSETS:
        raise _Malformed(f"it has {len(rows)} synsets, more than {MAX_SYNSETS}")
    if sum(row["children"].size for row in rows) > MAX_ENTRIES:
        raise _Malformed(f"it has more than {MAX_ENTRIES} children")
    if sum(str(row["words"].item()).count(",") + 1 for row in rows) > MAX_ENTRIES:
        raise _Malformed(f"it has more than {MAX_ENTRIES} words")
    wnids = {int(row["ILSVRC2014_ID"].item()): str(row["WNID"].item()) for row in rows}
    return [
        Node(
            wnid=str(row["WNID"].item()),
            words=tuple(str(row["words"].item()).split(", ")),
            gloss=str(row["gloss"].item()) if row["gloss"].size else "",
            children=tuple(wnids[int(child)] for child in row["children"].ravel()),
        )
        for row in rows
    ]


def _inflated(data: bytes) -> bytes:
    """Return the same file without compression, every element of it checked."""
    if len(data) > MAX_FILE_BYTES:
        raise _Malformed(f"it is larger than {MAX_FILE_BYTES // 2**20} MB")
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(data[HEADER_BYTES - 4 : HEADER_BYTES])
    if order is None:
        raise _Malformed("it is not a MATLAB 5 file")
    result = data[:HEADER_BYTES]
    position = HEADER_BYTES
    while position < len(data):
        kind, start, stop, following = _element(data, position, len(data), order, padded=False)
        if kind == COMPRESSED:
            inflater = zlib.decompressobj()
            room = MAX_INFLATED_BYTES - len(result)
            element = inflater.decompress(data[start:stop], room + 1)
            if len(element) > room:
                raise _Malformed(f"it inflates to more than {MAX_INFLATED_BYTES // 2**20} MB")
            if not inflater.eof:
                raise _Malformed("its compressed data are cut off")
        else:
            element = data[position:following]
        _check_matrix(element, 0, len(element), order, depth=0)
        result += element
        position = following
    return result


def _element(
    data: bytes, position: int, end: int, order: str, *, padded: bool = True
) -> tuple[int, int, int, int]:
    """Return type, start and stop of the data, and the next position, of the element at ``position``."""
    if end - position < 8:
        raise _Malformed("it is cut off")
    kind, size = struct.unpack_from(order + "II", data, position)
    if kind >> 16:  # type, size and up to four bytes of data packed into eight
        kind, size = kind & 0xFFFF, kind >> 16
        start, following = position + 4, position + 8
        if size > 4:
            raise _Malformed("a small element is larger than four bytes")
    else:
        start = position + 8
        following = start + size + (-size % 8 if padded else 0)
    if start + size > end:
        raise _Malformed("it is cut off")
    return kind, start, start + size, min(following, end)


def _check_matrix(data: bytes, position: int, end: int, order: str, depth: int) -> int:
    """Check that the array at ``position`` holds what it says, and return the position after it."""
    kind, position, stop, following = _element(data, position, end, order)
    if kind != MATRIX:
        raise _Malformed("there is something else where an array should be")
    if depth > MAX_NESTING:
        raise _Malformed("its arrays are nested too deeply")
    if position == stop:  # MATLAB's way to write an empty array
        return following

    def take(expected: int) -> bytes:
        nonlocal position
        kind, start, end_of_data, position = _element(data, position, stop, order)
        if kind != expected:
            raise _Malformed("an array's description is out of order")
        return data[start:end_of_data]

    flags = take(UINT32)
    dimensions = take(INT32)
    take(INT8)  # its name
    if len(flags) != 8 or len(dimensions) % 4 or not 8 <= len(dimensions) <= 16:
        raise _Malformed("an array's description is damaged")
    description = struct.unpack(order + "II", flags)[0]
    array_class, is_complex = description & 0xFF, description & 0x800
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    count = prod(shape)
    if min(shape) < 0 or max(shape) > stop - position + 1 or count > stop - position:
        raise _Malformed("an array says it is larger than it is")

    if array_class in (CELL, STRUCT):
        if array_class == STRUCT:
            width = struct.unpack(order + "i", take(INT32))[0]
            names = take(INT8)
            if width < 1 or len(names) % width or len(names) // width > 64:
                raise _Malformed("a struct's field names are damaged")
            count *= len(names) // width
        for _ in range(count):
            position = _check_matrix(data, position, stop, order, depth + 1)
    elif array_class == CHAR or (array_class in NUMERIC and not is_complex):
        _, start, end_of_data, position = _element(data, position, stop, order)
        if count > end_of_data - start:
            raise _Malformed("an array says it is larger than it is")
    else:
        raise _Malformed(f"it holds an array of class {array_class}")
    return following
