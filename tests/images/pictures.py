"""A small picture in many formats, and how a file of it is read."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fcn_core.images.read import read_image

H, W = 40, 64
RGB = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)).resize(
        (W, H), Image.Resampling.BICUBIC
    )
)
PICTURE = Image.fromarray(RGB)


def read(data, **options):
    return read_image(data, name="a", **options).pixels.astype(int)


def distance(data, expected):
    pixels = read(data)
    assert pixels.shape == np.asarray(expected).shape
    return np.abs(pixels - np.asarray(expected)).mean()
