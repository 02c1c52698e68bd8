"""Correct what Pillow does with PNG files: damaged optional chunks, and transparent colours of 16 bits."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fcn_core.images.bounded import BoundedBytes

START = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 250_000
_MAX_PROFILE = PngImagePlugin.MAX_TEXT_CHUNK  # bytes that Pillow decompresses
_BAND_PIXELS = 2**18  # that are compared in one step


def without_bad_chunks(data: bytes) -> bytes:
    """Return a PNG without optional chunks for which Pillow would refuse the whole file.

    These are chunks with a wrong checksum, and colour profiles of more than 1 MB.
    """
    kept, position = [], len(START)
    begun = 0
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[position : position + 4])
        end = position + length + 12
        if position + 8 > len(data) or end > len(data):
            break
        if data[position + 4] & 32:  # a chunk whose name begins with a small letter is optional
            body = memoryview(data)[position + 4 : end - 4]
            if zlib.crc32(body) != int.from_bytes(data[end - 4 : end]) or _is_large_profile(body):
                kept.append(data[begun:position])
                begun = end
        position = end
    return b"".join([*kept, data[begun:]]) if kept else data


def _is_large_profile(body: memoryview) -> bool:
    if bytes(body[:4]) != b"iCCP":
        return False
    packed = bytes(body[4:]).partition(b"\0")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _MAX_PROFILE + 1)) > _MAX_PROFILE
    except zlib.error:
        return False


def transparent_pixels(data: bytes, picture: Image.Image) -> NDArray[np.bool_] | None:
    """Return where a PNG of 3 x 16 bits has its transparent colour; None for other pictures.

    Pillow keeps only the upper byte of each channel. A second copy of the picture is therefore decoded to the lower
    bytes.
    """
    tiles = getattr(picture, "tile", ())
    if (
        picture.format != "PNG"
        or "transparency" not in picture.info
        or not tiles
        or tiles[0].args != "RGB;16B"
    ):
        return None
    key = np.array(picture.info.pop("transparency"))
    lower = PngImagePlugin.PngImageFile(BoundedBytes(data))
    lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
    width, height = picture.size
    clear = np.empty((height, width), np.bool_)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = 0, top, width, min(top + rows, height)
        upper_byte, lower_byte = np.asarray(picture.crop(band)), np.asarray(lower.crop(band))
        clear[top : band[3]] = ((upper_byte == key >> 8) & (lower_byte == key & 255)).all(axis=2)
    return clear
