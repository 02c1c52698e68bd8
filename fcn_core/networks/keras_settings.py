"""The settings of Keras, which other code in this process uses too.

``keras.json``, ``KERAS_BACKEND`` and calls such as ``keras.config.set_floatx`` choose precision, data format and
backend of every model. The models here are built with fixed settings; the previous settings are restored afterwards.

One private name of Keras 3.15 is used: ``keras.src.backend.common.global_state``. ``tests/networks/test_graph.py``
checks it and fails first when Keras changes it.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from fcn_core.errors import EngineError
from fcn_core.system.folders import cache_dir
from fcn_core.system.installed import install_tensorflow

Backend = Literal["tensorflow", "openvino"]
DataFormat = Literal["channels_last", "channels_first"]

_LOCK = threading.RLock()  # precision and data format apply to the whole process


def import_keras(backend: Backend = "tensorflow", instead: str = "choose engine openvino") -> None:
    """Import Keras on this backend, whatever ``KERAS_BACKEND`` says; if it is already imported, nothing changes.

    Parameters
    ----------
    backend : {"tensorflow", "openvino"}
    instead : str
        What a user can do without TensorFlow, for the message of the error.

    Raises
    ------
    EngineError
        Keras, or TensorFlow under it, cannot be imported.
    """
    settings: dict[str, str] = {"KERAS_BACKEND": backend}
    if "KERAS_HOME" not in os.environ and os.path.expanduser("~") == "~":  # noqa: PTH111 - Path raises
        # There is no home folder: TensorFlow would create a folder named ~.
        settings["KERAS_HOME"] = str(cache_dir() / "keras")
    try:
        with _environment(**settings):
            keras = importlib.import_module("keras")
            if keras.backend.backend() == "tensorflow":
                importlib.import_module("tensorflow")
    except Exception as error:  # Keras checks its settings at import, and raises many kinds of errors
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        cure = f"Correct or remove {_settings_file()}"
        if isinstance(error, ModuleNotFoundError):
            no_tensorflow = error.name == "tensorflow"
            cure = install_tensorflow() if no_tensorflow else f"Run: pip install keras {backend}"
        elif isinstance(error, ImportError):  # the package is damaged, or the settings need another package
            cure += f", run: pip install keras {backend}"
        if backend == "tensorflow":
            cure += f", or {instead}"
        raise EngineError(
            f"Expected a working Keras on {backend}. Received one that cannot be loaded ({reason}). {cure}."
        ) from error


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _settings_file() -> str:
    return os.path.join(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"), "keras.json")  # noqa: PTH118


@contextmanager
def keras_settings(data_format: DataFormat = "channels_last", policy: Any = "float32") -> Iterator[None]:
    """Set the data format and precision of models that are built in the context; restore both afterwards.

    The data format and ``floatx`` of Keras apply to the whole process. Other threads that use this function wait; those
    that build models without it see these settings.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}
    policy : str or keras.DTypePolicy
        The precision of layers.
    """
    import keras
    from keras.src.backend.common import (
        global_state,
    )  # keras.config would create a policy where none is set, and keep it

    own = keras.DTypePolicy(policy) if isinstance(policy, str) else policy

    def choose(data_format: str, floatx: str, policy: Any) -> None:
        keras.config.set_image_data_format(data_format)
        keras.config.set_floatx(floatx)
        global_state.set_global_attribute("dtype_policy", policy)

    with _LOCK:
        theirs = global_state.get_global_attribute("dtype_policy")
        before = keras.config.image_data_format(), keras.config.floatx(), theirs
        choose(data_format, own.variable_dtype, own)
        try:
            yield
        finally:
            choose(*before)
