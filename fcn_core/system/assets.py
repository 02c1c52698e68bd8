"""Files that come with the program: inside the installed package, beside it in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def asset(name: str) -> Path:
    """Path of a file or folder of ``assets/``, named with ``/`` between its parts."""
    package = Path(str(resources.files("fcn_core")))
    installed = package / "assets" / name
    return installed if installed.exists() else package.parent / "assets" / name
