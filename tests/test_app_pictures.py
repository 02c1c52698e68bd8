"""A page's picture: small to keep, whole when asked for, and no larger than memory allows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app import cached
from app.pictures import WORKING_PIXELS, open_picture
from fcn_core import resources
from fcn_core.errors import ImageError
from fcn_core.images import read_image


def png(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    gradient = np.linspace(0, 255, height * width * 3).astype(np.uint8).reshape(height, width, 3)
    Image.fromarray(gradient).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


@pytest.mark.parametrize(("height", "width"), [(2, 3), (800, 1000), (801, 1000), (3000, 4000), (40_000, 50)])
def test_the_copy_is_bounded_and_the_whole_is_the_file(height: int, width: int) -> None:
    data = png(height, width)
    picture = open_picture(data, "a/b.png", "there")
    working, whole = picture.working, picture.whole()
    assert (picture.height, picture.width) == whole.pixels.shape[:2] == (height, width)
    assert working.height * working.width <= WORKING_PIXELS * 1.02
    assert (whole is working) == (height * width <= WORKING_PIXELS), (
        "decoded again only where that saves memory"
    )
    assert (picture.name, picture.sha256) == (whole.name, whole.sha256) == ("b.png", read_image(data).sha256)
    assert (working.name, working.sha256) == (picture.name, picture.sha256)
    np.testing.assert_array_equal(whole.pixels, read_image(data).pixels)
    assert picture.data == data and picture.address == "there"


def test_the_smaller_copy_shows_the_same() -> None:
    picture = open_picture(png(1600, 2000), "p.png")
    rows = picture.working.pixels.mean(axis=(1, 2))
    assert np.abs(rows[[0, -1]] - picture.whole().pixels.mean(axis=(1, 2))[[0, -1]]).max() < 2


def test_a_small_container_takes_smaller_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCN_MAX_MEGAPIXELS", raising=False)
    assert cached.limits().max_pixels == 64_000_000, "nothing runs beside"
    resources.keep_free(117)
    assert cached.limits().max_pixels == 117 * 2**20 // 9
    with pytest.raises(ImageError, match=r"13\.6\d* megapixels.*Make it smaller"):
        open_picture(png(3000, 5000), "large.png", limits=cached.limits())
    open_picture(png(3024, 4032), "phone.png", limits=cached.limits())
    resources.keep_free(cached._PAGES_LIMIT)
    assert cached.limits().max_pixels == 64_000_000, "where memory allows"
