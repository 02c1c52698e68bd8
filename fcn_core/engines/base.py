"""What all engines share: the interface, forecasts, preprocessing, and one pass at a time, whole or in bands.

An engine resizes a picture as it reads it, and returns a class map of logits. If the memory budget requires it, the
picture is run in bands (:mod:`fcn_core.engines.bands`), which gives the same numbers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.bands import Plan, Run, Tap, channels_last, run_in_bands
from fcn_core.engines.last_layer import LastLayer
from fcn_core.engines.memory_model import banded_demand, cached_mb, middle_mb, whole_demand
from fcn_core.errors import EngineError, MemoryBudgetError
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import MIN_SIDE
from fcn_core.networks.geometry import CellGrid, Geometry
from fcn_core.networks.middle import MiddleMap, empty_maps, middle_layers, part_of
from fcn_core.networks.spec import GivenModel, ModelSpec
from fcn_core.synsets.outputs import IMAGENET, Outputs
from fcn_core.system import memory

Weights = Literal["imagenet", "unpublished", "random", "own"]
Precision = Literal["f32", "bf16"]
Checkpoint = Callable[[float], None]
Logits = NDArray[np.float32]

_ROWS = 64  # of a picture, resized and preprocessed at a time: they fit into the processor's cache


@dataclass(frozen=True)
class ModelInfo:
    """What a loaded model is, for manifests and captions.

    Attributes
    ----------
    name, title : str
    weights : {"imagenet", "unpublished", "random", "own"}
        Published ones, others of the same layout, random ones, or those of a model of one's own.
    weights_sha256 : str or None
        Digest of their file; None if they are random.
    engine : str
    output_stride : int
        Input pixels from cell to cell.
    outputs : Outputs
        What its classes are.
    given : GivenModel or None
        The files and options of a model of one's own.
    stride_option : int
        The output stride that was asked for; 32 leaves the network as it is, whatever its own is.
    precision : {"f32", "bf16"}
        What the engine computes in. bf16 has 8 bits instead of 24: faster on some processors, and less exact.
    """

    name: str
    title: str
    weights: Weights
    weights_sha256: str | None
    engine: str
    output_stride: int
    outputs: Outputs = field(default=IMAGENET, repr=False, compare=False)
    given: GivenModel | None = field(default=None, repr=False, compare=False)
    stride_option: int = 32
    precision: Precision = "f32"

    @property
    def vocabulary(self) -> str:
        """Whose classes they are: "imagenet", or "own"."""
        return "imagenet" if self.outputs.ontology.is_imagenet else "own"

    @property
    def has_usual_weights(self) -> bool:
        """Whether the weights are those that everybody expects: the published ones, or those of one's own model."""
        return self.weights in ("imagenet", "own")


def model_info(
    spec: ModelSpec,
    weights: Weights,
    weights_sha256: str | None,
    served: tuple[str, int, int],
    outputs: tuple[int, bool],
) -> ModelInfo:
    """Return what a model is, once it is loaded.

    Parameters
    ----------
    spec : ModelSpec
    weights, weights_sha256
        See :class:`ModelInfo`.
    served : (str, int, int)
        Engine, output stride, and the one that was asked for.
    outputs : (int, bool)
        The number of the network's outputs, and whether they exclude each other.

    Raises
    ------
    LabelsInvalid
        A model of one's own has another number of outputs than labels.
    """
    if spec.given is not None:
        weights = "own"
    meant = spec.outputs(*outputs)
    engine, stride, option = served
    return ModelInfo(
        spec.name, spec.title, weights, weights_sha256, engine, stride, meant, spec.given, option
    )


@dataclass(frozen=True)
class Forecast:
    """Expected cost of one forward pass on this machine.

    Attributes
    ----------
    seconds : float
    memory_mb : float
        Peak memory of the process.
    fits : bool
        Whether the peak is within the budget.
    plan : Plan or None
        The bands; None for a pass over the whole picture.
    """

    seconds: float
    memory_mb: float
    fits: bool
    plan: Plan | None = None


@dataclass(frozen=True, eq=False)
class Pass:
    """The result of one forward pass.

    Attributes
    ----------
    logits : (h, w, classes) float32 ndarray
        The class map.
    middle : tuple of MiddleMap
        What inner layers say: those that the model names, at output stride 32 and for inputs of at most
        :data:`fcn_core.networks.middle.MOST_PIXELS` pixels.
    """

    logits: Logits
    middle: tuple[MiddleMap, ...] = ()


class Predictor(Protocol):
    """A fully convolutional network that is ready to run."""

    @property
    def info(self) -> ModelInfo:
        """What the model is."""

    @property
    def geometry(self) -> Geometry:
        """The spatial structure of the network."""

    def cells(self, height: int, width: int) -> CellGrid:
        """Return the cells of the class map of an input of `height` x `width` pixels."""

    def forecast(self, height: int, width: int) -> Forecast:
        """Return the expected time and memory of :meth:`run` for an input of `height` x `width` pixels."""

    def run(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Pass:
        """Compute the class map of logits, and the middle maps."""

    def logits(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Logits:
        """Compute the class map of logits alone, shape (h, w, classes), float32."""

    def last_layer(self, image: ResizedImage, classes: Sequence[int]) -> LastLayer:
        """Compute what goes into the last layer at every cell; return it with the weights of these classes."""

    def compute_in(self, precision: Precision) -> None:
        """Compute in another precision from now on."""

    def release_cached(self) -> None:
        """Release the memory that was cached after the last pass for the next one."""


@runtime_checkable
class Preparing(Protocol):
    """A predictor that can make its input ready in another thread, while it computes something else."""

    def forecast(self, height: int, width: int) -> Forecast:
        """Return the expected time and memory of a pass; see :class:`Predictor`."""

    def prepared(self, image: ResizedImage) -> ResizedImage:
        """Return the picture with the input of a pass over the whole, so that `run` does not wait for it."""


@dataclass(frozen=True, eq=False)
class PreparedImage(ResizedImage):
    """A picture at a network's size, with the network's input.

    Attributes
    ----------
    batch : ndarray of float32
        What a pass over the whole reads.
    maker : Engine
        The only one that reads it.
    """

    batch: Logits
    maker: Engine


class Engine:
    """Base of the engines: a subclass says how to run the whole network and its parts."""

    axis = 2  # the axis of a batch along which the rows follow each other
    _leaner = "a smaller model"  # what to choose if no scale fits
    _memory_factor = 1.1  # measured memory, divided by that of :mod:`fcn_core.engines.memory_model`
    _in_parts = False

    def __init__(self, info: ModelInfo, geometry: Geometry, spec: ModelSpec) -> None:
        self._info, self._geometry, self._preprocessing = info, geometry, spec.preprocessing
        # At other strides these layers have other cells, or are no cuts.
        self._middle = middle_layers(geometry, spec.middle if info.stride_option == 32 else ())
        self._lock = threading.Lock()
        self._seconds_per_mac = 1 / (60e9 * memory.cpus())  # a guess, until a pass has been measured
        self._measured = (0.0, 0.0)  # seconds, multiply-adds
        self._cached_mb = 0.0  # after the last pass, for the next one
        self._unpacked_mb = 0.0  # weights that the first pass copies into the layout it needs

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def geometry(self) -> Geometry:
        """The spatial structure of the network."""
        return self._geometry

    def cells(self, height: int, width: int) -> CellGrid:
        """Return the cells of the class map of an input of `height` x `width` pixels."""
        return self._geometry.cells(height, width)

    def forecast(self, height: int, width: int) -> Forecast:
        """Return the expected time and memory of :meth:`run`, and the bands if it needs any.

        The forecast of the memory is within 20 % of the measured memory. That of the time is within a factor of two
        after the first pass; a first pass over a new size takes up to twice as long.
        """
        return self._forecast(height, width, self._geometry.bandable)

    def _forecast(self, height: int, width: int, bandable: bool) -> Forecast:
        rss = memory.rss_mb()
        base = rss - self._cached_mb + self._unpacked_mb
        budget = memory.pass_budget_mb(base)
        kept = middle_mb(self._middle, height, width)
        best = whole_demand(self._geometry, height, width, self._middle)
        peak = base + kept + best.mb * self._memory_factor
        if bandable and (self._in_parts or peak > budget):
            available = (budget - base - kept) / self._memory_factor
            best = banded_demand(self._geometry, height, width, available)
            peak = base + kept + best.mb * self._memory_factor
        return Forecast(best.macs * self._seconds_per_mac, max(peak, rss), peak <= budget, best.plan)

    def logits(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Logits:
        """Compute the class map of logits alone; see :meth:`run`."""
        return self.run(image, checkpoint).logits

    def run(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Pass:
        """Compute the class map of logits, and the middle maps.

        Parameters
        ----------
        image : ResizedImage
            The picture at the size of the network's input.
        checkpoint : callable, optional
            Called with the finished share in [0, 1]; may raise to stop between bands.

        Returns
        -------
        Pass
            With new arrays: later passes do not change them.

        Raises
        ------
        MemoryBudgetError
            Not even the smallest bands fit into ``FCN_MEMORY_MB``.
        """
        with self._lock:
            expected = self.forecast(image.height, image.width)
            if not expected.fits:
                raise MemoryBudgetError(self._does_not_fit(expected, image, self._geometry.bandable))
            if checkpoint is not None:
                checkpoint(0.0)
            start = time.perf_counter()
            middle = empty_maps(self._middle, image.height, image.width)
            try:
                if expected.plan is None:
                    logits, outputs = self._run_whole(self._whole_batch(image))
                    for each, output in zip(middle, outputs, strict=False):  # no maps of a large picture
                        each.values[:] = channels_last(output, self.axis)[0]
                    del outputs
                else:
                    logits = run_in_bands(
                        expected.plan,
                        self._part_runs(),
                        partial(self._batch, image),
                        image.height,
                        axis=self.axis,
                        checkpoint=checkpoint,
                        taps=[
                            Tap(part_of(layer), layer.stride, each.values)
                            for layer, each in zip(self._middle, middle, strict=False)
                        ],
                    )
            finally:
                self._unpacked_mb = 0.0
                self._keep(cached_mb(self._geometry, image.height, image.width))
            self._learn(expected, time.perf_counter() - start)
        if (
            len(self._info.outputs.ontology.classes) == logits.shape[-1] + 1
        ):  # one sigmoid: softmax of (0, logit)
            logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
        return Pass(logits, middle)

    def last_layer(self, image: ResizedImage, classes: Sequence[int]) -> LastLayer:
        """Compute what goes into the last layer at every cell, in one pass over the whole picture.

        Parameters
        ----------
        image : ResizedImage
            The picture at the size of the network's input; a small one, as the pass is not in bands.
        classes : sequence of int
            Ids of the classes whose weights are returned.

        Raises
        ------
        MemoryBudgetError
            A pass over the whole picture does not fit into ``FCN_MEMORY_MB``.
        EngineError
            The network does not end with a convolution of 1 x 1.
        """
        with self._lock:
            expected = self._forecast(image.height, image.width, bandable=False)
            if not expected.fits:
                raise MemoryBudgetError(self._does_not_fit(expected, image, bandable=False))
            batch = self._batch(image, 0, image.height, 0, image.width)
            features, kernel, bias = self._run_to_last_layer(batch, classes)
        return LastLayer(features, kernel, bias, tuple(classes))

    def _does_not_fit(self, expected: Forecast, image: ResizedImage, bandable: bool) -> str:
        budget, used = memory.budget_mb(), memory.rss_mb() - self._cached_mb
        least = max(MIN_SIDE, self._geometry.smallest)
        if self._forecast(least, least, bandable).fits:
            how = "even in bands" if bandable else "and cannot be run in bands"
            height, width = self._largest_that_fits(image.height, image.width, least, bandable)
            return (
                f"Expected a scale that fits into the budget of {memory.pass_budget_mb():.0f} MB. Received "
                f"{image.height}x{image.width}, which needs about {expected.memory_mb:.0f} MB {how}. Choose "
                f"{height}x{width} or a smaller scale, or raise FCN_MEMORY_MB."
            )
        needed = budget + memory.missing_mb(expected.memory_mb, used + self._unpacked_mb)
        return (
            f"Expected enough memory for {self._info.title} on {self._info.engine}. Received a budget of "
            f"{budget:.0f} MB, of which {used:.0f} MB are in use: not even the smallest scale fits. If you run this "
            f"program, set FCN_MEMORY_MB to at least {math.ceil(needed)} if the machine has that much, or choose "
            f"{self._leaner}."
        )

    def _largest_that_fits(self, height: int, width: int, least: int, bandable: bool) -> tuple[int, int]:
        """Return the largest size of about these proportions whose forecast fits; a square of side `least` does."""
        fitting, failing = (least, least), max(height, width)
        while failing - max(fitting) > 1:
            longest = (max(fitting) + failing) // 2
            size = (
                max(least, height * longest // max(height, width)),
                max(least, width * longest // max(height, width)),
            )
            if self._forecast(*size, bandable).fits:
                fitting = size
            else:
                failing = longest
        return fitting

    def _learn(self, expected: Forecast, seconds: float) -> None:
        """Update the average time of a multiply-add with this pass; large passes weigh most."""
        macs = expected.seconds / self._seconds_per_mac
        self._measured = (self._measured[0] / 2 + seconds, self._measured[1] / 2 + macs)
        self._seconds_per_mac = self._measured[0] / self._measured[1]

    def prepared(self, image: ResizedImage) -> PreparedImage:
        """Return the picture with the input of a pass over the whole, 12 bytes a pixel, so that `run` need not make it.

        A pass does not stop this, and it does not stop a pass: another thread makes the next input meanwhile.
        """
        return PreparedImage(image.pixels, image.height, image.width, self._whole_batch(image), self)

    def _whole_batch(self, image: ResizedImage) -> Logits:
        if isinstance(image, PreparedImage) and image.maker is self:
            return image.batch
        return self._batch(image, 0, image.height, 0, image.width)

    def _batch(self, image: ResizedImage, top: int, end: int, left: int, right: int) -> Logits:
        """Return the picture between these rows and columns, preprocessed, as a batch of one: (1, 3, rows, columns)."""
        batch = np.empty((1, 3, end - top, right - left), np.float32)
        for start in range(top, end, _ROWS):
            stop = min(start + _ROWS, end)
            self._preprocessing(image.rows(start, stop, left, right), batch[0, :, start - top : stop - top])
        return batch

    def _run_whole(self, batch: Logits) -> tuple[Logits, list[Logits]]:
        """Run the whole network: a batch of one in, a class map (h, w, classes) and batches of the middle out."""
        raise NotImplementedError

    def _run_to_last_layer(self, batch: Logits, classes: Sequence[int]) -> tuple[Logits, Logits, Logits]:
        """Return the features (h, w, F), and the weights (F, n) and biases (n,) of n classes."""
        raise NotImplementedError

    def _part_runs(self) -> list[Run]:
        """Return the function that runs each part of the network; see :func:`fcn_core.engines.bands.run_in_bands`."""
        raise NotImplementedError

    def compute_in(self, precision: Precision) -> None:
        """Compute in another precision from now on.

        Raises
        ------
        EngineError
            The engine or the processor cannot compute in it; the engine computes as before.
        """
        if precision != self._info.precision:
            raise EngineError(
                f"Expected engine openvino for {precision}. Received {self._info.engine}, which computes in "
                f"{self._info.precision} only. Choose engine openvino, or leave {precision} out."
            )

    def release_cached(self) -> None:
        """Release the memory that was cached after the last pass for the next one."""

    def _keep(self, megabytes: float) -> None:
        """Record how much memory the engine keeps after a pass for the next one."""
        self._cached_mb = max(self._cached_mb, megabytes * self._memory_factor)
