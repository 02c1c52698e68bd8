"""Superpixels: a picture divided into small regions of similar colour, and means of maps over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from fcn_core.images.resize import resize_image
from fcn_core.images.working import working_pixels
from fcn_core.networks.geometry import CellGrid

Float64 = npt.NDArray[np.float64]
Pooling: TypeAlias = sparse.csr_array  # (regions, cells): averages a map over each region

_SIDE = 320  # longest side of the picture that is divided
_REGION_PIXELS = 36  # smallest number of pixels of a region, approximately
_REGIONS = 500  # approximate number of regions of a picture
_COMPACTNESS = 20.0  # how square the regions are
_ITERATIONS = 5  # ten, the usual number, give masks hardly better and take twice as long


@dataclass(frozen=True, eq=False)
class Regions:
    """A picture divided into small regions of similar colour; they do not depend on the synset.

    Attributes
    ----------
    labels : (h, w) int ndarray
        Region of each pixel, from 0 to n - 1. The longest side has at most 320 pixels.
    sizes : (n,) float ndarray
        Number of pixels of each region.
    centres : (n, 2) float ndarray
        Row and column of each region's centroid.
    colours : (n, 3) float ndarray
        Mean colour in CIELAB.
    """

    labels: npt.NDArray[np.intp]
    sizes: Float64
    centres: Float64
    colours: Float64

    def mean(self, values: npt.ArrayLike) -> Float64:
        """Return the mean of an array (h, w) over each region, (n,)."""
        sums = np.bincount(self.labels.ravel(), np.asarray(values).ravel(), self.sizes.size)
        return sums / self.sizes

    def neighbours(self) -> sparse.csr_array:
        """Return the share of each region's border that it has in common with each other region, (n, n), sparse."""
        pairs = np.concatenate(
            [
                np.stack([a.ravel(), b.ravel()], axis=1)
                for a, b in (
                    (self.labels[:, :-1], self.labels[:, 1:]),
                    (self.labels[:-1], self.labels[1:]),
                )
            ]
        )
        one, other = pairs[pairs[:, 0] != pairs[:, 1]].T
        shape = (self.sizes.size, self.sizes.size)
        shared = sparse.csr_array(
            (np.ones(2 * one.size), (np.r_[one, other], np.r_[other, one])), shape=shape
        )
        border = np.maximum(np.asarray(shared.sum(axis=1)).ravel(), 1)
        return sparse.csr_array(sparse.diags_array(1 / border) @ shared)

    def pooling(self, cells: CellGrid) -> sparse.csr_array:
        """Return the matrix (n, cells) that averages a map over each region.

        The map is bilinear between the centres of its cells and constant beyond them, as in
        :func:`fcn_core.maps.heatmap.place`; cells are in reading order.
        """
        rows, columns = (
            _taps(axis.index(np.arange(pixels, dtype=np.float64), pixels), axis.size)
            for axis, pixels in zip((cells.y, cells.x), self.labels.shape, strict=True)
        )
        shares = (1 / self.sizes)[self.labels]
        shape = (self.sizes.size, cells.y.size * cells.x.size)
        first = self.labels * shape[1]
        matrix = np.zeros(math.prod(shape))
        for row, down in rows:
            for column, across in columns:
                index = first + (row[:, None] * cells.x.size + column)
                weights = shares * down[:, None] * across
                matrix += np.bincount(index.ravel(), weights.ravel(), matrix.size)
        return sparse.csr_array(matrix.reshape(shape).astype(np.float32))


def segment(pixels: npt.NDArray[np.uint8]) -> Regions:
    """Divide a picture (H, W, 3) into about 500 regions (Achanta et al., "SLIC Superpixels", TPAMI 2012).

    A picture and its working copy have the same regions.
    """
    from skimage.color import rgb2lab  # slow to import
    from skimage.segmentation import slic

    pixels = working_pixels(pixels)
    height, width = _bounded(pixels.shape[0], pixels.shape[1], _SIDE)
    small = np.clip(resize_image(pixels, height, width) / 255, 0, 1)
    wanted = min(_REGIONS, height * width // _REGION_PIXELS)
    labels = np.zeros((height, width), np.intp)
    if wanted > 1:
        labels = slic(
            small, wanted, compactness=_COMPACTNESS, sigma=1, max_num_iter=_ITERATIONS, start_label=0
        )
        used = np.bincount(labels.ravel()) > 0
        labels = (used.cumsum() - 1)[labels]  # without gaps
    rows, columns = np.indices(labels.shape)
    lab = rgb2lab(small)
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    properties = [
        np.bincount(labels.ravel(), plane.ravel()) / sizes
        for plane in (rows, columns, *np.moveaxis(lab, -1, 0))
    ]
    return Regions(labels, sizes, np.stack(properties[:2], axis=1), np.stack(properties[2:], axis=1))


def squared_distances(points: npt.NDArray[np.floating]) -> Float64:
    """Return the squared distance between each two of some points, (n, n), from their coordinates (n, k)."""
    squares = (points.astype(np.float64) ** 2).sum(axis=1)
    return cast(Float64, (squares[:, None] + squares - 2 * (points @ points.T)).clip(0))


def _taps(
    positions: Float64, cells: int
) -> tuple[tuple[npt.NDArray[np.intp], Float64], tuple[npt.NDArray[np.intp], Float64]]:
    """Return the two cells next to each position, and their shares in a linear interpolation."""
    lower = np.minimum(positions.astype(np.intp), max(cells - 2, 0))
    fraction = positions - lower
    return (lower, 1 - fraction), (np.minimum(lower + 1, cells - 1), fraction)


def _bounded(height: int, width: int, side: int) -> tuple[int, int]:
    """Return a size with the same proportions and no side longer than `side`."""
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
