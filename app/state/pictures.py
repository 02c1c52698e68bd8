"""The picture of a page: a small working copy, and the whole picture when it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.state.picture_files import File
from app.state.samples import SAMPLES
from fcn_core.errors import ScaleError
from fcn_core.images.decoding import Reduction
from fcn_core.images.limits import Limits, budget_in_words
from fcn_core.images.read import RGBImage, read_image
from fcn_core.images.scales import PlannedScale
from fcn_core.images.working import working_copy


@dataclass(frozen=True, eq=False)
class Picture:
    """The picture on a page. The whole picture is decoded when it is needed, and not kept.

    The network sees the whole picture; mask and boxes are made from the working copy, here as everywhere
    (:mod:`fcn_core.images.working`). So the page, exported files and the command say the same.

    A JPEG that is too large for the memory budget is decoded at reduced size, and the reduced picture is used for
    everything. The page and exported files say so; positions are given in pixels of the original.

    Attributes
    ----------
    working : RGBImage
        The picture, or a copy of at most 0.8 megapixels with the same name, hash and original size.
    height, width : int
        Size after decoding.
    file : File
        The file that it is decoded from.
    address : str
        Its name in the page's address; "" for an uploaded picture.
    reduced : int
        1, or 2, 4 or 8 if it is decoded at that fraction of its sides.
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
        """Bytes of the file.

        Raises
        ------
        PictureGone
            The file was deleted.
        """
        return self.file.read()

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.working.name

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return self.working.sha256

    @property
    def word(self) -> str | None:
        """The first synset to show for a sample, as a word; None for other pictures."""
        return SAMPLES[self.address].word if self.address in SAMPLES else None

    @property
    def description(self) -> str:
        """Name and size in words."""
        height, width = self.original
        text = f"{self.name}, {width} × {height}"
        if self.reduced > 1:
            text += (
                f", opened at 1/{self.reduced} of its sides, as {budget_in_words()} is too little for more"
            )
        return text

    def check(self, plans: Iterable[PlannedScale]) -> None:
        """Refuse scales that are larger than the picture at reduced size.

        Raises
        ------
        ScaleError
            One of them is.
        """
        larger = [str(plan.requested) for plan in plans if plan.enlarges] if self.reduced > 1 else []
        if larger:
            height, width = self.original
            raise ScaleError(
                f"Expected scales of at most {self.width * self.height / 1e6:.2g} megapixels. Received "
                f"{', '.join(larger)} for a picture of {width} x {height} pixels; {budget_in_words()} is only enough "
                f"to open it at {self.width} x {self.height}. Choose smaller scales, or allow more memory."
            )

    def whole(self) -> RGBImage:
        """Decode the whole picture.

        Raises
        ------
        PictureGone
            Its file was deleted, and the working copy is smaller than the picture.
        """
        if (self.working.height, self.working.width) == (self.height, self.width):
            return self.working
        return read_image(self.data, name=self.name, reduce=self.reduced)


@dataclass(frozen=True)
class Refusal:
    """A picture that was chosen last and could not be opened; the one before it stays on the page.

    Attributes
    ----------
    name : str
        Of the file, or the address.
    reason : str
        What was expected, what was received, what to do.
    again : str
        A sample or an address that may be opened later, as a download may; "" for a file.
    """

    name: str
    reason: str
    again: str = ""


def open_picture(file: File, name: str, address: str = "", limits: Limits | None = None) -> Picture:
    """Decode a file for a page; a JPEG above the limits is decoded at reduced size.

    Raises
    ------
    ImageError
        The file cannot be decoded, or exceeds the limits.
    """
    whole = read_image(file.read(), name=name, limits=limits, reduce="auto")
    return Picture(
        working_copy(whole), whole.height, whole.width, file, address, whole.reduced, whole.original
    )
