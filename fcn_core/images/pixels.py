"""From a Pillow image of any mode to upright RGB pixels of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_core.images import colour

_BAND_PIXELS = 2**18  # that are converted in one step

# By EXIF orientation: whether rows stay rows, and the step along the rows and columns of the upright picture.
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


class RangeError(ValueError):
    """Numbers that are not grey levels.

    Attributes
    ----------
    expected, received : str
        The allowed values, and the type and values of the array.
    """

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"Expected {expected}. Received {received}.")
        self.expected, self.received = expected, received

    def about(self, what: str) -> str:
        """Return the message about a picture or an array."""
        return (
            f"Expected {self.expected}. Received {what} of {self.received}. Scale the values, and replace those that "
            "are not numbers."
        )


def pixels_of(picture: Image.Image, clear: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a picture: rotated as EXIF says, in sRGB, blended with white.

    Parameters
    ----------
    picture : PIL.Image.Image
        It is decoded here if it was not.
    clear : ndarray of bool, shape (H, W), optional
        Pixels that are transparent in addition to the picture's alpha.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)

    Raises
    ------
    RangeError
        The range of the picture's numbers is unknown: 32-bit integers beyond 0 to 255, or floats beyond 0 to 1.
    """
    picture.load()
    key = picture.info.get("transparency")
    if picture.mode.startswith("I;16") and isinstance(key, int):  # this grey is transparent
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
    pixels = upright[:: steps[0], :: steps[1]]  # a view in the orientation of the file
    pixels = pixels if rows_first else pixels.swapaxes(0, 1)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(
        0, height, rows
    ):  # in bands: Pillow and this function hold the picture, nobody else does
        end = min(top + rows, height)
        pixels[top:end] = _rgb(picture.crop((0, top, width, end)), conversion)
    if clear is not None:
        pixels[clear] = 255
    if frame is not None:  # the area outside the first frame
        left, top, right, bottom = frame
        pixels[:top] = pixels[bottom:] = pixels[:, :left] = pixels[:, right:] = 255
    return upright


def keeps_rows(picture: Image.Image) -> bool:
    """Return whether the rows of a decoded picture stay rows when it is rotated as EXIF says."""
    return _TURNS.get(_orientation(picture), _TURNS[1])[0]


def eight_bits(layers: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grey levels from 0 to 255 for numbers of any type.

    Parameters
    ----------
    layers : ndarray
        Booleans, unsigned 16-bit integers from 0 to 65535, other integers from 0 to 255, or floats from 0 to 1. A
        float beyond by half a level is clipped.

    Raises
    ------
    RangeError
        The type or the values are others.
    """
    kind = layers.dtype
    if kind == np.uint8:
        return layers
    top = {"b": 1, "u": 65_535 if kind.itemsize == 2 else 255, "i": 255, "f": 1}.get(kind.kind)
    if top is None:
        raise RangeError("integers 0 to 255 or floats 0 to 1", str(kind))
    low, high = layers.min(), layers.max()
    spare = 0.5 / 255 if kind.kind == "f" else 0
    if not (low >= -spare and high <= top + spare):
        raise RangeError(f"values from 0 to {top}", f"{kind} with values {low:g} to {high:g}")
    return np.clip(np.rint(layers * np.float32(255 / top)), 0, 255).astype(np.uint8)


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


def _orientation(picture: Image.Image) -> int:
    """Return the orientation of EXIF or XMP; the decoders of TIFF and HEIC rotate the picture and remove it."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except MemoryError:
        raise
    except Exception:  # broken EXIF does not make a picture unreadable
        return 1
