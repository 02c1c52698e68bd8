"""Coordinates and masks at the size of the original, of a working copy or a picture decoded at reduced size."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcn_core.images.read import RGBImage
from fcn_core.images.resize import block_edges
from fcn_core.maps.region import Box
from fcn_core.pipeline import Analysis

Axis = Literal[0, 1]  # rows, columns


def lines(image: RGBImage, edges: Any, axis: Axis) -> NDArray[np.int64]:
    """Return where edges between rows or columns of the smaller picture lie in the original."""
    return block_edges(image.pixels.shape[axis], image.original[axis])[np.asarray(edges, np.int64)]


def counts(image: RGBImage, first: int, last: int, axis: Axis) -> NDArray[np.int64]:
    """Return the number of original rows or columns for each one from `first` to `last` (exclusive)."""
    return np.diff(lines(image, np.arange(first, last + 1), axis))


def box(image: RGBImage, found: Box) -> Box:
    """Return the same box in pixels of the original; its area is scaled by the number of pixels."""
    return found.scaled((image.height, image.width), image.original)


def boxes(analysis: Analysis) -> tuple[Box, ...]:
    """Return the boxes of an analysis in pixels of the original, whatever copy of the picture it has."""
    small = analysis.at_working_size
    return tuple(box(small.image, found) for found in small.boxes)


def mask_png(image: RGBImage, mask: NDArray[np.bool_]) -> bytes:
    """Return a mask as a PNG of the original's size, 255 inside."""
    across, down = counts(image, 0, mask.shape[1], 1), counts(image, 0, mask.shape[0], 0)
    return enlarged_png(mask.astype(np.uint8) * np.uint8(255), down, across)


def enlarged_png(pixels: NDArray[np.uint8], down: NDArray[np.int64], across: NDArray[np.int64]) -> bytes:
    """Return a PNG in which each pixel of a picture is a block; it is built row by row to save memory.

    The rows of a block after its first repeat the row above (PNG specification, 9.2: filter type 2).

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) uint8 ndarray
        Grey or RGB.
    down : (h,) int ndarray
        Height of the blocks of each row.
    across : (w,) int ndarray
        Width of the blocks of each column.
    """
    height, width = int(down.sum()), int(across.sum())
    channels, kind = (1, 0) if pixels.ndim == 2 else (3, 2)
    packer = zlib.compressobj()
    packed = []
    for row, count in zip(pixels, down.tolist(), strict=True):
        if count:
            packed.append(packer.compress(b"\0" + np.repeat(row, across, axis=0).tobytes()))
            packed.append(packer.compress((b"\2" + bytes(width * channels)) * (count - 1)))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", b"".join(packed)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, body) for name, body in parts)


def described_png(png: bytes, description: str) -> bytes:
    """Insert a text chunk into a PNG, after its header (PNG specification, 11.3.4.3)."""
    text = b"Description\0" + description.encode("latin-1", "replace")
    header = 33  # bytes of signature and IHDR
    return png[:header] + png_chunk(b"tEXt", text) + png[header:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG: length, type, data, checksum (PNG specification, 5.3)."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
