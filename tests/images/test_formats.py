"""Files of phones, cameras and other programs: what opens, with which pixels, and what is refused in words."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from fcn_core.errors import ImageError
from fcn_core.images import bmp, colour, decoding, isobmff
from fcn_core.images.bounded import BadFileError
from fcn_core.images.read import Limits, image_from_array, read_image
from tests.hostile import bitmap, png, png_chunk, sample, saved

H, W = 40, 64
RGB = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)).resize(
        (W, H), Image.Resampling.BICUBIC
    )
)
PICTURE = Image.fromarray(RGB)


def read(data, **options):
    return read_image(data, name="a", **options).pixels.astype(int)


def distance(data, expected):
    pixels = read(data)
    assert pixels.shape == np.asarray(expected).shape
    return np.abs(pixels - np.asarray(expected)).mean()


# Complete files that used to be refused

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


# Bitmaps

NIBBLES = (np.arange(16 * 9 * 3) * 7 % 16).reshape(9, 16, 3)


def words(shifts, bits, levels):
    values = sum(levels[:, :, c].astype(np.uint32) << shift for c, shift in enumerate(shifts))
    return values[::-1].astype(f"<u{bits // 8}").tobytes()


@pytest.mark.parametrize(
    ("bits", "masks", "shifts", "width"),
    [
        (16, (0xF00, 0xF0, 0xF), (8, 4, 0), 4),
        (16, (0xF, 0xF0, 0xF00), (0, 4, 8), 4),
        (32, (0xFF00, 0xFF0000, 0xFF000000), (8, 16, 24), 8),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), (20, 10, 0), 10),
        (16, (0xF800, 0x7E0, 0x1F), (11, 5, 0), None),
        (16, (0x7C00, 0x3E0, 0x1F), (10, 5, 0), None),
        (32, (0xFF0000, 0xFF00, 0xFF), (16, 8, 0), 8),
    ],
)
def test_bit_fields(bits, masks, shifts, width):
    widths = [mask.bit_count() for mask in masks]
    levels = np.stack([NIBBLES[:, :, c] * (2 ** widths[c] - 1) // 15 for c in range(3)], axis=2)
    data = bitmap(bits, 3, struct.pack("<III", *masks), words(shifts, bits, levels), 16, 9)
    expected = np.stack([levels[:, :, c] * 255 // (2 ** widths[c] - 1) for c in range(3)], axis=2)
    np.testing.assert_allclose(read(data), expected, rtol=0, atol=1)
    for cut in (1, 60):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:-cut])


@pytest.mark.parametrize(("alpha", "share"), [(5, 85 / 255), (15, 1), (0, 1)])  # 0 everywhere: it was not set
def test_bit_fields_of_alpha(alpha, share):
    header = struct.pack("<2sIIIIiiHHIIiiIIIIII", b"BM", 0, 0, 70, 56, 16, -9, 1, 16, 3, 0, 0, 0, 0, 0,
                         0xF00, 0xF0, 0xF, 0xF000)  # fmt: skip
    levels = np.dstack([NIBBLES, np.full((9, 16), alpha)])
    data = header + words((8, 4, 0, 12), 16, levels)[::-1][::-1]
    rows = np.frombuffer(data[70:], "<u2").reshape(9, 16)[::-1]  # the first row is the top
    expected = 255 + (NIBBLES * 17 - 255) * share
    np.testing.assert_allclose(read(data[:70] + rows.tobytes()), expected, rtol=0, atol=1)


@pytest.mark.parametrize("masks", [(0xF0F, 0xF0, 0xF), (0xF00, 0, 0xF), (0x1F0000, 0xF0, 0xF)])
def test_bit_fields_that_are_none(masks):
    with pytest.raises(ImageError, match="bit fields are damaged"):
        read(bitmap(16, 3, struct.pack("<III", *masks), bytes(16 * 9 * 2), 16, 9))


PALETTE = bytes(range(256)) * 4  # colour i: blue, green, red from 4 i on
TABLE = np.frombuffer(PALETTE, np.uint8).reshape(256, 4)[:, 2::-1].astype(int)
RUNS = {
    "runs": (8, b"\x08\x05" * 3 + b"\0\1", [[5] * 8] * 3),
    "lines": (8, b"\x08\1\0\0\x08\2\0\0\x08\3\0\1", [[3] * 8, [2] * 8, [1] * 8]),
    "as they are": (8, b"\0\3\x07\x08\x09\0\5\1\0\0\x08\2\0\0\x08\3\0\1", [[3] * 8, [2] * 8, [7, 8, 9] + [1] * 5]),
    "skipped": (8, b"\2\1\0\2\3\1\3\4\0\0\x08\3\0\1", [[3] * 8, [0] * 5 + [4] * 3, [1, 1] + [0] * 6]),
    "short rows": (8, b"\2\1\0\0\0\0\3\2\0\1", [[2] * 3 + [0] * 5, [0] * 8, [1] * 2 + [0] * 6]),
    "half bytes": (4, b"\5\x12\0\3\x34\x50\0\0\x08\x67\0\0\x08\x88\0\1",
                   [[8] * 8, [6, 7] * 4, [1, 2, 1, 2, 1, 3, 4, 5]]),
    "no mark of the end": (8, b"\x08\1\0\0\x08\2\0\0\x08\3", [[3] * 8, [2] * 8, [1] * 8]),
    "lines ended, not the picture": (8, b"\x08\1\0\0\x08\2\0\0\x08\3\0\0", [[3] * 8, [2] * 8, [1] * 8]),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNS)
def test_run_lengths(kind):
    bits, content, numbers = RUNS[kind]
    data = bitmap(bits, 1 if bits == 8 else 2, PALETTE[: 4 * 2**bits], content, 8, 3)
    lines = content.count(b"\0\0") or kind == "runs"
    if kind == "runs":  # without ends of lines a row's runs are cut at its edge
        numbers = [[0] * 8, [0] * 8, [5] * 8]
    assert lines
    np.testing.assert_array_equal(read(data), TABLE[np.array(numbers)])


@pytest.mark.parametrize("kind", ["lines", "as they are", "half bytes"])
def test_run_lengths_that_are_cut_off(kind):
    bits, content, _ = RUNS[kind]
    data = bitmap(bits, 1 if bits == 8 else 2, PALETTE[: 4 * 2**bits], content, 8, 3)
    for cut in range(3, len(content)):
        with pytest.raises(ImageError, match="cut off"):
            read(data[:-cut])


def test_run_lengths_are_bounded(monkeypatch):
    monkeypatch.setattr(bmp, "_MAX_RUNS", 5)
    with pytest.raises(ImageError, match="too many runs"):
        read(bitmap(8, 1, PALETTE, b"\1\1" * 9 + b"\0\1", 8, 3))
    huge = bitmap(8, 1, PALETTE, b"\0\1", 9000, 9000)
    with pytest.raises(ImageError, match=r"at most 64 megapixels .BMP.*9000 x 9000 pixels"):
        read(huge)


# What is clear, and what is outside


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


# Phones and cameras


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


# What a HEIC or AVIF says of itself

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
        (_sized(saved(PICTURE.resize((1_200, 900)), "AVIF"), 64, 40), "another size"),
        (_sized(HEIC, 8_100, 8_100), r"Expected at most 52.36 megapixels .HEIF.*8100 x 8100 pixels"),
        (_sized(saved(PICTURE.resize((1_200, 900)), "HEIF"), 64, 40), "damaged"),
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


# AV1 headers bit by bit: what real coders write is above, what they do not is here.


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


# Colour profiles


def xyz_profile(matrix, gamma=563 / 256, space=b"RGB ", version=2, kind=b"mntr") -> bytes:
    """A profile of three primaries (columns of XYZ for D50) or of grey, with one power as its curve."""
    fixed = lambda value: struct.pack(">i", round(value * 65_536))  # noqa: E731
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    point = lambda values: b"XYZ " + bytes(4) + b"".join(map(fixed, values))  # noqa: E731
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 1) + bytes(80), b"cprt": b"text" + bytes(8),
            b"wtpt": point((0.9642, 1.0, 0.8249))}  # fmt: skip
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for number, name in enumerate(b"rgb"):
            tags[bytes([name]) + b"XYZ"] = point(np.asarray(matrix)[:, number])
            tags[bytes([name]) + b"TRC"] = curve
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytes([0] * 4) + bytes([version, 0x20, 0, 0]) + kind + space + b"XYZ " + bytes(12) + b"acsp"
    head = bytes(4) + head[:4] + head[4:]
    head = struct.pack(">I", start + len(body)) + bytes(4) + bytes([version, 32, 0, 0]) + kind + space
    head += b"XYZ " + bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
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


# Pillow's pictures

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
    data = saved(PICTURE, "PNG", exif=exif, icc_profile=GOOD)
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


# Sizes


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
