"""From the bytes of a file that anybody may have made to red, green and blue.

Pillow reads the file, with the decoders of `FORMATS` alone (libheif those of HEIC); the size in its header, and the
memory that decoding will take, are held to limits before anything is decoded. What is checked beside are the known ways
to keep a decoder busy for minutes with a small file, or to make it take more memory than the header says.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, PngImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from fcn_core.errors import ImageError
from fcn_core.images import bmp, colour, isobmff, jpeg, tiff
from fcn_core.images.limits import BYTES_A_PIXEL, Limits

#: What is read. Others hold documents, layers or camera data: they are converted outside.
FORMATS = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"
#: A contour needs two pixels a side.
MIN_SIDE = 2
MAX_SIDE = 65_535
#: At what fractions of a JPEG's sides libjpeg decodes: it then transforms fewer of each block's 8 x 8 frequencies.
Reduction = Literal[1, 2, 4, 8]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
#: Where decoding takes more than usual, as measured: decoders keep planes, RGB, and a copy for Pillow. Rich is colour
#: at full resolution or with alpha, in AVIF and TIFF also more than 8 bits. Of JPEG see `_bytes_of_jpeg`.
_MORE_BYTES = {
    "WEBP": 18,
    "AVIF": 10,
    "rich AVIF": 18,
    "HEIF": 11,
    "rich HEIF": 16,
    "rich TIFF": 12,
}
_BAND_PIXELS = 2**18  # that are turned into an array at a time
_MAX_READS = 250_000  # a PNG of 25 MB in parts of 8 kB takes 10 000
_MAX_METADATA = 100  # parts that Pillow joins or unpacks; a camera writes one or two
_MAX_UNPACKED = PngImagePlugin.MAX_TEXT_CHUNK
_PILLOW = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
_PNG = b"\x89PNG\r\n\x1a\n"
#: In place of pixels that are missing: bits that mean something, and differ from the zeros a decoder puts there.
_NOISES = tuple(bytes([first, *(i * 97 % 251 for i in range(1, 128))]) for first in (0b10110100, 0b01001011))


@dataclass(frozen=True, eq=False)
class Decoded:
    """Red, green and blue, upright, of shape (H, W, 3); and the height and width of the whole, of which that is a part.

    ``reduced`` is 2, 4 or 8 where a JPEG was decoded at that fraction of its sides, else 1.
    """

    pixels: NDArray[np.uint8]
    reduced: Reduction
    original: tuple[int, int]


def decode(data: bytes, name: str, limits: Limits, reduce: Reduction | None = 1) -> Decoded:
    """Decode a file.

    Parameters
    ----------
    data : bytes
    name : str
        What messages call it.
    limits : Limits
    reduce : int or None
        One of `REDUCTIONS`: at what fraction of its sides to decode a JPEG; others are decoded whole or not at all.
        None: a JPEG at the largest size the limits allow, others whole.

    Raises
    ------
    ImageError
        Whatever is wrong with the file.
    """
    if reduce not in (None, *REDUCTIONS):
        raise ImageError(f"Received reduce={reduce!r}. Expected 1, 2, 4 or 8.")
    if reduce not in (None, 1) and not data.startswith(jpeg.START):
        raise ImageError(
            f"Received {name}, which is no JPEG. Expected one for reduce={reduce}: others are decoded whole. "
            "Leave it out."
        )
    try:
        return _decode(data, name, limits, reduce)
    except ImageError:
        raise
    except RangeError as error:
        raise ImageError(f"Received {name}, a picture of {error}") from error
    except Exception as error:  # whatever a decoder throws, the file is the cause
        raise ImageError(
            f"Received {name}: {_reason(error, data)}. Expected a whole {FORMATS}, {limits}. Save it again as JPEG "
            "or PNG."
        ) from error


def check_sides(name: str, height: int, width: int) -> None:
    """Refuse points, and strips that are longer than formats allow."""
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise ImageError(
            f"Received {name} of {width} x {height} pixels. Expected {MIN_SIDE} to {MAX_SIDE} a side. "
            "Choose another, or cut it to pieces."
        )


class RangeError(ValueError):
    """Numbers that are not levels; the message says of which type, and what was expected."""


def pixels_of(picture: Image.Image, clear: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """A picture's pixels: upright as EXIF says, in sRGB, on white; white where it is said to be `clear`.

    Raises
    ------
    RangeError
        The picture's numbers have no agreed range: 32-bit integers beyond 0 to 255, floats beyond 0 to 1.
    """
    picture.load()
    key = picture.info.get("transparency")
    if picture.mode.startswith("I;16") and isinstance(key, int):  # a colour that is clear
        clear = np.asarray(picture) == key
    first = picture.format == "GIF" and picture.tell() == 0
    frame = getattr(picture, "dispose_extent", None) if first else None
    conversion = colour.conversion(picture.info.get("icc_profile"))
    if conversion is not None and not conversion.fits(picture):
        conversion = None
    rows_first, *steps = _TURNS.get(_orientation(picture), _TURNS[1])
    if picture.mode in ("I", "F"):
        picture = Image.fromarray(eight_bits(np.asarray(picture)))
    width, height = picture.size
    upright = np.empty((height, width, 3) if rows_first else (width, height, 3), np.uint8)
    pixels = upright[:: steps[0], :: steps[1]]  # the same, as the file has it
    pixels = pixels if rows_first else pixels.swapaxes(0, 1)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):  # the whole picture is held by Pillow and here, but no third time
        end = min(top + rows, height)
        pixels[top:end] = _rgb(picture.crop((0, top, width, end)), conversion)
    if clear is not None:
        pixels[clear] = 255
    if frame is not None:  # what the first frame does not cover
        left, top, right, bottom = frame
        pixels[:top] = pixels[bottom:] = pixels[:, :left] = pixels[:, right:] = 255
    return upright


def eight_bits(layers: NDArray[Any]) -> NDArray[np.uint8]:
    """Levels from 0 to 255 of numbers of any kind.

    Raises
    ------
    RangeError
        Of numbers that are none, or beyond the range of their kind. A float half a level beyond it is rounded.
    """
    kind = layers.dtype
    if kind == np.uint8:
        return layers
    top = {"b": 1, "u": 65_535 if kind.itemsize == 2 else 255, "i": 255, "f": 1}.get(kind.kind)
    if top is None:
        raise RangeError(f"{kind}. Expected integers 0 to 255 or floats 0 to 1.")
    low, high = layers.min(), layers.max()
    spare = 0.5 / 255 if kind.kind == "f" else 0
    if not (low >= -spare and high <= top + spare):
        raise RangeError(
            f"{kind} with values {low:g} to {high:g}. Expected 0 to {top}: scale it, or replace what is not "
            "a number."
        )
    return np.clip(np.rint(layers * np.float32(255 / top)), 0, 255).astype(np.uint8)


class _RefusedError(Exception):
    """A file that would keep a decoder busy; the message says what it is."""


_IN_WORDS = (_RefusedError, bmp.BitmapError, isobmff.BoxError, jpeg.JpegError, tiff.TiffError)


class _File(io.BytesIO):
    """Bytes that are read only so often: 25 MB of JPEG padding take Pillow 32 s, of GIF comments 1 GB."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > _MAX_READS:
            raise _RefusedError("a picture of too many parts")
        return super().read(size)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A picture whose header is read, as it will be decoded; width and height of the whole are those of the header."""

    picture: Image.Image
    width: int
    height: int
    reduced: Reduction = 1

    def decode(self, clear: NDArray[np.bool_] | None = None) -> Decoded:
        pixels = pixels_of(self.picture, clear)
        keeps_rows = _TURNS.get(_orientation(self.picture), _TURNS[1])[0]
        if self.reduced == 1:
            return Decoded(pixels, 1, pixels.shape[:2])
        return Decoded(
            pixels, self.reduced, (self.height, self.width) if keeps_rows else (self.width, self.height)
        )


def _decode(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> Decoded:
    _check_metadata(data)
    if data.startswith(jpeg.START) and not jpeg.has_end(data):
        return _without_end(data, name, limits, reduce)
    if data.startswith(_PNG):
        data = _without_bad_notes(data)
    opened = _open(data, name, limits, reduce)
    return opened.decode(_clear(data, opened.picture))


def _open(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> _Opened:
    """Read the header; refuse what is too large or too laborious."""
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
        tiff.keep_quiet()
    picture = Image.open(_File(data), formats=_PILLOW)
    if isinstance(picture, JpegImageFile):  # MPO, too
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
    """What decoding takes: Pillow's copy and ours, or Pillow's beside what libjpeg holds."""
    out = -(-width // reduced) * -(-height // reduced)
    return max(BYTES_A_PIXEL * out, held + 5 * out)


def _open_boxes(data: bytes, brand: str, name: str, limits: Limits, remedy: str) -> _Opened:
    """Read the header of a HEIC or AVIF file; a crop, which its decoder makes at last, saves no memory."""
    whole = isobmff.check(data, min(limits.max_pixels, limits.memory // BYTES_A_PIXEL))
    _check_size(brand, whole.width, whole.height, name, limits, remedy)
    picture: Image.Image
    if brand == "AVIF":
        picture, rich = AvifImagePlugin.AvifImageFile(_File(data)), whole.rich
    else:
        from pillow_heif import HeifImageFile  # only now: its libraries take memory

        picture = HeifImageFile(_File(data))  # type: ignore[no-untyped-call]
        rich = picture.mode != "RGB" or picture.info["chroma"] != 420
    if rich:
        _check_size(f"rich {brand}", whole.width, whole.height, name, limits, remedy)
    check_sides(name, picture.height, picture.width)
    return _Opened(picture, *picture.size)


def _check_size(kind: str, width: int, height: int, name: str, limits: Limits, remedy: str) -> None:
    check_sides(name, height, width)
    bytes_ = height * width * _MORE_BYTES.get(kind, BYTES_A_PIXEL)
    limits.check(kind.split()[-1], height, width, bytes_, name, remedy)


def _rgb(picture: Image.Image, conversion: colour.Conversion | None) -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray(eight_bits(np.asarray(picture).astype(np.uint16)))
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("LA") if picture.mode == "La" else picture
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode == "LAB":
        picture = colour.from_lab(picture)
    elif conversion is None or conversion.mode == "RGB":
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    elif conversion.mode == "L":
        picture = picture.convert("L")
    if conversion is not None:
        picture = conversion.apply(picture)
    if alpha is not None:
        picture = Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    return np.asarray(picture)


# By EXIF's orientation: whether rows stay rows, and the steps along the upright picture's rows and columns.
_TURNS = {
    1: (True, 1, 1),
    2: (True, 1, -1),
    3: (True, -1, -1),
    4: (True, -1, 1),
    5: (False, 1, 1),
    6: (False, 1, -1),
    7: (False, -1, -1),
    8: (False, -1, 1),
}


def _orientation(picture: Image.Image) -> int:
    """As EXIF or XMP say, once the picture is loaded: decoders of TIFF and HEIC turn it and take that out."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except MemoryError:
        raise
    except Exception:  # broken EXIF does not spoil a picture
        return 1


def _clear(data: bytes, picture: Image.Image) -> NDArray[np.bool_] | None:
    """Where a PNG has the colour of three times 16 bits that it says is clear; None for other pictures.

    Pillow keeps the upper bytes. It is told to keep the lower ones, too, in a picture beside.
    """
    tiles = getattr(picture, "tile", ())
    if (
        picture.format != "PNG"
        or "transparency" not in picture.info
        or not tiles
        or tiles[0].args != "RGB;16B"
    ):
        return None
    key = np.array(picture.info.pop("transparency"))
    lower = PngImagePlugin.PngImageFile(_File(data))
    lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
    width, height = picture.size
    clear = np.empty((height, width), np.bool_)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = 0, top, width, min(top + rows, height)
        upper_byte, lower_byte = np.asarray(picture.crop(band)), np.asarray(lower.crop(band))
        clear[top : band[3]] = ((upper_byte == key >> 8) & (lower_byte == key & 255)).all(axis=2)
    return clear


# What files get wrong


def _check_metadata(data: bytes) -> None:
    """Pillow joins EXIF in quadratic time and unpacks up to 1 MB a text or profile: 25 MB take over a minute."""
    if sum(map(data.count, (b"Exif\0\0", b"iCCP", b"iTXt", b"zTXt"))) > _MAX_METADATA:
        raise _RefusedError("a picture with too much metadata")


def _without_end(data: bytes, name: str, limits: Limits, reduce: Reduction | None) -> Decoded:
    """Decode a JPEG whose last two bytes are missing or zero; one that lacks more is refused.

    A decoder fills what is missing without a word. So it is decoded anew with the end put behind it, with noise and
    the end, and with noise behind the next restart: what comes out is the same where nothing was missing.
    """
    if data.endswith(b"\0\0"):
        data = data.rstrip(b"\0")
        data += b"\0" if data.endswith(b"\xff") else b""
    if not jpeg.all_scans(data):
        raise _RefusedError("a damaged or cut off file")
    restarts = re.findall(rb"\xff([\xd0-\xd7])", data)
    following = bytes([0xFF, 0xD0 + (restarts[-1][0] + 1) % 8 if restarts else 0xD0])

    def with_tail(tail: bytes) -> Decoded:
        return _open(data + tail + jpeg.END, name, limits, reduce).decode()

    noisy = {
        hashlib.sha256(with_tail(tail).pixels.data).digest() for tail in (*_NOISES, following + _NOISES[0])
    }
    decoded = with_tail(b"")  # the others are gone by now: one is held at a time
    if noisy != {hashlib.sha256(decoded.pixels.data).digest()}:
        raise _RefusedError("a damaged or cut off file")
    return decoded


def _without_bad_notes(data: bytes) -> bytes:
    """A PNG without parts that may be absent, where Pillow would refuse the whole for them.

    They are those whose checksum is wrong, and profiles of more than 1 MB.
    """
    kept, position = [], len(_PNG)
    begun = 0
    for _ in range(_MAX_READS):
        length = int.from_bytes(data[position : position + 4])
        end = position + length + 12
        if position + 8 > len(data) or end > len(data):
            break
        if data[position + 4] & 32:  # a small letter: it may be absent
            body = memoryview(data)[position + 4 : end - 4]
            if zlib.crc32(body) != int.from_bytes(data[end - 4 : end]) or _is_large_profile(body):
                kept.append(data[begun:position])
                begun = end
        position = end
    return b"".join([*kept, data[begun:]]) if kept else data


def _is_large_profile(body: memoryview) -> bool:
    if bytes(body[:4]) != b"iCCP":
        return False
    packed = bytes(body[4:]).partition(b"\0")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _MAX_UNPACKED + 1)) > _MAX_UNPACKED
    except zlib.error:
        return False


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, _IN_WORDS):
        return str(error)
    if isinstance(error, (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return "a picture too large to decode"
    return next(kind for start, kind in _KINDS.items() if re.match(start, data, re.DOTALL))


# What a file may be, by how it begins.
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
    rb"": "no picture of a known kind",
}
