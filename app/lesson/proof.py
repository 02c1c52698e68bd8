"""The conversion's proof, run in a process of its own: the app's never loads Keras."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from app.lesson.text import FOLDER
from fcn_core.errors import FcnError

_SECONDS = 600


@dataclass(frozen=True)
class ConversionProof:
    """What ``python -m fcn_core verify`` said."""

    relative: float
    span: float
    grid: tuple[int, int]


def prove(model: str) -> ConversionProof:
    """Compare the model's map with the classifier it was made from.

    Raises
    ------
    FcnError
        The comparison could not be made here.
    """
    command = [sys.executable, "-m", "fcn_core", "verify", "--model", model, "--json"]
    environment = dict(os.environ)
    if importlib.util.find_spec("openvino"):  # Keras runs on it too, in half the memory of TensorFlow
        environment["KERAS_BACKEND"] = "openvino"
    try:
        child = subprocess.run(  # noqa: S603
            command,
            cwd=FOLDER.parents[1],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
        found = json.loads(child.stdout.strip().splitlines()[-1])
        return ConversionProof(found["relative"], found["span"], tuple(found["grid"]))
    except (ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        raise FcnError(
            "The proof could not be run on this machine: it loads the original classifier beside the converted one, "
            "which may need more memory than there is. In a terminal, `python -m fcn_core verify` says more."
        ) from error
