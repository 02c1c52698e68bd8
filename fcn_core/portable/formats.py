"""The formats in which a network is written: what writes them, what reads them, and how a file is run in its runtime.

Each file is run by the official Python package of its runtime, in a process of its own (:func:`main`): what is checked
is the file alone, and the memory of the exporters has been freed before.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_core.errors import FcnError
from fcn_core.system.child import exit_status
from fcn_core.system.installed import is_installed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fcn_core.networks.keras_settings import Backend

INPUT = "image"
OUTPUTS = ("logits", "probabilities")

#: Runs a picture of shape (1, h, w, 3): the maps by their names.
Run = Callable[["NDArray[np.float32]"], "Mapping[str, NDArray[np.float32]]"]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    name, title : str
    suffix : str
        How the name of the file ends; "" for a folder.
    backend : {"openvino", "tensorflow"}
        On which Keras writes it (see `backend_of`).
    writers : mapping
        What writing needs beside Keras: module -> distribution.
    runtime : tuple of str
        What runs it: module and distribution.
    open : callable
        Opens a file in the runtime.
    base_mb, times : float
        Memory of the process that writes it, as measured: without weights, and in sizes of the weights.
    """

    name: str
    title: str
    suffix: str
    backend: Backend
    writers: Mapping[str, str]
    runtime: tuple[str, str]
    open: Callable[[Path], Run]
    base_mb: float
    times: float


def _open_keras(path: Path) -> Run:
    import keras
    import numpy as np

    network = keras.saving.load_model(path)
    return lambda picture: {name: np.asarray(value) for name, value in network(picture).items()}


def _open_onnx(path: Path) -> Run:
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda picture: dict(zip(OUTPUTS, session.run(list(OUTPUTS), {INPUT: picture}), strict=True))


def _open_openvino(path: Path) -> Run:
    openvino = importlib.import_module("openvino")
    # Without the hint, OpenVINO computes in half precision where the processor can.
    network = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(picture: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        found = network({INPUT: picture})
        return {name: found[name] for name in OUTPUTS}

    return run


def _open_litert(path: Path) -> Run:
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(str(path))
    runner = interpreter.get_signature_runner()
    return lambda picture: {name: value.copy() for name, value in runner(**{INPUT: picture}).items()}


def _open_saved_model(path: Path) -> Run:
    network = importlib.import_module("tensorflow").saved_model.load(str(path))
    return lambda picture: {name: value.numpy() for name, value in network.serve(picture).items()}


_TENSORFLOW = {"tensorflow": "tensorflow"}

FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("keras", "Keras", ".keras", "openvino", {"openvino": "openvino"},
               ("keras", "keras"), _open_keras, 1000, 8),
        Format("onnx", "ONNX", ".onnx", "tensorflow", {**_TENSORFLOW, "tf2onnx": "tf2onnx", "onnx": "onnx"},
               ("onnxruntime", "onnxruntime"), _open_onnx, 1100, 9),
        Format("openvino", "OpenVINO", ".xml", "openvino", {"openvino": "openvino"},
               ("openvino", "openvino"), _open_openvino, 460, 6),
        Format("litert", "LiteRT", ".tflite", "tensorflow", _TENSORFLOW,
               ("ai_edge_litert", "ai-edge-litert"), _open_litert, 1000, 8),
        Format("saved_model", "TensorFlow SavedModel", "", "tensorflow", _TENSORFLOW,
               ("tensorflow", "tensorflow"), _open_saved_model, 900, 8),
    )
}  # fmt: skip


def format_of(name: str) -> Format:
    """Return a format by its name.

    Raises
    ------
    FcnError
        There is no such format.
    """
    if name not in FORMATS:
        raise FcnError(
            f"Expected a format among {', '.join(FORMATS)}. Received {name[:40]!r}. Choose one of them."
        )
    return FORMATS[name]


def backend_of(format: Format) -> Backend:
    """Return the backend of Keras that writes the format here: TensorFlow is faster where both can."""
    return "tensorflow" if format.name == "keras" and is_installed("tensorflow") else format.backend


def runtime_version(format: Format) -> str:
    """Return the runtime of the format and its version, such as ``onnxruntime 1.23.0``."""
    module, distribution = format.runtime
    for each in (distribution, f"{distribution}-cpu"):
        try:
            return f"{distribution} {version(each)}"
        except PackageNotFoundError:
            continue
    return module


def largest_errors(format: Format, path: Path, reference: Path) -> dict[str, float]:
    """Run the pictures of a reference in the runtime, and compare.

    Parameters
    ----------
    format : Format
    path : Path
        The file of the network.
    reference : Path
        Arrays ``image0``, ``logits0``, ``probabilities0``, ``image1`` and so on.

    Returns
    -------
    dict of str to float
        The largest error of each output over all pictures: that of the logits as a share of :func:`_span`.
    """
    import numpy as np

    run = format.open(path)
    errors = dict.fromkeys(OUTPUTS, 0.0)
    with np.load(reference) as arrays:
        for number in range(len(arrays.files) // 3):
            found = run(arrays[f"image{number}"])
            for name in OUTPUTS:
                expected = arrays[f"{name}{number}"]
                if found[name].shape != expected.shape:
                    return dict.fromkeys(OUTPUTS, float("inf"))
                span = _span(expected) if name == "logits" else 1.0
                error = float(np.abs(found[name] - expected).max()) / span
                errors[name] = max(errors[name], error if np.isfinite(error) else float("inf"))
    return errors


def _span(logits: NDArray[np.float32]) -> float:
    """Return the range of logits, to compare errors with; one output has none, so it is the size of its logits.

    Where all logits are nearly the same, as before any training, float32 has no digits of their range: it counts as a
    hundredth of their size, and as 0.001 at least.
    """
    size = float(abs(logits).max())
    return max(float(logits.max() - logits.min()), size if logits.shape[-1] == 1 else size / 100, 1e-3)


def main(name: str, path: str, reference: str, *layers: str) -> None:
    """Check a file in this process, with nothing else than its runtime; print the errors as JSON.

    Modules with the layers of this program that a network needs are imported first.
    """
    for module in layers:
        importlib.import_module(module)
    print(json.dumps(largest_errors(FORMATS[name], Path(path), Path(reference))))


if __name__ == "__main__":
    sys.exit(exit_status(partial(main, *sys.argv[1:])))
