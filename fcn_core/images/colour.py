"""Convert colours to sRGB, which the networks expect, from the colour space of a picture.

A colour profile in a file is a small program for a colour engine (Little CMS). Profiles with parts that pictures do not
need, or that could keep the engine busy, are ignored: the colours are then used as they are.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms

_MAX_BYTES = 4 * 2**20  # the largest profiles for printing have about 3 MB
_MAX_TAGS = 100
_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")  # no links, abstract or named colours
_SAME = 1  # grey levels: rounding differences between equal colours


@dataclass(frozen=True, eq=False)
class Conversion:
    """A conversion from the colour space of a profile to sRGB; `mode` is Pillow's name of that space."""

    mode: str
    _transform: ImageCms.ImageCmsTransform

    def fits(self, picture: Image.Image) -> bool:
        """Return whether the profile suits the mode of its picture."""
        grey = picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith("I;16")
        return self.mode == ("L" if grey else "CMYK" if picture.mode == "CMYK" else "RGB")

    def apply(self, picture: Image.Image) -> Image.Image:
        """Return a picture of `mode` converted to RGB."""
        return self._transform.apply(picture)


def conversion(profile: bytes | None) -> Conversion | None:
    """Return the conversion of a profile; None if the profile is sRGB, invalid, or not safe to run."""
    mode = _mode(profile) if profile else None
    if profile is None or mode is None:
        return None
    try:
        found = Conversion(mode, _transform(profile, mode))
        sample = _sample(mode)
        converted = np.asarray(found.apply(sample)).astype(int)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    same = mode != "CMYK" and np.abs(converted - np.asarray(sample.convert("RGB"))).max() <= _SAME
    return None if same else found


def from_lab(picture: Image.Image) -> Image.Image:
    """Return a CIELAB picture converted to RGB, which Pillow's `convert` cannot do."""
    return _lab().apply(picture)


def _mode(profile: bytes) -> str | None:
    """Return Pillow's name of a profile's colour space; None for a profile that is not run."""
    size = int.from_bytes(profile[:4])
    count = int.from_bytes(profile[128:132])
    if not 132 <= size <= len(profile) <= _MAX_BYTES or profile[36:40] != b"acsp" or count > _MAX_TAGS:
        return None
    if profile[8] > 4 or profile[12:16] not in _CLASSES or profile[20:24] not in (b"XYZ ", b"Lab "):
        return None
    for at in range(132, 132 + 12 * count, 12):
        start, length = int.from_bytes(profile[at + 4 : at + 8]), int.from_bytes(profile[at + 8 : at + 12])
        # The work of tables is bounded; chains in D2Bx and B2Dx tags can have any length.
        if start + length > size or profile[at : at + 3] in (b"D2B", b"B2D"):
            return None
    return _SPACES.get(profile[16:20])


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


@cache
def _lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )


@cache
def _sample(mode: str) -> Image.Image:
    """Return a picture of greys, and of colours from the whole space."""
    channels = len(mode) if mode != "L" else 1
    steps = np.linspace(0, 255, 9 if channels < 4 else 3).round().astype(np.uint8)
    levels = np.array(list(itertools.product(steps, repeat=channels)), np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], channels, axis=1)
    values = np.ascontiguousarray(np.concatenate([levels, greys]))
    return Image.frombytes(mode, (len(values), 1), values.tobytes())
