"""Coordinates and masks at the size of the original, for a picture that was decoded at reduced size."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcn_core.images.read import RGBImage
from fcn_core.maps.region import Box

Axis = Literal[0, 1]  # rows, columns


def lines(image: RGBImage, edges: Any, axis: Axis) -> NDArray[np.int64]:
    """Return where edges between rows or columns of the reduced picture lie in the original."""
    there, here = image.original[axis], image.pixels.shape[axis]
    found: NDArray[np.int64] = -(-np.asarray(edges, np.int64) * there // here)
    return found


def counts(image: RGBImage, first: int, last: int, axis: Axis) -> NDArray[np.int64]:
    """Return the number of original rows or columns for each one from `first` to `last` (exclusive)."""
    return np.diff(lines(image, np.arange(first, last + 1), axis))


def box(image: RGBImage, found: Box) -> Box:
    """Return the same box in pixels of the original; its area is scaled by the number of pixels."""
    (x0, x1), (y0, y1) = lines(image, (found.x0, found.x1), 1), lines(image, (found.y0, found.y1), 0)
    share = image.original[0] * image.original[1] / (image.height * image.width)
    return replace(found, x0=int(x0), y0=int(y0), x1=int(x1), y1=int(y1), area=round(found.area * share))


def mask_png(image: RGBImage, mask: NDArray[np.bool_]) -> bytes:
    """Return a mask as a PNG of the original's size, 255 inside; it is built row by row to save memory.

    Each pixel becomes a block. The rows of a block after its first repeat the row above (PNG specification, 9.2: filter
    type 2).
    """
    height, width = image.original
    across = counts(image, 0, mask.shape[1], 1)
    packer = zlib.compressobj()
    packed = []
    for row, down in zip(mask, counts(image, 0, mask.shape[0], 0).tolist(), strict=True):
        levels = np.repeat(row.astype(np.uint8) * np.uint8(255), across).tobytes()
        packed.append(packer.compress(b"\0" + levels))
        packed.append(packer.compress((b"\2" + bytes(width)) * (down - 1)))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", b"".join(packed)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG: length, type, data, checksum (PNG specification, 5.3)."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
