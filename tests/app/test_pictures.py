"""The picture of a page: a small working copy, the whole picture on request, within the memory budget."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.state import caches, shared_queue
from app.state.picture_files import OwnFile
from app.state.pictures import open_picture
from fcn_core.errors import ImageError, ScaleError
from fcn_core.images import decoding
from fcn_core.images.limits import BYTES_A_PIXEL, Limits
from fcn_core.images.read import read_image
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, plan_scales
from fcn_core.images.working import WORKING_PIXELS
from fcn_core.system import memory
from tests.places import ROOT


def png(height: int, width: int) -> bytes:
    """A gradient, of which each row and column differs."""
    stream = io.BytesIO()
    gradient = np.linspace(0, 255, height * width * 3).astype(np.uint8).reshape(height, width, 3)
    Image.fromarray(gradient).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


@pytest.mark.parametrize(("height", "width"), [(2, 3), (800, 1000), (801, 1000), (3000, 4000), (40_000, 50)])
def test_the_copy_is_bounded_and_the_whole_equals_the_file(height: int, width: int) -> None:
    data = png(height, width)
    picture = open_picture(OwnFile(data), "a/b.png", "there")
    working, whole = picture.working, picture.whole()
    assert (picture.height, picture.width) == whole.pixels.shape[:2] == (height, width)
    assert working.height * working.width <= WORKING_PIXELS
    assert (whole is working) == (height * width <= WORKING_PIXELS), (
        "decoded again only where that saves memory"
    )
    assert (picture.name, picture.sha256) == (whole.name, whole.sha256) == ("b.png", read_image(data).sha256)
    assert (working.name, working.sha256) == (picture.name, picture.sha256)
    np.testing.assert_array_equal(whole.pixels, read_image(data).pixels)
    assert picture.data == data and picture.address == "there"


def test_the_smaller_copy_shows_the_same() -> None:
    picture = open_picture(OwnFile(png(1600, 2000)), "p.png")
    rows = picture.working.pixels.mean(axis=(1, 2))
    assert np.abs(rows[[0, -1]] - picture.whole().pixels.mean(axis=(1, 2))[[0, -1]]).max() < 2


def phone(height: int, width: int, format: str = "JPEG", **options: object) -> bytes:
    """A picture of one colour: large, and quickly made."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "#336699").save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Limits]]:
    """The limits of an app with a memory budget in megabytes."""

    def limits(budget: float) -> Limits:
        monkeypatch.setenv("FCN_MEMORY_MB", f"{budget:g}")
        memory.reserve(min(budget * shared_queue._DRAWING_SHARE, shared_queue._DRAWING_LIMIT_MB))
        return caches.limits()

    before = memory.reserved_mb()
    monkeypatch.delenv("FCN_MAX_MEGAPIXELS", raising=False)
    yield limits
    memory.reserve(before)


def test_the_limits_are_the_reserved_memory(small: Callable[[float], Limits]) -> None:
    memory.reserve(0)
    assert caches.limits() == Limits(), "nothing is reserved"
    assert small(690).memory_mb == pytest.approx(117.3)
    assert small(10_000) == Limits(memory_mb=shared_queue._DRAWING_LIMIT_MB)


@pytest.mark.parametrize(
    ("budget", "height", "width", "reduced"),
    [
        (450, 3024, 4032, 2),
        (450, 4248, 5664, 2),
        (450, 6048, 8064, 4),
        (690, 3024, 4032, 1),
        (690, 4248, 5664, 2),
        (690, 6048, 8064, 2),
        (10_000, 6048, 8064, 1),
    ],
)
def test_photographs_of_phones_open_in_little_memory(
    small: Callable[[float], Limits], budget: float, height: int, width: int, reduced: int
) -> None:
    picture = open_picture(OwnFile(phone(height, width)), "phone.jpg", limits=small(budget))
    assert (picture.reduced, picture.original) == (reduced, (height, width))
    assert (picture.height, picture.width) == (height // reduced, width // reduced)
    whole = picture.whole()
    assert whole.pixels.shape[:2] == (picture.height, picture.width)
    for image in (whole, picture.working):  # commands use the copy, files the whole
        assert (image.name, image.reduced, image.original) == ("phone.jpg", reduced, (height, width))
    picture.check(plan_scales(picture.height, picture.width, NOTEBOOK_SCALES[:3]))
    said = f"phone.jpg, {width} × {height}"
    if reduced == 1:
        assert picture.description == said
    else:
        assert picture.description.startswith(
            f"{said}, opened at 1/{reduced} of its sides, as FCN_MEMORY_MB="
        )


@pytest.mark.parametrize(
    ("height", "width", "options", "words"),
    [
        (6048, 8064, {"progressive": True}, "progressive"),
        (
            *(3000, 5000, {"format": "PNG", "compress_level": 1}),
            r"\(PNG, 5000 x 3000 pixels, 15 megapixels\), which needs about 129 MB",
        ),
    ],
    ids=["progressive", "png"],
)
def test_a_file_that_cannot_be_reduced_names_the_setting(
    small: Callable[[float], Limits], height: int, width: int, options: dict[str, Any], words: str
) -> None:
    data = phone(height, width, **options)
    with pytest.raises(ImageError, match=words) as caught:
        open_picture(OwnFile(data), "large", limits=small(450))
    assert "Expected at most 76 MB to open the picture, which FCN_MEMORY_MB=450 leaves" in str(caught.value)
    assert "JPEG" in str(caught.value)


def test_a_scale_larger_than_what_could_be_opened_is_refused(small: Callable[[float], Limits]) -> None:
    picture = open_picture(OwnFile(phone(6048, 8064)), "phone.jpg", limits=small(450))
    fitting, larger = Scale(1512, 2016), Scale(1600, 2560)
    picture.check(plan_scales(picture.height, picture.width, [fitting]))
    with pytest.raises(
        ScaleError,
        match=r"at most 3 megapixels. Received 1600x2560 .*8064 x 6048.*FCN_MEMORY_MB=450.*2016 x 1512",
    ):
        picture.check(plan_scales(picture.height, picture.width, [fitting, larger]))
    whole = open_picture(OwnFile(phone(600, 800)), "small.jpg")
    whole.check(plan_scales(whole.height, whole.width, [larger]))  # enlarged, as always


DOCS = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
JPEG_BYTES = {
    "JPEG, baseline": 0,
    "JPEG, progressive, 4:2:0": 3,
    "JPEG, progressive, 4:4:4": 6,
}  # bytes a pixel
PLAIN = {"PNG, GIF, BMP, TIFF": ("PNG",), "AVIF, HEIC in 4:2:0": ("AVIF", "HEIF"), "WebP": ("WEBP",)}


def two_digits(megapixels: float) -> str:
    """Round down to two digits."""
    step = 10.0 ** (math.floor(math.log10(megapixels)) - 1)
    return f"{math.floor(megapixels / step) * step:.2g}"


@pytest.mark.parametrize("kind", [*JPEG_BYTES, *PLAIN])
def test_the_documented_table_of_largest_pictures_is_right(kind: str) -> None:
    (line,) = [row for row in DOCS.splitlines() if row.startswith(f"| {kind} |") and row.count("|") == 6]
    shown = [re.sub(r"(\d)\.0\b", r"\1", cell.strip()) for cell in line.strip("|").split("|")[1:]]
    side = 8000  # of the picture in the forecast
    found = []
    for budget in (450, 690, 1500, 3400):
        memory = min(budget * shared_queue._DRAWING_SHARE, shared_queue._DRAWING_LIMIT_MB) * 2**20
        cells = []
        for reduced in decoding.REDUCTIONS if kind in JPEG_BYTES else ():
            bytes_ = decoding._bytes_of_jpeg(JPEG_BYTES[kind] * side * side, side, side, reduced)
            most = min(memory * side * side / bytes_ / 1e6, Limits().max_pixels / 1e6)
            cells.append(f"{two_digits(most)} ({'1' if reduced == 1 else f'1/{reduced}'})")
            if most == 64:
                break
        for format in PLAIN.get(kind, ()):
            bytes_ = decoding._MORE_BYTES.get(format, BYTES_A_PIXEL)
            cells.append(two_digits(min(memory / bytes_ / 1e6, 64)))
        found.append(", ".join(cells))
    assert found == shown
