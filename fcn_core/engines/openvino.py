"""The serving engine: the exported graph on OpenVINO, on the CPU, in float32 unless half precision is asked for."""

from __future__ import annotations

import importlib.util
import logging
import mmap
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fcn_core.engines.bands import Run
from fcn_core.engines.base import Engine, Logits, Precision, model_info
from fcn_core.engines.graph_cache import Graph, prepare_graph
from fcn_core.engines.last_layer import read_openvino
from fcn_core.engines.openvino_parts import Parts
from fcn_core.errors import EngineError
from fcn_core.networks.middle import part_of
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import ByteProgress
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_CACHE_MB = 2048  # a process larger than this releases its cache after every pass
_BLOCK_MB = 4  # in bands, free blocks of this size are returned at once: the gaps between them would exceed the budget
# Number of compiled kernels to cache, one per input shape: about as many as one picture needs. Without a limit,
# pictures of always new proportions fill any budget (1 to 3 MB per shape).
_KERNELS = 128
_REJECTIONS = (RuntimeError, ValueError, LookupError)  # what OpenVINO raises for a graph it does not accept
# New graphs that OpenVINO rejected: this process does not export them again at every attempt to load the model.
_REJECTED_WHEN_NEW: set[str] = set()


class OpenVINOEngine(Engine):
    """Serves the exported graph with OpenVINO on the CPU, in float32.

    Parameters
    ----------
    spec : ModelSpec
    random : bool
        Seeded random weights instead of the published ones.
    output_stride : {32, 16, 8}
    progress : callable, optional
        Called with (bytes so far, bytes in all) while weights are downloaded.

    Raises
    ------
    WeightsUnavailable, WeightsInvalid, StorageError
        See :func:`fcn_core.engines.graph_cache.prepare_graph`.
    EngineError
        OpenVINO is missing, cannot be loaded, or rejects the graph.
    """

    def __init__(
        self, spec: ModelSpec, random: bool, output_stride: int, progress: ByteProgress | None = None
    ) -> None:
        missing = "Run: pip install openvino, or choose engine tensorflow."
        if importlib.util.find_spec("openvino") is None:
            raise EngineError(
                f"Expected the package openvino. Received none: OpenVINO is not installed. {missing}"
            )
        # Before OpenVINO is loaded: the child process that exports the graph needs the memory.
        prepare = partial(prepare_graph, spec, random=random, output_stride=output_stride, progress=progress)
        graph = prepare()
        # oneDNN inside OpenVINO has its own cache and reads its limit from the environment when first used.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_KERNELS))
        try:
            import openvino

            self._ov, self._core = openvino, openvino.Core()
        except (ImportError, RuntimeError) as error:
            raise EngineError(
                f"Expected a working OpenVINO. Received one that cannot be loaded ({_short(error)}). {missing}"
            ) from error
        info = model_info(
            spec,
            "random" if random else "imagenet" if graph.weights_published else "unpublished",
            graph.weights_sha256,
            ("openvino", graph.geometry.stride, output_stride),
            (graph.geometry.nodes[-1].channels, graph.exclusive),
        )
        super().__init__(info, graph.geometry, spec)
        self._unpacked_mb = len(graph.weights) / 2**20
        self._parts: Parts | None = None
        self._whole: Any = None
        try:
            self._read(graph)
        except _REJECTIONS as error:
            if "bad_alloc" in str(error):  # out of memory: the graph may be fine
                raise MemoryError from error
            if graph.fresh or graph.made in _REJECTED_WHEN_NEW:
                raise self._rejection(graph, error) from error
            logger.warning("OpenVINO rejects the graph %s; exporting it again: %s", graph.path, _short(error))
            graph = prepare(rejected=graph)
            try:
                self._read(graph)
            except _REJECTIONS as again:
                raise self._rejection(graph, again) from again

    def compute_in(self, precision: Precision) -> None:
        """Compute in another precision from now on; see :class:`fcn_core.engines.base.Engine`."""
        before = self._info
        if precision == before.precision:
            return
        with self._lock:
            self._info, self._parts = replace(before, precision=precision), None
            self._read(self._graph)
            used = self._whole.get_property("INFERENCE_PRECISION_HINT").to_string()
            if used == precision:
                return
            self._info = before
            self._read(self._graph)
        raise EngineError(
            f"Expected a processor that computes in {precision}, with AMX or AVX-512. Received one on which OpenVINO "
            f"computes in {used}. Choose f32."
        )

    def _read(self, graph: Graph) -> None:
        self._graph = graph
        network = self._network()
        logits, *cuts = network.results
        # The middle first: then OpenVINO copies their tensors as soon as they are made, and reuses their memory.
        outputs = [*(cuts[part_of(layer)] for layer in self._middle), logits]
        self._whole = self._compile(self._ov.Model(outputs, network.get_parameters()))

    def _rejection(self, graph: Graph, error: Exception) -> EngineError:
        """Return the error for a new graph that is rejected too; this process does not export it again."""
        _REJECTED_WHEN_NEW.add(graph.made)
        return EngineError(
            f"Expected OpenVINO to accept the graph of {self._info.title}. Received an error ({_short(error)}), "
            f"although the graph is newly exported. Install openvino and keras again, in the versions of "
            f"requirements.txt, or choose engine tensorflow."
        )

    def _compile(self, network: Any) -> Any:
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self._info.precision,
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
            "ENABLE_CPU_PINNING": False,  # on a busy machine, threads that may move are a fifth faster
        }
        if memory.cpus() < (
            os.cpu_count() or 1
        ):  # threads beyond a container's quota only wait for each other
            options["INFERENCE_NUM_THREADS"] = memory.cpus()
        return self._core.compile_model(network, "CPU", options)

    def _network(self) -> Any:
        """Return the graph; its weights are used in place, not copied."""
        weights = self._ov.Tensor(np.frombuffer(self._graph.weights, np.uint8), shared_memory=True)
        return self._core.read_model(self._graph.description, weights)

    def _run_whole(self, batch: Logits) -> tuple[Logits, list[Logits]]:
        size = batch.shape[2:]
        shapes = [(1, layer.nodes[-1].channels, *layer.grid(*size)) for layer in self._middle]
        shapes.append((1, *self._geometry.grid(*size), self._geometry.nodes[-1].channels))
        results = [np.empty(shape, np.float32) for shape in shapes]
        request = self._whole.create_infer_request()
        request.set_input_tensor(self._ov.Tensor(batch, shared_memory=True))
        for port, result in enumerate(results):
            request.set_output_tensor(port, self._ov.Tensor(result, shared_memory=True))
        self._infer(request, batch)
        *middle, logits = results
        return logits[0], middle

    def _run_to_last_layer(self, batch: Logits, classes: Sequence[int]) -> tuple[Logits, Logits, Logits]:
        network = self._network()
        features, kernel, bias = read_openvino(network.results[0], classes, self._info.title)
        # One compiled network at a time: the other one is compiled again, in a fifth of a second.
        self._whole = self._parts = None
        memory.trim_heap()
        try:
            request = self._compile(
                self._ov.Model([features], network.get_parameters())
            ).create_infer_request()
            request.set_input_tensor(self._ov.Tensor(batch, shared_memory=True))
            self._infer(request, batch)
            found = np.array(np.moveaxis(request.get_output_tensor().data[0], 0, -1), order="C")
            del request
        finally:
            if not self._in_parts:
                self._read(self._graph)
            self._unpacked_mb = len(self._graph.weights) / 2**20
            self._trim()
            self._cached_mb = 0.0
        return found, kernel, bias

    def _part_runs(self) -> list[Run]:
        if self._parts is None:
            self._whole, self._in_parts = None, True
            memory.trim_heap()
            self._parts = Parts(self._ov, self._network(), self._geometry, self._compile)
            self._trim()
        memory.limit_free_heap(_BLOCK_MB)
        return self._parts.runs(self._infer)

    @staticmethod
    def _infer(request: Any, batch: Logits) -> None:
        try:
            request.infer()
        except RuntimeError as error:
            raise EngineError(
                f"Expected OpenVINO to run on an input of shape {batch.shape}. Received an error ({_short(error)}). "
                f"Choose a smaller scale, or engine tensorflow."
            ) from error

    def release_cached(self) -> None:
        """Release the memory that was cached after the last pass for the next one."""
        with self._lock:
            if self._cached_mb:
                self._release()

    def _keep(self, megabytes: float) -> None:
        """Release the cache unless memory is plentiful: allocating it again makes a pass up to 50 % slower."""
        rss = memory.rss_mb()
        if not self._in_parts and rss < min(memory.budget_mb() / 2, _CACHE_MB):
            super()._keep(megabytes)
        else:
            self._release()

    def _release(self) -> None:
        if self._parts is not None:
            self._parts.release_cached()
            memory.limit_free_heap()
        elif self._whole is not None:
            self._whole.release_memory()
        self._trim()
        self._cached_mb = 0.0

    def _trim(self) -> None:
        """Return free memory to the system, and the pages of the weights if a file has them."""
        if self._graph.cached and hasattr(mmap, "MADV_DONTNEED"):
            self._graph.weights.madvise(mmap.MADV_DONTNEED)
        memory.trim_heap()


def _short(error: Exception) -> str:
    """Return the message of an error on one line, at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__
