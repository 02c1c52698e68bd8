"""The conversion's proof, run in a process of its own: the app's never loads Keras or TensorFlow."""

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
    """What ``python -m fcn_core verify`` said.

    Attributes
    ----------
    relative : float
        Largest difference as a share of `span`.
    span : float
        Largest less smallest logit of the classifier.
    grid : (int, int)
        Rows and columns of the map.
    engine, backend : str
        The software that made the map, and that the classifier ran on.
    """

    relative: float
    span: float
    grid: tuple[int, int]
    engine: str
    backend: str


def prove(model: str) -> ConversionProof:
    """Compare the model's map with the classifier it was made from, on TensorFlow where that is installed.

    Raises
    ------
    FcnError
        The comparison could not be made here.
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
        if child.returncode in (2, 3):  # it says why
            raise FcnError(child.stderr.strip().splitlines()[-1].removeprefix("fcn_core: "))
        found = json.loads(child.stdout.strip().splitlines()[-1])
        relative = float("inf") if found["relative"] is None else found["relative"]
        engine, backend = (_SOFTWARE.get(found[key], found[key]) for key in ("engine", "backend"))
        return ConversionProof(relative, found["span"], tuple(found["grid"]), engine, backend)
    except (ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        raise FcnError(
            f"The proof could not be run on this machine: it loads the original classifier beside the converted one, "
            f"which may need more memory than there is. In a terminal, `{_in_terminal(model)}` says more."
        ) from error


def _require_memory(model: str) -> None:
    left = memory.budget_mb() - memory.rss_mb()
    if left < _NEEDED_MB:
        raise FcnError(
            f"The proof loads TensorFlow and the original classifier, which takes about {_NEEDED_MB} MB beside this "
            f"page. The program may use {memory.budget_mb():.0f} MB here, of which {max(left, 0):.0f} MB are left. "
            f"In a terminal of a machine with more, `{_in_terminal(model)}` says the same."
        )


def _in_terminal(model: str) -> str:
    return f"python -m fcn_core verify --model {model}"
