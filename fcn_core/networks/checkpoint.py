"""Read PyTorch's legacy checkpoints without PyTorch, and without running anything in them.

``pickle`` can call any function that a file names. This reader accepts only the opcodes that plain values and tensors
need, and only four names. Each name stands for an object of this module that can be called in one way.

The digest of a packaged file is checked before it is read (:func:`fcn_core.networks.zoo.require_weights`); this is the
second line of defence.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcn_core.errors import WeightsInvalid

_LARGEST_FILE = 1 << 27  # bytes; the files of Lite0 to Lite4 have 18 to 53 million
_MOST_STEPS = 20_000  # of one pickle; Lite2's has 13 000. Values nested so deep can still be hashed.
_OPCODES = frozenset((
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
    "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "BINPERSID", "REDUCE", "BUILD",
))  # fmt: skip
_NAMES = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch LongStorage",
)
_DTYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}


class _Refused(Exception):
    """What is wrong with a file, as a phrase for the message of `read_torch_weights`."""


class _StateDict(dict[str, Any]):
    """Stands for an ``OrderedDict``, and ignores the attributes of a state dict."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore ``_metadata``."""


class _Storage(NamedTuple):
    """The storage in the file that contains the numbers of a tensor."""

    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    """A tensor whose storage has not been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers of the tensor, read-only."""
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if last >= numbers.size or math.prod(self.shape) > numbers.size:
            raise _Refused(
                f"a tensor of shape {self.shape}, strides {self.strides} in {numbers.size} numbers"[:160]
            )
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            tuple(step * numbers.itemsize for step in self.strides),
            writeable=False,
        )


class _Name(NamedTuple):  # without attributes that a pickle could set
    """Stands for a name in the pickle; a call makes what a state dict needs, and does nothing else."""

    name: str

    def __call__(self, *arguments: object) -> _StateDict | _Tensor:
        """Make an empty dictionary, or a tensor on its storage."""
        match self.name, arguments:
            case "collections OrderedDict", ():
                return _StateDict()
            case "torch._utils _rebuild_tensor_v2", (
                _Storage() as storage, int(offset), tuple(shape), tuple(strides), _, _,
            ):  # fmt: skip
                sizes = (offset, *shape, *strides)
                if (
                    len(shape) == len(strides) <= 8
                    and all(type(n) is int and 0 <= n < 1 << 40 for n in sizes)
                    and 0 not in shape
                ):
                    return _Tensor(storage, offset, shape, strides)
        raise _Refused("a call that tensors do not need")


class _Unpickler(pickle.Unpickler):  # noqa: S301 - that is what this class is for
    """Accepts four names and references to storages, and imports nothing."""

    def find_class(self, module: str, name: str) -> _Name:
        """Return the stand-in for a name in `_NAMES`; refuse all other names."""
        if f"{module} {name}" not in _NAMES:
            raise _Refused(f"the name {module} {name}"[:120])
        return _Name(f"{module} {name}")

    def persistent_load(self, reference: object) -> _Storage:
        """Return the storage of a reference ("storage", kind, key, device, count, view)."""
        match reference:
            case ("storage", _Name(kind), str(key), str(), int(), None) if kind in _DTYPES:
                return _Storage(key, _DTYPES[kind])
        raise _Refused("a reference to something that is not a storage")


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a PyTorch legacy checkpoint of plain tensors.

    Parameters
    ----------
    path : Path
        The ``.pth`` file: four pickles (magic number, protocol, machine, tensors), a pickled list of storage keys,
        then the raw data of the storages.

    Returns
    -------
    dict of str to ndarray
        Tensor by name, in the shapes of PyTorch; read-only.

    Raises
    ------
    WeightsInvalid
        The file contains anything but tensors, or is cut off.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise _Refused(f"{size} bytes, more than any of these files has")
        return _read_tensors(path.read_bytes())
    except _Refused as error:
        reason = str(error)
    except Exception as error:  # a hostile file can fail in any way
        reason = f"it cannot be read ({type(error).__name__}: {str(error)[:120]})"
    raise WeightsInvalid(
        f"Expected a PyTorch checkpoint of plain tensors. Received {path.name}: {reason}. "
        f"Install the weights package again."
    )


def _read_tensors(data: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    for expected in (0x1950A86A20F9469CFC6C, 1001):
        header = _read_pickle(stream)
        if not isinstance(header, int) or header != expected:
            raise _Refused("no legacy PyTorch header")
    machine = _read_pickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Refused("a machine that is not little-endian")
    tensors, keys = _read_pickle(stream), _read_pickle(stream)
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise _Refused("something that is not a tensor")
    if not all(isinstance(name, str) for name in tensors):
        raise _Refused("a tensor whose name is not text")
    storages = {t.storage.key: t.storage for t in tensors.values()}
    numbers: dict[_Storage, np.ndarray] = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        start, storage = stream.tell(), storages[key]
        end = start + count * storage.dtype.itemsize
        if end > len(data):
            raise _Refused(f"storage {key[:20]!r} of {count} numbers ends beyond the file")
        numbers[storage] = np.frombuffer(data, storage.dtype, count, start)
        stream.seek(end)
    if stream.tell() != len(data):
        raise _Refused(f"{len(data) - stream.tell()} bytes after the last storage")
    return {name: tensor.view(numbers[tensor.storage]) for name, tensor in tensors.items()}


def _read_pickle(stream: io.BytesIO) -> Any:
    """Check the opcodes of one pickle, then read it: other opcodes could use any amount of memory."""
    start = stream.tell()
    for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if opcode.name not in _OPCODES:
            raise _Refused(f"the pickle opcode {opcode.name}")
        if step > _MOST_STEPS:
            raise _Refused(f"a pickle of more than {_MOST_STEPS} steps")
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > _MOST_STEPS:
            raise _Refused(f"a memo of {argument} entries")
    end = stream.tell()
    value = _Unpickler(io.BytesIO(stream.getbuffer()[start:end])).load()
    stream.seek(end)
    return value
