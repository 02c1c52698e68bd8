"""Bitmaps with bit fields and with run-length encoding."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from fcn_core.errors import ImageError
from fcn_core.images import bmp
from tests.encoded import bitmap
from tests.images.pictures import read

NIBBLES = (np.arange(16 * 9 * 3) * 7 % 16).reshape(9, 16, 3)


def words(shifts, bits, levels):
    values = sum(levels[:, :, c].astype(np.uint32) << shift for c, shift in enumerate(shifts))
    return values[::-1].astype(f"<u{bits // 8}").tobytes()


@pytest.mark.parametrize(
    ("bits", "masks", "shifts", "width"),
    [
        (16, (0xF00, 0xF0, 0xF), (8, 4, 0), 4),
        (16, (0xF, 0xF0, 0xF00), (0, 4, 8), 4),
        (32, (0xFF00, 0xFF0000, 0xFF000000), (8, 16, 24), 8),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), (20, 10, 0), 10),
        (16, (0xF800, 0x7E0, 0x1F), (11, 5, 0), None),
        (16, (0x7C00, 0x3E0, 0x1F), (10, 5, 0), None),
        (32, (0xFF0000, 0xFF00, 0xFF), (16, 8, 0), 8),
    ],
)
def test_bit_fields(bits, masks, shifts, width):
    widths = [mask.bit_count() for mask in masks]
    levels = np.stack([NIBBLES[:, :, c] * (2 ** widths[c] - 1) // 15 for c in range(3)], axis=2)
    data = bitmap(bits, 3, struct.pack("<III", *masks), words(shifts, bits, levels), 16, 9)
    expected = np.stack([levels[:, :, c] * 255 // (2 ** widths[c] - 1) for c in range(3)], axis=2)
    np.testing.assert_allclose(read(data), expected, rtol=0, atol=1)
    for cut in (1, 60):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:-cut])


@pytest.mark.parametrize(("alpha", "share"), [(5, 85 / 255), (15, 1), (0, 1)])  # 0 everywhere: it was not set
def test_bit_fields_of_alpha(alpha, share):
    header = struct.pack("<2sIIIIiiHHIIiiIIIIII", b"BM", 0, 0, 70, 56, 16, -9, 1, 16, 3, 0, 0, 0, 0, 0,
                         0xF00, 0xF0, 0xF, 0xF000)  # fmt: skip
    levels = np.dstack([NIBBLES, np.full((9, 16), alpha)])
    data = header + words((8, 4, 0, 12), 16, levels)[::-1][::-1]
    rows = np.frombuffer(data[70:], "<u2").reshape(9, 16)[::-1]  # the first row is the top
    expected = 255 + (NIBBLES * 17 - 255) * share
    np.testing.assert_allclose(read(data[:70] + rows.tobytes()), expected, rtol=0, atol=1)


@pytest.mark.parametrize("masks", [(0xF0F, 0xF0, 0xF), (0xF00, 0, 0xF), (0x1F0000, 0xF0, 0xF)])
def test_bit_fields_that_are_none(masks):
    with pytest.raises(ImageError, match="bit fields are damaged"):
        read(bitmap(16, 3, struct.pack("<III", *masks), bytes(16 * 9 * 2), 16, 9))


PALETTE = bytes(range(256)) * 4  # colour i: blue, green, red from 4 i on
TABLE = np.frombuffer(PALETTE, np.uint8).reshape(256, 4)[:, 2::-1].astype(int)
RUNS = {
    "runs": (8, b"\x08\x05" * 3 + b"\0\1", [[5] * 8] * 3),
    "lines": (8, b"\x08\1\0\0\x08\2\0\0\x08\3\0\1", [[3] * 8, [2] * 8, [1] * 8]),
    "as they are": (8, b"\0\3\x07\x08\x09\0\5\1\0\0\x08\2\0\0\x08\3\0\1", [[3] * 8, [2] * 8, [7, 8, 9] + [1] * 5]),
    "skipped": (8, b"\2\1\0\2\3\1\3\4\0\0\x08\3\0\1", [[3] * 8, [0] * 5 + [4] * 3, [1, 1] + [0] * 6]),
    "short rows": (8, b"\2\1\0\0\0\0\3\2\0\1", [[2] * 3 + [0] * 5, [0] * 8, [1] * 2 + [0] * 6]),
    "half bytes": (4, b"\5\x12\0\3\x34\x50\0\0\x08\x67\0\0\x08\x88\0\1",
                   [[8] * 8, [6, 7] * 4, [1, 2, 1, 2, 1, 3, 4, 5]]),
    "no mark of the end": (8, b"\x08\1\0\0\x08\2\0\0\x08\3", [[3] * 8, [2] * 8, [1] * 8]),
    "lines ended, not the picture": (8, b"\x08\1\0\0\x08\2\0\0\x08\3\0\0", [[3] * 8, [2] * 8, [1] * 8]),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNS)
def test_run_lengths(kind):
    bits, content, numbers = RUNS[kind]
    data = bitmap(bits, 1 if bits == 8 else 2, PALETTE[: 4 * 2**bits], content, 8, 3)
    lines = content.count(b"\0\0") or kind == "runs"
    if kind == "runs":  # without ends of lines a row's runs are cut at its edge
        numbers = [[0] * 8, [0] * 8, [5] * 8]
    assert lines
    np.testing.assert_array_equal(read(data), TABLE[np.array(numbers)])


@pytest.mark.parametrize("kind", ["lines", "as they are", "half bytes"])
def test_run_lengths_that_are_cut_off(kind):
    bits, content, _ = RUNS[kind]
    data = bitmap(bits, 1 if bits == 8 else 2, PALETTE[: 4 * 2**bits], content, 8, 3)
    for cut in range(3, len(content)):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:-cut])


def test_run_lengths_are_bounded(monkeypatch):
    monkeypatch.setattr(bmp, "_MAX_RUNS", 5)
    with pytest.raises(ImageError, match="too many runs"):
        read(bitmap(8, 1, PALETTE, b"\1\1" * 9 + b"\0\1", 8, 3))
    huge = bitmap(8, 1, PALETTE, b"\0\1", 9000, 9000)
    with pytest.raises(ImageError, match=r"at most 64 megapixels .BMP.*9000 x 9000 pixels"):
        read(huge)
