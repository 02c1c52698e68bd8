"""The picture of a page: a copy to work with, and the whole of it when that is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.samples import SAMPLES
from fcn_core.images import Limits, RGBImage, read_image
from fcn_core.pyramid import resize_image

#: A page works on a copy of at most so many pixels; the network and the files get the whole.
WORKING_PIXELS = 800_000


@dataclass(frozen=True, eq=False)
class Picture:
    """The picture on a page. The whole of it is decoded when it is needed, and not kept.

    Attributes
    ----------
    working : RGBImage
        The picture, or a copy of at most 0.8 megapixels, with the whole one's name and SHA-256.
    height, width : int
        Of the whole.
    data : bytes
        The file.
    address : str
        What the page's address calls it, "" where it cannot.
    """

    working: RGBImage
    height: int
    width: int
    data: bytes
    address: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.working.name

    @property
    def sha256(self) -> str:
        """Of the file."""
        return self.working.sha256

    @property
    def word(self) -> str | None:
        """The synset a sample begins with."""
        return SAMPLES[self.address].word if self.address in SAMPLES else None

    def whole(self) -> RGBImage:
        """The picture itself."""
        if (self.working.height, self.working.width) == (self.height, self.width):
            return self.working
        return read_image(self.data, name=self.name)


def open_picture(data: bytes, name: str, address: str = "", limits: Limits | None = None) -> Picture:
    """Decode a file for a page.

    Raises
    ------
    ImageError
        Whatever is wrong with it.
    """
    whole = read_image(data, name=name, limits=limits)
    shrink = (WORKING_PIXELS / (whole.height * whole.width)) ** 0.5
    working = whole
    if shrink < 1:
        height, width = max(2, round(whole.height * shrink)), max(2, round(whole.width * shrink))
        copy = resize_image(whole.pixels, height, width).round().astype(np.uint8)
        working = RGBImage(copy, whole.name, whole.sha256)
    return Picture(working, whole.height, whole.width, data, address)
