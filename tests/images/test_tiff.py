"""TIFF files that are read, and TIFF files that are refused."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fcn_core.errors import ImageError
from fcn_core.images.read import image_from_array
from tests.encoded import sample, saved
from tests.images.pictures import PICTURE, RGB, H, W, distance, read

TIFFS = {
    "plain": {},
    "LZW": {"compression": "tiff_lzw"},
    "deflate": {"compression": "tiff_adobe_deflate"},
    "PackBits": {"compression": "packbits"},
    "short strips": {"compression": "tiff_lzw", "tiffinfo": {278: 3}},
}


@pytest.mark.parametrize("coding", TIFFS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "LA"])
def test_tiff(mode, coding):
    picture = sample(mode, W, H)
    data = saved(picture, "TIFF", **TIFFS[coding])
    np.testing.assert_array_equal(read(data), image_from_array(picture).pixels)


def test_tiff_of_other_kinds():
    assert distance(saved(PICTURE, "TIFF", compression="jpeg", quality=95), RGB) < 6
    flat = PICTURE.convert("1")
    np.testing.assert_array_equal(
        read(saved(flat, "TIFF", compression="group4")), np.asarray(flat.convert("RGB"))
    )
    floats = Image.fromarray(RGB[:, :, 0].astype(np.float32) / 255)
    np.testing.assert_array_equal(read(saved(floats, "TIFF"))[:, :, 0], RGB[:, :, 0])
    with pytest.raises(
        ImageError, match=r"Expected values from 0 to 1.*a picture of float32 with values 0 to 25\d"
    ):
        read(saved(Image.fromarray(RGB[:, :, 0].astype(np.float32).clip(0, 250)), "TIFF"))


def test_tiff_pages():
    two = saved(PICTURE, "TIFF", save_all=True, append_images=[PICTURE])
    with pytest.raises(ImageError, match="a TIFF of several pages"):
        read(two)
    preview = PICTURE.resize((8, 5))
    preview.encoderinfo = {"tiffinfo": TiffImagePlugin.ImageFileDirectory_v2()}
    preview.encoderinfo["tiffinfo"][254] = 1
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for page, kind in ((PICTURE, 0), (preview, 1)):
            page.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    np.testing.assert_array_equal(read(file.getvalue()), RGB)


def _tag(data: bytes, tag: int, kind: int, count: int, value: int) -> bytes:
    """A little-endian TIFF, one tag of it changed."""
    changed = bytearray(data)
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, place)[0] == tag:
            struct.pack_into("<HHII", changed, place, tag, kind, count, value)
            return bytes(changed)
    raise AssertionError(tag)


LZW = saved(PICTURE, "TIFF", compression="tiff_lzw")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_tag(LZW, 256, 4, 1, 30_000), "30000 x 40 pixels|damaged"),
        (_tag(_tag(LZW, 256, 4, 1, 9_000), 257, 4, 1, 9_000), "Expected at most 64 .*9000 x 9000 pixels"),
        (_tag(LZW, 273, 4, 6_000_000, 8), "too many parts"),
        (_tag(LZW, 259, 3, 1, 6), "compressed in an unusual way"),
        (_tag(LZW, 259, 3, 1, 50_001), "compressed in an unusual way"),
        (_tag(LZW, 277, 3, 1, 60_000), "too many channels"),
        (LZW[:4] + struct.pack("<I", 8) + struct.pack("<H", 600) + bytes(9_000), "too much metadata"),
        (saved(PICTURE, "TIFF", compression="jpeg").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc2\0\x11\x08"),
         "several scans"),
        (saved(PICTURE, "TIFF", big_tiff=True), "unusual kind"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_tiff_refusals(data, message):
    with pytest.raises(ImageError, match=message):
        read(data)


def test_a_tile_that_is_larger_than_pictures_have():
    tags = [(256, 4, 64), (257, 4, 40), (258, 3, 8), (259, 3, 5), (262, 3, 1), (277, 3, 1), (322, 4, 60_000),
            (323, 4, 60_000), (324, 4, 8), (325, 4, 100)]  # fmt: skip
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
    data = b"II*\0" + struct.pack("<I", 200) + bytes(192) + body + bytes(4)
    with pytest.raises(ImageError, match="tiles of an unusual size"):
        read(data)
