"""What is installed: the versions, and which engines are missing, why, and what to do about it."""

from __future__ import annotations

import importlib.util
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

# The first Python that TensorFlow has no wheel for; pyproject.toml does not require it from there on.
_TENSORFLOW_ENDS = (3, 14)

# Name in a manifest -> the distributions that may provide it.
_VERSIONS = {
    **{name: (name,) for name in ("numpy", "openvino", "keras", "scikit-image", "scipy", "pillow")},
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
}


def is_installed(package: str) -> bool:
    """Return whether a top-level package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def install_tensorflow() -> str:
    """Return what to do where TensorFlow is missing, as a sentence."""
    python = sys.version_info[:2]
    if python < _TENSORFLOW_ENDS:
        return "Run: pip install tensorflow"
    return f"TensorFlow has no wheel for Python {python[0]}.{python[1]}: use Python 3.13 or older"


def missing_engines() -> dict[str, str]:
    """Return the engines that cannot be imported here: title -> the reason and the cure, in words."""
    cures = {
        "OpenVINO": ("openvino", "Run: pip install openvino"),
        "TensorFlow": ("tensorflow", install_tensorflow()),
    }
    return {
        title: f"not installed. {cure}."
        for title, (package, cure) in cures.items()
        if not is_installed(package)
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name, distributions in _VERSIONS.items():
        for distribution in distributions:
            with suppress(PackageNotFoundError):
                found[name] = version(distribution)
    return found
