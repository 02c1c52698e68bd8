"""What all tests share: an environment of their own, no network, models loaded once."""

from __future__ import annotations

import functools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from fcn_core import settings
from fcn_core.system import memory
from fcn_core.system.installed import install_tensorflow, is_installed
from tests.deploy import machine
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    import numpy as np

_OWN_CACHE = pytest.StashKey[str]()

# What an example takes says nothing about the code: machines differ, and are busy with other things.
hypothesis.settings.register_profile(
    "timeless", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("timeless")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before anything is imported; child processes inherit it."""
    for name in [name for name in os.environ if name.startswith("FCN_") and name not in settings.FOR_TESTS]:
        del os.environ[name]
    cache = os.environ.get("FCN_TEST_CACHE_DIR")  # keeps prepared models from run to run
    if not cache:
        cache = config.stash[_OWN_CACHE] = tempfile.mkdtemp(prefix="fcn-tests-")
    os.environ |= {
        "FCN_CACHE_DIR": cache,
        "FCN_TEST_CACHE_DIR": cache,  # for the processes that share the tests
        "KERAS_BACKEND": "tensorflow" if is_installed("tensorflow") else "openvino",
        "KERAS_HOME": str(Path(cache) / "keras"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "MPLBACKEND": "Agg",
        # As in the app: matrices here are small, and a second thread costs more in waiting than it computes.
        "OPENBLAS_NUM_THREADS": "1",
        # Likewise TensorFlow's operations: another process has the other core.
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    # Byte code is kept, or each of hundreds of child processes would compile the program anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's cache."""
    cache = config.stash.get(_OWN_CACHE, None)
    if cache:
        shutil.rmtree(cache, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs nginx where it is missing, all at this line: the summary folds them into one."""
    if "certificate" in getattr(item, "fixturenames", ()) and (lack := machine.lacking()):
        if os.environ.get("FCN_REQUIRE_NGINX") == "1":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    if not is_installed("tensorflow") and _needs_tensorflow(item):
        pytest.skip(f"TensorFlow is not installed. {install_tensorflow()}.")


def _needs_tensorflow(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker("tensorflow") is not None or "zoo_classifiers" in fixtures


@pytest.fixture(autouse=True)
def _seeded() -> None:
    memory.reserve(0)  # an app that ran in this process keeps memory for its pages
    random.seed(0)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)  # for whoever still draws from the global generator
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "utils"):
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine for no test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            try:
                local = ip_address(host).is_loopback
            except ValueError:
                local = host == "localhost"
            if not local:
                raise OSError(f"tests have no network, and asked for {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def chelsea() -> np.ndarray:
    """A cat: class 285, uint8 (300, 451, 3)."""
    import skimage.data

    return skimage.data.chelsea()


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    """A cup: class 967, uint8 (400, 600, 3)."""
    import skimage.data

    return skimage.data.coffee()


@pytest.fixture(scope="session")
def resized() -> Callable[[np.ndarray, int, int], Any]:
    """Make the input of a `Predictor` from pixels."""
    from fcn_core.images.resize import ResizedImage

    return ResizedImage


def _loaded(*arguments: Any, **options: Any) -> Any:
    from fcn_core.engines.load import load_model

    return load_model(*arguments, **options)


@pytest.fixture(scope="session")
def lite0() -> Any:
    """EfficientNet-Lite0 on OpenVINO."""
    return _loaded("efficientnet-lite0", "openvino")


@pytest.fixture(scope="session")
def lite2() -> Any:
    """EfficientNet-Lite2 on OpenVINO."""
    return _loaded("efficientnet-lite2", "openvino")


@pytest.fixture(scope="session")
def random_resnet50() -> Any:
    """ResNet50 with random weights on OpenVINO."""
    return _loaded("resnet50", "openvino", weights=None)


@pytest.fixture(scope="session")
def zoo_classifiers() -> Callable[[str], Any]:
    """Give the Keras classifier of a model of the zoo, built once; ResNet50 with random weights. Not to be changed."""
    from fcn_core.networks.zoo import MODELS, build_classifier, find_weights

    return functools.cache(lambda name: build_classifier(MODELS[name], find_weights(MODELS[name])))


@pytest.fixture(scope="session")
def _on_tensorflow(zoo_classifiers: Callable[[str], Any]) -> Callable[..., Any]:
    from fcn_core.networks import zoo

    def load(name: str, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(zoo, "build_classifier", lambda spec, *_: zoo_classifiers(spec.name))
            return _loaded(name, "tensorflow", **options)

    return load


@pytest.fixture(scope="session")
def tf_lite0(_on_tensorflow: Callable[..., Any]) -> Any:
    """EfficientNet-Lite0 on TensorFlow."""
    return _on_tensorflow("efficientnet-lite0")


@pytest.fixture(scope="session")
def tf_lite2(_on_tensorflow: Callable[..., Any]) -> Any:
    """EfficientNet-Lite2 on TensorFlow."""
    return _on_tensorflow("efficientnet-lite2")


@pytest.fixture(scope="session")
def tf_random_resnet50(_on_tensorflow: Callable[..., Any]) -> Any:
    """ResNet50 with random weights on TensorFlow."""
    return _on_tensorflow("resnet50", weights=None)


@pytest.fixture(scope="session")
def fresh_python() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run code in a new interpreter; fail with what it wrote to standard error."""

    def run(code: str, *arguments: str, check: bool = True, **environment: str) -> Any:
        child = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if check and child.returncode != 0:
            pytest.fail(f"exit status {child.returncode}\n{child.stdout}\n{child.stderr}")
        return child

    yield run
