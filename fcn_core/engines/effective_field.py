"""What moves a cell: the effective receptive field, measured on a sample picture.

All pixels of a cell's receptive field (:mod:`fcn_core.networks.geometry`) can change its logits, but those
near the middle do so
far more than the others (Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural
Networks", NeurIPS 2016). How much a pixel does is the sum of the squared gradients of the cell's logits after it.

No gradients are needed to measure it. Noise of a small standard deviation s on some pixels alone changes the logits by
a sum of squares whose expectation is s**2 times the squared gradients after those pixels. So the picture is cut into
strips, across and along, and each strip gets noise in a pass of its own: every pass tells of all cells at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.load import Predictor
from fcn_core.errors import EngineError
from fcn_core.images.resize import ResizedImage, resize_image
from fcn_core.networks.geometry import CellAxis

SIDE = 384
"""Pixels of the sample, in height and width: the cells in its middle have most of their fields within."""
_STRIP = 32  # pixels
# Of a grey level of 255. Where a picture is smooth, ten times as much already takes the network beyond where it is
# linear, and the fields come out wider; a thousand times less would drown in float32's rounding.
_NOISE = 0.02
_WITHIN = 0.95  # of the squared gradients, along each side: then at least 0.9 of them are within the square
_EDGES = np.arange(0, SIDE + 1, _STRIP)
PASSES = 1 + 2 * (_EDGES.size - 1)
"""That a measurement takes."""


@dataclass(frozen=True)
class EffectiveField:
    """Sizes in pixels of the network's input.

    Attributes
    ----------
    side : int
        A square so large around a cell's centre holds about nine tenths of the squared gradients of its logits: in
        height and in width it holds 0.95 of them, in the median of the sample's cells.
    low, high : int
        The same of the cells at the lower and the upper tenth.
    inward : int
        How far the measured centre of a cell at the border of the picture (the mean place of its squared gradients)
        lies nearer to the middle than its theoretical one; mean of a row or column, on the side where it is most.
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
        The network says the same whatever the pixels are, as one with broken weights may.
    FcnError
        Whatever a pass of the model raises.
    """
    energies = _energies(model, sample(), checkpoint)
    cells = model.cells(SIDE, SIDE)
    sides: list[float] = []
    shifts: list[float] = []
    for energy, axis in zip(energies, (cells.y, cells.x), strict=True):
        for index in range(axis.size):
            if _is_inner(axis, index):
                sides += [_side(strips, axis.centre(index)) for strips in _alive(energy[:, index])]
        for index, sign in ((0, 1), (axis.size - 1, -1)):
            alive = _alive(energy[:, index])
            measured = [float((_EDGES[:-1] + _EDGES[1:] - 1) @ strips / 2) for strips in alive]
            shifts += [sign * (float(np.mean(measured)) - axis.centre(index))] if measured else []
    if not sides:
        raise EngineError(
            f"Expected a network whose answer depends on the picture. Received {model.info.title} with "
            f"{model.info.weights} weights, which says the same everywhere; check the weights file."
        )
    low, side, high = (round(float(np.quantile(sides, share))) for share in (0.1, 0.5, 0.9))
    return EffectiveField(side, low, high, round(max([0.0, *shifts])))


def sample() -> NDArray[np.float32]:
    """The picture that is measured on: the astronaut Eileen Collins, by NASA, of shape (384, 384, 3), 0 to 255."""
    import skimage.data

    return np.asarray(resize_image(skimage.data.astronaut(), SIDE, SIDE), np.float32)


def _energies(
    model: Predictor, picture: NDArray[np.float32], checkpoint: Callable[[float], None] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared change of every cell's logits by noise in each strip.

    Returns
    -------
    (strips, rows, columns) and (strips, columns, rows) float64 ndarray
        For strips along y and along x.
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
    """Whether a cell looks at the middle third, so that the picture's border takes little of its field."""
    return axis.input_size / 3 <= axis.centre(index) <= axis.input_size * 2 / 3


def _alive(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the strips for each of some cells, (cells, strips), without cells that nothing moves."""
    total = energy.sum(axis=0)
    shares: NDArray[np.float64] = (energy[:, total > 0] / total[total > 0]).T
    return shares


def _side(strips: NDArray[np.float64], centre: float) -> float:
    """Pixels around a centre that hold `_WITHIN` of what is in the strips, evenly spread within each."""
    halves = np.arange(0.5, SIDE, 0.5)
    up_to = np.append(0.0, np.cumsum(strips))
    edges = _EDGES - 0.5  # the centre of pixel 0 is 0.0
    held = np.interp(centre + halves, edges, up_to) - np.interp(centre - halves, edges, up_to)
    return 2 * float(halves[np.searchsorted(held, _WITHIN)])
