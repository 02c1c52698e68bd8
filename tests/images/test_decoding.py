"""Files that are refused, and what is said of them."""

import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from fcn_core.errors import ImageError
from fcn_core.images.read import read_image
from tests.encoded import saved

RGB = np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8)

JPEG = saved(Image.fromarray(RGB), "JPEG", progressive=True)
FRAME, LAST_SCAN = JPEG.index(b"\xff\xc2"), JPEG.rindex(b"\xff\xda")
BMP = saved(Image.fromarray(RGB), "BMP")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Expected a whole JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF.*an empty file"),
        (b"hello", "a file of an unknown kind"),
        (b"  <svg></svg>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4", "ZIP"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"II*\0aaaa", "damaged or cut off"),
        (b"\0\0\0\x18ftypheic", "damaged or cut off"),
        (b"\0\0\0\x18ftypisom", "a film"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw picture"),
        (saved(Image.fromarray(RGB), "PNG")[:300], "damaged or cut off"),
        (saved(Image.fromarray(RGB), "JPEG")[:-300], "damaged or cut off"),
        (saved(Image.fromarray(RGB), "WEBP")[:-30], "damaged or cut off"),
        (saved(Image.fromarray(RGB), "GIF")[:-300], "damaged or cut off"),
        (saved(Image.fromarray(RGB), "BMP")[:-60], "cut off"),
        (JPEG[:-2] + JPEG[LAST_SCAN:-2] * 100 + JPEG[-2:], "more than 32 scans"),
        (JPEG[:2] + b"\xff\xe1\0\2" * 501 + JPEG[2:], "500 parts"),
        (JPEG[:2] + b"\xff" * 250_001 + JPEG[2:], "too many parts"),
        (JPEG[:2] + b"\xff\xe1\0\x08Exif\0\0" * 101 + JPEG[2:], "too much metadata"),
        (JPEG[:FRAME] + JPEG[FRAME : FRAME + 19] * 2 + JPEG[FRAME + 19 :], "damaged"),
        (JPEG[:LAST_SCAN] + JPEG[FRAME : FRAME + 19] + JPEG[LAST_SCAN:], "damaged"),
        (JPEG[:2] + b"\xff\xd9", "damaged"),
        (BMP[:30] + b"\1" + BMP[31:], "damaged"),
        (saved(Image.new("RGB", (1, 1)), "PNG"), "Expected 2 to 65535 pixels a side.*1 x 1 pixels"),
        (saved(Image.new("RGB", (1, 50)), "JPEG"), "Expected 2 to 65535 pixels a side.*1 x 50 pixels"),
        (saved(Image.new("1", (65_537, 2)), "PNG"), "Expected 2 to 65535 pixels a side.*65537 x 2 pixels"),
        (saved(Image.new("1", (6000, 5334)), "WEBP", lossless=True, method=0), "at most 32 megapixels .WEBP."),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_refusals(data, message):
    with pytest.raises(ImageError, match=message) as caught:
        read_image(data, name="a.png")
    assert re.match(r"Expected .* Received a\.png", str(caught.value))


@pytest.mark.parametrize(
    ("side", "message"),
    [(8_001, r"Expected at most 64 megapixels.*8001 x 8001 pixels"), (20_000, "too large to decode")],
)
def test_a_huge_header_is_refused_without_decoding(monkeypatch, side, message):
    data = bytearray(saved(Image.fromarray(RGB), "PNG"))
    struct.pack_into(">II", data, 16, side, side)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the decoder was asked"))
    with pytest.raises(ImageError, match=message):
        read_image(bytes(data))


def test_many_previews_and_films_behind_a_picture_are_no_scans():
    film = b"\xff\xda" * 1_000
    np.testing.assert_array_equal(read_image(JPEG + film).pixels, read_image(JPEG).pixels)


def test_scans_hidden_behind_a_false_end_are_counted():
    scan = JPEG[LAST_SCAN:-2]
    comment = b"\xff\xfe\0\4\xff\xd9"
    with pytest.raises(ImageError, match="more than 32 scans"):
        read_image(JPEG[:-2] + comment + scan * 100 + JPEG[-2:])


def test_broken_exif_does_not_spoil_a_picture(monkeypatch):
    monkeypatch.setattr(Image.Image, "getexif", lambda _: {}["broken"])
    np.testing.assert_array_equal(read_image(saved(Image.fromarray(RGB), "PNG")).pixels, RGB)


def test_no_memory_to_read_exif_is_no_broken_exif(monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(ImageError, match="too large to decode"):
        read_image(saved(Image.fromarray(RGB), "PNG"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"),
        SyntaxError("x"),
        struct.error("x"),
        ValueError("x"),
        IndexError(),
        OverflowError(),
        MemoryError(),
        zlib.error("x"),
        Image.DecompressionBombError("x"),
        Image.DecompressionBombWarning("x"),
        EOFError(),
        KeyError(1),
        RecursionError(),
        AttributeError("x"),
        TypeError("x"),
        ZeroDivisionError(),
        NotImplementedError(),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_throws(monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"^Expected .* Received a\.png") as caught:
        read_image(saved(Image.fromarray(RGB), "PNG"), name="a.png")
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_is_no_refusal(monkeypatch, stop):
    def fail(*_args, **_kwargs):
        raise stop

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(stop):
        read_image(saved(Image.fromarray(RGB), "PNG"))


@pytest.mark.parametrize(
    "format", ["PPM", "ICO", "TGA", "EPS", "PCX", "SGI", "JPEG2000", "PDF", "DIB", "ICNS"]
)
def test_other_formats_are_not_decoded(format):
    with pytest.raises(ImageError, match="Expected a whole JPEG, PNG"):
        read_image(saved(Image.fromarray(RGB), format))
