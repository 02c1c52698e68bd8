"""Colour profiles."""

from __future__ import annotations

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from fcn_core.images import colour
from tests.encoded import saved
from tests.images.pictures import PICTURE, RGB, H, W, distance, read
from tests.images.profiles import ADOBE, P3, xyz_profile

SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def to_srgb(levels, matrix, gamma=563 / 256):
    """By the formulas: to light, to XYZ, to sRGB's light, to its levels."""
    light = (levels / 255.0) ** gamma @ np.asarray(matrix).T @ np.linalg.inv(SRGB).T
    light = np.clip(light, 0, 1)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return encoded * 255


FORMATS = [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize("matrix", [ADOBE, P3])
@pytest.mark.parametrize(("format", "options"), FORMATS)
def test_profiles_of_primaries(format, options, matrix):
    data = saved(PICTURE, format, icc_profile=xyz_profile(matrix), **options)
    np.testing.assert_allclose(read(data), to_srgb(RGB, matrix), rtol=0, atol=3)
    assert np.abs(to_srgb(RGB, matrix) - RGB).max() > 12, "a picture that a profile changes"


@pytest.mark.parametrize("format", ["JPEG", "HEIF", "AVIF"])
def test_profiles_in_lossy_files(format):
    profile = xyz_profile(ADOBE)
    if format == "HEIF":
        file = io.BytesIO()
        picture = pillow_heif.from_pillow(PICTURE)
        picture.info["icc_profile"], picture.info["icc_profile_type"] = profile, "prof"
        picture.save(file, quality=95, chroma=444)
        data = file.getvalue()
    else:
        data = saved(PICTURE, format, icc_profile=profile, quality=95)
    expected = to_srgb(RGB, ADOBE)
    assert distance(data, expected) < 5 < np.abs(read(data) - RGB).mean() + 2


def test_profiles_of_grey_palettes_and_alpha():
    grey = PICTURE.convert("L")
    profile = xyz_profile(None, gamma=1.0, space=b"GRAY")
    expected = to_srgb(np.asarray(grey)[:, :, None] * [1, 1, 1], SRGB, 1.0)
    np.testing.assert_allclose(read(saved(grey, "PNG", icc_profile=profile)), expected, rtol=0, atol=2)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    np.testing.assert_allclose(read(saved(deep, "PNG", icc_profile=profile)), expected, rtol=0, atol=2)
    palette = PICTURE.quantize(16)
    levels = np.asarray(palette.convert("RGB"))
    data = saved(palette, "PNG", icc_profile=xyz_profile(ADOBE))
    np.testing.assert_allclose(read(data), to_srgb(levels, ADOBE), rtol=0, atol=3)
    half = PICTURE.convert("RGBA")
    half.putalpha(128)
    data = saved(half, "PNG", icc_profile=xyz_profile(ADOBE))
    expected = 255 + (to_srgb(RGB, ADOBE) - 255) * (128 / 255)
    np.testing.assert_allclose(read(data), expected, rtol=0, atol=3)


def lut_profile() -> bytes:
    """CMYK to Lab by a table of two steps an ink: white paper, and every ink makes it black."""
    grid = np.full((2, 2, 2, 2, 3), [0, 128, 128], np.uint8)
    grid[0, 0, 0, 0] = 255, 128, 128
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += b"".join(struct.pack(">i", 65_536 * (i % 4 == 0)) for i in range(9))
    table += identity * 4 + grid.tobytes() + identity * 3
    head = bytes(4) + bytes(4) + bytes([2, 32, 0, 0]) + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">iii", 63_190, 65_536, 54_061)
    body = struct.pack(">I", 1) + b"A2B0" + struct.pack(">II", 144, len(table)) + table
    data = head.ljust(128, b"\0") + body
    return struct.pack(">I", len(data)) + data[4:]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_profiles_of_inks(format):
    inks = np.zeros((H, W, 4), np.uint8)
    inks[:, W // 2 :, 1] = 255  # magenta, which the profile says is black
    picture = Image.frombytes("CMYK", (W, H), inks.tobytes())
    plain = read(saved(picture, format))
    assert plain[:, -4:, 0].min() > 240, "without a profile as ever"
    converted = read(saved(picture, format, icc_profile=lut_profile()))
    assert converted[:, :8].min() > 240
    assert converted[:, -8:].max() < 40


def test_srgb_changes_nothing():
    for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),):
        assert colour.conversion(profile) is None
        np.testing.assert_array_equal(read(saved(PICTURE, "PNG", icc_profile=profile)), RGB)


GOOD = xyz_profile(ADOBE)
BROKEN = {
    "empty": b"",
    "cut": GOOD[:200],
    "zeros": bytes(500),
    "no signature": GOOD[:36] + b"xxxx" + GOOD[40:],
    "for grey": xyz_profile(None, space=b"GRAY"),
    "for inks": lut_profile(),
    "a device link": xyz_profile(ADOBE, kind=b"link"),
    "named colours": xyz_profile(ADOBE, kind=b"nmcl"),
    "an abstract one": xyz_profile(ADOBE, kind=b"abst"),
    "of the next generation": xyz_profile(ADOBE, version=5),
    "a space of its own": xyz_profile(ADOBE, space=b"7CLR"),
    "too large": struct.pack(">I", 5 * 2**20) + GOOD[4:] + bytes(5 * 2**20 - len(GOOD)),
    "too many tags": GOOD[:128] + struct.pack(">I", 101) + GOOD[132:],
    "a tag outside": GOOD[:136] + b"\xff\xff\xff\xff" + GOOD[140:],
    "a program": GOOD[:132] + b"D2B0" + GOOD[136:],
    "no curves": GOOD.replace(b"rTRC", b"xTRC"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_profiles_that_are_not_run(kind):
    np.testing.assert_array_equal(read(saved(PICTURE, "PNG", icc_profile=BROKEN[kind])), RGB)


@pytest.mark.parametrize("kind", sorted(BROKEN.keys() - {"for grey", "for inks", "no curves"}))
def test_profiles_that_the_engine_does_not_see(kind):
    assert colour._mode(BROKEN[kind]) is None


def test_the_good_one_is_run():
    assert colour._mode(GOOD) == "RGB"
    assert colour.conversion(GOOD) is not None
    assert colour.conversion(xyz_profile(SRGB)) is not None, "a power is not quite sRGB's curve"
