"""Colours as the network knows them: sRGB, whatever space a picture was kept in.

A profile inside a file is a small program for a colour engine (Little CMS). What no picture needs and what could keep
the engine busy is not run: the colours are then taken as they are.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms

_MAX_BYTES = 4 * 2**20  # of a profile: the largest for printing have about 3 MB
_MAX_TAGS = 100
_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")  # no links, abstract or named colours
_SAME = 1  # levels: what rounding makes of the same colour


@dataclass(frozen=True, eq=False)
class Conversion:
    """From the colours of a profile to sRGB; `mode` is Pillow's name of the space it starts from."""

    mode: str
    _transform: ImageCms.ImageCmsTransform

    def fits(self, picture: Image.Image) -> bool:
        """Whether the profile is one for the kind of picture it came with."""
        grey = picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith("I;16")
        return self.mode == ("L" if grey else "CMYK" if picture.mode == "CMYK" else "RGB")

    def apply(self, picture: Image.Image) -> Image.Image:
        """Convert a picture of `mode` to RGB."""
        return self._transform.apply(picture)


def conversion(profile: bytes | None) -> Conversion | None:
    """The conversion a profile asks for; None where it is sRGB already, broken, or not to be trusted."""
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
    """RGB of a picture in CIELAB, which Pillow's `convert` does not know."""
    return _lab().apply(picture)


def _mode(profile: bytes) -> str | None:
    """The space a profile starts from; None for one that is not run."""
    size = int.from_bytes(profile[:4])
    count = int.from_bytes(profile[128:132])
    if not 132 <= size <= len(profile) <= _MAX_BYTES or profile[36:40] != b"acsp" or count > _MAX_TAGS:
        return None
    if profile[8] > 4 or profile[12:16] not in _CLASSES or profile[20:24] not in (b"XYZ ", b"Lab "):
        return None
    for at in range(132, 132 + 12 * count, 12):
        start, length = int.from_bytes(profile[at + 4 : at + 8]), int.from_bytes(profile[at + 8 : at + 12])
        # Tables are of bounded work; the chains of D2Bx and B2Dx tags are as long as their maker wants.
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
    """Greys, and colours from everywhere in the space."""
    channels = len(mode) if mode != "L" else 1
    steps = np.linspace(0, 255, 9 if channels < 4 else 3).round().astype(np.uint8)
    levels = np.array(list(itertools.product(steps, repeat=channels)), np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], channels, axis=1)
    values = np.ascontiguousarray(np.concatenate([levels, greys]))
    return Image.frombytes(mode, (len(values), 1), values.tobytes())
