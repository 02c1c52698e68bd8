"""Find the files that come with the program: inside the installed package, or beside it in a checkout.

A wheel carries those files of the project's ``assets/`` that the library reads, as ``fcn_core/assets``. In a checkout,
installed as editable or not installed at all, ``assets/`` lies beside the package, with the files of the app as well.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def package_folder() -> Path:
    """Return the folder of the package ``fcn_core`` that this process runs."""
    return Path(str(resources.files("fcn_core")))


def asset(name: str) -> Path:
    """Return the path of a file or folder of ``assets/``.

    Parameters
    ----------
    name : str
        Relative to ``assets/``, with ``/`` between its parts.

    Raises
    ------
    FileNotFoundError
        The installation lacks it: it is damaged, or `name` is one of the app's files, which no wheel carries.
    """
    package = package_folder()
    places = [folder / "assets" / name for folder in (package, package.parent)]
    for path in places:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{name} is missing: expected {' or '.join(map(str, places))}. Install the program again."
    )
