"""JPEG files that lack their end, and JPEG files that lack more."""

from __future__ import annotations

import numpy as np
import pytest

from fcn_core.errors import ImageError
from tests.encoded import saved
from tests.images.pictures import PICTURE, read

JPEGS = {
    "baseline": saved(PICTURE, "JPEG"),
    "progressive": saved(PICTURE, "JPEG", progressive=True),
    "grey": saved(PICTURE.convert("L"), "JPEG"),
    "cmyk": saved(PICTURE.convert("CMYK"), "JPEG"),
    "restarts": saved(PICTURE, "JPEG", restart_marker_rows=1),
    "progressive restarts": saved(PICTURE, "JPEG", progressive=True, restart_marker_blocks=3),
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("end", [b"", b"\0\0", b"\0" * 5000])
def test_a_jpeg_without_its_end_is_whole(kind, end):
    np.testing.assert_array_equal(read(JPEGS[kind][:-2] + end), read(JPEGS[kind]))


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("end", [b"", b"\0" * 5000])
def test_a_jpeg_that_lacks_more_is_cut_off(kind, end):
    data = JPEGS[kind]
    start = data.index(b"\xff\xda") + 14
    for missing in range(4, len(data) - start, 7):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:-missing] + end)


def test_a_jpeg_cut_before_a_restart_is_cut_off():
    data = JPEGS["restarts"]
    restarts = [i for i in range(len(data)) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    assert len(restarts) > 1
    for end in (place + more for place in restarts for more in (0, 2)):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:end])


def test_a_progressive_jpeg_cut_between_scans_is_cut_off():
    data = JPEGS["progressive"]
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for start in scans[1:]:
        with pytest.raises(ImageError, match="cut off"):
            read(data[:start])
