"""Load a model on the requested engine, or on the best engine that works."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

from fcn_core import settings
from fcn_core.engines.base import Predictor
from fcn_core.engines.openvino import OpenVINOEngine
from fcn_core.engines.tensorflow import TensorFlowEngine
from fcn_core.errors import ConversionError, EngineError, FcnError, MemoryBudgetError, StorageError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import ByteProgress
from fcn_core.networks.zoo import model_spec
from fcn_core.synsets.class_labels import Labels
from fcn_core.system import memory

logger = logging.getLogger(__name__)

# Memory of TensorFlow: the package, each megabyte of weights, a pass over the smallest of the notebook's scales.
_TENSORFLOW_MB, _A_WEIGHT, _PASS_MB = 615, 1.5, 13  # measured


def load_model(
    name: str | Path | None = None,
    engine: str | None = None,
    weights: str | None = "imagenet",
    output_stride: int = 32,
    progress: ByteProgress | None = None,
    labels: Labels | None = None,
    preprocessing: str | None = None,
) -> Predictor:
    """Load a model of the zoo or of one's own; before its first use on a machine, export it for OpenVINO.

    Parameters
    ----------
    name : str or Path, optional
        ``efficientnet-lite2``, ``efficientnet-lite0``, ``resnet50``, a classifier of ``keras.applications`` such as
        ``VGG16``, a model in the folder ``FCN_MODELS_DIR``, or the path of a Keras file; by default ``FCN_MODEL``, else
        the first.
    engine : {"auto", "openvino", "tensorflow"}, optional
        By default ``FCN_ENGINE``, else "auto": OpenVINO if it works, else TensorFlow.
    weights : "imagenet" or None
        The published weights, or random, seeded ones (also "none").
    output_stride : {32, 16, 8}
        Input pixels from cell to cell.
    progress : callable, optional
        Called with (bytes so far, bytes in all) while weights are downloaded.
    labels : str, Path, or sequence of str, optional
        The classes of one's own model, in the order of its outputs: wnids or plain words, or a file with one a line; or
        "imagenet". By default the file of the same name that ends in .txt or .json; without it they are numbered.
    preprocessing : {"none", "zero-one", "tf", "caffe", "torch"}, optional
        What one's own model was trained with; "none" (default): it takes RGB pixels 0..255.

    Returns
    -------
    Predictor

    Raises
    ------
    UnknownModel, LabelsInvalid, ConversionError, WeightsUnavailable, WeightsInvalid, EngineError, StorageError,
    MemoryBudgetError
        The message says what to do. If OpenVINO fails and TensorFlow would exceed ``FCN_MEMORY_MB``, OpenVINO's error.
    """
    spec = model_spec(name, labels, preprocessing)
    wanted = engine or settings.ENGINE.value()
    random = weights in (None, "none")
    if wanted not in settings.ENGINES:
        raise EngineError(
            f"Expected engine auto, openvino or tensorflow. Received {wanted[:40]!r}. Choose one of them."
        )
    if weights not in (None, "none", "imagenet"):
        raise EngineError(
            f"Expected weights imagenet or none. Received {str(weights)[:40]!r}. Choose one of them."
        )
    if random and spec.given is not None:
        raise EngineError(
            f"Expected your own model with its own weights. Received weights none for {spec.title}. Leave it out."
        )
    if output_stride not in (8, 16, 32):
        raise ConversionError(
            f"Expected output stride 32, 16 or 8. Received {output_stride}. Choose one of them."
        )
    try:
        if wanted == "tensorflow":
            return TensorFlowEngine(spec, random, output_stride, progress)
        try:
            return OpenVINOEngine(spec, random, output_stride, progress)
        except (EngineError, StorageError) as error:
            if wanted == "openvino" or importlib.util.find_spec("tensorflow") is None:
                raise
            _require_memory_for_tensorflow(spec, error)
            logger.warning("TensorFlow is used instead of OpenVINO: %s", error)
            return TensorFlowEngine(spec, random, output_stride, progress)
    except MemoryError as error:
        raise MemoryBudgetError(
            f"Expected enough memory to load {spec.title}. Received an out-of-memory error: the process uses "
            f"{memory.rss_mb():.0f} MB. Give it more memory, or choose a smaller model; other scales do not help."
        ) from error


def _require_memory_for_tensorflow(spec: ModelSpec, error: FcnError) -> None:
    """If TensorFlow does not fit into the budget, raise OpenVINO's `error` with a sentence that says so."""
    needed, budget = _tensorflow_mb(spec), memory.budget_mb()
    if needed + _PASS_MB > memory.pass_budget_mb(needed):
        raise type(error)(
            f"{error} TensorFlow could be used instead, but needs about {needed + _PASS_MB:.0f} MB of memory, and "
            f"{budget:.0f} MB are allowed (FCN_MEMORY_MB, else the memory of the machine)."
        ) from error


def _tensorflow_mb(spec: ModelSpec) -> float:
    """Return the memory of this process with the model loaded on TensorFlow."""
    imported = 0 if "tensorflow" in sys.modules else _TENSORFLOW_MB
    return memory.rss_mb() + imported + spec.weights.size / 2**20 * _A_WEIGHT
