"""Reading the synsets of the ILSVRC devkit's ``meta_clsloc.mat``, without trusting it.

The file is a MATLAB 5 file (MathWorks, "MAT-File Format", 2019) with one array of structs. ``scipy.io.loadmat``
reads it, too, but a damaged one makes it ask for gigabytes or end the process by a segmentation fault, which
nothing could catch. What is needed here is little: structs of text and whole numbers.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

from fcn_core.errors import HierarchyInvalid

MAX_FILE_BYTES = 4 * 2**20  # the devkit's file has 177 kB,
MAX_INFLATED_BYTES = 8 * 2**20  # 1 MB inflated,
MAX_SYNSETS = 10_000  # 1860 synsets
MAX_ENTRIES = 50_000  # with 3500 words and 1900 children

HEADER_BYTES = 128
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15  # types of elements
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
STRUCT, CHAR, NUMERIC, COMPLEX = 2, 4, range(6, 16), 0x800  # classes of arrays

Value = str | list[int]


class Node(NamedTuple):
    """A synset as a file of synsets gives it."""

    wnid: str
    words: tuple[str, ...]
    gloss: str
    children: tuple[str, ...]
    parents: tuple[str, ...] = ()  # in the order of their importance, where the file tells


def read_devkit(path: str | Path) -> list[Node]:
    """Read the synsets of a ``meta_clsloc.mat``.

    Parameters
    ----------
    path : str or Path
        ``meta_clsloc.mat`` of an ILSVRC devkit.

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
        return _nodes(_rows(data))
    except (ValueError, struct.error, zlib.error) as fault:
        raise HierarchyInvalid(
            f"{str(path)!r} is damaged or is not the devkit's meta_clsloc.mat: {fault}; "
            "take it again from the ILSVRC devkit, or use the hierarchy that comes with the program"
        ) from fault


def _nodes(rows: list[dict[str, Value]]) -> list[Node]:
    """Turn structs into nodes; children are told by number."""
    wnids = {_number(row): _text(row, "WNID") for row in rows}
    nodes = []
    entries = 0
    for row in rows:
        words = tuple(_text(row, "words").split(", "))
        children = row.get("children")
        if not isinstance(children, list) or any(child not in wnids for child in children):
            raise ValueError("a synset's children are not numbers of synsets")
        entries += len(words) + len(children)
        if entries > MAX_ENTRIES:
            raise ValueError(f"it has more than {MAX_ENTRIES} words and children")
        nodes.append(
            Node(_text(row, "WNID"), words, _text(row, "gloss"), tuple(wnids[child] for child in children))
        )
    return nodes


def _number(row: dict[str, Value]) -> int:
    value = row.get("ILSVRC2014_ID")
    if not isinstance(value, list) or len(value) != 1:
        raise ValueError("a synset has no ILSVRC2014_ID")
    return value[0]


def _text(row: dict[str, Value], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise ValueError(f"a synset has no {field}")  # noqa: TRY004 - the file is wrong, not the caller
    return value


def _rows(data: bytes) -> list[dict[str, Value]]:
    """Return the structs of the variable ``synsets``."""
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MB")
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(data[HEADER_BYTES - 4 : HEADER_BYTES])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file")
    file = _Elements(data, HEADER_BYTES, len(data), order)
    kind, start, stop = file.take_any(padded=False)
    if kind == COMPRESSED:
        inflater = zlib.decompressobj()
        data = inflater.decompress(data[start:stop], MAX_INFLATED_BYTES)
        if inflater.unconsumed_tail or not inflater.eof:
            raise ValueError(f"it is cut off, or inflates to more than {MAX_INFLATED_BYTES // 2**20} MB")
        kind, start, stop = _Elements(data, 0, len(data), order).take_any()
    if kind != MATRIX:
        raise ValueError("it does not begin with an array")
    array = _Elements(data, start, stop, order)
    array_class, count, name = array.take_description()
    if array_class != STRUCT or name != b"synsets" or not 0 < count <= MAX_SYNSETS:
        raise ValueError(f'it does not begin with "synsets", an array of at most {MAX_SYNSETS} structs')
    width = struct.unpack(order + "i", array.take(INT32))[0]
    names = array.take(INT8)
    if width < 1 or len(names) % width or not 0 < len(names) // width <= 64:
        raise ValueError("the names of the fields are damaged")
    fields = [names[i : i + width].rstrip(b"\0").decode("latin-1") for i in range(0, len(names), width)]
    return [{field: array.take_value() for field in fields} for _ in range(count)]


@dataclass
class _Elements:
    """The elements between two places of a file, one taken after the other."""

    data: bytes
    position: int
    stop: int
    order: str

    def take_any(self, *, padded: bool = True) -> tuple[int, int, int]:
        """Return the next element's type and where its data start and stop."""
        if self.stop - self.position < 8:
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(self.order + "II", self.data, self.position)
        start = self.position + 8
        self.position = start + size + (-size % 8 if padded else 0)
        if kind >> 16:  # type, size and up to four bytes of data packed into eight
            kind, size = kind & 0xFFFF, kind >> 16
            start -= 4
            self.position = start + 4
            if size > 4:
                raise ValueError("a small element has more than four bytes")
        if start + size > self.stop:
            raise ValueError("it is cut off")
        return kind, start, start + size

    def take(self, expected: int) -> bytes:
        """Return the data of the next element, which must be of this type."""
        kind, start, stop = self.take_any()
        if kind != expected:
            raise ValueError("the description of an array is out of order")
        return self.data[start:stop]

    def take_description(self) -> tuple[int, int, bytes]:
        """Return an array's class, number of entries and name."""
        flags, dimensions, name = self.take(UINT32), self.take(INT32), self.take(INT8)
        if len(flags) != 8 or len(dimensions) % 4 or not 8 <= len(dimensions) <= 16:
            raise ValueError("the description of an array is damaged")
        description = struct.unpack(self.order + "II", flags)[0]
        shape = struct.unpack(f"{self.order}{len(dimensions) // 4}i", dimensions)
        if min(shape) < 0 or description & COMPLEX:
            raise ValueError("an array is complex or has a negative size")
        return description & 0xFF, prod(shape), name

    def take_value(self) -> Value:
        """Return the text or the whole numbers of the next array."""
        kind, start, stop = self.take_any()
        if kind != MATRIX:
            raise ValueError("there is something else where an array should be")
        if start == stop:  # how MATLAB writes an empty array
            return []
        array = _Elements(self.data, start, stop, self.order)
        array_class, count, _ = array.take_description()
        kind, start, stop = array.take_any()
        data = self.data[start:stop]
        if array_class == CHAR and kind in TEXTS:
            encoding = TEXTS[kind]
            if encoding == "utf-16":
                encoding += "-le" if self.order == "<" else "-be"
            return data.decode(encoding)
        if array_class in NUMERIC and kind in NUMBERS and count <= MAX_ENTRIES:
            numbers = struct.unpack(f"{self.order}{count}{NUMBERS[kind]}", data)
            if any(number != number // 1 for number in numbers):
                raise ValueError("a number is not whole")
            return [int(number) for number in numbers]
        raise ValueError("an array holds neither text nor numbers")
