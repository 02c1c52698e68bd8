"""The picture of a page: a copy to work with, and the whole of it when that is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.state.picture_files import File
from app.state.samples import SAMPLES
from fcn_core.errors import ScaleError
from fcn_core.images.decoding import Reduction
from fcn_core.images.limits import Limits, budget_in_words
from fcn_core.images.read import RGBImage, read_image
from fcn_core.images.resize import resize_image
from fcn_core.images.scales import PlannedScale

#: A page works on a copy of at most so many pixels; the network and the files get the whole.
WORKING_PIXELS = 800_000


@dataclass(frozen=True, eq=False)
class Picture:
    """The picture on a page. All of it is decoded when it is needed, and not kept.

    A JPEG that memory does not suffice for is decoded at reduced size, and everything is done with that; what is said
    of it, and files, tell so, and where things are is told in pixels of the original.

    Attributes
    ----------
    working : RGBImage
        The picture, or a copy of at most 0.8 megapixels that says of itself what the whole one does: recipes are made
        of it.
    height, width : int
        As it is decoded.
    file : File
        Where its bytes are.
    address : str
        What the page's address calls it, "" where it cannot.
    reduced : int
        1; or 2, 4 or 8, where it is decoded at that fraction of its sides.
    original : tuple of int
        Height and width in the file.
    """

    working: RGBImage
    height: int
    width: int
    file: File
    address: str
    reduced: Reduction
    original: tuple[int, int]

    @property
    def data(self) -> bytes:
        """The file.

        Raises
        ------
        PictureGone
            It is no longer kept.
        """
        return self.file.read()

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

    @property
    def in_words(self) -> str:
        """Its name and size."""
        height, width = self.original
        text = f"{self.name}, {width} × {height}"
        if self.reduced > 1:
            text += (
                f", opened at 1/{self.reduced} of its sides, as {budget_in_words()} does not suffice for more"
            )
        return text

    def check(self, plans: Iterable[PlannedScale]) -> None:
        """Refuse scales that need more of the picture than could be opened.

        Raises
        ------
        ScaleError
            One of them is larger than the picture at reduced size.
        """
        larger = [str(plan.requested) for plan in plans if plan.enlarges] if self.reduced > 1 else []
        if larger:
            height, width = self.original
            raise ScaleError(
                f"Received {', '.join(larger)} for a picture of {width} x {height} pixels that {budget_in_words()} "
                f"allows to be opened at {self.width} x {self.height} alone. Expected scales of at most "
                f"{self.width * self.height / 1e6:.2g} megapixels. Choose smaller ones, or run it with more memory."
            )

    def whole(self) -> RGBImage:
        """The picture as it was decoded.

        Raises
        ------
        PictureGone
            Its file is no longer kept, and the copy is not the whole.
        """
        if (self.working.height, self.working.width) == (self.height, self.width):
            return self.working
        return read_image(self.data, name=self.name, reduce=self.reduced)


def open_picture(file: File, name: str, address: str = "", limits: Limits | None = None) -> Picture:
    """Decode a file for a page, a JPEG at reduced size where the limits ask for it.

    Raises
    ------
    ImageError
        Whatever is wrong with it.
    """
    whole = read_image(file.read(), name=name, limits=limits, reduce="auto")
    shrink = (WORKING_PIXELS / (whole.height * whole.width)) ** 0.5
    working = whole
    if shrink < 1:
        height, width = max(2, round(whole.height * shrink)), max(2, round(whole.width * shrink))
        copy = resize_image(whole.pixels, height, width).round().astype(np.uint8)
        working = RGBImage(copy, whole.name, whole.sha256, whole.reduced, whole.original)
    return Picture(working, whole.height, whole.width, file, address, whole.reduced, whole.original)
