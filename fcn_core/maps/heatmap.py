"""From class maps to heatmaps of a synset: sum over classes, average over scales, place on the picture.

The averages are the notebook's: each scale's heatmap is resized to the finest grid with
``skimage.transform.resize(mode="reflect")`` and then averaged,

    arithmetic  (a + b + c + d) / 4        geometric  (a * b * c * d) ** (1 / 4)

Both are power means, ``(sum_s w_s x_s**p) ** (1/p)``, with p = 1 and p -> 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit

from fcn_core.errors import ScaleError
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import PlannedScale
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.networks.middle import MiddleMap
from fcn_core.synsets.outputs import IMAGENET, Outputs

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
MapKind = Literal["probability", "evidence"]
Placement = Literal["centres", "even"]

# Below this |power| the mean is computed by a series around the geometric mean: (...) ** (1/p) would lose digits.
_NEARLY_GEOMETRIC = 1e-3
# Below this |power| the mean equals the geometric mean to the last digit, and power * log may underflow.
_GEOMETRIC = 1e-12


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The network's logits at each cell of one scale.

    Attributes
    ----------
    logits : (h, w, C) float32 ndarray
        Class scores before the softmax; C = 1000 for ImageNet.
    cells : CellGrid
        Positions of the h x w cells in the network's input.
    scale : PlannedScale
        The requested scale and the input size planned for it.
    seconds : float
        Time of the forward pass.
    middle : tuple of MiddleMap
        What inner layers say in the same pass; empty if the model names none, or for a large input.
    outputs : Outputs
        What the classes are, and whether a place shows one of them or any number; ImageNet's by default.
    """

    logits: Float32
    cells: CellGrid
    scale: PlannedScale
    seconds: float
    middle: tuple[MiddleMap, ...] = ()
    outputs: Outputs = IMAGENET

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays, those of the middle maps included."""
        return self.logits.nbytes + sum(each.values.nbytes for each in self.middle)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells, (h, w)."""
        return self.logits.shape[0], self.logits.shape[1]

    @cached_property
    def softmax_terms(self) -> tuple[Float32, Float32]:
        """Largest logit m and ``sum(exp(logits - m))`` of each cell, both (h, w); computed once and kept."""
        largest = self.logits.max(axis=-1)
        total = np.empty(self.grid, np.float32)
        for row in range(self.grid[0]):  # one row at a time, to save memory
            shifted = self.logits[row] - largest[row, :, None]
            np.exp(shifted, out=shifted).sum(axis=-1, out=total[row])
        return largest, total

    @property
    def log_normaliser(self) -> Float32:
        """``log(sum(exp(logits)))`` of each cell, (h, w): a logit minus this value is a log-probability."""
        largest, total = self.softmax_terms
        return largest + np.log(total)

    @property
    def probabilities(self) -> Float32:
        """Probabilities of the classes, (h, w, C); each cell sums to 1 if they exclude each other. Not kept."""
        return self.probabilities_of(slice(None))

    def probability_of_any(self, classes: npt.NDArray[np.intp]) -> Float32:
        """Return the probability that a cell shows any of some classes, (h, w).

        It is the sum of their probabilities, which may round to 1.0000001. If the classes do not exclude each other, it
        is at least the probability of the surest, which is returned.
        """
        each = self.probabilities_of(classes)
        found: Float32 = each.sum(axis=-1) if self.outputs.exclusive else each.max(axis=-1)
        return found

    def probabilities_of(self, classes: slice | npt.NDArray[np.intp]) -> Float32:
        """Return the probabilities of some classes, (h, w, number of classes): softmax, or sigmoid of each."""
        if not self.outputs.exclusive:
            return cast(Float32, expit(self.logits[..., classes]))
        largest, total = self.softmax_terms
        chosen = self.logits[..., classes] - largest[..., None]
        np.exp(chosen, out=chosen)
        chosen /= total[..., None]
        return chosen


@dataclass(frozen=True, eq=False)
class Heatmap:
    """One number per cell: how strongly the network sees a synset there.

    Attributes
    ----------
    values : (h, w) float32 ndarray
        For kind "probability" from 0 to 1; for "evidence" 0 or more, in units of logits.
    kind : "probability" or "evidence"
    cells : CellGrid or None
        Positions of the cells; None for maps that do not come from a network.
    """

    values: Float32
    kind: MapKind
    cells: CellGrid | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells, (h, w)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def peak(self) -> float:
        """The largest value."""
        return float(self.values.max())

    @property
    def mean(self) -> float:
        """The mean over all cells."""
        return float(self.values.mean(dtype=np.float64))

    @property
    def peak_cell(self) -> tuple[int, int]:
        """Row and column of the largest value; the first one in reading order if several are equal."""
        row, column = divmod(int(self.values.argmax()), self.values.shape[1])
        return row, column


def synset_heatmap(class_map: ClassMap, class_ids: Sequence[int], kind: MapKind = "probability") -> Heatmap:
    """Compute the heatmap of a synset from its classes.

    Parameters
    ----------
    class_map : ClassMap
    class_ids : sequence of int
        Classes of the synset, 0 to C-1. A class that is given twice counts twice in a probability, as in the
        notebook's depth-first search; `Ontology.class_ids` returns each class once.
    kind : "probability" or "evidence"
        "probability" sums the softmax over the classes (the notebook's heatmap). "evidence" is the positive
        part of their largest logit: other classes do not lower it, so it outlines objects better.

    Returns
    -------
    Heatmap
        With the grid of the class map.

    Raises
    ------
    ValueError
        There is no class, a class is out of range, or the kind is unknown.
    """
    ids = np.asarray(class_ids, dtype=np.intp)
    count = class_map.logits.shape[-1]
    if ids.ndim != 1 or ids.size == 0:
        raise ValueError(f"Expected at least one class id. Received: {class_ids!r}")
    if ids.min() < 0 or ids.max() >= count:
        raise ValueError(f"Expected class ids from 0 to {count - 1}. Received: {ids.min()} to {ids.max()}")
    if kind == "probability":
        values = class_map.probability_of_any(ids)
        if np.unique(ids).size == ids.size:
            np.minimum(values, 1.0, out=values)  # the sum of all classes may round to 1.0000001
    elif kind == "evidence":
        values = np.maximum(class_map.logits[..., ids].max(axis=-1), 0.0)
    else:
        raise ValueError(f"Expected kind 'probability' or 'evidence'. Received: {kind!r}")
    return Heatmap(values, kind, class_map.cells)


def combine(
    heatmaps: Sequence[Heatmap], power: float = 1.0, weights: Sequence[float] | None = None
) -> Heatmap:
    """Compute the weighted power mean of several scales at their finest grid.

    Parameters
    ----------
    heatmaps : sequence of Heatmap
        All of one kind.
    power : float
        1 is the arithmetic mean, 0 the geometric mean (zero where any scale is zero), -1 the harmonic mean,
        infinity the maximum, minus infinity the minimum.
    weights : sequence of float, optional
        One per heatmap, not negative, of any sum; weight 0 leaves a scale out. All equal by default.

    Returns
    -------
    Heatmap
        With the cells of the finest heatmap that has a weight.

    Raises
    ------
    ScaleError
        No scale is left to average.
    ValueError
        Kinds are mixed, or weights are negative or do not match the heatmaps.
    """
    shares = _shares(len(heatmaps), weights)
    chosen = [heatmap for heatmap, share in zip(heatmaps, shares, strict=True) if share > 0]
    stack, finest = _on_finest_grid(chosen)
    return Heatmap(
        _power_mean(stack, power, shares[shares > 0]).astype(np.float32), finest.kind, finest.cells
    )


def spread(heatmaps: Sequence[Heatmap]) -> Heatmap:
    """Compute the standard deviation over the scales at the finest grid: how much they disagree.

    For probabilities it is between 0 (all scales agree) and 0.5.
    """
    stack, finest = _on_finest_grid(heatmaps)
    return Heatmap(stack.std(axis=0).astype(np.float32), finest.kind, finest.cells)


def power_mean(
    maps: Sequence[npt.ArrayLike], power: float = 1.0, weights: Sequence[float] | None = None
) -> Float32:
    """Compute the weighted power mean of maps of one size, cell by cell.

    Logarithms prevent overflow and underflow of tiny values and large powers.

    Parameters
    ----------
    maps : sequence of (h, w) array_like
        Values of 0 or more.
    power, weights
        See `combine`.

    Returns
    -------
    (h, w) float32 ndarray
    """
    shares = _shares(len(maps), weights)
    stack = np.stack([np.asarray(m, np.float64) for m, share in zip(maps, shares, strict=True) if share > 0])
    return _power_mean(stack, power, shares[shares > 0]).astype(np.float32)


def place(
    heatmap: Heatmap,
    height: int,
    width: int,
    placement: Placement = "centres",
    smooth: bool = True,
    block: slice = slice(None),
) -> Float32:
    """Interpolate a heatmap over the picture, each cell at the centre of its receptive field.

    The map is bilinear between cell centres and constant beyond the outermost ones, so it never exceeds the cells'
    values.

    Parameters
    ----------
    heatmap : Heatmap
    height, width : int
        Size of the result: the picture's, or any other.
    placement : "centres" or "even"
        "centres" puts a cell at the centre of its theoretical receptive field, scaled from the network's input to
        the picture. At the border, half of that field is outside the picture, and the pixels that influence the cell
        are further inside (:mod:`fcn_core.engines.effective_field`). "even" divides the picture evenly among the
        cells, as the notebook and most class activation tools do: cell i at ``(i + 0.5) * height / h - 0.5``.
    smooth : bool
        False: each pixel gets the value of the cell with the nearest centre.
    block : slice
        The rows to compute; by default all. Large pictures are drawn block by block to save memory.

    Returns
    -------
    (height, width) float32 ndarray, or the rows of the block
    """
    if placement not in ("centres", "even"):
        raise ValueError(f"Expected placement 'centres' or 'even'. Received: {placement!r}")
    if height < 1 or width < 1:
        raise ValueError(f"Expected a height and a width of at least 1. Received: {height} x {width}")
    if placement == "centres" and heatmap.cells is None:
        raise ValueError("This heatmap does not know where its cells look: use placement='even'.")
    if heatmap.cells and placement == "centres":
        axes = heatmap.cells.y, heatmap.cells.x
    else:
        axes = CellAxis.even(heatmap.grid[0]), CellAxis.even(heatmap.grid[1])
    if (axes[0].size, axes[1].size) != heatmap.grid:
        raise ValueError(
            f"Expected a heatmap of {axes[0].size} x {axes[1].size} cells. Received: {heatmap.grid}"
        )
    rows, columns = (
        axis.index(np.arange(pixels, dtype=np.float64), pixels)
        for axis, pixels in zip(axes, (height, width), strict=True)
    )
    rows = rows[block]
    if not smooth:
        return heatmap.values[np.rint(rows).astype(np.intp)][:, np.rint(columns).astype(np.intp)]
    tall = _interpolation(rows, heatmap.grid[0]) @ heatmap.values
    return cast(Float32, (_interpolation(columns, heatmap.grid[1]) @ tall.T).T)


def _shares(count: int, weights: Sequence[float] | None) -> Float64:
    """Return the weights scaled to a sum of 1."""
    if count == 0:
        raise ScaleError("Expected at least one scale to average. Received none. Choose one.")
    values = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if values.shape != (count,):
        raise ValueError(f"Expected {count} weights, one per heatmap. Received: {weights!r}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"Expected weights that are finite and not negative. Received: {weights!r}")
    if not values.any():
        raise ScaleError(
            "Expected at least one scale with a weight above 0. Received none. Raise the weight of a scale."
        )
    return cast(Float64, values / values.sum())


def _on_finest_grid(heatmaps: Sequence[Heatmap]) -> tuple[Float64, Heatmap]:
    if not heatmaps:
        raise ScaleError("Expected at least one scale to average. Received none. Choose one.")
    kinds = {heatmap.kind for heatmap in heatmaps}
    if len(kinds) > 1:
        raise ValueError(f"Expected heatmaps of one kind. Received: {sorted(kinds)}")
    finest = max(heatmaps, key=lambda heatmap: heatmap.values.size)
    height, width = finest.grid
    return np.stack([_resized(heatmap, height, width) for heatmap in heatmaps]), finest


def _resized(heatmap: Heatmap, height: int, width: int) -> Float64:
    values = heatmap.values.astype(np.float64)
    return (
        values
        if heatmap.grid == (height, width)
        else np.asarray(resize_array(values, height, width), np.float64)
    )


def _power_mean(stack: Float64, power: float, shares: Float64) -> Float64:
    """Compute the power mean over the first axis of a stack (n, h, w) of values >= 0."""
    if math.isnan(power):
        raise ValueError(f"Expected a number as power. Received: {power!r}")
    if (stack < 0).any():
        raise ValueError("Expected maps without negative values.")
    if power == 1:
        return cast(Float64, np.tensordot(shares, stack, 1))
    if math.isinf(power):
        return cast(Float64, stack.max(axis=0) if power > 0 else stack.min(axis=0))
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is intended: exp turns it back into 0
        logs = np.log(stack)
        if abs(power) < _GEOMETRIC:
            mean = np.tensordot(shares, logs, 1)
        elif abs(power) < _NEARLY_GEOMETRIC:
            change = np.tensordot(shares, np.expm1(power * logs), 1)
            mean = np.log1p(np.maximum(change, -1.0)) / power
        else:
            terms = power * logs
            largest = terms.max(axis=0)
            anchor = np.where(
                np.isfinite(largest), largest, 0.0
            )  # infinite: all values are 0, or one is 0 and p < 0
            mean = (anchor + np.log(np.tensordot(shares, np.exp(terms - anchor), 1))) / power
    return cast(Float64, np.exp(mean))


def _interpolation(positions: Float64, cells: int) -> sparse.csr_array:
    """Return the matrix (pixels, cells) that interpolates linearly between the two cells next to each position.

    It is sparse: a dense product would use threads, which wait for each other on a busy machine.
    """
    lower = np.minimum(positions.astype(np.int32), max(cells - 2, 0))
    upper = np.minimum(lower + 1, cells - 1)
    fraction = (positions - lower).astype(np.float32)
    taps = np.column_stack([1 - fraction, fraction]).ravel()
    columns = np.column_stack([lower, upper]).ravel()
    starts = np.arange(0, 2 * positions.size + 1, 2, dtype=np.int32)
    return sparse.csr_array((taps, columns, starts), shape=(positions.size, cells))
