import hashlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fcn_core.errors import ImageError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage, clean_name, image_from_array, read_image

H, W = 13, 19
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
ALPHA = np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)
ON_WHITE = np.rint(255 + (RGB.astype(float) - 255) * (ALPHA[:, :, None] / 255))


def saved(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def grey3(grey):
    return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)


def png(depth, colour, rows, *chunks):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, 0))
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*c) for c in chunks) + chunk(b"IDAT", packed)


def palette_picture():
    indices = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    picture = Image.fromarray(indices)
    picture.putpalette(bytes(range(256)) * 3)
    return picture


SIXTEEN = (np.arange(H * W, dtype=np.uint16) * 265).reshape(H, W)
TABLE = np.frombuffer(bytes(range(256)) * 3, np.uint8).reshape(256, 3)
INDICES = np.arange(H * W).reshape(H, W)
ONE_BIT = GREY > 127

# name -> (bytes, expected pixels)
LOSSLESS = {
    "png": (saved(Image.fromarray(RGB), "PNG"), RGB),
    "bmp": (saved(Image.fromarray(RGB), "BMP"), RGB),
    "webp lossless": (saved(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
    "png grey": (saved(Image.fromarray(GREY), "PNG"), grey3(GREY)),
    "gif grey": (saved(Image.fromarray(GREY), "GIF"), grey3(GREY)),
    "png 1 bit": (saved(Image.fromarray(ONE_BIT), "PNG"), grey3(ONE_BIT * 255)),
    "png 16 bits": (saved(Image.fromarray(SIXTEEN), "PNG"), grey3(np.rint(SIXTEEN / 257))),
    "png 16 bits rgb": (png(16, 2, [y.astype(">u2").repeat(3).tobytes() for y in SIXTEEN]), grey3(SIXTEEN >> 8)),
    "png rgba": (saved(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG"), ON_WHITE),
    "webp rgba": (
        saved(Image.fromarray(np.dstack([RGB, ALPHA])), "WEBP", lossless=True, exact=True),
        ON_WHITE,
    ),
    "png grey alpha": (
        saved(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"),
        np.rint(255 + (grey3(GREY).astype(float) - 255) * (ALPHA[:, :, None] / 255)),
    ),
    "png palette": (saved(palette_picture(), "PNG"), TABLE[INDICES]),
    "gif palette": (saved(palette_picture(), "GIF"), TABLE[INDICES]),
    "bmp palette": (saved(palette_picture(), "BMP"), TABLE[INDICES]),
    "png palette, colour 7 clear": (
        saved(palette_picture(), "PNG", transparency=7),
        np.where(INDICES[:, :, None] == 7, 255, TABLE[INDICES]),
    ),
    "png palette, half clear": (
        saved(palette_picture(), "PNG", transparency=bytes([128]) * 256),
        255 + (TABLE[INDICES].astype(float) - 255) * (128 / 255),
    ),
    "gif, colour 7 clear": (
        saved(palette_picture(), "GIF", transparency=7),
        np.where(INDICES[:, :, None] == 7, 255, TABLE[INDICES]),
    ),
    "png rgb, one colour clear": (
        saved(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[3, 4]))),
        np.where((RGB[3, 4] == RGB).all(axis=2, keepdims=True), 255, RGB),
    ),
    "png grey, one level clear": (
        saved(Image.fromarray(GREY), "PNG", transparency=int(GREY[3, 4])),
        grey3(np.where(GREY[3, 4] == GREY, 255, GREY)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_pictures(name):
    data, expected = LOSSLESS[name]
    image = read_image(data)
    assert image.pixels.dtype == np.uint8
    assert (image.height, image.width) == (H, W)
    np.testing.assert_allclose(image.pixels, expected, rtol=0, atol=1)


SMOOTH = np.asarray(Image.fromarray(RGB).resize((160, 120), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("MPO", {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", (160, 120))]}),
        ("WEBP", {"quality": 95}),
    ],
)
def test_lossy_pictures(format, options):
    image = read_image(saved(Image.fromarray(SMOOTH), format, **options))
    assert np.abs(image.pixels.astype(int) - SMOOTH).mean() < 6


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_colour_spaces(mode):
    picture = Image.fromarray(SMOOTH).convert(mode)
    image = read_image(saved(picture, "JPEG", quality=95))
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(image.pixels - expected).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    data = saved(Image.fromarray(RGB), format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    np.testing.assert_array_equal(read_image(data).pixels, np.asarray(expected))


def test_exif_rotation_of_a_big_endian_file():
    exif = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    jpeg = saved(Image.fromarray(RGB), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    assert read_image(jpeg[:2] + segment + jpeg[2:]).pixels.shape == (W, H, 3)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (W, H), colour) for colour in ("#c81e1e", "#1ec81e", "#1e1ec8")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as animation:
        assert animation.n_frames == 3
    expected = np.broadcast_to((200, 30, 30), (H, W, 3))
    np.testing.assert_allclose(read_image(data).pixels, expected, rtol=0, atol=4)


def test_tall_pictures_are_read_in_bands():
    tall = np.random.default_rng(1).integers(0, 256, (3000, 900, 4), dtype=np.uint8)
    tall[:, :, 3] = 255
    image = read_image(saved(Image.fromarray(tall), "PNG", compress_level=0))
    np.testing.assert_array_equal(image.pixels, tall[:, :, :3])


def test_what_is_returned():
    data = saved(Image.fromarray(RGB), "PNG")
    image = read_image(data, name="a.png")
    assert isinstance(image, RGBImage)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.name == "a.png"
    assert image.pixels.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_kinds_of_bytes(kind):
    assert read_image(kind(saved(Image.fromarray(RGB), "PNG"))).name == "picture"


@pytest.mark.parametrize("source", [5, None, RGB, Image.fromarray(RGB), io.StringIO("text")])
def test_other_sources_are_a_fault(source):
    with pytest.raises(TypeError, match="binary"):
        read_image(source)


class Socket:
    """Reads like a file, a few bytes at a time, and has no name."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size):
        return self.data.read(min(size, 7))


@pytest.mark.parametrize("kind", [io.BytesIO, Socket])
def test_what_reads_like_a_file(kind):
    data = saved(Image.fromarray(RGB), "PNG")
    image = read_image(kind(data))
    np.testing.assert_array_equal(image.pixels, RGB)
    assert (image.name, image.sha256) == ("picture", hashlib.sha256(data).hexdigest())


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(tmp_path):
    path = tmp_path / "corgi.png"
    path.write_bytes(b"before" + saved(Image.fromarray(RGB), "PNG"))
    with path.open("rb") as file:
        file.seek(6)
        image = read_image(file)
        assert not file.closed
    assert image.name == "corgi.png"
    np.testing.assert_array_equal(image.pixels, RGB)
    with pytest.raises(ImageError, match=r"corgi\.png, which cannot be read: .*closed file"):
        read_image(file)


def test_an_endless_file_is_left_at_the_limit():
    class Endless:
        given = 0

        def read(self, size):
            self.given += min(size, 1000)
            return b"x" * min(size, 1000)

    endless = Endless()
    with pytest.raises(ImageError, match=r"Expected at most .* Received .* MB"):
        read_image(endless, limits=Limits(max_bytes=5_500))
    assert endless.given == 5_501


# Paths


@pytest.mark.parametrize("kind", [str, Path])
def test_paths(tmp_path, kind):
    path = tmp_path / "corgi on grass.png"
    Image.fromarray(RGB).save(path)
    image = read_image(kind(path))
    assert image.name == "corgi on grass.png"
    np.testing.assert_array_equal(image.pixels, RGB)
    assert read_image(path, name="other.png").name == "other.png"


def test_the_suffix_does_not_decide(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(Image.fromarray(RGB), "PNG"))
    np.testing.assert_array_equal(read_image(path).pixels, RGB)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "cannot be read|is a folder. Name the files in it"),
        ("absent.png", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("a\0b", "cannot be read"),
    ],
)
def test_paths_that_cannot_be_read(tmp_path, name, expected):
    with pytest.raises(ImageError, match=expected) as caught:
        read_image(f"{tmp_path}{os.sep}{name}")
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    caught = []

    def read():
        try:
            read_image(path)
        except ImageError as error:
            caught.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert "not a regular file" in caught[0]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the platform has no /dev/zero")
def test_a_device_is_refused():
    with pytest.raises(ImageError, match="not a regular file"):
        read_image("/dev/zero")


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: nothing on the disk
    with pytest.raises(
        ImageError, match=r"Expected at most 25 MB and 64 megapixels\. Received .* of 953674\.3 MB"
    ):
        read_image(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_no_file_stays_open(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("a.png", "b.png", "c.png", ""):
        try:
            read_image(tmp_path / name)
        except ImageError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("corgi.jpg", "corgi.jpg"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\cmd.exe", "cmd.exe"),
        ("C:\\Users\\me\\dog.png", "dog.png"),
        ("", "picture"),
        ("..", "picture"),
        ("/", "picture"),
        ("a\0b\n\x1b[31m.png", "ab[31m.png"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "gnp.exe"),
        ("e\u0301.png", "é.png"),
        ("狗.png", "狗.png"),
        (".hidden.png", "hidden.png"),
        ("<b>|a?*.png", "_b__a__.png"),
        ("\ud800.png", "png"),
        ("x" * 500 + ".jpeg", "x" * 115 + ".jpeg"),
        ("狗" * 500 + ".png", "狗" * 38 + ".png"),
        ("a." + "b" * 500, "a." + "b" * 118),
    ],
)
def test_names(name, expected):
    assert clean_name(name) == expected
    assert read_image(saved(Image.fromarray(RGB), "PNG"), name=name).name == expected


# Arrays

FLOATS = RGB / 255


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB, RGB),
        (GREY, grey3(GREY)),
        (GREY[:, :, None], grey3(GREY)),
        (ONE_BIT, grey3(ONE_BIT * 255)),
        (SIXTEEN, grey3(np.rint(SIXTEEN / 257))),
        (RGB.astype(np.int64), RGB),
        (FLOATS, RGB),
        (FLOATS.astype(np.float32), RGB),
        (np.dstack([RGB, ALPHA]), ON_WHITE),
        (np.dstack([RGB, ALPHA]) / 255, ON_WHITE),
        (
            np.dstack([GREY, ALPHA]),
            np.rint(255 + (grey3(GREY).astype(float) - 255) * (ALPHA[:, :, None] / 255)),
        ),
        (RGB[::-1, ::-1, ::-1], RGB[::-1, ::-1, ::-1]),
        (RGB.tolist(), RGB),
    ],
)
def test_arrays(array, expected):
    image = image_from_array(array, "a.png")
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert not image.pixels.flags.writeable
    np.testing.assert_allclose(image.pixels, expected, rtol=0, atol=1)


def test_the_callers_array_is_not_touched():
    array = RGB.copy()
    image = image_from_array(array, "a.png")
    array[:] = 0
    np.testing.assert_array_equal(image.pixels, RGB)


def test_hashes_of_arrays_tell_them_apart():
    arrays = [RGB, RGB.copy(), RGB.reshape(W, H, 3), RGB[:, ::-1]]
    same, copy, reshaped, mirrored = (image_from_array(array).sha256 for array in arrays)
    assert same == copy
    assert len({same, reshaped, mirrored}) == 3


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((5, 5, 5)), r"shape \(5, 5, 5\)"),
        (np.zeros((5, 5, 3, 1)), "shape"),
        (np.zeros((0, 5, 3)), "5 x 0 pixels"),
        (np.zeros((1, 1, 3)), "Expected 2 to 65535 pixels a side.*1 x 1 pixels"),
        (np.zeros((2, 70_000)), "70000 x 2 pixels"),
        (np.full((5, 5), 255.0), "Expected values from 0 to 1.*values 255 to 255"),
        (np.full((5, 5), np.nan), "values nan"),
        (np.full((5, 5), np.inf), "values inf"),
        (np.full((5, 5), -1), "Expected values from 0 to 255.*values -1 to -1"),
        (np.full((5, 5), 256), "Expected values from 0 to 255"),
        (np.zeros((5, 5), complex), "array of complex128"),
        (np.full((5, 5), "a"), "array of <U1"),
        (np.full((5, 5), None), "array of object"),
    ],
)
def test_arrays_that_are_no_pictures(array, message):
    with pytest.raises(ImageError, match=message):
        image_from_array(array, "a.png")
