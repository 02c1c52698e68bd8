"""Mask files: which pixels are the object, which are void; what leaves room for doubt is refused in words.

A mask says 255 or 1 (in 16 bits 65535) where the object is, 0 where it is not, and 128 (32896) where a pixel shall
take part in nothing. It may say so in grey, in black and white, in the colours or the numbers of a palette, or in
transparency: opaque is the object. Where it can be read in two ways that differ, neither is taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from fcn_core.errors import DatasetError

Bools = NDArray[np.bool_]

# Without those that run other programs or hold documents.
_FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM")
_CODES = ((255, 128), (1, None), (65535, 32896))  # of object and void; background is 0
_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_UPRIGHT = 1


@dataclass(frozen=True, eq=False)
class _Reading:
    """One way to understand a mask: the object's pixels, and those that are not void."""

    truth: Bools
    valid: Bools

    def agrees(self, other: _Reading) -> bool:
        return np.array_equal(self.truth, other.truth) and np.array_equal(self.valid, other.valid)


def exif_orientation(path: Path) -> int:
    """How a picture's file says it is turned, from 1 to 8; 1, upright, where it says nothing.

    A file that cannot be read counts as upright: whoever reads it complains.
    """
    try:
        with Image.open(path) as file:
            return _orientation(file) or _UPRIGHT
    except Exception as error:  # damaged metadata raise many kinds
        if isinstance(error, MemoryError):
            raise
        return _UPRIGHT


def read_mask(path: Path, height: int, width: int, orientation: int = _UPRIGHT) -> tuple[Bools, Bools]:
    """Read a mask file: the object's pixels, and those that are not void.

    Parameters
    ----------
    path : Path
    height, width : int
        Of the picture as it is seen, upright.
    orientation : int
        The picture's, by EXIF. A mask that says its own is turned by that; one that says none is turned with its
        picture where its size tells that it is not turned yet.

    Returns
    -------
    truth, valid : (height, width) bool ndarray
        The object's pixels; all pixels but the void ones.

    Raises
    ------
    DatasetError
        It cannot be read, has another size than its picture, says something else than the module's numbers, can
        be understood in two ways, or holds no pixel of the object.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as file:
                turn = _turn(file, path.name, (width, height), orientation)
                frames = getattr(file, "n_frames", 1)
                if frames > 1:
                    raise DatasetError(
                        f"Expected one picture in the mask {path.name}. Received {frames}. Save the one that is meant "
                        f"as a grey PNG."
                    )
                file.load()
                reading = _understood(file, path.name)
    except (
        OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning
    ) as error:  # fmt: skip
        raise DatasetError(
            f"The mask {path.name} cannot be read ({' '.join(str(error).split())[:160]}). Save it as a grey PNG."
        ) from error
    if not reading.truth.any():
        raise DatasetError(
            f"The mask {path.name} holds no pixel of an object (255), so there is nothing to find. Mark the object, "
            f"or remove the row."
        )
    return _turned(reading.truth, turn), _turned(reading.valid, turn)


def _orientation(file: Image.Image) -> int | None:
    """What the file says, None where it says nothing."""
    found = file.getexif().get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) and 1 <= found <= 8 else None


def _turn(file: Image.Image, name: str, size: tuple[int, int], picture: int) -> int:
    """By which orientation to turn the mask, so that it has its picture's size (width, height)."""
    upright, stored = file.size == size, file.size == size[::-1]
    if upright or stored:  # before the metadata: to find them Pillow may decode all of the file
        own = _orientation(file)
        if own is None and picture in _TURNS and upright != stored:
            return _UPRIGHT if upright else picture
        if own is None and picture != _UPRIGHT and upright:
            raise DatasetError(
                f"The picture of the mask {name} is turned by EXIF (orientation {picture}), the mask does not say "
                f"whether it is turned already, and its size does not tell. Save both upright, without EXIF, or give "
                f"the mask an orientation, too."
            )
        turn = own or _UPRIGHT
        if stored if turn in _TURNS else upright:
            return turn
    raise DatasetError(
        f"Expected the mask {name} to be {size[0]}x{size[1]} pixels, as its picture. "
        f"Received {file.size[0]}x{file.size[1]}."
    )


def _turned(layer: Bools, orientation: int) -> Bools:
    """Turn a layer upright, as Pillow turns a picture."""
    if orientation == _UPRIGHT:
        return layer
    picture = Image.fromarray(layer)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture), dtype=bool)


def _understood(file: Image.Image, name: str) -> _Reading:
    """Read a mask in every way there is; those that can be read must agree."""
    shown, alpha = _shown(file, name), _alpha(file)
    if alpha is None or (_constant(alpha) and alpha.any()):
        return _agreed(shown, name)
    if _constant(alpha):
        raise DatasetError(f"The mask {name} is transparent everywhere. Save it as a grey PNG.")
    colours = shown["colours"]
    if _decoded(colours) is None and not _constant(colours[alpha > 0]):
        raise DatasetError(
            f"Expected a mask, of one colour where it is not transparent. Received {name}, which shows "
            f"{_values(colours)}: a picture, cut out. Save what is opaque as a grey PNG of 255 and 0."
        )
    return _agreed(
        {"transparency": alpha} if _constant(colours) else {"colours": colours, "transparency": alpha}, name
    )


def _shown(file: Image.Image, name: str) -> dict[str, NDArray[Any]]:
    """What a mask shows, transparency apart: one layer, and of a palette its numbers as well.

    Colours that are not grey stand as negative numbers.
    """
    if file.mode.startswith("I") or file.mode == "F":
        return {"greys": np.asarray(file)}
    if file.mode in ("1", "L") and not file.has_transparency_data:
        return {"greys": np.asarray(file)}
    if file.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        red, green, blue = np.moveaxis(np.asarray(file.convert("RGB"), np.int32), -1, 0)
        grey = (red == green) & (green == blue)
        layers = {"colours": np.where(grey, red, -1 - (red << 16 | green << 8 | blue))}
        return {**layers, "palette": np.asarray(file)} if file.mode == "P" else layers
    raise DatasetError(
        f"Expected a mask in grey, in black and white or with a palette. Received {name} of Pillow's mode "
        f"{file.mode}. Save it as a grey PNG."
    )


def _alpha(file: Image.Image) -> NDArray[np.uint8] | None:
    if not file.has_transparency_data or file.mode.startswith("I"):
        return None
    return np.asarray(file.convert("RGBA"))[..., 3]


def _agreed(layers: Mapping[str, NDArray[Any]], name: str) -> _Reading:
    readings = {way: reading for way, layer in layers.items() if (reading := _decoded(layer))}
    if not readings or ("transparency" in layers and "transparency" not in readings):
        found = " and ".join(f"{_values(layer)} in its {way}" for way, layer in layers.items())
        raise DatasetError(
            f"Expected 255 or 1 (object), 0 (background) and 128 (void) in the mask {name}. Received {found}. "
            f"Save it in grey with these numbers alone, without compression losses, as PNG."
        )
    first, *others = readings.values()
    if not all(first.agrees(other) for other in others):
        raise DatasetError(
            f"The mask {name} can be understood in ways that differ: by its {' and by its '.join(readings)}. Save it "
            f"as a grey PNG of 255 (object), 0 (background) and 128 (void)."
        )
    return first


def _decoded(layer: NDArray[Any]) -> _Reading | None:
    values = set(_distinct(layer))
    for thing, void in _CODES:
        if values <= {0, thing, void}:
            return _Reading(layer == thing, layer != void if void else np.ones(layer.shape, bool))
    return None


def _distinct(layer: NDArray[Any]) -> list[float]:
    """The numbers in a layer, in order."""
    if layer.dtype.itemsize == 1:  # far quicker than sorting
        return list(np.flatnonzero(np.bincount(layer.ravel(), minlength=1)).tolist())
    return list(np.unique(layer).tolist())


def _values(layer: NDArray[Any]) -> str:
    """The first numbers of a layer, in words."""
    values = _distinct(layer)
    words = list(dict.fromkeys("some that are not grey" if v < 0 else f"{v:g}" for v in values))
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


def _constant(layer: NDArray[Any]) -> bool:
    return bool((layer == layer.flat[0]).all())
