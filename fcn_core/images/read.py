"""Read pictures from files, bytes and arrays, and check them."""

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
from fcn_core.images.decoding import Reduction, decode
from fcn_core.images.limits import Limits as Limits
from fcn_core.images.limits import check_sides
from fcn_core.images.pixels import RangeError, eight_bits, pixels_of

# Names that mean a device in every folder of Windows ("Naming Files, Paths, and Namespaces").
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
    """A checked picture.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3), read-only
        Red, green, blue; upright; transparent pixels are blended with white.
    name : str
        Base name, safe to show and to use as a file name (see `clean_name`).
    sha256 : str
        Digest of the file, or of the array's shape and pixels; the key of cached results.
    reduced : int
        2, 4 or 8 for a JPEG that was decoded at 1/2, 1/4 or 1/8 of its height and width, else 1.
    original : tuple of int
        Height and width of the picture in the file, before any reduction.
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
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    def whole(self) -> RGBImage:
        """Return this picture. Pictures that are decoded on demand have the same method."""
        return self

    @property
    def size_in_words(self) -> str:
        """Return the width and height of the original, and the reduction if there is one."""
        height, width = self.original
        part = "" if self.reduced == 1 else f", decoded at 1/{self.reduced} of its sides"
        return f"{width} × {height} pixels{part}"


class Readable(Protocol):
    """An open file, or an object with the same `read`."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""


def read_image(
    source: str | os.PathLike[str] | bytes | Readable,
    *,
    name: str | None = None,
    limits: Limits | None = None,
    reduce: Reduction | Literal["auto"] = 1,
) -> RGBImage:
    """Return a picture from a file or its content.

    Parameters
    ----------
    source : str, path, bytes or binary file
        The path, the content, or the open file of a JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF picture. An open
        file is read from its current position and stays open.
    name : str, optional
        Name of the picture. Default: the file's name, or "picture".
    limits : Limits, optional
        Default: ``Limits.from_env()``.
    reduce : {1, 2, 4, 8, "auto"}
        Decode a JPEG at 1, 1/2, 1/4 or 1/8 of its height and width. The memory falls with the number of pixels, but a
        progressive JPEG also needs memory for its full size. "auto": the largest size that the limits allow; formats
        other than JPEG are then decoded at full size.

    Returns
    -------
    RGBImage
        Rotated as EXIF says; the first frame of an animation; 8 bits per channel; transparent pixels blended with
        white. Colours are converted from the file's profile to sRGB. Without a valid profile they are assumed to be
        sRGB.

    Raises
    ------
    ImageError
        The source cannot be read, is not a picture, or exceeds the limits.
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
            f"Expected a path, bytes or a binary file. Received {type(source).__name__}. Use image_from_array for "
            "arrays."
        )
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(name, len(data), limits)
    decoded = decode(data, name, limits, None if reduce == "auto" else reduce)
    decoded.pixels.setflags(write=False)
    digest = hashlib.sha256(data).hexdigest()
    return RGBImage(decoded.pixels, name, digest, decoded.reduced, decoded.original)


def image_from_array(pixels: NDArray[Any] | Image.Image, name: str = "array") -> RGBImage:
    """Return a picture from an array or a Pillow image.

    Parameters
    ----------
    pixels : ndarray, shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4), or PIL.Image.Image
        Grey, grey with alpha, RGB or RGBA. Booleans are black and white; unsigned 16-bit integers range from 0 to
        65535, other integers from 0 to 255, floats from 0 to 1 (rounding errors are clipped). A Pillow image is
        converted from its mode and colour profile, and rotated as its EXIF says, like a file.
    name : str
        Name of the picture.

    Raises
    ------
    ImageError
        The shape, type or range is another.
    """
    if isinstance(pixels, Image.Image):
        check_sides("a picture", pixels.height, pixels.width)
        try:
            return _from_pixels(pixels_of(pixels), name)
        except RangeError as error:
            raise ImageError(error.about("a picture")) from error
        except Exception as error:  # Pillow may decode a file only now
            raise ImageError(
                "Expected a Pillow image that can be converted to RGB. Received one that cannot be converted, of mode "
                f"{pixels.mode}. Convert it first."
            ) from error
    pixels = np.asarray(pixels)
    layers = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if layers.ndim != 3 or not 1 <= layers.shape[2] <= 4:
        raise ImageError(
            f"Expected an array of shape (H, W), or (H, W, C) with 1 to 4 channels. Received the shape {pixels.shape}. "
            "Reshape it."
        )
    height, width, channels = layers.shape
    check_sides("an array", height, width)
    try:
        levels = eight_bits(layers)
    except RangeError as error:
        raise ImageError(error.about("an array")) from error
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
    """Return a file name that is safe to show and to use as the name of a folder.

    It is the base name, after slash or backslash, without control characters, characters that change the direction of
    writing, characters that Windows forbids, and leading dots. It has at most 120 bytes in UTF-8, including the suffix.
    A name that means a device in Windows is prefixed with ``_``.
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
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"Expected a picture file. Received {name}, which is a folder. Name the files in it."
            )
        if not stat.S_ISREG(status.st_mode):  # reading a pipe can block, and a device never ends
            raise ImageError(
                f"Expected a picture file. Received {name}, which is not a regular file. Choose another file."
            )
        if status.st_size > limits.max_bytes:
            raise _too_many_bytes(name, status.st_size, limits)
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is not a valid file name"
        raise ImageError(
            f"Expected a readable file. Received {name}, which cannot be read: {why}. Check the path."
        ) from error


def _read_stream(source: Readable, name: str, limits: Limits) -> bytes:
    parts, left = [], limits.max_bytes + 1
    try:
        while left > 0 and (part := source.read(left)):
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"Expected a file opened in binary mode. Received one that reads {type(part).__name__}."
                )
            parts.append(bytes(part))
            left -= len(parts[-1])
    except (OSError, ValueError) as error:
        raise ImageError(
            f"Expected a readable file. Received {name}, which cannot be read: {error or type(error).__name__}. "
            "Open it again."
        ) from error
    if left <= 0:
        raise _too_many_bytes(name, limits.max_bytes + 1, limits)
    return b"".join(parts)


def _too_many_bytes(name: str, size: int, limits: Limits) -> ImageError:
    return ImageError(
        f"Expected {limits}. Received {name} of {size / 2**20:.1f} MB. Make it smaller or save it as JPEG."
    )
