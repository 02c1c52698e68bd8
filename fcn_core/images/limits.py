"""The largest picture that is read, and who sets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fcn_core import settings
from fcn_core.errors import ImageError
from fcn_core.system import memory

#: That decoding takes at most, of most formats.
BYTES_A_PIXEL = 9


@dataclass(frozen=True)
class Limits:
    """The largest picture that is read.

    Attributes
    ----------
    max_bytes : int
        Of the file.
    max_pixels : int
        Of the picture, known from its header before it is decoded; at most 89 million.
    memory_mb : float or None
        That decoding may take, in megabytes (2**20 bytes), foreseen from the header; None: 9 bytes for each of
        `max_pixels`. Most formats take 9 bytes a pixel. Where a decoder takes more, fewer pixels are allowed: four
        fifths or more of AVIF, HEIC and JPEG of several scans with colour at full resolution, three quarters of TIFF
        of 16 bits, two thirds of CMYK in several scans, half of WebP and of AVIF and HEIC with alpha or colour at full
        resolution.
    """

    max_bytes: int = 25 * 2**20
    max_pixels: int = 64_000_000
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or not 1 <= self.max_pixels <= settings.MOST_MEGAPIXELS * 10**6:
            raise ImageError(
                f"Received limits of {self.max_bytes} bytes and {self.max_pixels} pixels. Expected at least "
                f"1 of each and at most {settings.MOST_MEGAPIXELS} megapixels. Correct FCN_MAX_UPLOAD_MB or "
                "FCN_MAX_MEGAPIXELS."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, memory_mb: float | None = None) -> Limits:
        """Read ``FCN_MAX_UPLOAD_MB`` (of 2**20 bytes) and ``FCN_MAX_MEGAPIXELS`` (of 10**6 pixels).

        Raises
        ------
        SettingInvalid
            When one of them is no number or out of bounds.
        """
        megabytes, megapixels = settings.MAX_UPLOAD_MB.value(environ), settings.MAX_MEGAPIXELS.value(environ)
        return cls(megabytes * 2**20, round(megapixels * 10**6), memory_mb)

    @property
    def memory(self) -> int:
        """Bytes that decoding may take."""
        return self.max_pixels * BYTES_A_PIXEL if self.memory_mb is None else int(self.memory_mb * 2**20)

    def check(self, kind: str, height: int, width: int, bytes_: int, name: str, remedy: str = "") -> None:
        """Hold a picture to the limits.

        Parameters
        ----------
        kind : str
            Its format.
        height, width : int
        bytes_ : int
            That decoding it takes.
        name : str
        remedy : str
            What helps beside making the picture smaller.

        Raises
        ------
        ImageError
            It is larger; the message names the setting.
        """
        fitting = self.memory * height * width // bytes_
        most = self.max_pixels if self.memory_mb is not None else min(self.max_pixels, fitting)
        if height * width > most:
            raise ImageError(
                f"Received {name} of {width} x {height} pixels. Expected at most {most / 1e6:.4g} megapixels "
                f"({kind}; set by FCN_MAX_MEGAPIXELS). Make it smaller."
            )
        if bytes_ > self.memory:
            raise ImageError(
                f"Received {name}: a {kind} of {width} x {height} pixels, {height * width / 1e6:.3g} megapixels, "
                f"takes about {bytes_ / 2**20:.0f} MB to open. Expected at most {self.memory / 2**20:.0f} MB, which "
                f"{budget_in_words()} leaves to opening one: {fitting / 1e6:.3g} megapixels of such. "
                f"Make it smaller{remedy}."
            )

    def __str__(self) -> str:
        return f"at most {self.max_bytes / 2**20:.4g} MB and {self.max_pixels / 1e6:.4g} megapixels"


def budget_in_words() -> str:
    """The memory of the program by the name of its setting."""
    budget = f"{memory.budget_mb():.0f}"
    if settings.MEMORY_MB.given():
        return f"FCN_MEMORY_MB={budget}"
    return f"this machine's memory ({budget} MB; FCN_MEMORY_MB sets it)"
