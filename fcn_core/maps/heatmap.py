"""From class maps to heatmaps of a synset: summed over classes, averaged over scales, placed on the picture.

The plain averages are those of the notebook: every scale's heatmap is resized to the finest grid with
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

from fcn_core.errors import ScaleError
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import PlannedScale
from fcn_core.networks.geometry import CellAxis, CellGrid

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
MapKind = Literal["probability", "evidence"]
Placement = Literal["centres", "even"]

# Below this |power| the mean is evaluated around the geometric one, where (...) ** (1/p) would lose digits.
_NEARLY_GEOMETRIC = 1e-3
# Below this |power| the mean is the geometric one to the last digit, and power * log may underflow.
_GEOMETRIC = 1e-12


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What the network says at every cell of one scale.

    Attributes
    ----------
    logits : (h, w, C) float32 ndarray
        Class scores before the softmax, C = 1000 for ImageNet.
    cells : CellGrid
        Where the h x w cells look in the network's input.
    scale : PlannedScale
        The scale asked for and the input size it became.
    seconds : float
        Time of the forward pass.
    """

    logits: Float32
    cells: CellGrid
    scale: PlannedScale
    seconds: float

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells, (h, w)."""
        return self.logits.shape[0], self.logits.shape[1]

    @cached_property
    def softmax_terms(self) -> tuple[Float32, Float32]:
        """Largest logit m and ``sum(exp(logits - m))`` of every cell, each (h, w); computed once and kept."""
        largest = self.logits.max(axis=-1)
        total = np.empty(self.grid, np.float32)
        for row in range(self.grid[0]):  # a row at a time: the exponentials never exist all at once
            shifted = self.logits[row] - largest[row, :, None]
            np.exp(shifted, out=shifted).sum(axis=-1, out=total[row])
        return largest, total

    @property
    def log_normaliser(self) -> Float32:
        """``log(sum(exp(logits)))`` of every cell, (h, w): a logit less this is a log-probability."""
        largest, total = self.softmax_terms
        return largest + np.log(total)

    @property
    def probabilities(self) -> Float32:
        """Softmax over the classes, (h, w, C), each cell summing to 1; computed anew at every call."""
        return self.probabilities_of(slice(None))

    def probabilities_of(self, classes: slice | npt.NDArray[np.intp]) -> Float32:
        """Softmax probabilities of some classes only, (h, w, number of classes)."""
        largest, total = self.softmax_terms
        chosen = self.logits[..., classes] - largest[..., None]
        np.exp(chosen, out=chosen)
        chosen /= total[..., None]
        return chosen


@dataclass(frozen=True, eq=False)
class Heatmap:
    """One number a cell: how much of a synset is seen there.

    Attributes
    ----------
    values : (h, w) float32 ndarray
        For kind "probability" from 0 to 1; for "evidence" from 0 up, in units of logits.
    kind : "probability" or "evidence"
    cells : CellGrid or None
        Where the cells' fields lie; None for maps that did not come from a network.
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
        """Row and column of the largest value; of several equal ones the first in reading order."""
        row, column = divmod(int(self.values.argmax()), self.values.shape[1])
        return row, column


def synset_heatmap(class_map: ClassMap, class_ids: Sequence[int], kind: MapKind = "probability") -> Heatmap:
    """Heatmap of a synset from the classes below it.

    Parameters
    ----------
    class_map : ClassMap
    class_ids : sequence of int
        Classes of the synset, 0 to C-1. A class given twice counts twice in a probability, as in the
        notebook's depth-first search; `Ontology.class_ids` never does that.
    kind : "probability" or "evidence"
        "probability" sums the softmax over the classes (the notebook's heatmap). "evidence" is the positive
        part of their largest logit: not squeezed by the competition of the other classes, it outlines objects
        better.

    Returns
    -------
    Heatmap
        At the class map's own grid.

    Raises
    ------
    ValueError
        If there is no class, one is out of range, or the kind is unknown.
    """
    ids = np.asarray(class_ids, dtype=np.intp)
    count = class_map.logits.shape[-1]
    if ids.ndim != 1 or ids.size == 0:
        raise ValueError(f"Expected at least one class id. Received: {class_ids!r}")
    if ids.min() < 0 or ids.max() >= count:
        raise ValueError(f"Expected class ids from 0 to {count - 1}. Received: {ids.min()} to {ids.max()}")
    if kind == "probability":
        values = class_map.probabilities_of(ids).sum(axis=-1)
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
    """Weighted power mean of several scales, at the finest of their grids.

    Parameters
    ----------
    heatmaps : sequence of Heatmap
        Of one kind.
    power : float
        1 is the arithmetic mean, 0 the geometric (zero where any scale is zero), -1 the harmonic; towards
        infinity it becomes the maximum, towards minus infinity the minimum.
    weights : sequence of float, optional
        One a heatmap, not negative, any sum; 0 leaves the scale out altogether. Equal where not given.

    Returns
    -------
    Heatmap
        With the cells of the finest heatmap taking part.

    Raises
    ------
    ScaleError
        If no scale is left to average.
    ValueError
        If kinds are mixed, or weights do not match the heatmaps or are negative.
    """
    shares = _shares(len(heatmaps), weights)
    chosen = [heatmap for heatmap, share in zip(heatmaps, shares, strict=True) if share > 0]
    stack, finest = _on_finest_grid(chosen)
    return Heatmap(
        _power_mean(stack, power, shares[shares > 0]).astype(np.float32), finest.kind, finest.cells
    )


def spread(heatmaps: Sequence[Heatmap]) -> Heatmap:
    """How much the scales disagree: the standard deviation over scales, at the finest grid.

    For probabilities it lies between 0 (all scales agree) and 0.5.
    """
    stack, finest = _on_finest_grid(heatmaps)
    return Heatmap(stack.std(axis=0).astype(np.float32), finest.kind, finest.cells)


def power_mean(
    maps: Sequence[npt.ArrayLike], power: float = 1.0, weights: Sequence[float] | None = None
) -> Float32:
    """Weighted power mean, cell by cell, of equally large maps that are not negative.

    Computed through logarithms, so that neither tiny values nor large powers over- or underflow.

    Parameters
    ----------
    maps : sequence of (h, w) array_like
    power, weights
        As in `combine`.

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
) -> Float32:
    """Spread a heatmap over the picture, every cell at the centre of its field.

    Between cell centres the map is bilinear, beyond the outermost centres constant: no value appears that no
    cell has.

    Parameters
    ----------
    heatmap : Heatmap
    height, width : int
        Size of the picture, or of any picture of the same view.
    placement : "centres" or "even"
        "centres" puts a cell at the centre of its theoretical receptive field, scaled from the network's input to
        the picture. At the border, half of that field lies outside, and what moves the cell lies further inside
        (:mod:`fcn_core.engines.effective_field`). "even" divides the picture evenly among the cells, as the
        notebook and most class activation tools do: cell i at ``(i + 0.5) * height / h - 0.5``.
    smooth : bool
        False: every pixel takes the value of the cell with the nearest centre.

    Returns
    -------
    (height, width) float32 ndarray
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
    if not smooth:
        return heatmap.values[np.rint(rows).astype(np.intp)][:, np.rint(columns).astype(np.intp)]
    tall = _interpolation(rows, heatmap.grid[0]) @ heatmap.values
    return cast(Float32, (_interpolation(columns, heatmap.grid[1]) @ tall.T).T)


def _shares(count: int, weights: Sequence[float] | None) -> Float64:
    """Weights that sum to 1."""
    if count == 0:
        raise ScaleError("There is no scale to average. Choose at least one.")
    values = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if values.shape != (count,):
        raise ValueError(f"Expected {count} weights, one a heatmap. Received: {weights!r}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"Expected weights that are finite and not negative. Received: {weights!r}")
    if not values.any():
        raise ScaleError(
            "Every scale has weight 0, so nothing is left to average. Give at least one scale a weight."
        )
    return cast(Float64, values / values.sum())


def _on_finest_grid(heatmaps: Sequence[Heatmap]) -> tuple[Float64, Heatmap]:
    if not heatmaps:
        raise ScaleError("There is no scale to average. Choose at least one.")
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
    """Power mean over the first axis of a stack (n, h, w) of values >= 0."""
    if math.isnan(power):
        raise ValueError(f"Expected a number as power. Received: {power!r}")
    if (stack < 0).any():
        raise ValueError("Expected maps that are nowhere negative.")
    if power == 1:
        return cast(Float64, np.tensordot(shares, stack, 1))
    if math.isinf(power):
        return cast(Float64, stack.max(axis=0) if power > 0 else stack.min(axis=0))
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is meant: exp takes it back to 0
        logs = np.log(stack)
        if abs(power) < _GEOMETRIC:
            mean = np.tensordot(shares, logs, 1)
        elif abs(power) < _NEARLY_GEOMETRIC:
            change = np.tensordot(shares, np.expm1(power * logs), 1)
            mean = np.log1p(np.maximum(change, -1.0)) / power
        else:
            terms = power * logs
            largest = terms.max(axis=0)
            anchor = np.where(np.isfinite(largest), largest, 0.0)  # infinite: all zero, or a zero under p < 0
            mean = (anchor + np.log(np.tensordot(shares, np.exp(terms - anchor), 1))) / power
    return cast(Float64, np.exp(mean))


def _interpolation(positions: Float64, cells: int) -> sparse.csr_array:
    """Matrix (pixels, cells) that interpolates linearly between the two cells beside each position.

    Sparse: a dense product is shared out to threads, which wait for one another where the machine is busy.
    """
    lower = np.minimum(positions.astype(np.int32), max(cells - 2, 0))
    upper = np.minimum(lower + 1, cells - 1)
    fraction = (positions - lower).astype(np.float32)
    taps = np.column_stack([1 - fraction, fraction]).ravel()
    columns = np.column_stack([lower, upper]).ravel()
    starts = np.arange(0, 2 * positions.size + 1, 2, dtype=np.int32)
    return sparse.csr_array((taps, columns, starts), shape=(positions.size, cells))
