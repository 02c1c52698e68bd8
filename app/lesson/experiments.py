"""Compute the numbers and checks of the lesson.

Nothing here draws: a notebook could make every figure of the lesson from these functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fcn_core.images.resize import resize_array
from fcn_core.maps.heatmap import ClassMap, Heatmap, combine
from fcn_core.maps.region import normalise
from fcn_core.networks.geometry import CellAxis, Geometry, Node, trace
from fcn_core.synsets.ontology import Ontology

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_RANDOM_SHAPE = (10, 3, 4, 5)  # of the notebook's random tensor


@dataclass(frozen=True)
class Check:
    """The result of checking a claim.

    Attributes
    ----------
    error : float
        Largest deviation found; NaN means that the check failed.
    limit : float
        Largest error that rounding explains.
    """

    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit."""
        return bool(self.error <= self.limit)


# --- 1  The classifier ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerRow:
    """One spatial layer at one input size.

    Attributes
    ----------
    kind : str
        "join", "pad" or "window".
    window : str
        Rows × columns.
    step : int
        By how many cells the window moves.
    stride : int
        Distance between neighbouring cells, in input pixels.
    shape : tuple of int
        Of its output: (h, w, channels).
    """

    name: str
    kind: str
    window: str
    step: int
    stride: int
    shape: tuple[int, int, int]


def layer_table(geometry: Geometry, height: int, width: int) -> tuple[LayerRow, ...]:
    """List the spatial layers with their output shapes for an input of height x width."""
    rows, columns = trace(geometry.nodes, "y", height), trace(geometry.nodes, "x", width)
    return tuple(
        LayerRow(
            node.name,
            _kind(node),
            f"{node.y.kernel} × {node.x.kernel}",
            node.y.stride,
            r.stride,
            (r.size, c.size, node.channels),
        )
        for node, r, c in zip(geometry.nodes, rows, columns, strict=True)
    )


def _kind(node: Node) -> str:
    if len(node.inputs) > 1:
        return "join"
    padded = node.y.kernel == 1 and node.y.stride == 1 and (node.y.before or node.y.after)
    return "pad" if padded else "window"


@lru_cache(maxsize=16)
def grid_check(geometry: Geometry, first: int = 32, last: int = 1024) -> Check:
    """Compare ``ceil(n / stride)`` with the network's rows of cells, for each height n from `first` to `last`."""
    stride = geometry.stride
    sizes = range(first, last + 1)
    return Check(max(abs(-(-n // stride) - trace(geometry.nodes, "y", n)[-1].size) for n in sizes), 0)


def field_of(axis: CellAxis, index: int) -> tuple[float, float]:
    """Return the first and last input pixel in the receptive field of a cell, clipped to the picture."""
    low, high = axis.span(index, axis.extent, axis.input_size)
    return low, high - 1


# --- 2  Dense becomes a 1x1 convolution -------------------------------------------------------------------------


def dense_of_mean(features: Float64, kernel: Float64, bias: Float64) -> Float64:
    """Average the features (h, w, F) over all cells, then apply Dense (F, C), as the classifier does."""
    pooled = features.mean(axis=(0, 1))
    logits: Float64 = pooled @ kernel + bias
    return logits


def convolution_1x1(features: Float64, kernel: Float64, bias: Float64) -> Float64:
    """Apply the same kernel (F, C) at every cell of (h, w, F); return a map (h, w, C)."""
    logits: Float64 = features @ kernel + bias
    return logits


def toy_features(seed: int = 0, side: int = 7, channels: int = 4) -> tuple[Float64, Float64, Float64]:
    """Return random features (side, side, channels), kernel (channels, 3) and bias (3,), rounded to tenths."""
    rng = np.random.default_rng(seed)
    shapes = ((side, side, channels), (channels, 3), (3,))
    features, kernel, bias = (np.round(rng.normal(0, 1.5, shape), 1) for shape in shapes)
    return np.abs(features), kernel, bias


def order_check(features: Float64, kernel: Float64, bias: Float64) -> Check:
    """Compare the mean followed by Dense with Dense at every cell followed by the mean."""
    mean = convolution_1x1(features, kernel, bias).mean(axis=(0, 1))
    return Check(float(np.abs(mean - dense_of_mean(features, kernel, bias)).max()), 1e-9)


def two_answers(class_map: ClassMap) -> tuple[Float64, Float64]:
    """Return the softmax of the mean logits (the classifier's answer) and the mean of the softmaxes, each (C,)."""
    logits = class_map.logits.astype(np.float64)
    return softmax(logits.mean(axis=(0, 1))), softmax(logits).mean(axis=(0, 1))


# --- 3  SoftmaxMap ----------------------------------------------------------------------------------------------


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> npt.NDArray[Any]:
    """Compute the softmax over the last axis, with the formula of `SoftmaxMap` in NumPy.

    Parameters
    ----------
    logits : (..., C) array_like
    temperature : float
        Divides the logits: below 1 the largest class gains probability, above 1 all classes become more equal.
    """
    scaled = np.asarray(logits) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[Any] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def naive_softmax(logits: npt.ArrayLike) -> npt.NDArray[Any]:
    """Compute the softmax without subtracting the maximum first; it overflows for large logits."""
    with np.errstate(over="ignore", invalid="ignore"):
        exponentials = np.exp(np.asarray(logits))
        probabilities: npt.NDArray[Any] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def random_logits(seed: int = 0, shape: tuple[int, ...] = _RANDOM_SHAPE) -> Float32:
    """Return the notebook's random tensor (10, 3, 4, 5): ten samples of 3 x 4 cells with 5 classes."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sums_check(probabilities: npt.NDArray[Any]) -> Check:
    """Check that the sums over the last axis are one."""
    return Check(float(np.abs(probabilities.sum(axis=-1) - 1).max()), 1e-5)


def ranks_kept(logits: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> int:
    """Count the cells whose largest class is the same before and after the softmax."""
    return int((logits.argmax(axis=-1) == probabilities.argmax(axis=-1)).sum())


# --- 4  Any size ------------------------------------------------------------------------------------------------


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a picture (height, width, 3) of random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# --- 5  Synsets -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def counted_again(ontology: Ontology) -> tuple[str, ...]:
    """Return the synsets for which the notebook's depth-first search lists a class more than once."""
    return tuple(
        synset.wnid
        for synset in ontology
        if len(ontology.naive_class_ids(synset.wnid)) > ontology.count(synset.wnid)
    )


def paths_between(ontology: Ontology, above: str, below: str) -> tuple[tuple[str, ...], ...]:
    """Return every path down the hierarchy from one synset to another, as wnids."""
    if above == below:
        return ((below,),)
    return tuple(
        (*path, below)
        for parent in ontology[below].parents
        for path in paths_between(ontology, above, parent)
    )


# --- 6  Scales --------------------------------------------------------------------------------------------------


def placement_shift(axis: CellAxis) -> float:
    """Return the largest distance between a cell's centre and its place in an even grid, as a share of the picture."""
    even = [(i + 0.5) * axis.input_size / axis.size - 0.5 for i in range(axis.size)]
    return max(abs(axis.centre(i) - even[i]) for i in range(axis.size)) / axis.input_size


def field_by_counting(geometry: Geometry, axis: str, size: int, index: int) -> tuple[int, int]:
    """Return the first and last input position of a cell's receptive field, not clipped to the picture.

    `fcn_core.networks.geometry.trace` computes it from the input upwards. This function starts at the cell and follows
    what each layer reads down to the input, as an independent check.
    """
    nodes = geometry.nodes
    sizes = [t.size for t in trace(nodes, axis, size)]
    reads: dict[int, tuple[int, int]] = {len(nodes) - 1: (index, index)}
    for n in range(len(nodes) - 1, -1, -1):
        if n not in reads:
            continue
        window = nodes[n].y if axis == "y" else nodes[n].x
        into = min(size if i < 0 else sizes[i] for i in nodes[n].inputs)
        before = window.before
        if window.same:
            before = max((sizes[n] - 1) * window.stride + window.reach - into, 0) // 2
        low = reads[n][0] * window.stride - before
        high = reads[n][1] * window.stride - before + window.reach - 1
        for source in nodes[n].inputs:
            known = reads.get(source, (low, high))
            reads[source] = (min(known[0], low), max(known[1], high))
    return reads[-1]


# --- 7  Averages ------------------------------------------------------------------------------------------------


def leave_one_out(heatmaps: Mapping[str, Heatmap], power: float) -> dict[str, float]:
    """Return for each scale the mean absolute change, on the finest grid, of the mean without it."""
    whole = combine(tuple(heatmaps.values()), power).values
    changes = {}
    for left_out in heatmaps:
        rest = combine([h for key, h in heatmaps.items() if key != left_out], power).values
        rest = np.asarray(resize_array(rest, *whole.shape)) if rest.shape != whole.shape else rest
        changes[left_out] = float(np.abs(whole - rest).mean())
    return changes


@dataclass(frozen=True)
class Veto:
    """The cell where the arithmetic and the geometric mean differ most, and the value of each scale there."""

    cell: tuple[int, int]
    values: Mapping[str, float]
    arithmetic: float
    geometric: float


def strongest_veto(heatmaps: Mapping[str, Heatmap]) -> Veto:
    """Find the cell where the arithmetic and the geometric mean differ most."""
    maps = tuple(heatmaps.values())
    arithmetic, geometric = combine(maps, 1.0), combine(maps, 0.0)
    row, column = divmod(int((arithmetic.values - geometric.values).argmax()), arithmetic.values.shape[1])
    values = {
        key: float(np.asarray(resize_array(h.values.astype(np.float64), *arithmetic.grid))[row, column])
        for key, h in heatmaps.items()
    }
    return Veto(
        (row, column), values, float(arithmetic.values[row, column]), float(geometric.values[row, column])
    )


def means_check(heatmaps: Sequence[Heatmap]) -> Check:
    """Check the power mean at 1 and 0 against the notebook's two formulas, and that geometric <= arithmetic."""
    largest = max(heatmaps, key=lambda h: h.values.size).grid
    stack = np.stack([resize_array(h.values.astype(np.float64), *largest) for h in heatmaps])
    arithmetic, geometric = stack.sum(axis=0) / len(stack), stack.prod(axis=0) ** (1 / len(stack))
    return Check(
        max(
            float(np.abs(combine(heatmaps, 1.0).values - arithmetic).max()),
            float(np.abs(combine(heatmaps, 0.0).values - geometric).max()),
            float((geometric - arithmetic).max()),
        ),
        1e-6,
    )


def notebook_means(heatmaps: Sequence[npt.ArrayLike], size: tuple[int, int]) -> tuple[Float64, Float64]:
    """Return the arithmetic and the geometric mean of maps (h, w) as the notebook computes them: (height, width)."""
    from skimage.transform import resize

    resized = [
        resize(np.asarray(heatmap, np.float64), size, mode="reflect", preserve_range=True, anti_aliasing=True)
        for heatmap in heatmaps
    ]
    arithmetic = np.sum(resized, axis=0) / len(resized)
    geometric = np.power(np.prod(resized, axis=0), 1 / len(resized))
    return arithmetic, geometric


# --- 8  From heatmap to mask ------------------------------------------------------------------------------------


def polygon_mask(points: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Return a mask (height, width) that is True inside a polygon of (x, y) corners."""
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(canvas, bool)


def box_mask(x0: int, y0: int, x1: int, y1: int, height: int, width: int) -> Mask:
    """Return a mask (height, width) that is True inside a box; x1 and y1 are exclusive."""
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def iou_curve(fine: Float32, truth: Mask, steps: int = 51) -> tuple[Float64, Float64]:
    """Return thresholds t from 0 to 1 and the IoU of ``fine >= t`` with the truth; two arrays (steps,)."""
    thresholds = np.linspace(0, 1, steps)
    level = np.searchsorted(thresholds, normalise(fine).astype(np.float64), side="right")
    # pixels of the mask at each threshold: all, and those in the truth
    found, both = (
        np.bincount(values, minlength=steps + 1)[::-1].cumsum()[::-1][1:]
        for values in (level.ravel(), level[truth])
    )
    either = found + truth.sum() - both
    return thresholds, np.where(either > 0, both / np.maximum(either, 1), 1.0)


def share_near_top(values: Float32, share: float = 0.01) -> float:
    """Return the share of cells within `share` of the largest value: those that the map can hardly distinguish."""
    return float((values >= values.max() * (1 - share)).mean())


# --- Appendix: since 2020 ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OldLine:
    """A line of code that used to work, its form today, and what happens when it is run now.

    Attributes
    ----------
    source : str
        "notebook" or "lab", the older one.
    error, warning : str
        What Python says, or "".
    """

    line: str
    source: str
    today: str
    error: str
    warning: str


_OLD_LINES = (
    ("np.alltrue([1 < 2, 2 < 3])", "notebook", "np.all([1 < 2, 2 < 3])"),
    ("int(np.array([[5]]))", "notebook", "np.array([[5]]).item()"),
    ("from scipy.misc import imread", "lab", "from skimage.io import imread"),
)


def old_lines() -> tuple[OldLine, ...]:
    """Run the old lines that need neither Keras nor a file."""
    return tuple(OldLine(line, source, today, *_run(line)) for line, source, today in _OLD_LINES)


def _run(line: str) -> tuple[str, str]:
    """Run a line; return the error and the warning that Python gives."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(line, {"np": np})  # noqa: S102  one of the lines above, no user's input
        except (TypeError, AttributeError, ImportError) as error:
            said = str(error).splitlines()[0].split(" (/")[0]  # without a path of this machine
            return f"{type(error).__name__}: {said[:120]}", ""
    return "", str(warned[0].message) if warned else ""
