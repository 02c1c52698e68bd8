"""Pillow images of every mode, numbers of every range, and frames of animations."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from fcn_core.errors import ImageError
from fcn_core.images.read import image_from_array
from tests.encoded import saved
from tests.images.pictures import PICTURE, RGB, H, W, read
from tests.images.profiles import ADOBE, xyz_profile


def test_outside_of_the_first_frame_of_a_gif_is_white():
    small = Image.new("P", (10, 6), 1)
    small.putpalette([0, 255, 0, 200, 30, 30])
    data = bytearray(saved(small, "GIF"))
    struct.pack_into("<HH", data, 6, 30, 20)  # the screen
    place = data.index(b"\x2c")
    struct.pack_into("<HH", data, place + 1, 7, 5)
    expected = np.full((20, 30, 3), 255)
    expected[5:11, 7:17] = 200, 30, 30
    np.testing.assert_array_equal(read(bytes(data)), expected)


MODES = {
    "1": PICTURE.convert("1"),
    "L": PICTURE.convert("L"),
    "LA": PICTURE.convert("LA"),
    "La": PICTURE.convert("LA").convert("La"),
    "P": PICTURE.quantize(8),
    "PA": PICTURE.quantize(8).convert("PA"),
    "RGB": PICTURE,
    "RGBA": PICTURE.convert("RGBA"),
    "RGBa": PICTURE.convert("RGBA").convert("RGBa"),
    "RGBX": PICTURE.convert("RGBX"),
    "CMYK": PICTURE.convert("CMYK"),
    "YCbCr": PICTURE.convert("YCbCr"),
    "HSV": PICTURE.convert("HSV"),
    "I": PICTURE.convert("L").convert("I"),
    "F": Image.fromarray(np.asarray(PICTURE.convert("L")) / np.float32(255)),
    "I;16": Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257),
    "I;16B": Image.frombytes(
        "I;16B", (W, H), (np.asarray(PICTURE.convert("L")).astype(">u2") * 257).astype(">u2").tobytes()
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_pillow(mode):
    picture = MODES[mode]
    assert picture.mode == mode
    if mode in ("1", "P", "PA"):
        expected = np.asarray(picture.convert("RGB")).astype(int)
    elif mode in ("L", "LA", "La", "I", "F", "I;16", "I;16B"):
        expected = np.asarray(PICTURE.convert("L")).astype(int)[:, :, None] * [1, 1, 1]
    else:
        expected = RGB
    before = picture.tobytes()
    image = image_from_array(picture, "b")
    np.testing.assert_allclose(image.pixels, expected, rtol=0, atol=5 if mode in ("HSV", "YCbCr") else 1)
    assert (picture.mode, picture.tobytes()) == (mode, before), "the caller's is not touched"


def test_pictures_of_pillow_in_lab():
    calm = PICTURE.point(lambda level: 90 + level // 4)  # full colours are coarse in 8 bits of Lab
    lab = ImageCms.profileToProfile(
        calm, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    np.testing.assert_allclose(image_from_array(lab).pixels, np.asarray(calm), rtol=0, atol=4)


def test_pictures_of_pillow_are_turned_and_converted_like_files():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(PICTURE, "PNG", exif=exif, icc_profile=xyz_profile(ADOBE))
    opened = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(image_from_array(opened).pixels, read(data))
    assert opened.size == (W, H)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.fromarray(np.full((4, 4), 300, np.int32)), "a picture of int32 with values 300 to 300"),
        (Image.fromarray(np.full((4, 4), 3.0, np.float32)), "a picture of float32 with values 3 to 3"),
        (Image.new("RGB", (1, 5)), "1 x 5 pixels"),
        (Image.open(io.BytesIO(saved(PICTURE, "PNG")[:300])), "cannot be converted"),
    ],
)
def test_pictures_of_pillow_that_are_refused(picture, message):
    with pytest.raises(ImageError, match=message):
        image_from_array(picture)


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (np.full((4, 4), 40_000, ">u2"), 156),
        (np.full((4, 4), 200, ">u2"), 1),
        (np.full((4, 4), 40_000, "<u2"), 156),
        (np.full((4, 4), 1 + 1e-7, np.float32), 255),
        (np.full((4, 4), -5e-17), 0),
        (np.full((4, 4), 1.001, np.float16), 255),
        (np.full((4, 4), 1.0019), 255),
        (np.full((4, 4), 1.002), None),
        (np.full((4, 4), -0.002), None),
        (np.array([[0.5, np.nan], [0, 1]]), None),
        (np.array([[0.5, np.inf], [0, 1]]), None),
        (np.full((4, 4), 256), None),
    ],
    ids=itertools.count(),
)
def test_numbers(array, level):
    if level is None:
        with pytest.raises(
            ImageError, match=r"Expected values from 0 to .*Received an array of .* with values "
        ):
            image_from_array(array)
    else:
        assert image_from_array(array).pixels.tolist() == [[[level] * 3] * 4] * 4
