"""Add a model of one's own to the folder of models: for a server whose owner lets visitors do that."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fcn_core import settings
from fcn_core.errors import FcnError, LabelsInvalid, StorageError, UnknownModel
from fcn_core.networks.zoo import ALL_MODELS
from fcn_core.synsets.class_labels import hierarchy_of, read_labels
from fcn_core.system.folders import megabytes

MOST_MODELS = 20  # in the folder
# How the two kinds of files begin: a ZIP archive, and HDF5.
_BEGINNINGS = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n"}


def add_model(name: str, data: bytes | memoryview, labels: str) -> str:
    """Write a model and its labels into the folder ``FCN_MODELS_DIR``; nothing in the file is executed.

    What the file holds is checked when the model is prepared, as for any model of one's own
    (:mod:`fcn_core.networks.own_file`).

    Parameters
    ----------
    name : str
        Of the file; the model is named after it.
    data : bytes
        The Keras file.
    labels : str
        One class a line, in the order of the outputs.

    Returns
    -------
    str
        The name of the model.

    Raises
    ------
    UnknownModel
        The file is no Keras model by its name or its beginning, or a model has this name.
    LabelsInvalid
        There are no labels, or they cannot be used.
    FcnError
        There is no folder for models, or it is full.
    StorageError
        The folder cannot be written.
    """
    folder = settings.MODELS_DIR.value()
    if folder is None:
        raise FcnError("Expected a folder for models. Received none. Set FCN_MODELS_DIR to a folder.")
    suffix = Path(name).suffix.lower()
    begins = _BEGINNINGS.get(suffix)
    if begins is None or bytes(data[: len(begins)]) != begins:
        raise UnknownModel(
            f"Expected a Keras model ({', '.join(_BEGINNINGS)}). Received {Path(name).name[:60]}, which is none. Save "
            f'the model with model.save("my.keras").'
        )
    model = settings.name_of_file(Path(name))
    there = settings.models_in_folder()
    if model in there or model in ALL_MODELS:
        raise UnknownModel(
            f"Expected a model with a name of its own. Received {model}, which is there already. Rename the file."
        )
    if len(there) >= MOST_MODELS:
        raise FcnError(
            f"Expected at most {MOST_MODELS} models in the folder. Received one more. Ask who runs this server to "
            f"remove some."
        )
    lines = [line.strip() for line in labels.splitlines() if line.strip()]
    if not lines:
        raise LabelsInvalid("Expected the labels of the classes. Received none. Write one class a line.")
    hierarchy_of(read_labels(lines))
    _write(folder / f"{model}.txt", "\n".join(lines).encode())
    try:
        _write(folder / f"{model}{suffix}", data)
    except StorageError:
        with suppress(OSError):
            (folder / f"{model}.txt").unlink()
        raise
    return model


def _write(path: Path, data: bytes | memoryview) -> None:
    """Write a file that appears when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise StorageError(
            f"Expected {megabytes(len(data))} MB of space in the writable folder of models. Received an error "
            f"({error.strerror}). Ask who runs this server to make room."
        ) from error
