"""The working copy of a picture: what regions, mask and boxes are made from, whatever the size of the picture.

One size for all ways to ask is what makes them agree: the page keeps nothing but the copy, the command has the whole
picture, and both compute from the same pixels.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.images.read import RGBImage
from fcn_core.images.resize import resize_image

#: Pixels of the largest working copy: more than the regions of a picture can tell apart.
WORKING_PIXELS = 800_000


def working_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of a picture's working copy; that of a working copy is its own."""
    if height * width <= WORKING_PIXELS:
        return height, width
    shrink = math.sqrt(WORKING_PIXELS / (height * width))
    return max(1, int(height * shrink)), max(
        1, int(width * shrink)
    )  # rounded down: never more than the bound


def working_pixels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the pixels (h, w, 3) of the working copy; the very array if it is small enough."""
    height, width = working_size(*pixels.shape[:2])
    if pixels.shape[:2] == (height, width):
        return pixels
    return resize_image(pixels, height, width).round().astype(np.uint8)


def working_copy(image: RGBImage) -> RGBImage:
    """Return the working copy, with the name, the hash and the original size of the picture."""
    pixels = working_pixels(image.pixels)
    return image if pixels is image.pixels else replace(image, pixels=pixels)
