"""Pictures and class maps for tests of maps: a bluish disc on a yellowish ground, of which the network sees a part."""

import numpy as np

from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellAxis, CellGrid


def class_map(logits, stride=32, middle=()):
    """Return a class map with adjacent cells of `stride` input pixels."""
    h, w, _ = logits.shape
    plan = PlannedScale(Scale(h * stride, w * stride), h * stride, w * stride, False)
    return ClassMap(np.asarray(logits, np.float32), grid(h, w, stride), plan, 0.0, middle)


def grid(h, w, stride):
    return CellGrid(*(CellAxis(n * stride, n, stride, (stride - 1) / 2, stride) for n in (h, w)))


def two_coloured(height=240, width=320):
    """Return a picture of a bluish disc on a noisy yellowish ground, and the mask of the disc."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((height, width))
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (0.3 * height) ** 2
    pixels = np.where(disc[..., None], (40, 60, 160), (180, 170, 90)) + rng.normal(0, 8, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8), disc


def seen_in_part(h=13, w=20, classes=6):
    """Return logits that are high in the disc's left half and low in its right half; class 1 is the ground."""
    logits = np.zeros((h, w, classes), np.float32)
    logits[..., 1] = 6
    rows, columns = (np.indices((h, w)) + 0.5) / np.array((h, w))[:, None, None]
    disc = ((rows - 0.5) * 0.75) ** 2 + (columns - 0.5) ** 2 < 0.225**2
    logits[disc, :6] = (2, 0, 5, 5, 0, 0)
    logits[disc & (columns < 0.5), :6] = (9, 0, 5, 5, 0, 0)
    return logits
