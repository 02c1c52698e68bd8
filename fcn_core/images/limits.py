"""Limits of the pictures that are read: bytes, pixels, and memory to decode them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fcn_core import settings
from fcn_core.errors import ImageError
from fcn_core.system import memory

#: Decoding needs at most this memory in most formats.
BYTES_A_PIXEL = 9


#: The shortest side: contours need two pixels.
MIN_PICTURE_SIDE = 2
#: The longest side that common formats allow.
MAX_PICTURE_SIDE = 65_535


@dataclass(frozen=True)
class Limits:
    """The largest picture that is read.

    Attributes
    ----------
    max_bytes : int
        Largest file.
    max_pixels : int
        Largest picture, checked in the header before decoding; at most 89 million.
    memory_mb : float or None
        Memory for decoding, in megabytes (2**20 bytes), estimated from the header. None: 9 bytes per pixel of
        `max_pixels`.

    Notes
    -----
    Most formats need 9 bytes per pixel. If a decoder needs more, fewer pixels are allowed: at least four fifths for
    AVIF, HEIC, and progressive JPEG with full-resolution colour; three quarters for 16-bit TIFF; two thirds for
    progressive CMYK; half for WebP, and for AVIF and HEIC with alpha or full-resolution colour.
    """

    max_bytes: int = 25 * 2**20
    max_pixels: int = 64_000_000
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or not 1 <= self.max_pixels <= settings.MOST_MEGAPIXELS * 10**6:
            raise ImageError(
                f"Expected limits of at least 1 byte and 1 pixel and at most {settings.MOST_MEGAPIXELS} megapixels. "
                f"Received {self.max_bytes} bytes and {self.max_pixels} pixels. Correct FCN_MAX_UPLOAD_MB or "
                "FCN_MAX_MEGAPIXELS."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, memory_mb: float | None = None) -> Limits:
        """Return the limits of ``FCN_MAX_UPLOAD_MB`` (in 2**20 bytes) and ``FCN_MAX_MEGAPIXELS`` (in 10**6 pixels).

        Raises
        ------
        SettingInvalid
            One of them is not a number, or out of bounds.
        """
        megabytes, megapixels = settings.MAX_UPLOAD_MB.value(environ), settings.MAX_MEGAPIXELS.value(environ)
        return cls(megabytes * 2**20, round(megapixels * 10**6), memory_mb)

    @property
    def memory(self) -> int:
        """Bytes available for decoding."""
        return self.max_pixels * BYTES_A_PIXEL if self.memory_mb is None else int(self.memory_mb * 2**20)

    def check(self, kind: str, height: int, width: int, bytes_: int, name: str, remedy: str = "") -> None:
        """Check a picture against the limits.

        Parameters
        ----------
        kind : str
            Format of the picture.
        height, width : int
            Size in pixels.
        bytes_ : int
            Memory that decoding needs.
        name : str
            Name of the picture in the message.
        remedy : str
            Another remedy than a smaller picture, beginning with " or".

        Raises
        ------
        ImageError
            The picture is too large; the message names the setting.
        """
        fitting = self.memory * height * width // bytes_
        most = self.max_pixels if self.memory_mb is not None else min(self.max_pixels, fitting)
        if height * width > most:
            raise ImageError(
                f"Expected at most {most / 1e6:.4g} megapixels ({kind}; set by FCN_MAX_MEGAPIXELS). "
                f"Received {name} of {width} x {height} pixels. Make it smaller."
            )
        if bytes_ > self.memory:
            raise ImageError(
                f"Expected at most {self.memory / 2**20:.0f} MB to open the picture, which {budget_in_words()} leaves: "
                f"about {fitting / 1e6:.3g} megapixels of this kind. Received {name} ({kind}, {width} x {height} "
                f"pixels, {height * width / 1e6:.3g} megapixels), which needs about {bytes_ / 2**20:.0f} MB. "
                f"Make it smaller{remedy}."
            )

    def __str__(self) -> str:
        return f"at most {self.max_bytes / 2**20:.4g} MB and {self.max_pixels / 1e6:.4g} megapixels"


def check_sides(name: str, height: int, width: int) -> None:
    """Refuse pictures that are single points, or strips that are longer than formats allow.

    Raises
    ------
    ImageError
        A side is below 2 or above 65535 pixels.
    """
    if min(height, width) < MIN_PICTURE_SIDE or max(height, width) > MAX_PICTURE_SIDE:
        raise ImageError(
            f"Expected {MIN_PICTURE_SIDE} to {MAX_PICTURE_SIDE} pixels a side. Received {name} of {width} x {height} "
            "pixels. Choose another picture, or cut it into pieces."
        )


def budget_in_words() -> str:
    """Return the memory budget of the program with the name of its setting."""
    budget = f"{memory.budget_mb():.0f}"
    if settings.MEMORY_MB.given():
        return f"FCN_MEMORY_MB={budget}"
    return f"the memory of this machine ({budget} MB; set by FCN_MEMORY_MB)"
