"""A picture divided into segments: colours, overlay, legend.

Colour alone never tells two segments apart: each also has its number, on the picture and in the legend.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from fcn_core.maps.region import contours_of
from fcn_core.render.colours import Colour, UInt8, row_blocks
from fcn_core.render.drawing import draw_contours
from fcn_core.render.lettering import PAPER, fitted, font_of, ink_on, wrapped

if TYPE_CHECKING:
    from fcn_core.maps.segmentation import Segmentation

# The palette of Okabe and Ito (2008) without black and grey; every kind of colour vision tells all of it apart.
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_DARKER = 0.45  # of the palette when it is used again

NOTHING = "Nothing was found."
UNNAMED = "Where there is no colour, nothing was found."


def segment_colours(count: int) -> tuple[Colour, ...]:
    """Return the colours of `count` segments, in order: no two are equal, none is black.

    From the fifteenth on they look like the first ones again, and differ from them by one level of blue.

    Raises
    ------
    ValueError
        There are not as many colours.
    """
    darker = [(round(r * _DARKER), round(g * _DARKER), round(b * _DARKER)) for r, g, b in _PALETTE]
    colours = (*_PALETTE, *darker)
    most = len(colours) * (256 - max(b for _, _, b in colours))
    if count > most:
        raise ValueError(f"Expected at most {most} segments to colour. Received: {count}")
    rounds = (divmod(number, len(colours)) for number in range(count))
    return tuple((r, g, b + again) for again, place in rounds for r, g, b in [colours[place]])


def draw_segments(photo: UInt8, segmentation: Segmentation, opacity: float = 0.55) -> UInt8:
    """Show the segments of a picture: their colours over it, an outline and a number for each.

    Parameters
    ----------
    photo : (H, W, 3) uint8 ndarray
        The picture, of the segmentation's proportions.
    segmentation : Segmentation
    opacity : float
        Of the colours, 0 to 1. What belongs to no segment stays as it is.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    colours = segment_colours(len(segmentation.segments))
    labels = segmentation.expand(*photo.shape[:2])
    table = np.array([(0, 0, 0), *colours], np.float32)
    shares = np.array([0.0, *(opacity for _ in colours)], np.float32)
    shown = np.empty_like(photo)
    for rows in row_blocks(photo.shape[:2]):
        below, share = photo[rows].astype(np.float32), shares[labels[rows]][..., None]
        mixed = below + (table[labels[rows]] - below) * share
        shown[rows] = np.rint(mixed, out=mixed)
    shown = draw_contours(
        shown, chain.from_iterable(contours_of(labels == s.label) for s in segmentation.segments)
    )
    return _numbered(shown, segmentation, colours)


def segment_legend(segmentation: Segmentation, width: int = 360, dark: bool = False) -> UInt8:
    """Draw the legend of the segments: for each its colour, its number, its name and how certain it is.

    Parameters
    ----------
    segmentation : Segmentation
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
    font, (ground, ink) = font_of(size), PAPER[dark]
    line, gap, swatch = round(size * 1.9), round(size * 0.5), round(size * 1.8)
    segments = segmentation.segments
    note = wrapped(UNNAMED if segments else NOTHING, font, width - 2 * gap)
    canvas = Image.new("RGB", (width, line * (len(segments) + len(note)) + 2 * gap), ground)
    draw = ImageDraw.Draw(canvas)
    for row, (segment, colour) in enumerate(zip(segments, segment_colours(len(segments)), strict=True)):
        top = gap + row * line
        middle = top + line // 2
        frame = (gap, top + 2, gap + swatch, top + line - 3)
        draw.rectangle(frame, fill=colour, outline=ink)
        place = ((frame[0] + frame[2]) / 2, middle)
        draw.text(place, str(segment.label), fill=ink_on(colour), font=font, anchor="mm")
        share = f"{segment.presence:.0%}"
        left, right = gap + swatch + gap, width - gap
        room = right - left - font.getlength(share) - gap
        draw.text((left, middle), fitted(segment.synset.name, font, room), fill=ink, font=font, anchor="lm")
        draw.text((right, middle), share, fill=ink, font=font, anchor="rm")
    for row, part in enumerate(note, start=len(segments)):
        draw.text((gap, gap + row * line + line // 2), part, fill=ink, font=font, anchor="lm")
    return np.asarray(canvas)


def with_segment_legend(picture: UInt8, segmentation: Segmentation) -> UInt8:
    """Return a picture with the legend of its segments below it."""
    below = segment_legend(segmentation, picture.shape[1])
    height, width = picture.shape[:2]
    sheet = np.full((height + below.shape[0], max(width, below.shape[1]), 3), 255, np.uint8)
    sheet[:height, :width] = picture
    sheet[height:, : below.shape[1]] = below
    return sheet


def _numbered(photo: UInt8, segmentation: Segmentation, colours: tuple[Colour, ...]) -> UInt8:
    """Write the number of each segment where it is widest."""
    canvas = Image.fromarray(photo)
    draw = ImageDraw.Draw(canvas)
    size = max(11, round(math.sqrt(photo.shape[0] * photo.shape[1]) / 24))
    font = font_of(size)
    scale = np.array(photo.shape[:2]) / segmentation.labels.shape
    for segment, colour in zip(segmentation.segments, colours, strict=True):
        y, x = (_widest(segmentation.labels == segment.label) + 0.5) * scale
        left, top, right, bottom = draw.textbbox((x, y), str(segment.label), font=font, anchor="mm")
        pad = round(size * 0.3)
        frame = (left - pad, top - pad, right + pad, bottom + pad)
        draw.rounded_rectangle(
            frame, radius=pad, fill=colour, outline=ink_on(colour), width=max(1, size // 12)
        )
        draw.text((x, y), str(segment.label), fill=ink_on(colour), font=font, anchor="mm")
    return np.asarray(canvas)


def _widest(
    inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the row and column that is farthest from the outside."""
    distances = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(distances.argmax(), inside.shape))
