"""The engines that run a fully convolutional network: OpenVINO serves, TensorFlow is the reference.

Both take a lazily resized picture and give a class map of logits, whole or, where the memory budget asks for it,
in bands (:mod:`fcn_core.bands`), which gives the same numbers.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fcn_core import resources
from fcn_core.bands import Run, run_in_bands
from fcn_core.errors import ConversionError, EngineError, MemoryBudgetError
from fcn_core.geometry import CellGrid, Geometry, trace
from fcn_core.pyramid import ResizedImage
from fcn_core.zoo import ModelSpec, Preprocessing, Progress, model_spec, require_weights

logger = logging.getLogger(__name__)

EngineName = Literal["auto", "openvino", "tensorflow"]
Checkpoint = Callable[[float], None]
Logits = NDArray[np.float32]

_BANDS = (512, 384, 256, 192, 128, 96, 64, 32)  # input rows, the tallest that fits is taken


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

    ``memory_mb`` is what the process will hold at its peak, ``band`` the input rows a band has, None for a
    pass over the whole. ``fits`` says whether that is within the budget.
    """

    seconds: float
    memory_mb: float
    band: int | None
    fits: bool


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
    UnknownModel, WeightsUnavailable, WeightsInvalid, EngineError
        Each says what to do.
    """
    spec = model_spec(name)
    wanted = engine or os.environ.get("FCN_ENGINE") or "auto"
    random = weights in (None, "none")
    if wanted not in ("auto", "openvino", "tensorflow"):
        raise EngineError(f"Expected engine auto, openvino or tensorflow. Received {wanted[:40]!r}.")
    if weights not in (None, "none", "imagenet"):
        raise EngineError(f"Expected weights imagenet or none. Received {str(weights)[:40]!r}.")
    if output_stride not in (8, 16, 32):
        raise ConversionError(f"Expected output stride 32, 16 or 8. Received {output_stride}.")
    if wanted == "tensorflow":
        return TensorFlowEngine(spec, random, output_stride, progress)
    try:
        return OpenVINOEngine(spec, random, output_stride, progress)
    except EngineError as error:
        if wanted == "openvino" or importlib.util.find_spec("tensorflow") is None:
            raise
        logger.warning("OpenVINO does not work here, TensorFlow serves instead: %s", error)
        return TensorFlowEngine(spec, random, output_stride, progress)


class _Engine:
    """What both engines share: planning, preprocessing, running whole or in bands, one pass at a time."""

    axis = 2  # where the rows are in a batch

    def __init__(self, info: ModelInfo, geometry: Geometry, preprocessing: Preprocessing) -> None:
        self._info, self._geometry, self._preprocessing = info, geometry, preprocessing
        self._lock = threading.Lock()
        self._seconds_per_mac = 1 / 40e9  # a guess, until something has been measured
        self._parts = geometry.parts()

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
        """Time and memory of :meth:`logits`, and whether it needs bands."""
        budget, base = resources.budget_mb(), resources.rss_mb()
        seconds = self._geometry.macs(height, width) * self._seconds_per_mac
        whole = base + self._whole_mb(height, width)
        if whole <= budget:
            return Forecast(seconds, whole, None, True)
        if not self._geometry.bandable:
            return Forecast(seconds, whole, None, False)
        for band in _BANDS:
            memory = base + self._banded_mb(height, width, band)
            if memory <= budget:
                return Forecast(seconds * 1.4, memory, band, True)
        return Forecast(seconds * 1.4, memory, _BANDS[-1], False)

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
            plan = self.forecast(image.height, image.width)
            if not plan.fits:
                raise MemoryBudgetError(
                    f"A scale of {image.height}x{image.width} needs about {plan.memory_mb:.0f} MB even in bands. "
                    f"The budget is {resources.budget_mb():.0f} MB; choose a smaller scale or raise FCN_MEMORY_MB."
                )
            if checkpoint is not None:
                checkpoint(0.0)
            start = time.perf_counter()
            if plan.band is None:
                result = self._run_whole(self._batch(image.rows(0, image.height)))
            else:
                rows = lambda a, b: self._batch(image.rows(a, b))  # noqa: E731
                parts = list(zip(self._parts, self._part_runs(), strict=True))
                result = run_in_bands(
                    parts, rows, image.height, plan.band, axis=self.axis, checkpoint=checkpoint
                )
            seconds = time.perf_counter() - start
            if plan.band is None:
                self._seconds_per_mac = seconds / self._geometry.macs(image.height, image.width)
            self._release(image.height * image.width)
        logits: Logits = self._channels_last(result)[0]
        return logits

    def _batch(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._preprocessing(planes)[None]

    def _whole_mb(self, height: int, width: int) -> float:
        """Memory that a pass over the whole adds: the largest layer's input and output, twice, and the input."""
        rows, columns = trace(self._geometry.nodes, "y", height), trace(self._geometry.nodes, "x", width)
        cells = [
            n.channels * r.size * c.size for n, r, c in zip(self._geometry.nodes, rows, columns, strict=True)
        ]
        pairs = [a + b for a, b in zip([3 * height * width, *cells], cells, strict=False)]
        return (max(pairs) * 1.6 + 6 * height * width) * 4 / 2**20 + 30

    def _banded_mb(self, height: int, width: int, band: int) -> float:
        total = cells = 0.0
        rows_in, columns, stride = height, width, 1
        for part in self._parts:
            step = max(1, band // stride)
            end = trace(part, "y", rows_in)[-1]
            tall = min(step + end.high - end.low, rows_in)
            rows, across = trace(part, "y", tall), trace(part, "x", columns)
            cells = max(n.channels * r.size * c.size for n, r, c in zip(part, rows, across, strict=True))
            total += 2.5 * cells
            rows_in, columns, stride = end.size, across[-1].size, stride * end.stride
        return (total + 1000 * rows_in * columns) * 4 / 2**20 + 60

    def _run_whole(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _part_runs(self) -> list[Run]:
        raise NotImplementedError

    def _release(self, pixels: int) -> None:
        """Give back what the pass held."""

    def _channels_last(self, result: NDArray[np.float32]) -> NDArray[np.float32]:
        return result


class OpenVINOEngine(_Engine):
    """Serves the exported graph with OpenVINO on the CPU, in float32."""

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: Progress | None = None
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                f"OpenVINO cannot be loaded here ({error}). Run: pip install openvino, or choose engine tensorflow."
            ) from error
        from fcn_core.graphs import prepare_graph

        graph = prepare_graph(spec, random=random, output_stride=output_stride, progress=progress)
        weights: Any = "random" if random else "imagenet" if graph.weights_published else "unpublished"
        info = ModelInfo(spec.name, spec.title, weights, graph.weights_sha256, "openvino", output_stride)
        super().__init__(info, graph.geometry, spec.preprocessing)
        self._ov, self._path = openvino, graph.path
        self._whole: Any = None
        self._banded: list[Any] = []
        self._request: Any = None
        try:
            self._core = openvino.Core()
            self._whole = self._compile(self._network(whole=True))
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO failed to load {spec.title} ({str(error)[:200]}). Choose engine tensorflow."
            ) from error

    def _compile(self, network: Any) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        return self._core.compile_model(network, "CPU", settings)

    def _network(self, whole: bool) -> Any:
        """The graph without the outputs that mark its cuts, or with them."""
        network = self._core.read_model(self._path)
        return self._ov.Model([network.results[0]], network.get_parameters()) if whole else network

    def _run_whole(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._whole is None:
            self._banded = []
            resources.trim()
            self._whole = self._compile(self._network(whole=True))
        if self._request is None:
            self._request = self._whole.create_infer_request()
        return self._infer(self._request, batch)

    @staticmethod
    def _infer(request: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = {0: np.ascontiguousarray(batch)}
        try:
            result: NDArray[np.float32] = request.infer(inputs, share_inputs=True, share_outputs=True)[0]
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO failed on an input of shape {batch.shape} ({' '.join(str(error).split())[:200]}). "
                f"Choose a smaller scale or engine tensorflow."
            ) from error
        return result

    def _part_runs(self) -> list[Run]:
        if not self._banded:
            self._whole = self._request = None
            resources.trim()
            self._banded = [self._compile(part) for part in self._cut()]
        return [partial(self._infer, compiled.create_infer_request()) for compiled in self._banded]

    def _cut(self) -> list[Any]:
        """Networks for the parts: between two cuts, a new input takes the place of what came before."""
        count, parts = len(self._parts), []
        for index in range(count):
            network = self._network(whole=False)
            results, inputs = network.results, network.get_parameters()
            if index > 0:
                entry = results[index].input_value(0)
                parameter = self._ov.opset13.parameter(entry.get_partial_shape(), np.float32)
                for target in entry.get_target_inputs():
                    if target.get_node().get_type_name() != "Result":
                        target.replace_source_output(parameter.output(0))
                inputs = [parameter]
            end = results[0] if index == count - 1 else results[index + 1]
            parts.append(self._ov.Model([end], inputs))
        return parts

    def _release(self, pixels: int) -> None:
        if pixels > 1_500_000:  # a request keeps the memory of the largest picture it has seen
            self._request = None
            resources.trim()

    def _channels_last(self, result: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.moveaxis(result, 1, -1))


class TensorFlowEngine(_Engine):
    """Runs the converted Keras network itself, as one traced function of free input size."""

    axis = 1

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: Progress | None = None
    ) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        try:
            import keras
            import tensorflow
        except ImportError as error:
            raise EngineError(
                f"TensorFlow cannot be loaded here ({error}). Run: pip install tensorflow, or choose engine openvino."
            ) from error
        if keras.backend.backend() != "tensorflow":
            raise EngineError(
                f"Keras runs on {keras.backend.backend()} in this process. Expected TensorFlow: set "
                f"KERAS_BACKEND=tensorflow before the first import of Keras, or choose engine openvino."
            )
        from fcn_core.convert import read_geometry, split, to_fully_convolutional
        from fcn_core.zoo import build_classifier, digest

        path = None if random else require_weights(spec, progress)
        stride = None if output_stride == 32 else output_stride
        network = to_fully_convolutional(build_classifier(spec, path), output="logits", output_stride=stride)
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

    def _batch(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.moveaxis(self._preprocessing(planes), 0, -1))[None]

    def _run_whole(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._infer(self._traced, batch)

    @staticmethod
    def _infer(run: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(run(batch))

    def _part_runs(self) -> list[Run]:
        self._banded = self._banded or [
            self._trace(part) for part in self._split(self.network, self._cut_tensors)
        ]
        return [partial(self._infer, run) for run in self._banded]
