"""HEIC and AVIF files: the pictures of phones, and files that are refused."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from fcn_core.errors import ImageError
from fcn_core.images import isobmff
from fcn_core.images.bounded import BadFileError
from fcn_core.images.limits import Limits
from tests.encoded import saved
from tests.images.pictures import PICTURE, RGB, H, W, distance, read


@pytest.mark.parametrize("options", [{}, {"chroma": 444}, {"tile_size": 64}])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_heic(mode, options):
    picture = Image.fromarray(np.tile(RGB, (3, 3, 1))).convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    assert distance(saved(picture, "HEIF", **options), expected) < 8


def test_heic_of_ten_bits():
    deep = pillow_heif.from_bytes("RGB;16", (W, H), (RGB.astype(np.uint16) * 257).tobytes())
    file = io.BytesIO()
    deep.save(file, quality=95, chroma=444)
    assert distance(file.getvalue(), RGB) < 4


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_avif(mode, subsampling):
    picture = PICTURE.convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    assert distance(saved(picture, "AVIF", quality=95, subsampling=subsampling), expected) < 6


def test_transparency_is_laid_on_white():
    clear = PICTURE.convert("RGBA")
    clear.putalpha(0)
    for format in ("HEIF", "AVIF", "TIFF"):
        assert read(saved(clear, format)).min() >= 253, format


TURNED = {
    n: np.asarray(PICTURE.transpose(turn)) if turn is not None else RGB
    for n, turn in enumerate((None, 0, 3, 1, 5, 4, 6, 2), start=1)
}  # Pillow's numbers of its turns


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF", "TIFF"])
def test_turned_once(format, orientation):
    """HEIC and AVIF say it twice, in EXIF and for the decoder; TIFF in its own tags."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    options = {"exif": exif.tobytes() if format == "HEIF" else exif}
    assert distance(saved(PICTURE, format, **options), TURNED[orientation]) < 12


def _with_exif_orientation(data: bytes, orientation: int) -> bytes:
    """The same file, whose EXIF says so, whatever its other marks say."""
    place = data.index(b"\x12\x01\x03\x00\x01\x00\x00\x00")
    return data[: place + 8] + struct.pack("<H", orientation) + data[place + 10 :]


@pytest.mark.parametrize("orientation", [1, 3, 8])
def test_the_decoders_turn_of_heic_is_the_one_that_counts(orientation):
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0" + bytes(4)
    data = saved(PICTURE, "HEIF", exif=exif)
    assert b"irot" in data
    assert distance(_with_exif_orientation(data, orientation), TURNED[6]) < 12


AVIF = saved(PICTURE, "AVIF")
HEIC = saved(PICTURE, "HEIF")
GRID = saved(Image.fromarray(np.tile(RGB, (4, 4, 1))), "HEIF", tile_size=64)


def _sized(data: bytes, width: int, height: int) -> bytes:
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_sized(AVIF, 9_000, 9_000), "another size|more pixels|megapixels"),
        (_sized(AVIF, 2_000, 40), "another size"),
        (_sized(saved(PICTURE.resize((400, 300)), "AVIF"), 64, 40), "another size"),
        (_sized(HEIC, 8_100, 8_100), r"Expected at most 52.36 megapixels .HEIF.*8100 x 8100 pixels"),
        (_sized(saved(PICTURE.resize((400, 300)), "HEIF"), 64, 40), "damaged"),
        (_sized(GRID, 9_000, 9_000), "9000 x 9000 pixels"),
        (AVIF.replace(b"av01", b"av0x"), "unusual kind"),
        (HEIC.replace(b"hvc1", b"unci"), "unusual kind"),
        (GRID.replace(b"infe\2\0\0\1\0\2\0\0hvc1", b"infe\2\0\0\1\0\3\0\0hvc1"), "unusual structure"),
        (GRID.replace(b"grid", b"iovl"), "unusual kind"),
        (saved(PICTURE, "HEIF", exif=b"Exif\0\0II*\0" + bytes(9)).replace(b"\0Exif\0", b"\0iovl\0"), "unusual kind"),
        (HEIC + HEIC[HEIC.index(b"meta") - 4 : HEIC.index(b"mdat") - 4], "unusual structure"),
        (saved(PICTURE, "AVIF", save_all=True, append_images=[PICTURE.rotate(90)]), "a moving"),
        (HEIC[:20] + HEIC[20:].replace(b"meta", b"free", 1), "or a film"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a film"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_heic_and_avif_refusals(data, message):
    with pytest.raises(ImageError, match=message) as caught:
        read(data)
    assert "Expected" in str(caught.value)


def test_a_grid_that_repeats_a_tile_is_work_beyond_its_size():
    """4096 tiles of 4 megapixels for one picture of 4."""
    tile = _sized(HEIC, 2_000, 2_000)
    assert isobmff.check(tile, 4_000_000) == isobmff.CodedImage(2_000, 2_000, rich=False)
    references = struct.pack(">HH", 9, 4_096) + struct.pack(">H", 1) * 4_096
    dimg = struct.pack(">I4s", 8 + len(references), b"dimg") + references
    iref = struct.pack(">I4sI", 12 + len(dimg), b"iref", 0) + dimg
    start = tile.index(b"meta") - 4
    (size,) = struct.unpack_from(">I", tile, start)
    meta = tile[start : start + size] + iref
    data = tile[:start] + struct.pack(">I", len(meta)) + meta[4:] + tile[start + size :]
    with pytest.raises(BadFileError, match="larger than the whole"):
        isobmff.check(data, 4_000_000)


def test_a_grid_of_grids_is_no_still_picture():
    """Each would multiply the work of the next."""
    kinds = GRID.replace(b"\0\2\0\0hvc1", b"\0\2\0\0grid", 1)
    assert kinds != GRID
    with pytest.raises(ImageError, match="unusual kind"):
        read(kinds)


def test_parts_that_are_no_pictures_are_left_alone():
    """Kinds of notes, and of pictures nobody asks for, that are not known here."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(4)
    data = saved(PICTURE, "HEIF", exif=exif)
    other = data.replace(b"\0\0Exif\0", b"\0\0iptc\0")
    assert other != data
    np.testing.assert_array_equal(read(other), read(data))


def test_metadata_that_is_copied_for_each_picture():
    plain = saved(PICTURE, "HEIF", exif=b"Exif\0\0II*\0" + bytes(60_000))
    isobmff.check(plain, 10**6)
    with pytest.raises(ImageError, match="too much metadata"):
        read(saved(PICTURE, "HEIF", exif=b"Exif\0\0II*\0" + bytes(2**25)), limits=Limits(2**26, 10**6))


def av1(*, reduced=0, override=0, frame=1, frames=1, times=0, width=64, height=40) -> bytes:
    bits = "000" + "1" + str(reduced)  # profile, still, reduced
    bits += "00000" if reduced else f"{times}0" + "00000" + "0" * 12 + "00000"
    bits += "0101" + "0101" + f"{width - 1:06b}" + f"{height - 1:06b}"
    bits += "000" if reduced else "0" + "000" + "0000" + "0" + "1" + "1"
    bits += "000" + "0" + "0000000"
    sequence = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    head = f"0{0 if frame else 1:02b}10" if frame else "00110"
    picture = int((head + "10" + str(override)).ljust(64, "0"), 2).to_bytes(8)
    part = lambda kind, body: bytes([kind << 3 | 2, len(body)]) + body  # noqa: E731
    return part(2, b"") + part(1, sequence) + part(6, picture) * frames


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (av1(), None),
        (av1(reduced=1), None),
        (av1(override=1), "another size"),
        (av1(frames=0), "none or several"),
        (av1(frames=2), "none or several"),
        (av1(frame=0), "moving"),
        (av1(times=1), "moving"),
        (av1()[2:] + av1(width=60)[2:], "unusual structure"),
        (av1()[-10:], "unusual structure"),
        (av1()[:-3], "cut off"),
        (b"", "none or several"),
    ],
    ids=itertools.count(),
)
def test_av1_headers(data, message):
    if message is None:
        sequence = isobmff._sequence(data)
        assert (sequence.width, sequence.height, sequence.rich) == (64, 40, False)
        return
    with pytest.raises(BadFileError, match=message):
        isobmff._sequence(data)
