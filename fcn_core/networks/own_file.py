"""Read a user's own Keras model from a file that may be hostile.

What the file contains is copied into a private folder first; the copy is checked, and Keras reads the copy. So what
is read is what was checked. The configuration is held to a list (:mod:`fcn_core.networks.own_config`); weights may be
nothing but numbers inside the file; and the model is measured before memory is used for it. What remains is trust in
the libraries that read the formats: zipfile, json and HDF5.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_core.errors import FcnError, MemoryBudgetError, StorageError, UnknownModel
from fcn_core.networks.keras_settings import Backend, import_keras, keras_settings
from fcn_core.networks.own_config import MOST_BYTES, checked_config
from fcn_core.networks.own_texts import check_texts, is_list_of_texts
from fcn_core.networks.refusals import file_refusal
from fcn_core.settings import MODEL_SUFFIXES
from fcn_core.system import memory
from fcn_core.system.folders import require_space

if TYPE_CHECKING:
    import keras

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_EXPANSION = 100  # times the stored bytes; Keras does not compress
_SMALL = 2**20  # bytes that may be anything
_MOST_LINKS = 200_000  # of groups and datasets in an HDF5 file
_MOST_ZIP_DIRECTORY = 2**20  # bytes; Keras writes three entries, and some for vocabularies
_FILTERS = (
    1,
    2,
    3,
    32000,
)  # of HDF5 and h5py themselves: deflate, shuffle, checksum, LZF; others load programs


def read_model(path: Path, backend: Backend = "tensorflow") -> keras.Model:
    """Read a Keras model from a file of which nothing is trusted; nothing in it is executed.

    Parameters
    ----------
    path : Path
        A ``.keras`` file, or an ``.h5`` file that holds a whole model (also of Keras 2).
    backend : {"tensorflow", "openvino"}
        Of Keras, if it is not imported yet.

    Returns
    -------
    keras.Model
        Not compiled: what a model was trained with is not read.

    Raises
    ------
    UnknownModel
        There is no such file.
    ConversionError
        The file is refused (`fcn_core.networks.refusals.FILE_REFUSALS`), or damaged.
    MemoryBudgetError
        The weights do not fit into the memory budget.
    StorageError
        There is no room for the copy.
    """
    _check_kind(path)
    import_keras(backend)
    with _private_folder(path) as folder, keras_settings():
        try:
            place = (_unpack if path.suffix.lower() == ".keras" else _copy)(path, folder)
            return _load(place, path.name)
        except (FcnError, MemoryError):
            raise
        except OSError as error:
            if error.errno is None:  # of h5py: the content, not the disk
                raise file_refusal("damaged", f"{path.name} ({_short(error)})") from error
            raise StorageError(
                f"Expected to read {path.name}, and to copy it into a temporary folder. Received an error ({error}). "
                f"Free space, or set TMPDIR to another folder."
            ) from error
        except Exception as error:  # a hostile file can fail in any way
            raise file_refusal("damaged", f"{path.name} ({type(error).__name__}: {_short(error)})") from error


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _check_kind(path: Path) -> None:
    """Refuse what is not a file of these formats, before anything is imported."""
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise UnknownModel(
            f"Expected a model file that can be read. Received {str(path)[:120]!r} ({error.strerror}). Check the path."
        ) from error
    if is_folder:
        raise file_refusal("kind", f"the folder {path.name!r}")
    if not is_file:
        raise UnknownModel(
            f"Expected a model file. Received {str(path)[:120]!r}, which is none. Check the path."
        )
    if path.name.lower().endswith(".weights.h5"):
        raise file_refusal("weights only", path.name)
    if path.suffix.lower() not in MODEL_SUFFIXES:
        raise file_refusal("kind", path.name)
    _require_memory(path.stat().st_size, path.name)


@contextmanager
def _private_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder with room for a copy of the file; remove it afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="fcn_core-") as name:
            require_space(Path(name), path.stat().st_size)
            yield Path(name)
    except OSError as error:
        raise StorageError(
            f"Expected a temporary folder with room for a copy of {path.name}. Received none ({error}). Free space, "
            f"or set TMPDIR to another folder."
        ) from error


def _require_memory(size: int, where: str) -> None:
    """Refuse weights that do not fit into the budget twice: Keras reads them beside those of the model."""
    needed, budget = 2 * size / 2**20, memory.budget_mb()
    if needed > budget:
        raise MemoryBudgetError(
            f"Expected a model that fits into {budget:.0f} MB of memory. Received {where}, which needs more than "
            f"{needed:.0f} MB. Raise FCN_MEMORY_MB, or choose a smaller model."
        )


def _unpack(path: Path, folder: Path) -> Path:
    """Copy the configuration and the weights out of a ``.keras`` file, into a folder as Keras can save it."""
    _check_zip_directory(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        missing = [name for name in (_CONFIG, _WEIGHTS) if name not in members]
        if missing:
            raise file_refusal("damaged", f"{path.name} without {' and '.join(missing)}")
        weights = members[_WEIGHTS]
        for info in (members[_CONFIG], weights):
            if info.file_size > max(_SMALL, _MOST_EXPANSION * info.compress_size):
                raise file_refusal(
                    "bomb", f"{path.name}, in which {info.compress_size} bytes become {info.file_size}"
                )
        _require_memory(weights.file_size, path.name)
        if members[_CONFIG].file_size > MOST_BYTES:
            raise file_refusal(
                "limits", f"{path.name}, whose configuration has {members[_CONFIG].file_size} bytes"
            )
        config = checked_config(archive.read(_CONFIG), path.name)
        require_space(folder, weights.file_size)
        with archive.open(weights) as source, (folder / _WEIGHTS).open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
    (folder / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return folder


def _check_zip_directory(path: Path) -> None:
    """Refuse an archive of very many files: zipfile would keep a record of each in memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 2**16 - 42))
        end = file.read()
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) < at + 22:
        raise file_refusal("damaged", f"{path.name}, which is no complete archive")
    if (
        b"PK\6\7" in end[max(0, at - 20) : at]
        or int.from_bytes(end[at + 12 : at + 16], "little") > _MOST_ZIP_DIRECTORY
    ):
        raise file_refusal("limits", f"{path.name}, an archive of very many or very large files")


def _copy(path: Path, folder: Path) -> Path:
    """Copy a whole model in HDF5, with its checked configuration."""
    import h5py

    place = folder / "model.h5"
    shutil.copyfile(path, place)
    _check_hdf5(place, path.name)
    with h5py.File(place, "r+") as file:
        if "model_config" not in file.attrs:
            raise file_refusal("weights only" if _has_weights(file) else "damaged", path.name)
        text = file.attrs["model_config"]
        if not isinstance(text, bytes | str):
            raise file_refusal("damaged", f"{path.name}, whose configuration is not text")
        config = checked_config(text, path.name)
        file.attrs["model_config"] = json.dumps(config)
    return place


def _has_weights(file: Any) -> bool:
    return "layer_names" in file.attrs or any(name in file for name in ("layers", "vars", "model_weights"))


def _check_hdf5(place: Path, where: str) -> int:
    """Refuse an HDF5 file that refers to other files or unpacks to much more; return the bytes of its numbers."""
    import h5py

    declared = links = 0
    lists = [0]  # the texts of each list of texts
    seen: set[Any] = set()
    with h5py.File(place, "r") as file:
        waiting: list[Any] = [file]
        while waiting:
            item = waiting.pop()
            lists += _check_attributes(item, where)
            if isinstance(item, h5py.Dataset):
                declared += _check_dataset(item, where)
                _require_memory(declared, where)
                continue
            for name in item:
                links += 1
                if links > _MOST_LINKS:
                    raise file_refusal("limits", f"{where} with more than {_MOST_LINKS} groups")
                if item.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                    raise file_refusal("elsewhere", f"{where} with a link at {name[:60]!r}")
                kind = item.get(name, getclass=True)
                if kind not in (h5py.Group, h5py.Dataset):
                    raise file_refusal(
                        "damaged", f"{where} with {getattr(kind, '__name__', kind)} {name[:60]!r}"
                    )
                child = item[name]
                address = h5py.h5o.get_info(child.id).addr
                if address not in seen:  # a group may contain itself
                    seen.add(address)
                    waiting.append(child)
    check_texts(place, max(lists), where)
    return declared


def _check_attributes(item: Any, where: str) -> list[int]:
    """Refuse long attributes; return how many texts those have that are lists of texts."""
    import h5py

    lists = []
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        if math.prod(attribute.shape or ()) * attribute.dtype.itemsize > MOST_BYTES:
            raise file_refusal("limits", f"{where}, whose attribute {name[:60]!r} is too long")
        if attribute.dtype.hasobject and h5py.check_string_dtype(attribute.dtype) is None:
            raise file_refusal("damaged", f"{where}, whose attribute {name[:60]!r} is no text")
        if is_list_of_texts(attribute):
            lists.append(math.prod(attribute.shape))
    return lists


def _check_dataset(dataset: Any, where: str) -> int:
    """Return the bytes of a dataset in memory, if they are numbers inside the file."""
    name = dataset.name[:60]
    if dataset.external or dataset.is_virtual:
        raise file_refusal("elsewhere", f"{where} with the weights {name!r} in another file")
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if dataset.shape is None or dataset.dtype.kind not in "biufVSU" or not set(filters) <= set(_FILTERS):
        raise file_refusal("damaged", f"{where} with {dataset.dtype} at {name!r}")
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if max(size, chunk) > max(_SMALL, _MOST_EXPANSION * dataset.id.get_storage_size()):
        raise file_refusal("bomb", f"{where}, whose weights {name!r} are larger than what is stored of them")
    return int(size)


def _load(place: Path, where: str) -> keras.Model:
    """Measure the model that Keras would make, then let Keras make it from the checked copy."""
    import keras

    stored = _check_hdf5(place / _WEIGHTS if place.is_dir() else place, where)
    needed = _measure(place)
    if needed > stored + _SMALL:
        raise file_refusal(
            "bomb",
            f"{where} with layers for {needed / 2**20:.0f} MB of weights, and {stored / 2**20:.0f} MB of them",
        )
    _require_memory(needed, where)
    model = keras.saving.load_model(place, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise file_refusal("damaged", f"{where}, which is {type(model).__name__} and no model")
    return model


def _measure(place: Path) -> int:
    """Return the bytes of a model's weights; load it for this without memory for weights that the file lacks.

    In a thread of its own: Keras keeps a list of the variables without values there, which ends with the thread.
    """

    def load() -> int:
        import keras

        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.load_model(place, compile=False, safe_mode=True)
            return sum(math.prod(v.shape) * _bytes(v.dtype) for v in model.variables)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(load).result()


def _bytes(dtype: Any) -> int:
    bits = re.search(r"\d+", str(dtype))
    return -(-int(bits[0]) // 8) if bits else 1
