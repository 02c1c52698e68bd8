"""The effective receptive field: the pixels that a cell really depends on, measured on a sample picture.

All pixels of a cell's receptive field (:mod:`fcn_core.networks.geometry`) can change its logits, but those near the
middle change them far more (Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural
Networks", NeurIPS 2016). The influence of a pixel is the sum of the squared gradients of the cell's logits with respect
to it.

It is measured without gradients. Noise of a small standard deviation s on some pixels changes the logits; the expected
sum of squared changes is s**2 times the squared gradients with respect to these pixels. So the picture is divided into
horizontal and vertical strips, and in each pass one strip gets noise. Each pass measures all cells at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import Predictor
from fcn_core.errors import EngineError
from fcn_core.images.resize import ResizedImage, resize_image
from fcn_core.networks.geometry import CellAxis

SIDE = 384
"""Height and width of the sample, in pixels: large enough for most of the field of a cell in the middle."""
_STRIP = 32  # pixels
# Standard deviation, in grey levels of 255. With ten times more, the network is no longer linear where a picture is
# smooth, and the measured fields are wider; a thousand times less would be lost in the rounding of float32.
_NOISE = 0.02
_WITHIN = (
    0.95  # share of the squared gradients along each side; the square then contains at least 0.9 of them
)
_EDGES = np.arange(0, SIDE + 1, _STRIP)
PASSES = 1 + 2 * (_EDGES.size - 1)
"""Forward passes of a measurement."""


@dataclass(frozen=True)
class EffectiveField:
    """Sizes in pixels of the network's input.

    Attributes
    ----------
    side : int
        A square of this size around a cell's centre contains about nine tenths of the squared gradients of its logits:
        0.95 of them in height and in width. Median over the cells of the sample.
    low, high : int
        The same at the lower and the upper tenth of the cells.
    inward : int
        Distance from the theoretical centre of a cell at the border to its measured centre (the mean position of its
        squared gradients), towards the middle. Mean of a row or column, on the side where it is largest.
    """

    side: int
    low: int
    high: int
    inward: int


def measure(model: Predictor, checkpoint: Callable[[float], None] | None = None) -> EffectiveField:
    """Measure a model's effective field on a picture that comes with scikit-image: 25 small passes.

    Parameters
    ----------
    model : Predictor
    checkpoint : callable, optional
        Called with the finished share in [0, 1]; may raise to stop between passes.

    Raises
    ------
    EngineError
        The logits do not depend on the pixels, as with broken weights.
    FcnError
        A pass of the model failed.
    """
    energies = _energies(model, sample(), checkpoint)
    cells = model.cells(SIDE, SIDE)
    sides: list[float] = []
    shifts: list[float] = []
    for energy, axis in zip(energies, (cells.y, cells.x), strict=True):
        for index in range(axis.size):
            if _is_inner(axis, index):
                sides += [_side(strips, axis.centre(index)) for strips in _shares(energy[:, index])]
        for index, sign in ((0, 1), (axis.size - 1, -1)):
            found = _shares(energy[:, index])
            measured = [float((_EDGES[:-1] + _EDGES[1:] - 1) @ strips / 2) for strips in found]
            shifts += [sign * (float(np.mean(measured)) - axis.centre(index))] if measured else []
    if not sides:
        raise EngineError(
            f"Expected a network whose logits depend on the picture. Received {model.info.title} with "
            f"{model.info.weights} weights, whose logits are the same everywhere. Check the weights file."
        )
    low, side, high = (round(float(np.quantile(sides, share))) for share in (0.1, 0.5, 0.9))
    return EffectiveField(side, low, high, round(max([0.0, *shifts])))


def measure_cells(
    model: Predictor, image: ResizedImage, checkpoint: Callable[[float], None] | None = None
) -> NDArray[np.float32]:
    """Measure for each cell of one picture how much every part of the picture moves its logits.

    The parts are the squares around the centres of the cells, half-way to the neighbours (`CellAxis.edges`): as many
    as cells, each with one small pass.

    Parameters
    ----------
    model : Predictor
    image : ResizedImage
        The picture at the size of the network's input.
    checkpoint : callable, optional
        Called with the finished share in [0, 1]; may raise to stop between passes.

    Returns
    -------
    (h, w, h, w) float32 ndarray
        ``[i, j]`` is of the cell in row i and column j: the mean squared gradient of its logits with respect to the
        pixels of each part, as a share of the sum over all parts. It is zero everywhere if nothing moves the cell.
    """
    height, width = image.height, image.width
    cells = model.cells(height, width)
    rows = [round(share * height) for share in cells.y.edges()]
    columns = [round(share * width) for share in cells.x.edges()]
    picture = np.ascontiguousarray(np.moveaxis(image.rows(0, height), 0, -1))
    rng = np.random.default_rng(0)
    noise = (_NOISE * rng.standard_normal(picture.shape)).astype(np.float32)
    parts = cells.y.size * cells.x.size

    def logits(pixels: NDArray[np.float32], done: int) -> NDArray[np.float32]:
        if checkpoint is not None:
            checkpoint(done / (parts + 1))
        return model.logits(ResizedImage(pixels, height, width))  # type: ignore[arg-type]  # floats, as they are

    plain = logits(picture, 0)
    moved = np.zeros((*plain.shape[:2], parts), np.float64)
    for part in range(parts):
        row, column = divmod(part, cells.x.size)
        square = slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1])
        if picture[square].size == 0:
            continue  # the last cell of some sizes looks beyond the border
        pixels = picture.copy()
        pixels[square] += noise[square]
        change = logits(pixels, 1 + part) - plain
        energy = np.einsum("hwc,hwc->hw", change, change, dtype=np.float64)
        moved[..., part] = energy / np.square(noise[square], dtype=np.float64).sum()
    total = moved.sum(axis=-1, keepdims=True)
    shares = np.divide(moved, total, out=np.zeros_like(moved), where=total > 0)
    found: NDArray[np.float32] = shares.reshape(*plain.shape[:2], cells.y.size, cells.x.size).astype(
        np.float32
    )
    return found


def sample() -> NDArray[np.float32]:
    """Return the sample picture: the astronaut Eileen Collins, by NASA, of shape (384, 384, 3), 0 to 255."""
    import skimage.data

    return np.asarray(resize_image(skimage.data.astronaut(), SIDE, SIDE), np.float32)


def _energies(
    model: Predictor, picture: NDArray[np.float32], checkpoint: Callable[[float], None] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the squared change of every cell's logits by noise in each strip.

    Returns
    -------
    (strips, rows, columns) and (strips, columns, rows) float64 ndarray
        For the strips along y and along x.
    """
    rng = np.random.default_rng(0)
    noise = (_NOISE * rng.standard_normal(picture.shape)).astype(np.float32)

    def logits(pixels: NDArray[np.float32], done: int) -> NDArray[np.float32]:
        if checkpoint is not None:
            checkpoint(done / PASSES)
        return model.logits(ResizedImage(pixels, SIDE, SIDE))  # type: ignore[arg-type]  # floats, as they are

    plain = logits(picture, 0)
    changes: list[NDArray[np.float64]] = []
    for turn in range(2):
        for start in _EDGES[:-1]:
            strip = (slice(None),) * turn + (slice(start, start + _STRIP),)
            pixels = picture.copy()
            pixels[strip] += noise[strip]
            change = logits(pixels, 1 + len(changes)) - plain
            changes.append(np.einsum("hwc,hwc->hw", change, change, dtype=np.float64))
    down, across = np.array(changes).reshape(2, -1, *plain.shape[:2])
    return down, across.swapaxes(1, 2)


def _is_inner(axis: CellAxis, index: int) -> bool:
    """Return whether a cell is in the middle third, where the border cuts off little of its field."""
    return axis.input_size / 3 <= axis.centre(index) <= axis.input_size * 2 / 3


def _shares(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares of the strips (cells, strips), without cells that no strip changes."""
    total = energy.sum(axis=0)
    shares: NDArray[np.float64] = (energy[:, total > 0] / total[total > 0]).T
    return shares


def _side(strips: NDArray[np.float64], centre: float) -> float:
    """Return how many pixels around a centre contain `_WITHIN` of the strips' total, spread evenly in each strip."""
    halves = np.arange(0.5, SIDE, 0.5)
    up_to = np.append(0.0, np.cumsum(strips))
    edges = _EDGES - 0.5  # the centre of pixel 0 is 0.0
    within = np.interp(centre + halves, edges, up_to) - np.interp(centre - halves, edges, up_to)
    return 2 * float(halves[np.searchsorted(within, _WITHIN)])
