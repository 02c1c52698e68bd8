"""Keras' settings, which belong to the machine and to whoever else uses Keras in this process.

``keras.json``, ``KERAS_BACKEND`` and calls such as ``keras.config.set_floatx`` choose the precision, the data format
and the backend of all that is built. What is built here chooses for itself, and leaves theirs as they were.
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

_LOCK = threading.RLock()  # precision and data format are those of the whole process


def import_keras(backend: Backend = "tensorflow") -> None:
    """Import Keras on this backend, whatever ``KERAS_BACKEND`` says; where it is imported already, it stays as it is.

    Raises
    ------
    EngineError
        Keras, or TensorFlow under it, cannot be imported.
    """
    settings: dict[str, str] = {"KERAS_BACKEND": backend}
    if "KERAS_HOME" not in os.environ and os.path.expanduser("~") == "~":  # noqa: PTH111 - Path raises
        # There is no home folder, and TensorFlow would make one named ~.
        settings["KERAS_HOME"] = str(cache_dir() / "keras")
    try:
        with _environment(**settings):
            keras = importlib.import_module("keras")
            if keras.backend.backend() == "tensorflow":
                importlib.import_module("tensorflow")
    except Exception as error:  # Keras checks its file of settings as it is imported, by errors of many kinds
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        cure = f"Mend or remove {_settings_file()}"
        if isinstance(error, ModuleNotFoundError):
            no_tensorflow = error.name == "tensorflow"
            cure = install_tensorflow() if no_tensorflow else f"Run: pip install keras {backend}"
        elif isinstance(error, ImportError):  # what is there does not load, or the settings ask for more
            cure += f", run: pip install keras {backend}"
        raise EngineError(
            f"Keras on {backend} cannot be loaded here ({reason}). {cure}, or choose engine openvino."
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
    """Let what is built within have this data format and precision; what was set before holds again afterwards.

    Keras keeps the data format and ``floatx`` for the whole process: other threads that build meanwhile see these,
    those that use this function wait.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}
    policy : str or keras.DTypePolicy
        The precision of layers.
    """
    import keras
    from keras.src.backend.common import global_state  # keras.config would make a policy of none, and keep it

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
