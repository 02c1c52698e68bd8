"""From untrusted bytes to a validated picture.

Nothing is decoded before it is known to be small enough: the container is read here, and the decoder is shown
only the parts that make the picture. Metadata, comments and previews never reach it, so that neither their
size nor their content can do harm; colour profiles are ignored, as they were when the networks were trained.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from fcn_core.errors import ImageError

#: What `read_image` reads. Others hold documents, layers or camera data: they are converted outside.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP")
#: A contour needs two pixels a side.
MIN_SIDE = 2
MAX_SIDE = 65_535
_MAX_MEGAPIXELS = 89  # above it Pillow warns of a bomb, on its own
_MAX_PARTS = 100_000
_MAX_SCANS = 64  # a progressive JPEG has about 10; each costs a walk over the whole picture


@dataclass(frozen=True)
class Limits:
    """The largest picture that is read.

    Attributes
    ----------
    max_bytes : int
        Of the file.
    max_pixels : int
        Of the picture, known from its header before it is decoded; at most 89 million. Decoding takes at most
        13 bytes a pixel. Of a WebP half as many, since its decoder keeps several copies.
    """

    max_bytes: int = 25 * 2**20
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or not 1 <= self.max_pixels <= _MAX_MEGAPIXELS * 10**6:
            raise ImageError(
                f"Received limits of {self.max_bytes} bytes and {self.max_pixels} pixels. Expected at least "
                f"1 of each and at most {_MAX_MEGAPIXELS} megapixels. Correct FCN_MAX_UPLOAD_MB or "
                "FCN_MAX_MEGAPIXELS."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """Read ``FCN_MAX_UPLOAD_MB`` (of 2**20 bytes) and ``FCN_MAX_MEGAPIXELS`` (of 10**6 pixels).

        Raises
        ------
        ImageError
            When one of them is no number or out of bounds.
        """
        megabytes = _number(environ, "FCN_MAX_UPLOAD_MB", 25)
        megapixels = _number(environ, "FCN_MAX_MEGAPIXELS", 50)
        return cls(int(megabytes * 2**20), int(megapixels * 10**6))

    def __str__(self) -> str:
        return f"at most {self.max_bytes / 2**20:.4g} MB and {self.max_pixels / 1e6:.4g} megapixels"


def _number(environ: Mapping[str, str], variable: str, default: float) -> float:
    text = environ.get(variable, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = float("nan")
    if not 0 < number < 1e6:
        raise ImageError(f"Received {variable}={text[:40]!r}. Expected a number such as {default:g}.")
    return number


@dataclass(frozen=True, eq=False)
class RGBImage:
    """A picture that can be trusted.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3), read-only
        Red, green, blue; upright; transparency laid on white.
    name : str
        Base name without anything that could mislead a page, a terminal or a file system.
    sha256 : str
        Of the file's bytes, or of the array's shape and pixels: the key under which results are cached.
    """

    pixels: NDArray[np.uint8]
    name: str
    sha256: str

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])


def read_image(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, limits: Limits | None = None
) -> RGBImage:
    """Read a picture from a file or from its bytes.

    Parameters
    ----------
    source : str, path or bytes
        Path of a JPEG, PNG, WebP, GIF or BMP file, or the content of one.
    name : str, optional
        What to call it; default: the file's name, or "picture".
    limits : Limits, optional
        Default: ``Limits.from_env()``.

    Returns
    -------
    RGBImage
        Upright as EXIF says. Of an animation, the first frame; 16 bits a channel become 8; transparency is laid
        on white; colour profiles are ignored.

    Raises
    ------
    ImageError
        Whatever is wrong with the source.
    """
    limits = Limits.from_env() if limits is None else limits
    if isinstance(source, (str, os.PathLike)):
        name = clean_name(Path(source).name if name is None else name)
        data = _read_file(source, name, limits)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = clean_name("picture" if name is None else name)
        data = bytes(source)
    else:
        raise TypeError(f"Received {type(source).__name__}. Expected a path or bytes; see image_from_array.")
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(name, len(data), limits)
    try:
        container = _open_container(data, name, limits)
        _check_size(container, name, limits)
        pixels = _decode(container)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"Received {name}, too large for the memory there is. Make it smaller.") from error
    except Exception as error:  # whatever a decoder throws, the file is the cause
        what = str(error) if isinstance(error, _DamagedError) else "a damaged or cut off file"
        raise ImageError(
            f"Received {name}: {what}. Expected a whole picture. Save or download it again, as JPEG or PNG."
        ) from error
    pixels.setflags(write=False)
    return RGBImage(pixels, name, hashlib.sha256(data).hexdigest())


def image_from_array(pixels: NDArray[Any], name: str = "array") -> RGBImage:
    """Take a picture from an array.

    Parameters
    ----------
    pixels : ndarray, shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4)
        Grey, grey with alpha, RGB or RGBA. Booleans are black and white, uint16 is 0 to 65535, other integers
        are 0 to 255, floats 0 to 1.
    name : str
        What to call it.

    Raises
    ------
    ImageError
        When shape, type or range are others.
    """
    name = clean_name(name)
    pixels = np.asarray(pixels)
    layers = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if layers.ndim != 3 or not 1 <= layers.shape[2] <= 4:
        raise ImageError(
            f"Received an array of shape {pixels.shape}. Expected (H, W) or (H, W, 1 to 4 channels)."
        )
    height, width, channels = layers.shape
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise ImageError(
            f"Received an array of {width} x {height} pixels. Expected {MIN_SIDE} to {MAX_SIDE} a side."
        )
    levels = _eight_bits(layers)
    if channels in (2, 4):
        alpha = levels[:, :, -1:].astype(np.uint16)
        levels = ((levels[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    rgb = np.ascontiguousarray(np.broadcast_to(levels, (height, width, 3)))
    rgb = rgb.copy() if np.shares_memory(rgb, pixels) else rgb
    rgb.setflags(write=False)
    digest = hashlib.sha256(f"{height}x{width} ".encode())
    digest.update(rgb.data)
    return RGBImage(rgb, name, digest.hexdigest())


def clean_name(text: str) -> str:
    """Make a file's name safe to show and to make a folder of.

    The base name (of either path separator) without control and direction-changing characters, without those
    that Windows forbids and without leading dots; at most 120 bytes of UTF-8, keeping the suffix.
    """
    text = re.split(r"[/\\]", text)[-1]
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")
    text = re.sub(r'[<>:"|?*]', "_", text).strip(" .")
    stem, dot, suffix = text.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, dot, suffix = text, "", ""
    room = 120 - len((dot + suffix).encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return stem + dot + suffix if stem else "picture"


def _eight_bits(layers: NDArray[Any]) -> NDArray[np.uint8]:
    kind = layers.dtype
    if kind == np.uint8:
        return layers
    if kind == np.bool_:
        return layers.astype(np.uint8) * 255
    if kind == np.uint16:
        return ((layers.astype(np.uint32) + 128) // 257).astype(np.uint8)
    top = 255 if np.issubdtype(kind, np.integer) else 1
    if not (np.issubdtype(kind, np.integer) or np.issubdtype(kind, np.floating)):
        raise ImageError(f"Received an array of {kind}. Expected integers 0 to 255 or floats 0 to 1.")
    low, high = layers.min(), layers.max()
    if not (low >= 0 and high <= top):
        raise ImageError(
            f"Received an array of {kind} with values {low:g} to {high:g}. Expected 0 to {top}: scale it, or "
            "replace what is not a number."
        )
    return np.rint(layers * (255 / top)).astype(np.uint8)


def _read_file(path: str | os.PathLike[str], name: str, limits: Limits) -> bytes:
    # Opened without waiting (a pipe would hang) and looked at while open (the name may be swapped meanwhile).
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"Received {name}, which is not a regular file. Name a picture's file.")
            if status.st_size > limits.max_bytes:
                raise _too_many_bytes(name, status.st_size, limits)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limits.max_bytes + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise ImageError(f"Received {name}, which cannot be read: {_first_line(error)}.") from error


def _too_many_bytes(name: str, size: int, limits: Limits) -> ImageError:
    return ImageError(
        f"Received {name} of {size / 2**20:.1f} MB. Expected {limits}. Make it smaller or save it as JPEG."
    )


def _first_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:100].rstrip(".")


@dataclass(frozen=True, eq=False)
class _Container:
    """What a file's header says, and the bytes its decoder may see."""

    format: str
    height: int
    width: int
    data: bytes
    orientation: int = 1


def _open_container(data: bytes, name: str, limits: Limits) -> _Container:
    if data.startswith(b"\xff\xd8\xff"):
        return _open_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _open_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _open_webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _open_gif(data)
    if data.startswith(b"BM"):
        return _open_bmp(data)
    raise ImageError(
        f"Received {name}: {_kind(data)}. Expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, {limits}. "
        "Save it as JPEG or PNG."
    )


def _kind(data: bytes) -> str:
    """Guess, for the message, what a file of no known format may be."""
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not data:
        return "an empty file"
    if data[4:8] == b"ftyp":
        return "a HEIC or AVIF picture, or a film"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "a TIFF picture"
    if start.startswith(b"%PDF"):
        return "a PDF document"
    if start.startswith(b"PK"):
        return "a ZIP archive or an office document"
    if start.startswith(b"<"):
        return "a web page, an SVG drawing or other markup"
    return "no picture of a known kind"


def _check_size(container: _Container, name: str, limits: Limits) -> None:
    height, width = container.height, container.width
    received = f"Received {name} of {width} x {height} pixels"
    if height * width > limits.max_pixels:
        raise ImageError(f"{received}. Expected {limits}. Make it smaller.")
    if container.format == "WEBP" and height * width > limits.max_pixels // 2:
        megapixels = limits.max_pixels / 2e6
        raise ImageError(
            f"{received}. Expected a WebP of at most {megapixels:.4g} megapixels. Save it as JPEG."
        )
    if max(height, width) > MAX_SIDE:
        raise ImageError(f"{received}. Expected no side longer than {MAX_SIDE}. Cut it to pieces.")
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{received}. Expected at least {MIN_SIDE} pixels a side. Choose a larger picture.")


class _DamagedError(Exception):
    """A container that contradicts its format."""


def _open_jpeg(data: bytes) -> _Container:
    kept = [data[:2]]
    height = width = parts = 0
    orientation = 1
    position = 2
    while True:
        parts += 1
        if parts > _MAX_PARTS:
            raise _DamagedError(f"a JPEG of more than {_MAX_PARTS} parts")
        position = data.index(b"\xff", position) + 1
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7 or marker == 0:
            continue
        if marker == 0xDA:
            break
        if marker == 0xD9:
            raise _DamagedError("a JPEG without a picture")
        length = _unpack(">H", data, position)[0]
        if marker in _JPEG_FRAMES:
            if height:
                raise _DamagedError("a JPEG with two sizes")
            height, width = _unpack(">HH", data, position + 3)
        if marker == 0xE1 and data[position + 2 : position + 8] == b"Exif\0\0":
            orientation = _orientation(data[position + 8 : position + length])
        if (
            not (0xE1 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE
        ):  # EE: how Adobe coded the colours
            kept.append(data[position - 2 : position + length])
        position += max(length, 2)
    kept.append(data[position - 2 : _end_of_scans(data, position)])
    return _Container("JPEG", height, width, b"".join(kept), orientation)


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _end_of_scans(data: bytes, position: int) -> int:
    """Where the picture ends, so that previews and films behind it are left out."""
    scans, parts = 1, 0
    while match := _JPEG_MARKER.search(data, position):
        parts += 1
        position = match.end()
        marker = data[position - 1]
        if marker == 0xD9:
            return position
        scans += marker == 0xDA
        if scans > _MAX_SCANS or parts > _MAX_PARTS:
            raise _DamagedError(f"a JPEG of more than {_MAX_SCANS} scans or {_MAX_PARTS} parts")
        if marker in _JPEG_FRAMES:
            raise _DamagedError("a JPEG with two sizes")
        if marker > 0x01 and marker != 0xD8:
            position += _unpack(">H", data, position)[0] if position + 2 <= len(data) else 0
    return len(data)


def _open_png(data: bytes) -> _Container:
    kept = [data[:8]]
    size: tuple[int, int] | None = None
    orientation = 1
    position = 8
    for _ in range(_MAX_PARTS):
        if position + 8 > len(data):
            break
        length, kind = _unpack(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IHDR" and size is None:
            size = _unpack(">II", data, position + 8)
            kept.append(data[position:end])
        elif kind in (b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[position:end])
        elif kind == b"eXIf":
            orientation = _orientation(data[position + 8 : end - 4])
        position = end
        if kind == b"IEND":
            break
    else:
        raise _DamagedError(f"a PNG of more than {_MAX_PARTS} parts")
    if size is None:
        raise _DamagedError("a PNG without a header")
    return _Container("PNG", size[1], size[0], b"".join(kept), orientation)


def _open_webp(data: bytes) -> _Container:
    if not WebPImagePlugin.SUPPORTED:
        raise ImageError("Received a WebP picture, which this installation of Pillow cannot read. Use PNG.")
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in _unpack("<HH", data, 26))
    elif kind == b"VP8L":
        (bits,) = _unpack("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        raise _DamagedError("a WebP without a picture")
    orientation = 1
    position = 12
    for _ in range(_MAX_PARTS):
        if position + 8 > len(data):
            break
        part, length = _unpack("<4sI", data, position)
        if part == b"EXIF":
            orientation = _orientation(data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    else:
        raise _DamagedError(f"a WebP of more than {_MAX_PARTS} parts")
    return _Container("WEBP", height, width, data, orientation)


def _open_gif(data: bytes) -> _Container:
    width, height = _unpack("<HH", data, 6)
    position = 13 + _gif_colours(data[10])
    kept = [data[:position]]
    control = b""
    for _ in range(_MAX_PARTS):
        introducer = data[position]
        if introducer == 0x2C:
            break
        if introducer != 0x21:
            raise _DamagedError("a GIF without a picture")
        start, label = position, data[position + 1]
        position += 2
        for _ in range(_MAX_PARTS):
            count = data[position]
            position += 1 + count
            if count == 0:
                break
        else:
            raise _DamagedError("a GIF with too long a comment")
        if label == 0xF9:  # transparency of the picture that follows
            control = data[start:position]
    else:
        raise _DamagedError(f"a GIF of more than {_MAX_PARTS} parts")
    left, top, frame_width, frame_height = _unpack("<HHHH", data, position + 1)
    kept += [control, data[position:]]
    return _Container("GIF", max(height, top + frame_height), max(width, left + frame_width), b"".join(kept))


def _gif_colours(flags: int) -> int:
    """Bytes of the colour table behind a header with these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _open_bmp(data: bytes) -> _Container:
    offset, header = _unpack("<II", data, 10)
    if header == 12:
        width, height, _, bits = _unpack("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = _unpack("<iiHHI", data, 18)
    if compression not in (0, 3, 6):  # plain, or with masks: run lengths are unpacked far too slowly
        raise _DamagedError("a compressed BMP")
    width, height = abs(width), abs(height)
    if len(data) < offset + (width * bits + 31) // 32 * 4 * height:
        raise _DamagedError("a BMP that is cut off")
    return _Container("BMP", height, width, data)


def _unpack(layout: str, data: bytes, position: int) -> tuple[Any, ...]:
    return struct.unpack_from(layout, data, position)


def _orientation(exif: bytes) -> int:
    """EXIF's tag 0x0112 of the first directory, 1 where it is not to be had."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        if order is None:
            return 1
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
            if tag == 0x0112 and kind == 3 and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return 1


def _decode(container: _Container) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(container.data), formats=[container.format]) as picture:
        width, height = picture.size
        if (height, width) != (container.height, container.width):
            raise _DamagedError("a size that contradicts itself")
        picture.load()
        upright = _UPRIGHT[container.orientation]
        turned = container.orientation >= 5
        pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
        target = upright(pixels)
        # In bands: never more than the decoded picture and the result at once.
        step = max(1, 2**20 // width)
        for top in range(0, height, step):
            bottom = min(top + step, height)
            target[top:bottom] = _rgb(picture.crop((0, top, width, bottom)))
    return pixels


# Views of the upright picture that lie as the file does, by EXIF orientation.
_UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[:, ::-1],
}


def _rgb(band: Image.Image) -> NDArray[np.uint8]:
    if band.mode.startswith("I;16"):
        grey = _eight_bits(np.asarray(band).astype(np.uint16))
        return np.broadcast_to(grey[:, :, None], (*grey.shape, 3))
    if band.mode in ("LA", "PA", "RGBA") or "transparency" in band.info:
        white = Image.new("RGBA", band.size, "white")
        band = Image.alpha_composite(white, band.convert("RGBA"))
    return np.asarray(band.convert("RGB"))
