"""The proof of a model's conversion, run in its own process: the app's process never loads Keras or TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from fcn_core.errors import FcnError
from fcn_core.system import memory
from fcn_core.system.child import module_command
from fcn_core.system.installed import is_installed

_SECONDS = 600
_NEEDED_MB = 1000  # measured: 895 with EfficientNet-Lite2, 983 with ResNet50
_SOFTWARE = {"openvino": "OpenVINO", "tensorflow": "TensorFlow"}


@dataclass(frozen=True)
class ConversionProof:
    """Result of ``python -m fcn_core verify``.

    Attributes
    ----------
    relative : float
        Largest difference as a share of `span`.
    span : float
        Largest minus smallest logit of the classifier.
    grid : (int, int)
        Rows and columns of the map.
    engine, backend : str
        The software that computed the map, and the software that ran the classifier.
    """

    relative: float
    span: float
    grid: tuple[int, int]
    engine: str
    backend: str


def prove(model: str) -> ConversionProof:
    """Compare a model's map with the original classifier, which runs on TensorFlow if that is installed.

    Raises
    ------
    FcnError
        The comparison failed, or needs more memory.
    """
    _require_memory(model)
    backend = "tensorflow" if is_installed("tensorflow") else "openvino"
    command = module_command("fcn_core", "verify", "--model", model, "--json")
    try:
        child = subprocess.run(  # noqa: S603
            command,
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
        if child.returncode in (2, 3):  # expected errors, explained in the last line
            raise FcnError(child.stderr.strip().splitlines()[-1].removeprefix("fcn_core: "))
        found = json.loads(child.stdout.strip().splitlines()[-1])
        relative = float("inf") if found["relative"] is None else found["relative"]
        engine, backend = (_SOFTWARE.get(found[key], found[key]) for key in ("engine", "backend"))
        return ConversionProof(relative, found["span"], tuple(found["grid"]), engine, backend)
    except (ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        raise FcnError(
            f"Expected the result of the proof. Received none: the proof loads the original classifier beside the "
            f"converted one, and memory may be exhausted. For details, run `{_in_terminal(model)}` in a terminal."
        ) from error


def _require_memory(model: str) -> None:
    left = memory.budget_mb() - memory.rss_mb()
    if left < _NEEDED_MB:
        raise FcnError(
            f"Expected {_NEEDED_MB} MB of free memory, as the proof loads TensorFlow and the original classifier. "
            f"Received {max(left, 0):.0f} MB of {memory.budget_mb():.0f} MB. To prove it on a machine with more "
            f"memory, run `{_in_terminal(model)}` in a terminal."
        )


def _in_terminal(model: str) -> str:
    return f"python -m fcn_core verify --model {model}"
