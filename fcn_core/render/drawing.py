"""Drawing on a photo: blended colours, a veil around a mask, outlines, boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fcn_core.render.colours import DIVERGING, Colour, UInt8, colourise, row_blocks

if TYPE_CHECKING:
    from fcn_core.maps.region import Box

# From the palette of Okabe and Ito (2008), distinguishable with every kind of colour blindness; white is visible on
# all colour maps once it has a black casing.
BOX_COLOUR: Colour = (230, 159, 0)
CONTOUR_COLOUR: Colour = (255, 255, 255)
CASING: Colour = (0, 0, 0)
#: Opacity of a map's highest value over a photo.
MAP_OPACITY = 0.85


def overlay(photo: UInt8, colours: UInt8, opacity: float | npt.ArrayLike = 0.5) -> UInt8:
    """Blend colours over a photo.

    Parameters
    ----------
    photo, colours : (H, W, 3) uint8 ndarray
    opacity : float or (H, W) array_like
        0 shows the photo alone, 1 the colours alone; an array gives one value per pixel.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    _check_photo(photo)
    if photo.shape != colours.shape:
        raise ValueError(f"Expected colours of the photo's shape {photo.shape}. Received: {colours.shape}")
    alpha = np.asarray(opacity, np.float32)
    if alpha.ndim not in (0, 2) or (alpha.ndim == 2 and alpha.shape != photo.shape[:2]):
        raise ValueError(f"Expected an opacity of shape () or {photo.shape[:2]}. Received: {alpha.shape}")
    if not bool((alpha >= 0).all() and (alpha <= 1).all()):
        raise ValueError("Expected an opacity from 0 to 1.")
    blended = np.empty_like(photo)
    for rows in row_blocks(photo.shape[:2]):
        share = alpha[rows, :, None] if alpha.ndim else alpha
        below = photo[rows].astype(np.float32)
        mixed = below + (colours[rows].astype(np.float32) - below) * share
        blended[rows] = np.rint(mixed, out=mixed)
    return blended


def overlay_map(
    photo: UInt8,
    values: npt.NDArray[np.floating[Any]],
    span: tuple[float, float] = (0.0, 1.0),
    cmap: str = "viridis",
    opacity: float = MAP_OPACITY,
) -> UInt8:
    """Blend a map over a photo, the more opaque the higher its value: where nothing is found, the photo stays as it is.

    Parameters
    ----------
    photo : (H, W, 3) uint8 ndarray
    values : (H, W) float ndarray
        NaN leaves the photo as it is.
    span : (float, float)
        Values of the lowest colour, which is transparent, and of the highest, which has the full opacity. In between,
        the opacity grows linearly.
    cmap : str
        One of `COLOUR_MAPS`.
    opacity : float
        From 0 to 1.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    _check_map(photo, values)
    low, high = span
    blended = np.empty_like(photo)
    for rows in row_blocks(photo.shape[:2]):
        part = values[rows].astype(np.float32)
        share = np.clip((part - low) / (high - low), 0, 1) if high > low else (part > low).astype(np.float32)
        share = np.nan_to_num(share, copy=False)
        blended[rows] = overlay(photo[rows], colourise(part, low, high, cmap), share * np.float32(opacity))
    return blended


def overlay_signed(
    photo: UInt8, values: npt.NDArray[np.floating[Any]], most: float, opacity: float = MAP_OPACITY
) -> UInt8:
    """Blend a map of positive and negative values over a photo, in the two colours of `DIVERGING`.

    Parameters
    ----------
    photo : (H, W, 3) uint8 ndarray
    values : (H, W) float ndarray
        0 and NaN leave the photo as it is.
    most : float
        Absolute value from which the colour has the full opacity. Below, the opacity grows linearly.
    opacity : float
        From 0 to 1.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    _check_map(photo, values)
    if not (math.isfinite(most) and most > 0):
        raise ValueError(f"Expected a finite range above 0. Received: {most}")
    blended = np.empty_like(photo)
    for rows in row_blocks(photo.shape[:2]):
        part = np.nan_to_num(values[rows].astype(np.float32))
        colours = np.where(part[..., None] > 0, *(np.array(colour, np.uint8) for colour in DIVERGING))
        blended[rows] = overlay(
            photo[rows], colours, np.minimum(np.abs(part) / np.float32(most), 1) * opacity
        )
    return blended


def draw_mask(photo: UInt8, mask: npt.NDArray[np.bool_], opacity: float = 0.7) -> UInt8:
    """Show a region by veiling the rest: outside the mask the photo becomes grey and dark.

    Parameters
    ----------
    photo : (H, W, 3) uint8 ndarray
    mask : (H, W) bool ndarray
    opacity : float
        Opacity of the veil, 0 to 1.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    veil = np.empty_like(photo)
    for rows in row_blocks(photo.shape[:2]):
        grey = photo[rows] @ np.array([0.299, 0.587, 0.114], np.float32)
        veil[rows] = (grey * 0.3 + 8)[..., None]
    return overlay(photo, veil, np.where(mask, np.float32(0), np.float32(opacity)))


def draw_contours(
    photo: UInt8,
    contours: Iterable[npt.NDArray[np.floating[Any]]],
    colour: Colour = CONTOUR_COLOUR,
    width: int | None = None,
) -> UInt8:
    """Draw closed outlines with a black casing; `contours` are (n, 2) arrays of (x, y) from `contours_of`."""
    canvas, draw, line = _canvas(photo, width)
    paths = [[(x - 0.5, y - 0.5) for x, y in np.concatenate([c, c[:1]]).tolist()] for c in contours if len(c)]
    for thickness, ink in ((line + 2 * _casing(line), CASING), (line, colour)):
        for path in paths:
            draw.line(path, fill=ink, width=thickness, joint="curve" if thickness > 2 else None)
    return np.asarray(canvas)


def draw_boxes(
    photo: UInt8, boxes: Iterable[Box], colour: Colour = BOX_COLOUR, width: int | None = None
) -> UInt8:
    """Draw bounding boxes with a black casing, the outer edge on the outermost pixels inside the box."""
    _check_photo(photo)
    drawn, line = photo.copy(), _line(photo, width)
    case = _casing(line)
    for box in reversed(tuple(boxes)):  # the largest box comes last, on top
        _frame(drawn[box.y0 : box.y1, box.x0 : box.x1], CASING, line + 2 * case)
        if min(box.x1 - box.x0, box.y1 - box.y0) > 2 * case:
            _frame(drawn[box.y0 + case : box.y1 - case, box.x0 + case : box.x1 - case], colour, line)
    return drawn


def _frame(inside: UInt8, colour: Colour, width: int) -> None:
    """Colour the pixels at the edges of a part of a photo."""
    inside[:width] = inside[-width:] = inside[:, :width] = inside[:, -width:] = colour


def _check_map(photo: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    _check_photo(photo)
    if values.shape != photo.shape[:2]:
        raise ValueError(f"Expected a map of the photo's shape {photo.shape[:2]}. Received: {values.shape}")


def _check_photo(photo: npt.NDArray[Any]) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(f"Expected a photo as uint8 (H, W, 3). Received: {photo.dtype} {photo.shape}")


def _canvas(photo: UInt8, width: int | None) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    _check_photo(photo)
    canvas = Image.fromarray(photo)
    return canvas, ImageDraw.Draw(canvas), _line(photo, width)


def _line(photo: UInt8, width: int | None) -> int:
    return width if width is not None else max(2, round(math.sqrt(photo.shape[0] * photo.shape[1]) / 260))


def _casing(line: int) -> int:
    return max(1, round(line / 3))
