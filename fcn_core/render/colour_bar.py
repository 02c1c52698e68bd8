"""The colour bar with its range, as pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from fcn_core.render.colours import UInt8, colour_table
from fcn_core.render.lettering import PAPER, fitted, font_of


def legend(
    vmin: float = 0.0,
    vmax: float = 1.0,
    cmap: str = "viridis",
    label: str = "",
    width: int = 360,
    dark: bool = False,
) -> UInt8:
    """Draw a colour bar with the values at its ends and its middle, and a label.

    Parameters
    ----------
    vmin, vmax : float
        Range of the colours, as given to `colourise`.
    cmap : str
        One of `COLOUR_MAPS`.
    label : str
        What the values are and how the range was chosen: "probability, fixed 0 to 1".
    width : int
        In pixels, at least 120.
    dark : bool
        Light text on a dark background.

    Returns
    -------
    (h, width, 3) uint8 ndarray
    """
    width = max(int(width), 120)
    size = max(11, min(round(width / 26), 28))
    font = font_of(size)
    ground, ink = PAPER[dark]
    side, bar, gap = size, round(size * 1.1), round(size * 0.4)
    top = size + 2 * gap if label else gap
    canvas = Image.new("RGB", (width, top + bar + gap + size + gap), ground)
    draw = ImageDraw.Draw(canvas)
    if label:
        draw.text((side, gap), fitted(label, font, width - 2 * side), fill=ink, font=font, anchor="lt")
    inside = width - 2 * side
    table = colour_table(cmap)[np.linspace(0, 255, inside).round().astype(int)]
    canvas.paste(Image.fromarray(np.repeat(table[None], bar, axis=0)), (side, top))
    draw.rectangle((side - 1, top - 1, side + inside, top + bar), outline=ink)
    places = (
        (side, vmin, "lt"),
        (side + inside // 2, (vmin + vmax) / 2, "mt"),
        (side + inside - 1, vmax, "rt"),
    )
    for x, value, anchor in places:
        draw.text((x, top + bar + gap), short_number(value), fill=ink, font=font, anchor=anchor)
    return np.asarray(canvas)


def short_number(value: float) -> str:
    """Format a number with at least two significant digits, as short as possible: 0, 0.5, 12.3, 0.0031, 4e-07."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.0e}"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}".rstrip("0").rstrip(".")
