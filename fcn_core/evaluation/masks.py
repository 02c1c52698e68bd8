"""Mask files: which pixels are the object and which are void. An ambiguous file is refused.

A mask is 255 or 1 (in 16 bits 65535) at the object, 0 at the background, and 128 (32896) at void pixels, which are
ignored. These values may be grey levels, black and white, the colours or the indices of a palette, or transparency
(opaque is the object). A file that can be read in two ways with different results is refused.
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

# Without formats that run other programs or contain documents.
_FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM")
_CODES = ((255, 128), (1, None), (65535, 32896))  # of object and void; background is 0
_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_UPRIGHT = 1


@dataclass(frozen=True, eq=False)
class _Reading:
    """One way to read a mask: the object's pixels, and the pixels that are not void."""

    truth: Bools
    valid: Bools

    def agrees(self, other: _Reading) -> bool:
        return np.array_equal(self.truth, other.truth) and np.array_equal(self.valid, other.valid)


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation of a picture file, from 1 to 8; 1, upright, if it has none.

    A file that cannot be read counts as upright here; reading the picture raises the error.
    """
    try:
        with Image.open(path) as file:
            return _orientation(file) or _UPRIGHT
    except Exception as error:  # damaged metadata raises many kinds of errors
        if isinstance(error, MemoryError):
            raise
        return _UPRIGHT


def read_mask(path: Path, height: int, width: int, orientation: int = _UPRIGHT) -> tuple[Bools, Bools]:
    """Read a mask file: the object's pixels, and the pixels that are not void.

    Parameters
    ----------
    path : Path
    height, width : int
        Size of the upright picture.
    orientation : int
        EXIF orientation of the picture. A mask with its own orientation is rotated by that. A mask without one is
        rotated like its picture if its size shows that it is not rotated yet.

    Returns
    -------
    truth, valid : (height, width) bool ndarray
        The object's pixels; all pixels except the void ones.

    Raises
    ------
    DatasetError
        It cannot be read, its size differs from the picture's, it has other values than those above, it is
        ambiguous, or it has no pixel of the object.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as file:
                turn = _turn(file, path.name, (width, height), orientation)
                frames = getattr(file, "n_frames", 1)
                if frames > 1:
                    raise DatasetError(
                        f"Expected one picture in the mask {path.name}. Received {frames}. Save one of them as a grey "
                        f"PNG."
                    )
                file.load()
                reading = _understood(file, path.name)
    except (
        OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning
    ) as error:  # fmt: skip
        raise DatasetError(
            f"Expected a picture file as mask. Received {path.name}, which cannot be read "
            f"({' '.join(str(error).split())[:160]}). Save it as a grey PNG."
        ) from error
    if not reading.truth.any():
        raise DatasetError(
            f"Expected pixels of an object (255) in the mask {path.name}. Received none. Mark the object, or remove "
            f"the row."
        )
    return _turned(reading.truth, turn), _turned(reading.valid, turn)


def _orientation(file: Image.Image) -> int | None:
    """Return the EXIF orientation of the file, None if it has none."""
    found = file.getexif().get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) and 1 <= found <= 8 else None


def _turn(file: Image.Image, name: str, size: tuple[int, int], picture: int) -> int:
    """Return the orientation by which to rotate the mask to its picture's size (width, height)."""
    upright, stored = file.size == size, file.size == size[::-1]
    if upright or stored:  # check before reading metadata, for which Pillow may decode the whole file
        own = _orientation(file)
        if own is None and picture in _TURNS and upright != stored:
            return _UPRIGHT if upright else picture
        if own is None and picture != _UPRIGHT and upright:
            raise DatasetError(
                f"Expected a mask that is upright or has an EXIF orientation. Received {name}, which is ambiguous: "
                f"its picture has the orientation {picture}, the mask has none, and its size fits both. Save both "
                f"upright and without EXIF, or give the mask an orientation too."
            )
        turn = own or _UPRIGHT
        if stored if turn in _TURNS else upright:
            return turn
    raise DatasetError(
        f"Expected the mask {name} to have the {size[0]}x{size[1]} pixels of its picture. "
        f"Received {file.size[0]}x{file.size[1]}. Resize it without interpolation."
    )


def _turned(layer: Bools, orientation: int) -> Bools:
    """Rotate a layer upright, as Pillow rotates a picture."""
    if orientation == _UPRIGHT:
        return layer
    picture = Image.fromarray(layer)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture), dtype=bool)


def _understood(file: Image.Image, name: str) -> _Reading:
    """Read a mask in all possible ways; the results must agree."""
    shown, alpha = _shown(file, name), _alpha(file)
    if alpha is None or (_constant(alpha) and alpha.any()):
        return _agreed(shown, name)
    if _constant(alpha):
        raise DatasetError(
            f"Expected opaque pixels in the mask {name}. Received a transparent picture. Save it as a grey PNG."
        )
    colours = shown["colours"]
    if _decoded(colours) is None and not _constant(colours[alpha > 0]):
        raise DatasetError(
            f"Expected a mask with one colour where it is opaque. Received {name} with {_values(colours)}: a picture "
            f"with a transparent background. Save its opaque part as a grey PNG of 255 and 0."
        )
    return _agreed(
        {"transparency": alpha} if _constant(colours) else {"colours": colours, "transparency": alpha}, name
    )


def _shown(file: Image.Image, name: str) -> dict[str, NDArray[Any]]:
    """Return the layers of a mask without its transparency: one, and for a palette its indices too.

    Colours that are not grey become negative numbers.
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
        f"Expected a mask in grey, in black and white or with a palette. Received {name} in Pillow's mode "
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
            f"Save it as a grey PNG with these values only."
        )
    first, *others = readings.values()
    if not all(first.agrees(other) for other in others):
        raise DatasetError(
            f"Expected a mask with one meaning. Received {name}, whose {' and '.join(readings)} differ. Save it as a "
            f"grey PNG of 255 (object), 0 (background) and 128 (void)."
        )
    return first


def _decoded(layer: NDArray[Any]) -> _Reading | None:
    values = set(_distinct(layer))
    for thing, void in _CODES:
        if values <= {0, thing, void}:
            return _Reading(layer == thing, layer != void if void else np.ones(layer.shape, bool))
    return None


def _distinct(layer: NDArray[Any]) -> list[float]:
    """Return the values in a layer, sorted."""
    if layer.dtype.itemsize == 1:  # much faster than sorting
        return list(np.flatnonzero(np.bincount(layer.ravel(), minlength=1)).tolist())
    return list(np.unique(layer).tolist())


def _values(layer: NDArray[Any]) -> str:
    """Return the first values of a layer as text."""
    values = _distinct(layer)
    words = list(dict.fromkeys("colours that are not grey" if v < 0 else f"{v:g}" for v in values))
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


def _constant(layer: NDArray[Any]) -> bool:
    return bool((layer == layer.flat[0]).all())
