"""SVG of pictures with marks over them: sharp at any size, on the page and in the handout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.ui.figures import uri

UInt8 = npt.NDArray[np.uint8]

ACCENT = "#ffb000"  # visible on dark and light pictures, and with any colour vision


def stretched(pixels: UInt8, height: int, width: int) -> UInt8:
    """Stretch a picture to a size, for display."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def reduced(pixels: UInt8, side: int = 640) -> UInt8:
    """Reduce a picture so that its longer side has at most `side` pixels."""
    height, width = pixels.shape[:2]
    share = min(1.0, side / max(height, width))
    return stretched(pixels, max(1, round(height * share)), max(1, round(width * share)))


def averaged(square: UInt8, side: int) -> UInt8:
    """Return the mean colours of side × side parts of a square picture."""
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BOX))


def enlarged(pixels: UInt8, size: int) -> UInt8:
    """Enlarge a small picture to about `size` pixels with sharp edges, because browsers blur it."""
    times = max(1, round(size / pixels.shape[1]))
    return np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)


def picture(
    pixels: UInt8,
    marks: Iterable[str],
    alt: str,
    *,
    size: tuple[int, int] | None = None,
    margin: float = 0.0,
) -> str:
    """Return SVG of a picture with marks in its pixel coordinates.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 ndarray
    marks : iterable of str
        SVG elements; pixel (row r, column c) covers x from c to c + 1 and y from r to r + 1.
    alt : str
        Description for screen readers.
    size : (height, width), optional
        Coordinates to stretch the picture to; by default its own pixels.
    margin : float
        Free space around the picture, in the same coordinates.
    """
    height, width = size or pixels.shape[:2]
    box = f"{-margin} {-margin} {width + 2 * margin} {height + 2 * margin}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width + 2 * margin:g}" '
        f'height="{height + 2 * margin:g}" role="img" aria-label="{escape(alt)}">'
        f'<image href="{uri(pixels)}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f"{''.join(marks)}</svg>"
    )


def lines(xs: Iterable[float], ys: Iterable[float], height: float, width: float, weight: float) -> str:
    """Return a grid of vertical lines at xs and horizontal lines at ys, white over a dark shadow."""
    path = "".join(f"M{x:g} 0V{height:g}" for x in xs) + "".join(f"M0 {y:g}H{width:g}" for y in ys)
    return (
        f'<path d="{path}" fill="none" stroke="#000" stroke-opacity=".35" stroke-width="{2.5 * weight:g}"/>'
        f'<path d="{path}" fill="none" stroke="#fff" stroke-opacity=".85" stroke-width="{weight:g}"/>'
    )


def rectangle(
    x0: float, y0: float, x1: float, y1: float, weight: float, *, fill: float = 0.0, dashed: bool = False
) -> str:
    """Return a rectangle in the accent colour; `fill` is its opacity from 0 to 1."""
    dash = f' stroke-dasharray="{5 * weight:g} {3 * weight:g}"' if dashed else ""
    return (
        f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}" fill="{ACCENT}" '
        f'fill-opacity="{fill:g}" stroke="{ACCENT}" stroke-width="{weight:g}"{dash}/>'
    )


def dots(points: Iterable[tuple[float, float]], radius: float, *, ring: bool = False) -> str:
    """Return dots in the accent colour, or white rings, at (x, y)."""
    look = (
        f'fill="none" stroke="#fff" stroke-width="{radius / 2.5:g}"'
        if ring
        else f'fill="{ACCENT}" stroke="#000" stroke-opacity=".6" stroke-width="{radius / 4:g}"'
    )
    return "".join(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {look}/>' for x, y in points)


def polygon(corners: Sequence[Sequence[float]], weight: float) -> str:
    """Return a closed outline in the accent colour over a dark shadow."""
    points = " ".join(f"{x:g},{y:g}" for x, y in corners)
    return (
        f'<polygon points="{points}" fill="none" stroke="#000" stroke-opacity=".5" stroke-width="{2.2 * weight:g}"/>'
        f'<polygon points="{points}" fill="none" stroke="{ACCENT}" stroke-width="{weight:g}"/>'
    )
