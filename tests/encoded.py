"""Small picture files of every format, and the pieces that they are made of."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pillow_heif
from PIL import Image

WIDTH, HEIGHT = 24, 17
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def sample(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Colours that differ everywhere, with every alpha."""
    rng = random.Random(f"{mode} {width} {height}")
    bands = len(Image.new(mode, (1, 1)).getbands())
    if mode in ("I", "F"):
        layout = "<i" if mode == "I" else "<f"
        data = b"".join(
            struct.pack(layout, rng.choice((-1, 0, 7, 300, 65536))) for _ in range(width * height)
        )
        return Image.frombytes(mode, (width, height), data)
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (width, height), rng.randbytes(2 * width * height))
    if mode == "1":
        return Image.frombytes("L", (width, height), rng.randbytes(width * height)).convert("1")
    picture = Image.frombytes(mode, (width, height), rng.randbytes(width * height * bands))
    if mode == "P":
        picture.putpalette(rng.randbytes(768))
    return picture


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(picture).save(file, quality=90, **options)
    else:
        picture.save(file, format, **options)
    return file.getvalue()


def variants() -> dict[str, bytes]:
    """Small valid files, one for each way of coding that is read."""
    rgb, rgba, palette, grey = sample(), sample("RGBA"), sample("P"), sample("L")
    frames = [sample("RGB", WIDTH, HEIGHT).rotate(90 * turn) for turn in range(3)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": saved(rgb, "JPEG", quality=90),
        "jpeg-progressive": saved(rgb, "JPEG", progressive=True, exif=exif),
        "jpeg-grey": saved(grey, "JPEG"),
        "jpeg-cmyk": saved(sample("CMYK"), "JPEG"),
        "jpeg-restarts": saved(rgb, "JPEG", restart_marker_rows=1),
        "mpo": saved(rgb, "MPO", save_all=True, append_images=frames),
        "png": saved(rgb, "PNG", exif=exif),
        "png-alpha": saved(rgba, "PNG"),
        "png-palette": saved(palette, "PNG", transparency=bytes(range(256))),
        "png-1-bit": saved(sample("1"), "PNG"),
        "png-16-bit": saved(sample("I;16"), "PNG"),
        "apng": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "webp": saved(rgb, "WEBP", exif=exif),
        "webp-lossless": saved(rgba, "WEBP", lossless=True),
        "webp-animated": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "gif": saved(palette, "GIF", transparency=3, comment=b"hello"),
        "gif-animated": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0),
        "bmp": saved(rgb, "BMP"),
        "bmp-palette": saved(palette, "BMP"),
        "bmp-alpha": saved(rgba, "BMP"),
        "heic": saved(rgb, "HEIF", exif=exif.tobytes()),
        "heic-grid": saved(sample("RGB", 150, 90), "HEIF", tile_size=64),
        "heic-alpha": saved(rgba, "HEIF"),
        "avif": saved(rgb, "AVIF", exif=exif),
        "avif-alpha": saved(rgba, "AVIF"),
        "tiff": saved(rgb, "TIFF"),
        "tiff-turned": saved(rgb, "TIFF", exif=exif),
        "tiff-16-bit": saved(sample("I;16"), "TIFF", compression="tiff_lzw"),
        "tiff-cmyk": saved(sample("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": saved(rgb, "TIFF", compression="jpeg"),
        "tiff-fax": saved(sample("1"), "TIFF", compression="group4"),
        "tiff-packbits": saved(palette, "TIFF", compression="packbits", tiffinfo={278: 5}),
        "bmp-fields": bitmap(
            16, 3, struct.pack("<III", 0xF00, 0xF0, 0xF), random.Random(6).randbytes(16 * 9)
        ),
        "bmp-runs": bitmap(8, 1, bytes(range(256)) * 4, (b"\x05\x11\0\x03abc\0" + b"\0\0") * 9 + b"\0\1"),
        "bmp-runs-4-bit": bitmap(4, 2, bytes(range(64)), (b"\x05\x12\0\x03\x12\x30" + b"\0\0") * 9 + b"\0\1"),
    }


def png(
    width: int, height: int, rows: bytes, colour: int = 2, depth: int = 8, *, packed: bool = False
) -> bytes:
    """A PNG file of any size with any rows, which need not fit."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = rows if packed else zlib.compress(rows, 1)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file with the right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bitmap(
    bits: int, compression: int, table: bytes, content: bytes, width: int = 8, height: int = 9
) -> bytes:
    """A BMP file whose masks or colours are `table`; whether the content fits is not asked."""
    offset = 54 + len(table)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(content), 0, 0, 0, 0)
    return struct.pack("<2sIII", b"BM", offset + len(content), 0, offset) + header + table + content


def segment(marker: int, body: bytes) -> bytes:
    """A part of a JPEG file's header."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def simple_webp() -> bytes:
    """A lossy WebP without an extended header."""
    return saved(sample(), "WEBP")
