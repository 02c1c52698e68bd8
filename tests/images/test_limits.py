"""The largest pictures that are read: bytes, pixels, and memory for decoding."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fcn_core.errors import ImageError
from fcn_core.images import decoding
from fcn_core.images.limits import Limits
from fcn_core.images.read import read_image
from tests.encoded import saved
from tests.images.pictures import PICTURE, RGB, H, W, read


def test_limits_are_settings():
    assert Limits.from_env({}) == Limits(25 * 2**20, 64_000_000)
    limits = Limits.from_env({"FCN_MAX_UPLOAD_MB": "2", "FCN_MAX_MEGAPIXELS": " 0.5 "})
    assert limits == Limits(2 * 2**20, 500_000)
    assert str(limits) == "at most 2 MB and 0.5 megapixels"


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FCN_MAX_MEGAPIXELS", "0.0001")
    with pytest.raises(ImageError, match=r"Expected at most 0.0001 megapixels"):
        read_image(saved(Image.fromarray(RGB), "PNG"))


@pytest.mark.parametrize("size", [{"max_bytes": 0}, {"max_pixels": 0}, {"max_pixels": 89_000_001}])
def test_limits_that_are_none(size):
    with pytest.raises(ImageError, match="at most 89 megapixels"):
        Limits(**size)


@pytest.mark.parametrize(
    ("limits", "fits"), [(Limits(max_pixels=H * W), True), (Limits(max_pixels=H * W - 1), False)]
)
def test_the_pixel_limit_is_exact(limits, fits):
    data = saved(Image.fromarray(RGB), "PNG")
    if fits:
        read_image(data, limits=limits)
    else:
        with pytest.raises(ImageError, match="Make it smaller"):
            read_image(data, limits=limits)


@pytest.mark.parametrize("as_path", [False, True])
@pytest.mark.parametrize("spare", [0, -1])
def test_the_byte_limit_is_exact(tmp_path, as_path, spare):
    data = saved(Image.fromarray(RGB), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    source, limits = tmp_path / "a.png" if as_path else data, Limits(max_bytes=len(data) + spare)
    if spare == 0:
        read_image(source, limits=limits)
    else:
        with pytest.raises(ImageError, match=r"Expected at most .* MB"):
            read_image(source, limits=limits)


@pytest.mark.parametrize(
    ("format", "options", "most"),
    [
        ("WEBP", {}, 0.5),
        ("AVIF", {}, 0.9),
        ("AVIF", {"subsampling": "4:4:4"}, 0.5),
        ("HEIF", {}, 9 / 11),
        ("HEIF", {"chroma": 444}, 9 / 16),
        ("TIFF", {}, 1),
        ("JPEG", {}, 1),
        ("JPEG", {"progressive": True}, 1),
        ("JPEG", {"progressive": True, "subsampling": "4:4:4"}, 9 / 11),
        ("MPO", {"progressive": True, "subsampling": "4:4:4"}, 9 / 11),
    ],
)
def test_fewer_pixels_where_a_decoder_takes_more_memory(format, options, most):
    side = 64  # HEIC is coded in blocks, and counts what is cropped
    data = saved(PICTURE.resize((side, side)), format, **options)
    room = round(side * side / most)
    read(data, limits=Limits(max_pixels=room + 2))
    with pytest.raises(ImageError, match="Expected at most"):
        read(data, limits=Limits(max_pixels=room - 2))


def test_several_scans_of_inks_and_16_bits_take_more_still():
    inks = saved(PICTURE.convert("CMYK"), "JPEG", progressive=True)  # whole blocks: 40 x 64 pixels
    deep = saved(Image.fromarray(np.zeros((H, W), np.uint16)), "TIFF", compression="tiff_lzw")
    for data, share in ((inks, 9 / 13), (deep, 9 / 12)):
        read(data, limits=Limits(max_pixels=round(W * H / share) + 2))
        with pytest.raises(ImageError, match="Expected at most"):
            read(data, limits=Limits(max_pixels=round(W * H / share) - 2))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_what_a_50_megapixel_phone_makes_fits(options):
    data = saved(Image.new("L", (8160, 6144), 90), "JPEG", **options)
    assert read_image(data).pixels.shape == (6144, 8160, 3)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
def test_of_other_formats_phones_make_too(kind):
    decoding._check_size(kind, 8160, 6144, "a", Limits(), "")
