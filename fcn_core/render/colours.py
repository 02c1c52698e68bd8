"""Colours of a map, by matplotlib's tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from fcn_core.system.folders import give_matplotlib_a_place

UInt8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

COLOUR_MAPS = ("viridis", "cividis", "magma", "gray", "jet")
"""The perceptually uniform ones, safe for colour-blind readers, come first; "jet" is for comparison with older work."""

DIVERGING: tuple[Colour, Colour] = ((0, 114, 178), (230, 159, 0))
"""Colours of positive and of negative values: blue and orange of Okabe and Ito (2008). Readers with any kind of colour
blindness can tell them apart, and so can who sees grey only, because the orange is lighter."""

NO_DATA: Colour = (128, 128, 128)
"""Colour of NaN."""

_BLOCK_PIXELS = 2**18  # about a hundred bytes of memory each


@cache
def colour_table(cmap: str = "viridis") -> UInt8:
    """Return the 256 colours of a colour map, (256, 3) uint8, from the lowest value to the highest.

    Raises
    ------
    ValueError
        The name is not one of `COLOUR_MAPS`.
    """
    if cmap not in COLOUR_MAPS:
        raise ValueError(f"Expected a colour map of {', '.join(COLOUR_MAPS)}. Received: {cmap!r}")
    give_matplotlib_a_place()
    import matplotlib

    table = np.array(matplotlib.colormaps[cmap](np.arange(256), bytes=True)[:, :3])
    table.flags.writeable = False
    return table


def colourise(values: npt.ArrayLike, vmin: float = 0.0, vmax: float = 1.0, cmap: str = "viridis") -> UInt8:
    """Return the colours of a map, as matplotlib gives them.

    Parameters
    ----------
    values : (H, W) array_like
        A value outside the range gets the colour of the nearer end, NaN gets `NO_DATA`.
    vmin, vmax : float
        Values of the lowest and the highest colour. If they are equal, everything above gets the highest colour.
    cmap : str
        One of `COLOUR_MAPS`.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"Expected a map of two dimensions. Received shape: {array.shape}")
    if not (math.isfinite(vmin) and math.isfinite(vmax)) or vmax < vmin:
        raise ValueError(f"Expected a finite range with vmin <= vmax. Received: {vmin} to {vmax}")
    table = colour_table(cmap)
    colours = np.empty((*array.shape, 3), np.uint8)
    for rows in row_blocks(array.shape):
        part = array[rows].astype(np.float32)
        unknown = np.isnan(part)
        if vmax > vmin:
            position = np.clip((part - np.float32(vmin)) * np.float32(256 / (vmax - vmin)), 0, 255)
        else:
            position = np.where(part > vmin, np.float32(255), np.float32(0))
        position[unknown] = 0
        np.take(table, position.astype(np.uint8), axis=0, out=colours[rows])
        colours[rows][unknown] = NO_DATA
    return colours


def row_blocks(shape: Sequence[int]) -> Iterable[slice]:
    """Yield slices of rows that cover a picture, each of about a quarter of a million pixels, to bound memory."""
    rows = max(1, _BLOCK_PIXELS // max(shape[1], 1))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))
