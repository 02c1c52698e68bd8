"""A picture that can be trusted, from a file, from its bytes or from an array."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_core.errors import ImageError
from fcn_core.images.decoding import RangeError, Reduction, check_sides, decode, eight_bits, pixels_of
from fcn_core.images.limits import Limits as Limits

# Names of devices in every folder of Windows ("Naming Files, Paths, and Namespaces").
_DEVICES = frozenset(
    [
        "CON",
        "PRN",
        "AUX",
        "NUL",
        "CONIN$",
        "CONOUT$",
        *(f"{port}{n}" for port in ("COM", "LPT") for n in "123456789¹²³"),
    ]
)


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
    reduced : int
        2, 4 or 8 where a JPEG was decoded at that fraction of its size, else 1.
    original : tuple of int
        Height and width in the file; they differ from those of `pixels` where it was decoded at reduced size.
    """

    pixels: NDArray[np.uint8]
    name: str
    sha256: str
    reduced: Reduction = 1
    original: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.original == (0, 0):
            object.__setattr__(self, "original", (self.height, self.width))

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

    @property
    def size_in_words(self) -> str:
        """Width and height of the original, and at what part of them it was decoded."""
        height, width = self.original
        part = "" if self.reduced == 1 else f", decoded at 1/{self.reduced} of its sides"
        return f"{width} × {height} pixels{part}"


class Readable(Protocol):
    """An open file, or what reads like one."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def read_image(
    source: str | os.PathLike[str] | bytes | Readable,
    *,
    name: str | None = None,
    limits: Limits | None = None,
    reduce: Reduction | Literal["auto"] = 1,
) -> RGBImage:
    """Read a picture from a file or from its bytes.

    Parameters
    ----------
    source : str, path, bytes or binary file
        Path of a JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF file, the content of one, or one that is open; that is
        read from where it stands, and not closed.
    name : str, optional
        What to call it; default: the file's name, or "picture".
    limits : Limits, optional
        Default: ``Limits.from_env()``.
    reduce : {1, 2, 4, 8, "auto"}
        Decode a JPEG at this fraction of its sides, which takes a quarter, a sixteenth or a sixty-fourth of the memory,
        but for what a progressive one holds of the whole. "auto": at the largest size that the limits allow; other
        formats are then decoded whole.

    Returns
    -------
    RGBImage
        Upright as EXIF says. Of an animation, the first frame; 16 bits a channel become 8; transparency is laid
        on white. Colours are converted from the profile in the file to sRGB; without one, or with one that is broken,
        they are taken to be sRGB.

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
    elif hasattr(source, "read"):
        called = getattr(source, "name", None)
        name = clean_name(name or (Path(called).name if isinstance(called, str) else "picture"))
        data = _read_stream(source, name, limits)
    else:
        raise TypeError(
            f"Received {type(source).__name__}. Expected a path, bytes or a binary file; see image_from_array."
        )
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(name, len(data), limits)
    decoded = decode(data, name, limits, None if reduce == "auto" else reduce)
    decoded.pixels.setflags(write=False)
    digest = hashlib.sha256(data).hexdigest()
    return RGBImage(decoded.pixels, name, digest, decoded.reduced, decoded.original)


def image_from_array(pixels: NDArray[Any] | Image.Image, name: str = "array") -> RGBImage:
    """Take a picture from an array, or from one that Pillow holds.

    Parameters
    ----------
    pixels : ndarray, shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4), or PIL.Image.Image
        Grey, grey with alpha, RGB or RGBA. Booleans are black and white, 16-bit unsigned integers are 0 to 65535,
        other integers are 0 to 255, floats 0 to 1, where a rounding error beyond is cut off. A picture of Pillow's is
        converted from its mode and its colour profile, and turned as its EXIF says, like a file.
    name : str
        What to call it.

    Raises
    ------
    ImageError
        When shape, type or range are others.
    """
    if isinstance(pixels, Image.Image):
        check_sides("a picture", pixels.height, pixels.width)
        try:
            return _from_pixels(pixels_of(pixels), name)
        except RangeError as error:
            raise ImageError(f"Received a picture of {error}") from error
        except Exception as error:  # it may be a file yet to be decoded
            raise ImageError(
                f"Received a picture of Pillow's mode {pixels.mode} that cannot be converted to RGB. Convert it first."
            ) from error
    pixels = np.asarray(pixels)
    layers = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if layers.ndim != 3 or not 1 <= layers.shape[2] <= 4:
        raise ImageError(
            f"Received an array of shape {pixels.shape}. Expected (H, W) or (H, W, 1 to 4 channels)."
        )
    height, width, channels = layers.shape
    check_sides("an array", height, width)
    try:
        levels = eight_bits(layers)
    except RangeError as error:
        raise ImageError(f"Received an array of {error}") from error
    if channels in (2, 4):
        alpha = levels[:, :, -1:].astype(np.uint16)
        levels = ((levels[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return _from_pixels(np.broadcast_to(levels, (height, width, 3)).copy(), name)


def _from_pixels(rgb: NDArray[np.uint8], name: str) -> RGBImage:
    rgb.setflags(write=False)
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]} ".encode())
    digest.update(rgb.data)
    return RGBImage(rgb, clean_name(name), digest.hexdigest())


def clean_name(text: str) -> str:
    """Make a file's name safe to show and to make a folder of.

    The base name (of either path separator) without control and direction-changing characters, without those
    that Windows forbids and without leading dots; at most 120 bytes of UTF-8, keeping the suffix. One that means a
    device there, whatever its suffix, begins with ``_``.
    """
    text = re.split(r"[/\\]", text)[-1]
    text = "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r'[<>:"|?*]', "_", text).strip(" .")
    stem, dot, suffix = text.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, dot, suffix = text, "", ""
    room = 120 - len((dot + suffix).encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    name = stem + dot + suffix if stem else "picture"
    device = name.partition(".")[0].rstrip().upper() in _DEVICES
    return clean_name(f"_{name}") if device else name


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


def _read_stream(source: Readable, name: str, limits: Limits) -> bytes:
    parts, left = [], limits.max_bytes + 1
    try:
        while left > 0 and (part := source.read(left)):
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"Received a file of {type(part).__name__}. Expected one opened in binary mode."
                )
            parts.append(bytes(part))
            left -= len(parts[-1])
    except (OSError, ValueError) as error:
        raise ImageError(
            f"Received {name}, which cannot be read: {error or type(error).__name__}."
        ) from error
    if left <= 0:
        raise _too_many_bytes(name, limits.max_bytes + 1, limits)
    return b"".join(parts)


def _too_many_bytes(name: str, size: int, limits: Limits) -> ImageError:
    return ImageError(
        f"Received {name} of {size / 2**20:.1f} MB. Expected {limits}. Make it smaller or save it as JPEG."
    )
