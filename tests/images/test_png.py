"""PNG files with damaged chunks, and with transparent colours."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from fcn_core.errors import ImageError
from tests.encoded import png, png_chunk
from tests.images.pictures import RGB, H, W, read

WHOLE = png(W, H, b"".join(b"\0" + row.tobytes() for row in RGB))
BAD_NOTE = b"\0\0\0\4tEXta\0bcXXXX"


@pytest.mark.parametrize(
    "notes",
    [BAD_NOTE, BAD_NOTE * 3, BAD_NOTE.replace(b"tEXt", b"iCCP"), png_chunk(b"tEXt", b"a\0b") + BAD_NOTE],
)
@pytest.mark.parametrize("place", [33, -12])
def test_a_wrong_checksum_of_what_may_be_absent(notes, place):
    np.testing.assert_array_equal(read(WHOLE[:place] + notes + WHOLE[place:]), RGB)


def test_a_wrong_checksum_of_the_size_is_a_damage():
    with pytest.raises(ImageError, match="damaged"):
        read(WHOLE[:29] + b"XXXX" + WHOLE[33:])


def test_the_clear_colour_of_16_bits():
    grey = np.arange(H * W, dtype=np.uint16).reshape(H, W) * 20
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    data = png(W, H, rows, 0, 16)
    data = data[:33] + png_chunk(b"tRNS", struct.pack(">H", int(grey[3, 4]))) + data[33:]
    expected = np.rint(grey / 257)
    expected[3, 4] = 255
    np.testing.assert_array_equal(read(data)[:, :, 1], expected)


def test_the_clear_colour_of_three_times_16_bits():
    """A neighbour that differs in the lower byte alone is not clear."""
    deep = np.full((H, W, 3), [0x1234, 0x5678, 0x9ABC], np.uint16)
    deep[:, ::2, 1] += 1
    deep[0] = 0x1234
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    data = png(W, H, rows, 2, 16)
    data = data[:33] + png_chunk(b"tRNS", struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC)) + data[33:]
    expected = (deep >> 8).astype(int)
    expected[1:, 1::2] = 255
    np.testing.assert_array_equal(read(data), expected)
