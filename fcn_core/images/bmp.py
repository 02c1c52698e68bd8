"""Decode the BMP files that Pillow refuses or decodes slowly: any bit fields, and run-length encoding."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_core.images.bounded import BadFileError

_RUN_LENGTHS = {(1, 8), (2, 4)}  # compression, bits
_BIT_FIELDS = (3, 6)
_MAX_RUNS = 4_000_000  # need about 2 s


@dataclass(frozen=True)
class Header:
    """The header of a bitmap that is decoded here; `height` is negative if the first row is the top."""

    size: int
    offset: int
    width: int
    height: int
    bits: int
    compression: int
    colours: int


def header(data: bytes) -> Header | None:
    """Return the header of a bitmap; None if Pillow reads the file."""
    if not data.startswith(b"BM") or len(data) < 54:
        return None
    offset, size, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if size < 40 or width <= 0 or height in (0, -(2**31)):
        return None
    found = Header(size, offset, width, height, bits, compression, *struct.unpack_from("<I", data, 46))
    if compression in _BIT_FIELDS and bits in (16, 32):
        return found if any(_masks(data, found)) else None
    return found if (compression, bits) in _RUN_LENGTHS else None


def unpack(data: bytes, found: Header) -> Image.Image:
    """Return the picture of a bitmap whose size has been checked.

    Raises
    ------
    BadFileError
        The file is damaged or cut off, or needs too much work.
    """
    if found.compression in _BIT_FIELDS:
        return _fields(data, found)
    rows = _runs(data, found)
    start = 14 + found.size
    count = min(found.colours or 2**found.bits, 2**found.bits)
    table = np.zeros((2**found.bits, 4), np.uint8)
    colours = np.frombuffer(data[start : start + 4 * count], np.uint8)
    table[: colours.size // 4] = colours[: colours.size // 4 * 4].reshape(-1, 4)
    picture = Image.fromarray(rows[::-1] if found.height > 0 else rows)
    picture.putpalette(table[:, 2::-1].tobytes())
    return picture


def _masks(data: bytes, found: Header) -> tuple[int, ...]:
    """Return the masks of red, green, blue and alpha."""
    alpha = found.size >= 56 or found.compression == 6
    return struct.unpack_from("<IIII" if alpha else "<III", data.ljust(70, b"\0"), 54) + (
        () if alpha else (0,)
    )


def _fields(data: bytes, found: Header) -> Image.Image:
    masks = _masks(data, found)
    height, width = abs(found.height), found.width
    stride = -(-width * found.bits // 32) * 4
    if len(data) < found.offset + stride * height:
        raise BadFileError("a damaged or cut off file")
    if not all(masks[:3]) or any(mask >> found.bits for mask in masks):
        raise BadFileError("a bitmap whose bit fields are damaged")
    words = np.frombuffer(data, np.uint8, stride * height, found.offset)
    words = words.view("<u2" if found.bits == 16 else "<u4").reshape(height, -1)[:, :width]
    planes = [_levels(words, mask) for mask in masks if mask]
    if (
        len(planes) == 4 and not planes[3].any()
    ):  # alpha was left unset, and nothing is meant to be transparent
        planes.pop()
    pixels = np.stack(planes, axis=2)
    return Image.fromarray(pixels if found.height < 0 else np.ascontiguousarray(pixels[::-1]))


def _levels(words: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    if top & (top + 1):
        raise BadFileError("a bitmap whose bit fields are damaged")
    more = max(top.bit_length() - 8, 0)
    values = ((words & words.dtype.type(mask)) >> (shift + more)).astype(np.uint16)
    return (values * 255 // (top >> more)).astype(np.uint8)


def _runs(data: bytes, found: Header) -> NDArray[np.uint8]:
    """Return the palette indices in the order of the file, usually from the bottom up."""
    width, height, four = found.width, abs(found.height), found.bits == 4
    canvas = bytearray(width * height)
    at, x, y, end = found.offset, 0, 0, len(data) - 1
    for _ in range(_MAX_RUNS):
        if at >= end:
            if y >= height or (y == height - 1 and x >= width):  # only the end marker is missing
                break
            raise BadFileError("a damaged or cut off file")
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            pixels = _repeated(value, four)
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            break
        elif value == 2:
            if at >= end:
                raise BadFileError("a damaged or cut off file")
            x, y = x + data[at], y + data[at + 1]
            at += 2
            continue
        else:
            count = value
            size = (count + 1) // 2 if four else count
            pixels = data[at : at + size]
            if len(pixels) < size:
                raise BadFileError("a damaged or cut off file")
            at += size + size % 2
            if four:
                pixels = bytes(half for byte in pixels for half in (byte >> 4, byte & 15))
        if y >= height:
            raise BadFileError("a damaged or cut off file")
        room = min(count, width - x)
        if room > 0:
            place = y * width + x
            canvas[place : place + room] = pixels[:room]
        x += count
    else:
        raise BadFileError("a bitmap of too many runs")
    return np.frombuffer(canvas, np.uint8).reshape(height, width)


@cache
def _repeated(value: int, four: bool) -> bytes:
    """Return the longest run of a byte: one colour, or two colours that alternate."""
    return bytes((value >> 4, value & 15)) * 128 if four else bytes((value,)) * 255
