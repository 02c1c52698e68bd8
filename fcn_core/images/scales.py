"""The sizes at which the network sees a picture."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fcn_core.errors import ScaleError

Fit = Literal["aspect", "exact"]

#: The models reduce each side 32 times: a smaller input would leave no cell.
MIN_SIDE = 32
MAX_SCALE_PIXELS = 64_000_000
MAX_SCALES = 16


@dataclass(frozen=True, order=True)
class Scale:
    """The size of a network's input, height first as in the notebook.

    Raises
    ------
    ScaleError
        A side is below 32 pixels, or the whole is above 64 megapixels.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < MIN_SIDE or self.height * self.width > MAX_SCALE_PIXELS:
            raise ScaleError(
                f"Expected a scale of at least {MIN_SIDE} pixels a side and at most {MAX_SCALE_PIXELS // 10**6} "
                f"megapixels. Received {self}. Choose one such as 400x640 (height x width)."
            )

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Return the scale of a text such as ``"200x320"``: height x width in pixels.

        Raises
        ------
        ScaleError
            The text does not have this form, or the size is out of bounds.
        """
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})\s*", text)
        if match is None:
            raise ScaleError(
                f"Expected a scale as height x width in pixels, such as 200x320. Received {text[:60]!r}. Correct it."
            )
        return cls(int(match[1]), int(match[2]))


#: The four scales of the notebook, each with four times the pixels of the one before.
NOTEBOOK_SCALES = (Scale(200, 320), Scale(400, 640), Scale(800, 1280), Scale(1600, 2560))


@dataclass(frozen=True)
class PlannedScale:
    """The network's input size that a requested scale gives for one picture.

    Attributes
    ----------
    requested : Scale
        The scale that the user chose; ``str(requested)`` is the key of its maps.
    height, width : int
        Size of the network's input.
    enlarges : bool
        Whether the input has more pixels than the picture. It then shows the same detail, only larger.
    """

    requested: Scale
    height: int
    width: int
    enlarges: bool


def parse_scales(text: str) -> tuple[Scale, ...]:
    """Return the scales of a text such as ``"200x320,400x640"``.

    Raises
    ------
    ScaleError
        A part is not a scale, or there is none, or there are more than 16.
    """
    parts = [part for part in text.split(",") if part.strip()]
    if not 1 <= len(parts) <= MAX_SCALES:
        raise ScaleError(
            f"Expected 1 to {MAX_SCALES} scales separated by commas, such as 200x320,400x640. "
            f"Received {len(parts)} scales. Correct the list."
        )
    return tuple(Scale.parse(part) for part in parts)


def plan_scales(
    image_height: int, image_width: int, scales: Iterable[Scale], fit: Fit = "aspect"
) -> tuple[PlannedScale, ...]:
    """Return the input sizes of scales for one picture, coarsest first, each size once.

    Parameters
    ----------
    image_height, image_width : int
        Size of the picture in pixels.
    scales : iterable of Scale
        The requested scales, in any order.
    fit : {"aspect", "exact"}
        "aspect" keeps the picture's proportions at the scale's number of pixels. For a strip, the shorter side is 32
        and the longer one is reduced. "exact" stretches the picture to the scale, as the notebook does.

    Raises
    ------
    ScaleError
        There is no scale, or ``fit`` is unknown.
    """
    if fit not in ("aspect", "exact"):
        raise ScaleError(f"Expected the fit 'aspect' or 'exact'. Received {fit!r}. Choose one of them.")
    plans: dict[tuple[int, int], PlannedScale] = {}
    for scale in sorted(scales, key=lambda s: (s.height * s.width, s)):
        height, width = scale.height, scale.width
        if fit == "aspect":
            height, width = _same_area(image_height, image_width, height * width)
        enlarges = height * width > image_height * image_width
        plans.setdefault((height, width), PlannedScale(scale, height, width, enlarges))
    if not plans:
        raise ScaleError("Expected at least one scale, such as 200x320. Received no scale. Choose one.")
    return tuple(plans.values())


def _same_area(image_height: int, image_width: int, pixels: int) -> tuple[int, int]:
    """Return the height and width with the picture's proportions and about this number of pixels."""
    factor = math.sqrt(pixels / (image_height * image_width))
    longest = pixels // MIN_SIDE
    height = min(max(round(image_height * factor), MIN_SIDE), longest)
    width = min(max(round(image_width * factor), MIN_SIDE), longest)
    return height, width
