"""Check the tags of a TIFF file before a decoder reads it: one page, common compression, limited parts."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from PIL import _imaging

from fcn_core.images.bounded import BadFileError

_MAX_PAGES = 16  # further pages may be smaller copies of the first
_MAX_TAGS = 500
_MAX_STRIPS = 70_000  # one per row of the tallest picture
_MAX_TILE = 2**22  # pixels; a tile is decompressed as a whole
#: None, fax, LZW, JPEG, deflate, PackBits. Others are rare, and every decoder is a risk.
_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32_773, 32_946}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4}
_REDUCED, _LENGTH, _BITS, _COMPRESSION = 254, 257, 258, 259
_STRIPS, _TILE_WIDTH, _TILE_LENGTH, _TILES = (273, 279), 322, 323, (324, 325)
_SAMPLES, _MAX_SAMPLES = 277, 6  # channels, as Pillow allows
_SEVERAL_SCANS = re.compile(rb"\xff\xc2\0[\x0b\x11\x14]\x08")

_Tags = Mapping[int, tuple[int, int]]  # by tag: the count of values, and the first value


def check(data: bytes) -> bool:
    """Check that a TIFF is one picture with a common structure.

    Returns
    -------
    bool
        Whether a channel has more than 8 bits, which needs more memory.

    Raises
    ------
    BadFileError
        The file is damaged or unusual.
    """
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data.ljust(8, b"\0"), 2)[0] != 42:
        raise BadFileError("a TIFF picture of an unusual kind")
    tags, following = _page(data, struct.unpack_from(f"{order}I", data.ljust(8, b"\0"), 4)[0], order)
    _check_page(tags, data)
    for _ in range(_MAX_PAGES):
        if not following:
            return tags.get(_BITS, (1, 1))[1] > 8
        page, following = _page(data, following, order)
        if not page.get(_REDUCED, (1, 0))[1] & 1:
            break
    raise BadFileError("a TIFF of several pages")


def _check_page(tags: _Tags, data: bytes) -> None:
    if tags.get(_COMPRESSION, (1, 1))[1] not in _COMPRESSIONS:
        raise BadFileError("a TIFF picture that is compressed in an unusual way")
    if tags.get(_COMPRESSION, (1, 1))[1] == 7 and _SEVERAL_SCANS.search(data):
        raise BadFileError("a TIFF picture with a JPEG of several scans")
    if tags.get(_SAMPLES, (1, 1))[1] > _MAX_SAMPLES:
        raise BadFileError("a TIFF picture of too many channels")
    if any(tags.get(tag, (0, 0))[0] > _MAX_STRIPS for tag in (*_STRIPS, *_TILES)):
        raise BadFileError("a picture of too many parts")
    if tags.get(_TILE_WIDTH, (1, 1))[1] * tags.get(_TILE_LENGTH, (1, 1))[1] > _MAX_TILE:
        raise BadFileError("a TIFF picture in tiles of an unusual size")


@cache
def silence() -> None:
    """Stop libtiff from writing messages to standard error; it still reports errors to Pillow."""
    with suppress(OSError, AttributeError, TypeError):  # not possible if Pillow links another libtiff
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def _page(data: bytes, at: int, order: str) -> tuple[_Tags, int]:
    """Return the tags of a page, and the offset of the next page."""
    try:
        (count,) = struct.unpack_from(f"{order}H", data, at)
        if count > _MAX_TAGS:
            raise BadFileError("a picture with too much metadata")
        tags: dict[int, tuple[int, int]] = {}
        for number in range(count):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * number)
            size = _SIZES.get(kind, 0)
            place = at + 10 + 12 * number
            if size * length > 4:
                (place,) = struct.unpack_from(f"{order}I", data, place)
            value = int.from_bytes(data[place : place + size], "little" if order == "<" else "big")
            if tag in tags:
                raise BadFileError("a TIFF picture of an unusual kind")
            tags[tag] = length, value
        return tags, struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)[0]
    except struct.error as error:
        raise BadFileError("a damaged or cut off file") from error
