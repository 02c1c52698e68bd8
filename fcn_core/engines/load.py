"""The engines that run a fully convolutional network: OpenVINO serves, TensorFlow is the reference.

Both take a lazily resized picture and give a class map of logits, whole or, where the memory budget asks for it,
in bands (:mod:`fcn_core.engines.tiling`), which gives the same numbers.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fcn_core import settings
from fcn_core.engines.memory_model import banded_demand, held_mb, whole_demand
from fcn_core.engines.openvino_tiles import Parts
from fcn_core.engines.tiling import Plan, Run, run_in_bands
from fcn_core.errors import ConversionError, EngineError, FcnError, MemoryBudgetError, StorageError
from fcn_core.images.scales import MIN_SIDE, ResizedImage
from fcn_core.networks.geometry import CellGrid, Geometry
from fcn_core.networks.keras_settings import import_keras, keras_settings
from fcn_core.networks.weights import Progress
from fcn_core.networks.zoo import ModelSpec, Preprocessing, model_spec, require_weights
from fcn_core.system import memory

if TYPE_CHECKING:
    from fcn_core.engines.graph_cache import Graph

logger = logging.getLogger(__name__)

EngineName = Literal["auto", "openvino", "tensorflow"]
Checkpoint = Callable[[float], None]
Logits = NDArray[np.float32]

_KEEP_MB = 2048  # a process larger than this gives its memory back after every pass
_BLOCK_MB = (
    4  # that a pass in bands gives back at once: the holes they leave in a heap would go beyond the budget
)
# Compiled kernels that are kept, each made for one shape of its input: about those of the last picture. Without a bound
# pictures of ever new proportions fill any budget (1 to 3 MB a shape).
_KERNELS = 128
# What TensorFlow takes: itself, for each megabyte of weights, and a pass over the coarsest of the notebook's scales.
_TENSORFLOW_MB, _A_WEIGHT, _PASS_MB = 615, 1.5, 13  # measured
_ROWS = 64  # of a picture, that are resized and preprocessed at a time
_REJECTED = (RuntimeError, ValueError, LookupError)  # of a graph that OpenVINO does not take
_MADE_IN_VAIN: set[str] = set()  # graphs that it did not take although they were new


@dataclass(frozen=True)
class ModelInfo:
    """What a loaded model is, for manifests and captions."""

    name: str
    title: str
    weights: Literal["imagenet", "unpublished", "random"]
    weights_sha256: str | None
    engine: str
    output_stride: int


@dataclass(frozen=True)
class Forecast:
    """What one forward pass will take on this machine.

    ``memory_mb`` is what the process will hold at its peak, ``fits`` says whether that is within the budget.
    ``plan`` holds the bands, None for a pass over the whole.
    """

    seconds: float
    memory_mb: float
    fits: bool
    plan: Plan | None = None


class Predictor(Protocol):
    """A fully convolutional network that is ready to run."""

    @property
    def info(self) -> ModelInfo:
        """What it is."""

    @property
    def geometry(self) -> Geometry:
        """Where its cells look."""

    def cells(self, height: int, width: int) -> CellGrid:
        """Cells of the class map of an input of `height` x `width` pixels."""

    def forecast(self, height: int, width: int) -> Forecast:
        """Time and memory of :meth:`logits` for an input of `height` x `width` pixels."""

    def logits(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Logits:
        """Class map of logits, shape (h, w, 1000), float32."""

    def release_cached(self) -> None:
        """Give back the memory that is kept since the last pass, for the next."""


def load_model(
    name: str | None = None,
    engine: str | None = None,
    weights: str | None = "imagenet",
    output_stride: int = 32,
    progress: Progress | None = None,
) -> Predictor:
    """Load a model of the zoo, preparing it first where that was never done on this machine.

    Parameters
    ----------
    name : str, optional
        ``efficientnet-lite2``, ``efficientnet-lite0`` or ``resnet50``; by default ``FCN_MODEL``, else the first.
    engine : {"auto", "openvino", "tensorflow"}, optional
        By default ``FCN_ENGINE``, else "auto": OpenVINO where it works, else TensorFlow.
    weights : "imagenet" or None
        The published weights, or random, seeded ones (also by the word "none").
    output_stride : {32, 16, 8}
        Input pixels from cell to cell.
    progress : callable, optional
        Called with (bytes so far, bytes in all) while weights are downloaded.

    Returns
    -------
    Predictor

    Raises
    ------
    UnknownModel, WeightsUnavailable, WeightsInvalid, EngineError, StorageError, MemoryBudgetError
        Each says what to do. Where OpenVINO does not work and TensorFlow would take more than ``FCN_MEMORY_MB``, it is
        OpenVINO's.
    """
    spec = model_spec(name)
    wanted = engine or settings.ENGINE.value()
    random = weights in (None, "none")
    if wanted not in settings.ENGINES:
        raise EngineError(f"Expected engine auto, openvino or tensorflow. Received {wanted[:40]!r}.")
    if weights not in (None, "none", "imagenet"):
        raise EngineError(f"Expected weights imagenet or none. Received {str(weights)[:40]!r}.")
    if output_stride not in (8, 16, 32):
        raise ConversionError(f"Expected output stride 32, 16 or 8. Received {output_stride}.")
    try:
        if wanted == "tensorflow":
            return TensorFlowEngine(spec, random, output_stride, progress)
        try:
            return OpenVINOEngine(spec, random, output_stride, progress)
        except (EngineError, StorageError) as error:
            if wanted == "openvino" or importlib.util.find_spec("tensorflow") is None:
                raise
            _may_replace_openvino(spec, error)
            logger.warning("TensorFlow serves instead of OpenVINO: %s", error)
            return TensorFlowEngine(spec, random, output_stride, progress)
    except MemoryError as error:
        raise MemoryBudgetError(
            f"{spec.title} cannot be loaded: the system gives this process no more memory, {memory.rss_mb():.0f} MB "
            f"are in use. Give it more, or choose a smaller model; other scales change nothing."
        ) from error


def _may_replace_openvino(spec: ModelSpec, error: FcnError) -> None:
    """Let TensorFlow serve in place of OpenVINO only within the budget; else it is OpenVINO's `error` that is told."""
    needed, budget = _tensorflow_mb(spec), memory.budget_mb()
    if needed + _PASS_MB > memory.pass_budget_mb(needed):
        raise type(error)(
            f"{error} TensorFlow, which would serve instead, takes about {needed + _PASS_MB:.0f} MB of memory, and "
            f"{budget:.0f} MB are allowed (FCN_MEMORY_MB, else what the machine has)."
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _tensorflow_mb(spec: ModelSpec) -> float:
    """Memory that this process will hold with the model loaded on TensorFlow."""
    imported = 0 if "tensorflow" in sys.modules else _TENSORFLOW_MB
    return memory.rss_mb() + imported + spec.weights.size / 2**20 * _A_WEIGHT


class _Engine:
    """What both engines share: planning, preprocessing, running whole or in bands, one pass at a time."""

    axis = 2  # where the rows are in a batch
    _leaner = "a smaller model"
    _memory_factor = 1.1  # measured, of what :mod:`fcn_core.engines.memory_model` foresees
    _in_parts = False

    def __init__(self, info: ModelInfo, geometry: Geometry, preprocessing: Preprocessing) -> None:
        self._info, self._geometry, self._preprocessing = info, geometry, preprocessing
        self._lock = threading.Lock()
        self._seconds_per_mac = 1 / (60e9 * memory.cpus())  # a guess, until something has been measured
        self._measured = (0.0, 0.0)  # seconds, multiply-adds
        self._held_mb = 0.0  # kept since the last pass, for the next one
        self._unpacked_mb = 0.0  # weights that the first pass will copy into the layout it likes

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def geometry(self) -> Geometry:
        """Where its cells look."""
        return self._geometry

    def cells(self, height: int, width: int) -> CellGrid:
        """Cells of the class map of an input of `height` x `width` pixels."""
        return self._geometry.cells(height, width)

    def forecast(self, height: int, width: int) -> Forecast:
        """Time and memory of :meth:`logits`, and whether it needs bands.

        The memory is within 20 % of what is then measured; the time within a factor of two once a pass has been
        made (a first pass over a new size takes up to twice as long).
        """
        rss = memory.rss_mb()
        base = rss - self._held_mb + self._unpacked_mb
        budget = memory.pass_budget_mb(base)
        best = whole_demand(self._geometry, height, width)
        needed = base + best.mb * self._memory_factor
        if self._geometry.bandable and (self._in_parts or needed > budget):
            best = banded_demand(self._geometry, height, width, (budget - base) / self._memory_factor)
            needed = base + best.mb * self._memory_factor
        return Forecast(best.macs * self._seconds_per_mac, max(needed, rss), needed <= budget, best.plan)

    def logits(self, image: ResizedImage, checkpoint: Checkpoint | None = None) -> Logits:
        """Class map of logits, shape (h, w, 1000), float32.

        Parameters
        ----------
        image : ResizedImage
            The picture at the size the network shall see.
        checkpoint : callable, optional
            Called with the finished share in [0, 1]; may raise to stop between bands.

        Raises
        ------
        MemoryBudgetError
            Not even the smallest bands fit into ``FCN_MEMORY_MB``.
        """
        with self._lock:
            foreseen = self.forecast(image.height, image.width)
            if not foreseen.fits:
                raise MemoryBudgetError(self._does_not_fit(foreseen, image))
            if checkpoint is not None:
                checkpoint(0.0)
            start = time.perf_counter()
            try:
                if foreseen.plan is None:
                    result = self._run_whole(self._batch(image, 0, image.height, 0, image.width))
                else:
                    result = run_in_bands(
                        foreseen.plan,
                        self._part_runs(),
                        partial(self._batch, image),
                        image.height,
                        axis=self.axis,
                        checkpoint=checkpoint,
                    )
            finally:
                self._unpacked_mb = 0.0
                self._release(held_mb(self._geometry, image.height, image.width))
            self._learn(foreseen, time.perf_counter() - start)
        return result

    def _does_not_fit(self, foreseen: Forecast, image: ResizedImage) -> str:
        budget, used = memory.budget_mb(), memory.rss_mb() - self._held_mb
        if self.forecast(MIN_SIDE, MIN_SIDE).fits:
            how = "even in bands" if self._geometry.bandable else "and cannot be run in bands"
            return (
                f"A scale of {image.height}x{image.width} needs about {foreseen.memory_mb:.0f} MB {how}. The "
                f"budget is {memory.pass_budget_mb():.0f} MB; choose a smaller scale or raise FCN_MEMORY_MB."
            )
        needed = budget + memory.missing_mb(foreseen.memory_mb, used + self._unpacked_mb)
        return (
            f"The program holds {used:.0f} MB with {self._info.title} on {self._info.engine}, so that no scale, "
            f"however small, fits into the {budget:.0f} MB it may use. Whoever runs it: set FCN_MEMORY_MB to at least "
            f"{math.ceil(needed)}, as far as the machine has them, or choose {self._leaner}."
        )

    def _learn(self, foreseen: Forecast, seconds: float) -> None:
        """Take the pass into the average time of a multiply-add, in which large passes weigh most."""
        macs = foreseen.seconds / self._seconds_per_mac
        self._measured = (self._measured[0] / 2 + seconds, self._measured[1] / 2 + macs)
        self._seconds_per_mac = self._measured[0] / self._measured[1]

    def _batch(self, image: ResizedImage, top: int, end: int, left: int, right: int) -> Logits:
        """That piece of the picture, preprocessed, as a batch of one; made in pieces that fit into the cache."""
        batch = np.empty((1, 3, end - top, right - left), np.float32)
        for start in range(top, end, _ROWS):
            stop = min(start + _ROWS, end)
            self._preprocessing(image.rows(start, stop, left, right), batch[0, :, start - top : stop - top])
        return batch

    def _run_whole(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _part_runs(self) -> list[Run]:
        raise NotImplementedError

    def release_cached(self) -> None:
        """Give back the memory that is kept since the last pass, for the next."""

    def _release(self, held_mb: float) -> None:
        """Remember what the engine keeps of a pass, for the next one."""
        self._held_mb = max(self._held_mb, held_mb * self._memory_factor)


class OpenVINOEngine(_Engine):
    """Serves the exported graph with OpenVINO on the CPU, in float32."""

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: Progress | None = None
    ) -> None:
        missing = "Run: pip install openvino, or choose engine tensorflow."
        if importlib.util.find_spec("openvino") is None:
            raise EngineError(f"OpenVINO is not installed here. {missing}")
        from fcn_core.engines.graph_cache import prepare_graph

        # Before OpenVINO is loaded: the child that prepares needs the memory.
        prepare = partial(prepare_graph, spec, random=random, output_stride=output_stride, progress=progress)
        graph = prepare()
        # oneDNN inside OpenVINO keeps kernels of its own, for the whole process, and reads its bound at the first.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_KERNELS))
        try:
            import openvino

            self._ov, self._core = openvino, openvino.Core()
        except (ImportError, RuntimeError) as error:
            raise EngineError(f"OpenVINO cannot be loaded here ({_short(error)}). {missing}") from error
        weights: Any = "random" if random else "imagenet" if graph.weights_published else "unpublished"
        info = ModelInfo(spec.name, spec.title, weights, graph.weights_sha256, "openvino", output_stride)
        super().__init__(info, graph.geometry, spec.preprocessing)
        self._unpacked_mb = len(graph.weights) / 2**20
        self._parts: Parts | None = None
        self._whole: Any = None
        try:
            self._read(graph)
        except _REJECTED as error:
            if "bad_alloc" in str(error):  # no fault of the graph
                raise MemoryError from error
            if graph.fresh or graph.made in _MADE_IN_VAIN:
                raise self._rejection(graph, error) from error
            logger.warning("OpenVINO rejects the graph %s, which is made anew: %s", graph.path, _short(error))
            graph = prepare(rejected=graph)
            try:
                self._read(graph)
            except _REJECTED as again:
                raise self._rejection(graph, again) from again

    def _read(self, graph: Graph) -> None:
        self._graph = graph
        network = self._network()
        self._whole = self._compile(self._ov.Model([network.results[0]], network.get_parameters()))

    def _rejection(self, graph: Graph, error: Exception) -> EngineError:
        """What to tell where a new graph is no better; it is not made again for this process."""
        _MADE_IN_VAIN.add(graph.made)
        return EngineError(
            f"OpenVINO rejects the graph of {self._info.title}, though it was made anew ({_short(error)}). Install "
            f"openvino and keras again, in the versions of requirements.txt, or choose engine tensorflow."
        )

    def _compile(self, network: Any) -> Any:
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
            "ENABLE_CPU_PINNING": False,  # beside other work, threads that may move are a fifth faster
        }
        if memory.cpus() < (os.cpu_count() or 1):  # threads beyond a container's quota are halted in turns
            settings["INFERENCE_NUM_THREADS"] = memory.cpus()
        return self._core.compile_model(network, "CPU", settings)

    def _network(self) -> Any:
        """The graph, its weights where they lie."""
        weights = self._ov.Tensor(np.frombuffer(self._graph.weights, np.uint8), shared_memory=True)
        return self._core.read_model(self._graph.description, weights)

    def _run_whole(self, batch: Logits) -> Logits:
        result = np.empty(
            (1, *self._geometry.grid(*batch.shape[2:]), self._geometry.nodes[-1].channels), np.float32
        )
        request = self._whole.create_infer_request()
        request.set_input_tensor(self._ov.Tensor(batch, shared_memory=True))
        request.set_output_tensor(self._ov.Tensor(result, shared_memory=True))
        self._infer(request, batch)
        logits: Logits = result[0]
        return logits

    def _part_runs(self) -> list[Run]:
        if self._parts is None:
            self._whole, self._in_parts = None, True
            memory.trim_heap()
            self._parts = Parts(self._ov, self._network(), self._geometry, self._compile)
            self._give_back()
        memory.limit_free_heap(_BLOCK_MB)
        return self._parts.runs(self._infer)

    @staticmethod
    def _infer(request: Any, batch: Logits) -> None:
        try:
            request.infer()
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO failed on an input of shape {batch.shape} ({_short(error)}). "
                f"Choose a smaller scale or engine tensorflow."
            ) from error

    def release_cached(self) -> None:
        """Give back the memory that is kept since the last pass, for the next."""
        with self._lock:
            if self._held_mb:
                self._give_up()

    def _release(self, held_mb: float) -> None:
        """Give back what the pass held, unless there is plenty: taking it anew costs up to half the time again."""
        rss = memory.rss_mb()
        if not self._in_parts and rss < min(memory.budget_mb() / 2, _KEEP_MB):
            super()._release(held_mb)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self._parts is not None:
            self._parts.release_cached()
            memory.limit_free_heap()
        elif self._whole is not None:
            self._whole.release_memory()
        self._give_back()
        self._held_mb = 0.0

    def _give_back(self) -> None:
        """Give what is free back to the system, and the weights as they were read, where a file still has them."""
        if self._graph.cached and hasattr(mmap, "MADV_DONTNEED"):
            self._graph.weights.madvise(mmap.MADV_DONTNEED)
        memory.trim_heap()


class TensorFlowEngine(_Engine):
    """Runs the converted Keras network itself, as one traced function of free input size.

    In float32 with channels last, whatever Keras' settings are; they are left as they were. Where Keras is not imported
    yet, it is imported on TensorFlow, whatever ``KERAS_BACKEND`` says.
    """

    axis = 1
    _leaner = "engine openvino"

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: Progress | None = None
    ) -> None:
        import_keras()
        import keras
        import tensorflow

        if keras.backend.backend() != "tensorflow":
            raise EngineError(
                f"Keras runs on {keras.backend.backend()} in this process. Expected TensorFlow: set "
                f"KERAS_BACKEND=tensorflow before the first import of Keras, or choose engine openvino."
            )
        from fcn_core.networks.convert import read_geometry, split, to_fully_convolutional
        from fcn_core.networks.weights import digest
        from fcn_core.networks.zoo import build_classifier

        path = None if random else require_weights(spec, progress)
        stride = None if output_stride == 32 else output_stride
        with keras_settings():
            classifier = build_classifier(spec, path)
            network = to_fully_convolutional(classifier, output="logits", output_stride=stride)
            geometry, self._cut_tensors = read_geometry(network)
        published = path is not None and digest(path, spec.weights.algorithm) == spec.weights.digest
        weights: Any = "random" if random else "imagenet" if published else "unpublished"
        info = ModelInfo(
            spec.name, spec.title, weights, digest(path) if path else None, "tensorflow", output_stride
        )
        super().__init__(info, geometry, spec.preprocessing)
        self.network = network
        self._tf, self._split = tensorflow, split
        self._traced = self._trace(network)
        self._banded: list[Any] = []

    def _trace(self, network: Any) -> Any:
        signature = [self._tf.TensorSpec([1, None, None, network.inputs[0].shape[-1]], self._tf.float32)]
        return self._tf.function(
            lambda x: network(x, training=False), input_signature=signature, autograph=False
        )

    def _batch(self, image: ResizedImage, top: int, end: int, left: int, right: int) -> Logits:
        return np.ascontiguousarray(np.moveaxis(super()._batch(image, top, end, left, right), 1, -1))

    def _run_whole(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: Logits = self._infer(self._traced, batch)[0]
        return logits

    @staticmethod
    def _infer(run: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(run(batch))

    def _part_runs(self) -> list[Run]:
        self._banded = self._banded or [
            self._trace(part) for part in self._split(self.network, self._cut_tensors)
        ]
        return [partial(self._infer, run) for run in self._banded]
