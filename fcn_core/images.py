"""From untrusted bytes to a validated picture.

Pillow reads the file, with the decoders of `FORMATS` alone; the size in its header is held to `Limits` before
anything is decoded. What is checked beside are the known ways to keep Pillow busy for minutes with a small file.
Colour profiles are ignored, as they were when the networks were trained.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fcn_core.errors import ImageError

#: What `read_image` reads. Others hold documents, layers or camera data: they are converted outside.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP")
#: A contour needs two pixels a side.
MIN_SIDE = 2
MAX_SIDE = 65_535
_MAX_MEGAPIXELS = 89  # above it Pillow warns of a bomb, on its own
_BAND_PIXELS = 2**20  # that are turned into an array at a time
_MAX_READS = 250_000  # a PNG of 25 MB in parts of 8 kB takes 10 000
_MAX_METADATA = 100  # parts that Pillow joins or unpacks; a camera writes one or two
_MAX_SEGMENTS = 500  # of a JPEG: 25 MB of comments fill 400
_MAX_SCANS = 32  # of a JPEG: a progressive one has about 10


@dataclass(frozen=True)
class Limits:
    """The largest picture that is read.

    Attributes
    ----------
    max_bytes : int
        Of the file.
    max_pixels : int
        Of the picture, known from its header before it is decoded; at most 89 million. Decoding takes at most
        9 bytes a pixel. Of a WebP half as many, since its decoder keeps several copies.
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
        sizes = environ.get("FCN_MAX_UPLOAD_MB") or "25", environ.get("FCN_MAX_MEGAPIXELS") or "50"
        try:
            return cls(int(float(sizes[0]) * 2**20), int(float(sizes[1]) * 10**6))
        except (ValueError, OverflowError) as error:
            raise ImageError(
                f"Received FCN_MAX_UPLOAD_MB={sizes[0][:40]!r} and FCN_MAX_MEGAPIXELS={sizes[1][:40]!r}. "
                "Expected numbers such as 25 and 50."
            ) from error

    def __str__(self) -> str:
        return f"at most {self.max_bytes / 2**20:.4g} MB and {self.max_pixels / 1e6:.4g} megapixels"


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

    def whole(self) -> RGBImage:
        """The picture itself, for those who take one that is decoded when it is needed."""
        return self


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
        pixels = _decode(_open(data, name, limits))
    except ImageError:
        raise
    except Exception as error:  # whatever a decoder throws, the file is the cause
        raise ImageError(
            f"Received {name}: {_reason(error, data)}. Expected a whole {', '.join(FORMATS[:-1])} or "
            f"{FORMATS[-1]}, {limits}. Save it again as JPEG or PNG."
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
    pixels = np.asarray(pixels)
    layers = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if layers.ndim != 3 or not 1 <= layers.shape[2] <= 4:
        raise ImageError(
            f"Received an array of shape {pixels.shape}. Expected (H, W) or (H, W, 1 to 4 channels)."
        )
    height, width, channels = layers.shape
    _check_sides("an array", height, width)
    levels = _eight_bits(layers)
    if channels in (2, 4):
        alpha = levels[:, :, -1:].astype(np.uint16)
        levels = ((levels[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    rgb = np.broadcast_to(levels, (height, width, 3)).copy()
    rgb.setflags(write=False)
    digest = hashlib.sha256(f"{height}x{width} ".encode())
    digest.update(rgb.data)
    return RGBImage(rgb, clean_name(name), digest.hexdigest())


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
    top = {"b": 1, "u": 65_535 if kind == np.uint16 else 255, "i": 255, "f": 1}.get(kind.kind)
    if top is None:
        raise ImageError(f"Received an array of {kind}. Expected integers 0 to 255 or floats 0 to 1.")
    low, high = layers.min(), layers.max()
    if not (low >= 0 and high <= top):
        raise ImageError(
            f"Received an array of {kind} with values {low:g} to {high:g}. Expected 0 to {top}: scale it, or "
            "replace what is not a number."
        )
    return np.rint(layers * np.float32(255 / top)).astype(np.uint8)


def _check_sides(name: str, height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise ImageError(
            f"Received {name} of {width} x {height} pixels. Expected {MIN_SIDE} to {MAX_SIDE} a side. "
            "Choose another, or cut it to pieces."
        )


def _read_file(path: str | os.PathLike[str], name: str, limits: Limits) -> bytes:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would hang, a device never end
            raise ImageError(f"Received {name}, which is not a regular file. Name a picture's file.")
        if status.st_size > limits.max_bytes:
            raise _too_many_bytes(name, status.st_size, limits)
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name cannot be a file's"
        raise ImageError(f"Received {name}, which cannot be read: {why}.") from error


def _too_many_bytes(name: str, size: int, limits: Limits) -> ImageError:
    return ImageError(
        f"Received {name} of {size / 2**20:.1f} MB. Expected {limits}. Make it smaller or save it as JPEG."
    )


class _RefusedError(Exception):
    """A file that would keep Pillow busy; the message says what it is."""


class _File(io.BytesIO):
    """Bytes that are read only so often: 25 MB of JPEG padding take Pillow 32 s, of GIF comments 1 GB."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > _MAX_READS:
            raise _RefusedError("a picture of too many parts")
        return super().read(size)


def _check_metadata(data: bytes) -> None:
    """Pillow joins EXIF in quadratic time and unpacks up to 1 MB a text or profile: 25 MB take over a minute."""
    if sum(map(data.count, (b"Exif\0\0", b"iCCP", b"iTXt", b"zTXt"))) > _MAX_METADATA:
        raise _RefusedError("a picture with too much metadata")


def _check_scans(data: bytes) -> None:
    """Each scan of a JPEG walks over the whole picture: 300 kB can take minutes."""
    position = scans = 0
    for _ in range(_MAX_SEGMENTS):
        marker = _JPEG_MARKER.search(data, position)
        if marker is None or marker[0] == b"\xff\xd9":  # previews and films may follow
            return
        scans += marker[0] == b"\xff\xda"
        if scans > _MAX_SCANS:
            break
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    raise _RefusedError(f"a JPEG of more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} parts")


_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of those that a length or the end follows


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return "a picture too large to decode"
    return next(kind for start, kind in _KINDS.items() if re.match(start, data, re.DOTALL))


# What a file may be, by how it begins.
_KINDS = {
    rb"\Z": "an empty file",
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8|BM": "a damaged or cut off file",
    rb"....ftyp": "a HEIC or AVIF picture, or a film",
    rb"II[*+]\0|MM\0[*+]": "a TIFF picture",
    rb"\s*%PDF": "a PDF document",
    rb"PK": "a ZIP archive or an office document",
    rb"(\xef\xbb\xbf)?\s*<": "a web page, an SVG drawing or other markup",
    rb"": "no picture of a known kind",
}


def _open(data: bytes, name: str, limits: Limits) -> Image.Image:
    """Read the header; refuse what is too large or too laborious."""
    _check_metadata(data)
    if data.startswith(b"\xff\xd8\xff"):
        _check_scans(data)
    picture = Image.open(_File(data), formats=[known.upper() for known in FORMATS])
    width, height = picture.size
    most = limits.max_pixels // (2 if picture.format == "WEBP" else 1)  # 49 megapixels of WebP take 1 GB
    if height * width > most:
        raise ImageError(
            f"Received {name} of {width} x {height} pixels. Expected at most {most / 1e6:.4g} megapixels "
            f"({picture.format}). Make it smaller."
        )
    _check_sides(name, height, width)
    if any(tile.codec_name == "bmp_rle" for tile in getattr(picture, "tile", ())):
        raise _RefusedError("a compressed BMP")  # unpacked in Python: 9 s for 25 MB
    return picture


def _decode(picture: Image.Image) -> NDArray[np.uint8]:
    picture.load()
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception as error:  # broken EXIF does not spoil a picture
        if isinstance(error, MemoryError):
            raise
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):  # the whole picture is held by Pillow and here, but no third time
        end = min(top + rows, height)
        pixels[top:end] = _rgb(picture.crop((0, top, width, end)))
    return pixels


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        return _eight_bits(np.asarray(picture).astype(np.uint16))[:, :, None]
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        picture = white
    elif picture.mode != "RGB":
        picture = picture.convert("RGB")
    return np.asarray(picture)
