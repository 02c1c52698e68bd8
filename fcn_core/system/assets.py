"""Files that come with the program: inside the installed package, beside it in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def asset(name: str) -> Path:
    """Return the path of a file or folder in ``assets/``; `name` uses ``/`` between its parts."""
    package = Path(str(resources.files("fcn_core")))
    installed = package / "assets" / name
    return installed if installed.exists() else package.parent / "assets" / name
