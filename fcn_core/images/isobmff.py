"""Check the boxes of a HEIC or AVIF file (ISO/IEC 14496-12, 23008-12) before a decoder reads it.

A decoder allocates memory by the sizes in the coded data, which can differ from those in the header. libheif compares
both for HEIC; libavif does not, so the sizes in the AV1 data are read here. Structures that still pictures do not have,
such as several frames in one item, are refused, because decoders are less tested with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fcn_core.images.bounded import BadFileError

_MAX_ENTRIES = 5_000  # of a list; a photograph of 48 megapixels has some 200 parts
_CODED = (b"hvc1", b"av01")
_DERIVED = (b"iovl", b"iden", b"tili")  # items made of others, except grids; they can be nested

_Boxes = dict[bytes, tuple[int, int]]


@dataclass(frozen=True)
class Item:
    """An item of the file: its kind, the width and height in the header, and its place in the file."""

    kind: bytes
    size: tuple[int, int] = (0, 0)
    extents: tuple[tuple[int, int], ...] = ()

    @property
    def pixels(self) -> int:
        """Return the number of pixels that the header declares."""
        return self.size[0] * self.size[1]

    @property
    def length(self) -> int:
        """Return the number of bytes in the file."""
        return sum(end - start for start, end in self.extents)


@dataclass(frozen=True)
class CodedImage:
    """The coded image, before any crop: it determines the memory of decoding.

    Attributes
    ----------
    width, height : int
        Size in pixels.
    rich : bool
        Whether AV1 data has more than 8 bits, or full-resolution colour.
    """

    width: int
    height: int
    rich: bool


def brand(data: bytes) -> str | None:
    """Return Pillow's name of the format, "film" for other files with such boxes, None for files without."""
    if data[4:8] != b"ftyp":
        return None
    for start in (8, *range(16, min(int.from_bytes(data[:4]), 256) - 3, 4)):
        mark = data[start : start + 4]
        if mark in (b"avif", b"avis"):
            return "AVIF"
        if mark in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"):
            return "HEIF"
    return "film"


def check(data: bytes, max_pixels: int) -> CodedImage:
    """Check that the items of a file need no more than a still picture of `max_pixels`.

    Returns
    -------
    CodedImage
        Its size can be above `max_pixels`: the caller checks it.

    Raises
    ------
    BadFileError
        The other items need more, or the structure is not that of a still picture.
    """
    if data[8:12] in (b"avis", b"hevc", b"hevx", b"msf1"):
        raise BadFileError("a moving HEIC or AVIF picture")
    items, primary, parts = _items(data)
    kind = items[primary].kind if primary in items else b""
    nested = any(
        items[whole].kind == b"grid" and (part not in items or items[part].kind not in _CODED)
        for whole, part in parts
        if whole in items
    )
    if nested or kind not in (*_CODED, b"grid") or any(item.kind in _DERIVED for item in items.values()):
        raise BadFileError("a HEIC or AVIF picture of an unusual kind")
    if items[primary].pixels > max_pixels:
        return CodedImage(*items[primary].size, rich=False)
    uses = Counter(part for _, part in parts)
    coded = {number: item for number, item in items.items() if item.pixels and item.kind != b"grid"}
    # Besides the picture there can be previews, depth maps and gain maps.
    work = sum(item.pixels * max(1, uses[number]) for number, item in coded.items())
    if work > 4 * max_pixels or max(item.pixels for item in items.values()) > max_pixels:
        raise BadFileError("a HEIC or AVIF picture whose parts are larger than the whole")
    notes = sum(item.length for item in items.values() if not item.pixels)
    if notes * len(items) > 2**26:  # the decoder copies the metadata for each picture in the file
        raise BadFileError("a picture with too much metadata")
    rich = False
    for item in coded.values():
        if item.kind == b"av01":
            sequence = _sequence(b"".join(data[start:end] for start, end in item.extents))
            size = sequence.width, sequence.height
            if any(abs(real - said) > said / 16 + 64 for real, said in zip(size, item.size, strict=True)):
                raise BadFileError("an AVIF picture of another size than its header says")
            rich |= sequence.rich
    return CodedImage(*items[primary].size, rich)


class _Numbers:
    """The big-endian numbers in a part of the file, read one after the other."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._at, self._end = data, start, end

    def next(self, size: int) -> int:
        self._at += size
        if self._at > self._end:
            raise BadFileError("a damaged or cut off file")
        return int.from_bytes(self._data[self._at - size : self._at])

    def range(self, size: int) -> range:
        """Read a number and return the range of that length."""
        count = self.next(size)
        if count > _MAX_ENTRIES:
            raise BadFileError("a picture of too many parts")
        return range(count)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and the start and end of its content."""
    for _ in range(_MAX_ENTRIES):
        if start >= end:
            return
        size, kind, head = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            raise BadFileError("a damaged or cut off file")
        yield kind, start + head, start + size
        start += size
    raise BadFileError("a picture of too many parts")


def _unique(boxes: Iterator[tuple[bytes, int, int]], *wanted: bytes) -> _Boxes:
    """Return the wanted boxes by kind. A second box of a kind is refused, because readers differ in which they use."""
    found: _Boxes = {}
    for kind, start, end in boxes:
        if kind in wanted:
            if kind in found:
                raise BadFileError("a HEIC or AVIF picture of an unusual structure")
            found[kind] = start, end
    return found


def _whole(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the outermost boxes; data after the "meta" box need not be boxes, because cameras append other data."""
    seen = False
    try:
        for box in _boxes(data, 0, len(data)):
            seen |= box[0] == b"meta"
            yield box
    except BadFileError:
        if not seen:
            raise


def _items(data: bytes) -> tuple[dict[int, Item], int, list[tuple[int, int]]]:
    """Return the items by number, the number of the primary item, and pairs of an item and one that it is made of."""
    meta = _unique(_whole(data), b"meta")
    if b"meta" not in meta:
        raise BadFileError("a damaged or cut off file, or a film")
    start, end = meta[b"meta"]
    lists = (b"pitm", b"iinf", b"iloc", b"iref", b"iprp", b"idat")
    boxes = _unique(_boxes(data, start + 4, end), *lists)
    if not {b"pitm", b"iinf", b"iloc", b"iprp"} <= boxes.keys():
        raise BadFileError("a damaged or cut off file")
    items = _kinds(data, *boxes[b"iinf"])
    for number, extents in _places(data, boxes):
        if number in items:
            items[number] = replace(items[number], extents=extents)
    for number, size in _sizes(data, *boxes[b"iprp"]):
        if number in items:
            if items[number].pixels:
                raise BadFileError("a HEIC or AVIF picture of an unusual structure")
            items[number] = replace(items[number], size=size)
    if any(item.kind in _CODED and not (item.pixels and item.length) for item in items.values()):
        raise BadFileError("a damaged or cut off file")
    primary = _Numbers(data, *boxes[b"pitm"])
    number = primary.next(2 if primary.next(4) >> 24 == 0 else 4)
    return items, number, _parts(data, boxes.get(b"iref"))


def _kinds(data: bytes, start: int, end: int) -> dict[int, Item]:
    size = 2 if data[start] == 0 else 4
    items: dict[int, Item] = {}
    for kind, begin, stop in _boxes(data, start + 4 + size, end):
        numbers = _Numbers(data, begin, stop)
        version = numbers.next(4) >> 24
        if kind != b"infe" or version not in (2, 3):
            raise BadFileError("a HEIC or AVIF picture of an unusual structure")
        number = numbers.next(version * 2 - 2)
        numbers.next(2)
        if number in items:
            raise BadFileError("a HEIC or AVIF picture of an unusual structure")
        items[number] = Item(numbers.next(4).to_bytes(4))
    return items


def _places(data: bytes, boxes: _Boxes) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    numbers = _Numbers(data, *boxes[b"iloc"])
    version = numbers.next(4) >> 24
    sizes = numbers.next(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 2 if version < 2 else 4
    seen = set()
    for _ in numbers.range(wide):
        number = numbers.next(wide)
        inside = numbers.next(2) & 15 if version else 0
        if numbers.next(2) or inside > 1 or number in seen:  # in another file, or in another item
            raise BadFileError("a HEIC or AVIF picture of an unusual structure")
        seen.add(number)
        first, last = boxes.get(b"idat", (0, 0)) if inside else (0, len(data))
        base = numbers.next(base_size)
        extents = []
        for _ in numbers.range(2):
            if version:
                numbers.next(index_size)
            begin = first + base + numbers.next(offset_size)
            length = numbers.next(length_size)
            if begin > last or begin + length > last:
                raise BadFileError("a damaged or cut off file")
            extents.append((begin, begin + length if length else last))
        yield number, tuple(extents)


def _sizes(data: bytes, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    properties: list[tuple[int, int]] = []
    for kind, begin, stop in _boxes(data, start, end):
        if kind == b"ipco":
            for name, first, last in _boxes(data, begin, stop):
                numbers = _Numbers(data, first + 4, last)
                properties.append((numbers.next(4), numbers.next(4)) if name == b"ispe" else (0, 0))
        if kind != b"ipma":
            continue
        numbers = _Numbers(data, begin, stop)
        version = numbers.next(4)
        wide = 2 if version & 1 else 1
        for _ in numbers.range(4):
            number = numbers.next(2 if version >> 24 == 0 else 4)
            for _ in numbers.range(1):
                index = numbers.next(wide) & (2 ** (8 * wide - 1) - 1)
                if index > len(properties):
                    raise BadFileError("a damaged or cut off file")
                if index and any(properties[index - 1]):
                    yield number, properties[index - 1]


def _parts(data: bytes, place: tuple[int, int] | None) -> list[tuple[int, int]]:
    parts: list[tuple[int, int]] = []
    if place is not None:
        size = 2 if data[place[0]] == 0 else 4
        for kind, start, end in _boxes(data, place[0] + 4, place[1]):
            numbers = _Numbers(data, start, end)
            whole = numbers.next(size)
            found = [(whole, numbers.next(size)) for _ in numbers.range(2)]
            parts += found if kind == b"dimg" else []
    return parts


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data), 8 * len(data)

    def next(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise BadFileError("a damaged or cut off file")
        return self._bits >> self._left & (1 << count) - 1


_ANY = 2  # the sequence leaves this choice to its frames


@dataclass(frozen=True)
class _Sequence:
    """The fields of an AV1 sequence header that are needed to read further."""

    width: int
    height: int
    reduced: bool
    frame_id_bits: int
    screen_content: int
    integer_motion: int
    rich: bool

    @classmethod
    def read(cls, data: bytes) -> _Sequence:
        bits = _Bits(data[:64])
        profile = bits.next(3)
        bits.next(1)  # still
        reduced = bool(bits.next(1))
        if reduced:
            bits.next(5)
        else:
            if bits.next(1):  # times
                raise BadFileError("a moving AVIF picture")
            delays = bits.next(1)
            for _ in range(bits.next(5) + 1):
                bits.next(12)
                bits.next(1 if bits.next(5) > 7 else 0)
                bits.next(4 if delays and bits.next(1) else 0)
        sizes = bits.next(4) + 1, bits.next(4) + 1
        width, height = (bits.next(size) + 1 for size in sizes)
        id_bits, screen, motion = 0, _ANY, _ANY
        if not reduced and bits.next(1):
            id_bits = bits.next(4) + 2 + bits.next(3) + 1
        bits.next(3)  # tools within a frame
        if not reduced:
            bits.next(4)  # tools between frames
            ordered = bits.next(1)
            bits.next(2 if ordered else 0)
            screen = _ANY if bits.next(1) else bits.next(1)
            motion = _ANY if not screen or bits.next(1) else bits.next(1)
            bits.next(3 if ordered else 0)
        bits.next(3)  # filters
        rich = profile > 0 or bool(bits.next(1))
        return cls(width, height, reduced, id_bits, screen, motion, rich)


def _sequence(data: bytes) -> _Sequence:
    """Return the sequence header of AV1 data with one frame (AV1 specification, 5.3 to 5.9)."""
    sequence, frames, at = None, 0, 0
    for _ in range(_MAX_ENTRIES):
        if at >= len(data):
            break
        head = data[at]
        at += 2 if head & 4 else 1
        size = len(data) - at
        if head & 2:
            size = shift = 0
            for shift in range(0, 56, 7):
                size |= (data[at] & 127) << shift if at < len(data) else 0
                at += 1
                if at > len(data) or not data[at - 1] & 128:
                    break
        if at + size > len(data):
            raise BadFileError("a damaged or cut off file")
        content, kind = data[at : at + min(size, 64)], head >> 3 & 15
        at += size
        if kind == 1:
            found = _Sequence.read(content)
            if sequence not in (None, found):
                raise BadFileError("an AVIF picture of an unusual structure")
            sequence = found
        elif kind in (3, 6) and sequence is not None:  # a frame's header, alone or with the frame
            frames += 1
            if not sequence.reduced:
                _check_frame(content, sequence)
        elif kind in (3, 6, 7, 8):  # a frame before its sequence, a repeated header, or a list of tiles
            raise BadFileError("an AVIF picture of an unusual structure")
    if sequence is None or frames != 1 or at < len(data):
        raise BadFileError("an AVIF picture of none or several frames")
    return sequence


def _check_frame(content: bytes, sequence: _Sequence) -> None:
    """Check that a frame is a key frame of the sequence's size."""
    bits = _Bits(content)
    if bits.next(4) != 1:  # no repetition, a key frame, shown
        raise BadFileError("a moving AVIF picture")
    bits.next(1)
    screen = bits.next(1) if sequence.screen_content == _ANY else sequence.screen_content
    if screen and sequence.integer_motion == _ANY:
        bits.next(1)
    bits.next(sequence.frame_id_bits)
    if bits.next(1):
        raise BadFileError("an AVIF picture of another size than its header says")
