"""Text in pictures: the font, and the colours in which it can be read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from PIL import ImageFont

from fcn_core.render.colours import Colour
from fcn_core.system.folders import give_matplotlib_a_place

#: Ground and ink of legends, by whether they are dark.
PAPER: Mapping[bool, tuple[Colour, Colour]] = {
    False: ((255, 255, 255), (38, 39, 48)),
    True: ((14, 17, 23), (250, 250, 250)),
}


@cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all texts, at a size in pixels."""
    give_matplotlib_a_place()
    import matplotlib  # its DejaVu Sans is there on every system

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size
    )


def fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return the text in lines of at most `width` pixels; a word that is wider is cut with an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else ""
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fitted(word, font, width))
    return lines


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(ground: Colour) -> Colour:
    """Return black or white, whichever is easier to read on a colour."""
    return max(((0, 0, 0), (255, 255, 255)), key=lambda ink: contrast(ink, ground))


def _luminance(colour: Colour) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour))
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
