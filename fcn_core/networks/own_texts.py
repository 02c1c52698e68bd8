"""The texts in an HDF5 file: each in a list may be the same long one, so that a small file needs much memory.

Keras saves the names of layers and weights as lists of texts of any length. HDF5 has no way to ask for these lengths
before it reads a list whole. So a process of its own reads the lists first, in bounded memory; the operating system
ends it if they need more (Linux; other systems do not bound a process, and files are read there without this check).
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from fcn_core.networks.refusals import file_refusal
from fcn_core.system.child import child_environment, exit_status, module_command, run_child

MOST_MB = 256  # for one list; that of NASNetLarge needs less than one
_TIMEOUT = 120.0


def check_texts(place: Path, longest: int, where: str) -> None:
    """Refuse a file whose lists of texts need much memory.

    Parameters
    ----------
    place : Path
        The file, in a folder that may be written.
    longest : int
        The texts in its longest list.
    where : str
        Name of the file, for messages.

    Raises
    ------
    ConversionError
        A list needs more than `MOST_MB`.
    """
    no_text_is_longer = place.stat().st_size
    if longest * no_text_is_longer <= MOST_MB * 2**20 or not sys.platform.startswith("linux"):
        return
    run_child(
        module_command("fcn_core.networks.own_texts", str(place), where),
        child_environment("openvino", place.parent / "child"),
        f"read the names in {where}",
        timeout=_TIMEOUT,
    )


def _read(place: str, where: str) -> None:
    import resource

    import h5py
    import psutil

    most = psutil.Process().memory_info().vms + MOST_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

    def read(_: str, item: Any) -> None:
        for name in item.attrs:
            if is_list_of_texts(item.attrs.get_id(name)):
                item.attrs[name]

    try:
        with h5py.File(place, "r") as file:
            read("", file)
            file.visititems(read)
    except (MemoryError, OSError, RuntimeError) as error:
        raise file_refusal("limits", f"{where}, whose lists of names need more than {MOST_MB} MB") from error


def is_list_of_texts(attribute: Any) -> bool:
    """Return whether an attribute holds several texts of any length."""
    return attribute.dtype.hasobject and attribute.shape not in ((), None)


if __name__ == "__main__":
    sys.exit(exit_status(partial(_read, *sys.argv[1:])))
