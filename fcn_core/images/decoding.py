"""Decode the content of an untrusted picture file to RGB pixels.

Pillow reads the formats of `FORMATS`; libheif reads HEIC. Before anything is decoded, the size in the header and the
memory that decoding needs are checked against limits. Known ways to keep a decoder busy for minutes with a small file,
or to make it use more memory than the header says, are refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image
from PIL.JpegImagePlugin import JpegImageFile

from fcn_core.errors import ImageError
from fcn_core.images import bmp, isobmff, jpeg, png, tiff
from fcn_core.images.bounded import BadFileError, BoundedBytes
from fcn_core.images.limits import BYTES_A_PIXEL, Limits, check_sides
from fcn_core.images.pixels import RangeError, keeps_rows, pixels_of

#: The formats that are read. Other formats hold documents, layers or raw camera data.
FORMATS = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"
#: libjpeg can decode a JPEG at 1/N of its height and width: it then uses fewer of the 8 x 8 frequencies of each block.
Reduction = Literal[1, 2, 4, 8]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
#: Bytes per pixel of formats that need more than usual, as measured: their decoders hold planes, RGB, and a copy for
#: Pillow. "rich" means full-resolution colour or alpha, and more than 8 bits in AVIF and TIFF. For JPEG see
#: `_bytes_of_jpeg`.
_MORE_BYTES = {
    "WEBP": 18,
    "AVIF": 10,
    "rich AVIF": 18,
    "HEIF": 11,
    "rich HEIF": 16,
    "rich TIFF": 12,
}
_MAX_METADATA = 100  # blocks that Pillow joins or decompresses; a camera writes one or two
_PILLOW = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
#: Stand-ins for missing data: bits that decode to something else than the zeros that a decoder assumes.
_NOISES = tuple(bytes([first, *(i * 97 % 251 for i in range(1, 128))]) for first in (0b10110100, 0b01001011))


@dataclass(frozen=True, eq=False)
class Decoded:
    """The result of decoding a file.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        Red, green, blue; upright.
    reduced : {1, 2, 4, 8}
        A JPEG was decoded at 1/`reduced` of its height and width.
    original : tuple of int
        Height and width of the upright picture before the reduction.
    """

    pixels: NDArray[np.uint8]
    reduced: Reduction
    original: tuple[int, int]


def decode(data: bytes, name: str, limits: Limits, reduce: Reduction | None = 1) -> Decoded:
    """Decode the content of a file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        Name of the picture in messages.
    limits : Limits
        The largest picture that is allowed.
    reduce : {1, 2, 4, 8} or None
        Decode a JPEG at 1/`reduce` of its height and width; for other formats only 1 is allowed. None: decode a JPEG at
        the largest size that the limits allow, and other formats at full size.

    Raises
    ------
    ImageError
        The content cannot be decoded, or exceeds the limits.
    """
    if reduce not in (None, *REDUCTIONS):
        raise ImageError(f"Expected reduce=1, 2, 4 or 8. Received reduce={reduce!r}. Choose one of them.")
    if reduce not in (None, 1) and not data.startswith(jpeg.START):
        raise ImageError(
            f"Expected a JPEG for reduce={reduce}: other formats are decoded at full size. Received {name}, which is "
            "not a JPEG. Leave reduce out."
        )
    try:
        return _decode(data, name, limits, reduce)
    except ImageError:
        raise
    except RangeError as error:
        raise ImageError(error.about(f"{name}, a picture")) from error
    except Exception as error:  # a decoder raises any exception for a bad file
        raise ImageError(
            f"Expected a whole {FORMATS}, {limits}. Received {name}: {_reason(error, data)}. Save it again as JPEG or "
            "PNG."
        ) from error


@dataclass(frozen=True, eq=False)
class _Opened:
    """A picture whose header is read; width and height are those of the header, before any reduction."""

    picture: Image.Image
    width: int
    height: int
    reduced: Reduction = 1

    def decode(self, clear: NDArray[np.bool_] | None = None) -> Decoded:
        pixels = pixels_of(self.picture, clear)
        if self.reduced == 1:
            return Decoded(pixels, 1, pixels.shape[:2])
        size = (self.height, self.width) if keeps_rows(self.picture) else (self.width, self.height)
        return Decoded(pixels, self.reduced, size)


def _decode(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> Decoded:
    _check_metadata(data)
    if data.startswith(jpeg.START) and not jpeg.has_end(data):
        return _without_end(data, name, limits, reduce)
    if data.startswith(png.START):
        data = png.without_bad_chunks(data)
    opened = _open(data, name, limits, reduce)
    return opened.decode(png.transparent_pixels(data, opened.picture))


def _open(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> _Opened:
    """Read the header, and refuse a picture that is too large or too expensive to decode."""
    remedy = " or save it as JPEG, which is opened at reduced size" if reduce is None else ""
    bitmap = bmp.header(data)
    if bitmap is not None:
        width, height = bitmap.width, abs(bitmap.height)
        _check_size("BMP", width, height, name, limits, remedy)
        return _Opened(bmp.unpack(data, bitmap), width, height)
    brand = isobmff.brand(data)
    if brand in ("HEIF", "AVIF"):
        return _open_boxes(data, brand, name, limits, remedy)
    kind = ""
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        kind = "rich " if tiff.check(data) else ""
        tiff.silence()
    picture = Image.open(BoundedBytes(data), formats=_PILLOW)
    if isinstance(picture, JpegImageFile):  # also MPO
        return _open_jpeg(data, picture, name, limits, reduce)
    _check_size(kind + str(picture.format), *picture.size, name, limits, remedy)
    return _Opened(picture, *picture.size)


def _open_jpeg(
    data: bytes, picture: JpegImageFile, name: str, limits: Limits, reduce: Reduction | None
) -> _Opened:
    """Choose the size at which a JPEG is decoded."""
    width, height = picture.size
    check_sides(name, height, width)
    held = jpeg.held_bytes(data)
    bytes_ = {r: _bytes_of_jpeg(held, width, height, r) for r in REDUCTIONS if min(width, height) > r}
    fitting = [r for r, needed in bytes_.items() if needed <= limits.memory]
    reduced: Reduction = min(fitting, default=max(bytes_)) if reduce is None else reduce
    remedy = ""
    if reduced not in bytes_:
        check_sides(f"{name} at 1/{reduced}", -(-height // reduced), -(-width // reduced))
    if reduce is None and held:
        remedy = " or save it as JPEG that is not progressive, which is opened at reduced size"
    elif reduced not in fitting and fitting:
        remedy = f" or have it decoded at 1/{fitting[0]} of its sides (--reduce {fitting[0]})"
    kind = "JPEG of several scans (progressive)" if held else "JPEG"
    limits.check(kind, height, width, bytes_[reduced], name, remedy)
    if reduced > 1:
        picture.draft(None, (width // reduced, height // reduced))
    return _Opened(picture, width, height, reduced)


def _bytes_of_jpeg(held: int, width: int, height: int, reduced: int) -> int:
    """Return the memory of decoding: Pillow's copy and ours, or Pillow's copy and what libjpeg holds."""
    out = -(-width // reduced) * -(-height // reduced)
    return max(BYTES_A_PIXEL * out, held + 5 * out)


def _open_boxes(data: bytes, brand: str, name: str, limits: Limits, remedy: str) -> _Opened:
    """Read the header of a HEIC or AVIF file; a crop saves no memory, because the decoder crops last."""
    whole = isobmff.check(data, min(limits.max_pixels, limits.memory // BYTES_A_PIXEL))
    _check_size(brand, whole.width, whole.height, name, limits, remedy)
    picture: Image.Image
    if brand == "AVIF":
        picture, rich = AvifImagePlugin.AvifImageFile(BoundedBytes(data)), whole.rich
    else:
        from pillow_heif import HeifImageFile  # only here: its libraries need memory

        picture = HeifImageFile(BoundedBytes(data))  # type: ignore[no-untyped-call]
        rich = picture.mode != "RGB" or picture.info["chroma"] != 420
    if rich:
        _check_size(f"rich {brand}", whole.width, whole.height, name, limits, remedy)
    check_sides(name, picture.height, picture.width)
    return _Opened(picture, *picture.size)


def _check_size(kind: str, width: int, height: int, name: str, limits: Limits, remedy: str) -> None:
    check_sides(name, height, width)
    bytes_ = height * width * _MORE_BYTES.get(kind, BYTES_A_PIXEL)
    limits.check(kind.split()[-1], height, width, bytes_, name, remedy)


def _check_metadata(data: bytes) -> None:
    """Refuse too much metadata: Pillow needs more than a minute for 25 MB of it.

    It joins EXIF blocks in quadratic time, and decompresses up to 1 MB per text or profile.
    """
    if sum(map(data.count, (b"Exif\0\0", b"iCCP", b"iTXt", b"zTXt"))) > _MAX_METADATA:
        raise BadFileError("a picture with too much metadata")


def _without_end(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> Decoded:
    """Decode a JPEG that lacks nothing but its last two bytes.

    A decoder silently fills missing data with zeros. The file is therefore decoded several times: with the end marker
    appended, with noise before it, and with noise after the next restart marker. If no data is missing, all results are
    equal.
    """
    if data.endswith(b"\0\0"):
        data = data.rstrip(b"\0")
        data += b"\0" if data.endswith(b"\xff") else b""
    if not jpeg.all_scans(data):
        raise BadFileError("a damaged or cut off file")
    restarts = re.findall(rb"\xff([\xd0-\xd7])", data)
    following = bytes([0xFF, 0xD0 + (restarts[-1][0] + 1) % 8 if restarts else 0xD0])

    def with_tail(tail: bytes) -> Decoded:
        return _open(data + tail + jpeg.END, name, limits, reduce).decode()

    noisy = {
        hashlib.sha256(with_tail(tail).pixels.data).digest() for tail in (*_NOISES, following + _NOISES[0])
    }
    decoded = with_tail(b"")  # last, so that only one result is in memory at a time
    if noisy != {hashlib.sha256(decoded.pixels.data).digest()}:
        raise BadFileError("a damaged or cut off file")
    return decoded


def _reason(error: Exception, data: bytes) -> str:
    """Return a noun phrase that describes a file that could not be decoded."""
    if isinstance(error, BadFileError):
        return str(error)
    if isinstance(error, (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return "a picture too large to decode"
    return next(kind for start, kind in _KINDS.items() if re.match(start, data, re.DOTALL))


# Kinds of files by their first bytes.
_KINDS = {
    rb"\Z": "an empty file",
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8|BM|II[*+]\0|MM\0[*+]|....ftyp(hei|hev|avi|mif|msf)": "a damaged or "
    "cut off file",
    rb"....ftyp(crx )": "a camera's raw picture",
    rb"....ftyp": "a film",
    rb"\s*%PDF": "a PDF document",
    rb"8BPS": "a Photoshop document",
    rb"\0\0\0\x0cJXL |\xff\x0a": "a JPEG XL picture",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 picture",
    rb"\0\0\x01\0": "an icon",
    rb"PK": "a ZIP archive or an office document",
    rb"(\xef\xbb\xbf)?\s*<": "a web page, an SVG drawing or other markup",
    rb"": "a file of an unknown kind",
}
