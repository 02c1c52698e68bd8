"""The EfficientNet-Lite architecture and the reader of its packaged weights.

Lite is EfficientNet (Tan and Le, ICML 2019) made for small devices (Liu, "Higher accuracy on vision models with
EfficientNet-Lite", TensorFlow blog, 2020): no squeeze-and-excite, ReLU6 instead of swish, and stem, head, first and
last stage are not scaled. The weights come with pip as PyTorch's legacy pickle; it is read here without PyTorch
and without ``pickle``, by a small stack machine that can build plain values and tensors and can call nothing.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fcn_core.errors import WeightsInvalid

# repeats, kernel, stride, expansion, channels of EfficientNet-B0's stages (Tan and Le 2019, table 1)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite(
    width: float, depth: float, size: int, dropout: float, name: str, classes: int = 1000
) -> keras.Model:
    """Build an EfficientNet-Lite classifier without weights.

    Parameters
    ----------
    width, depth : float
        Multipliers of channels and of repeats: 1.0, 1.0 for Lite0; 1.1, 1.2 for Lite2.
    size : int
        Side of the square input in pixels.
    dropout : float
        Rate before the Dense layer, only for training.
    name : str
        Name of the model.
    classes : int
        Outputs, through a softmax.

    Returns
    -------
    keras.Model
        Takes (N, size, size, 3), values (x - 127) / 128 of pixels 0..255; in Keras' configured data format.
    """
    layers = keras.layers
    channels_first = keras.config.image_data_format() == "channels_first"
    axis = 1 if channels_first else -1

    def normalise(x: Any, name: str, activate: bool = True) -> Any:
        x = layers.BatchNormalization(axis=axis, epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x

    def convolve(x: Any, channels: int, kernel: int, stride: int, name: str, activate: bool = True) -> Any:
        x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
        return normalise(x, name, activate)

    image = keras.Input((3, size, size) if channels_first else (size, size, 3), name="image")
    x = convolve(image, 32, 3, 2, "stem")
    channels_in, block = 32, 0
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        scaled = 0 < stage < len(_STAGES) - 1
        channels_out = _round_channels(channels * width)
        for repeat in range(math.ceil(repeats * depth) if scaled else repeats):
            prefix, step, shortcut = f"block{block}", stride if repeat == 0 else 1, x
            if expansion != 1:
                x = convolve(x, channels_in * expansion, 1, 1, f"{prefix}_expand")
            x = layers.DepthwiseConv2D(
                kernel, step, padding="same", use_bias=False, name=f"{prefix}_depthwise"
            )(x)
            x = normalise(x, f"{prefix}_depthwise")
            x = convolve(x, channels_out, 1, 1, f"{prefix}_project", activate=False)
            if step == 1 and channels_in == channels_out:
                x = layers.Add(name=f"{prefix}_add")([x, shortcut])
            channels_in, block = channels_out, block + 1
    x = convolve(x, 1280, 1, 1, "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="predictions")(x), name=name)


def _round_channels(channels: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def set_weights(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Copy tensors of the PyTorch model into an :func:`efficientnet_lite`.

    Raises
    ------
    WeightsInvalid
        A tensor is missing or has another shape.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        source = _torch_name(layer.name)
        try:
            if isinstance(layer, keras.layers.BatchNormalization):
                keys = ("weight", "bias", "running_mean", "running_var")
                tensors = [state[f"{source}.{key}"] for key in keys]
            elif isinstance(layer, keras.layers.Dense):
                tensors = [state[f"{source}.weight"].T, state[f"{source}.bias"]]
            elif isinstance(layer, keras.layers.DepthwiseConv2D):
                tensors = [state[f"{source}.weight"].transpose(2, 3, 0, 1)]
            else:
                tensors = [state[f"{source}.weight"].transpose(2, 3, 1, 0)]
            layer.set_weights(tensors)
        except (KeyError, ValueError) as error:
            raise WeightsInvalid(
                f"Expected tensors of {model.name} for layer {layer.name!r} ({source}.*). Received {error}. "
                f"Install the weights package again."
            ) from error


def _torch_name(name: str) -> str:
    base, _, suffix = name.partition("_bn")
    is_norm = name.endswith("_bn") and suffix == ""
    if base == "predictions":
        return "_fc"
    if base in ("stem", "head"):
        return {"stem": "_bn0", "head": "_bn1"}[base] if is_norm else f"_conv_{base}"
    block, part = base.removeprefix("block").split("_")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{block}.{norm if is_norm else f'_{part}_conv'}"


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
_LARGEST_FILE = 1 << 27  # bytes; the files of Lite0 to Lite4 have 18 to 53 million
_MOST_STEPS = 200_000  # of one pickle; Lite2's has 13 000
_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@dataclass(frozen=True)
class _Name:
    """A name the pickle mentions; nothing is imported or called."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's numbers will be found."""

    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Tensor:
    """A tensor whose storage has not been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor's numbers, refused where they would reach outside the storage."""
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if last >= numbers.size or math.prod(self.shape) > numbers.size:
            raise WeightsInvalid(
                f"a tensor of shape {self.shape}, strides {self.strides} in {numbers.size} numbers"[:160]
            )
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            tuple(step * numbers.itemsize for step in self.strides),
            writeable=False,
        )


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a PyTorch legacy checkpoint of plain tensors, without PyTorch and without running anything in it.

    Parameters
    ----------
    path : Path
        The ``.pth`` file: four pickles (magic number, protocol, machine, tensors), a pickled list of storage keys,
        then the storages' raw data.

    Returns
    -------
    dict of str to ndarray
        Tensor by name, in the shapes PyTorch has; read-only.

    Raises
    ------
    WeightsInvalid
        Anything but tensors inside, or a file that is cut off.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise WeightsInvalid(f"{size} bytes, more than any of these files has")
        return _read_tensors(path.read_bytes())
    except WeightsInvalid as error:
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
            raise WeightsInvalid("no legacy PyTorch header")
    machine = _read_pickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise WeightsInvalid("a machine that is not little-endian")
    tensors, keys = _read_pickle(stream), _read_pickle(stream)
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise WeightsInvalid("something that is not a tensor")
    storages = {t.storage.key: t.storage for t in tensors.values()}
    numbers: dict[_Storage, np.ndarray] = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        start, storage = stream.tell(), storages[key]
        end = start + count * storage.dtype.itemsize
        if end > len(data):
            raise WeightsInvalid(f"storage {key[:20]!r} of {count} numbers ends beyond the file")
        numbers[storage] = np.frombuffer(data, storage.dtype, count, start)
        stream.seek(end)
    if stream.tell() != len(data):
        raise WeightsInvalid(f"{len(data) - stream.tell()} bytes after the last storage")
    return {name: tensor.view(numbers[tensor.storage]) for name, tensor in tensors.items()}


def _read_pickle(stream: io.BytesIO) -> Any:
    """Read one pickle of plain values and tensors; refuse every opcode and name they do not need."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop(count: int | None = None) -> list[Any]:
        start = marks.pop() if count is None else len(stack) - count
        if not (marks[-1] if marks else 0) <= start <= len(stack):
            raise WeightsInvalid("a pickle that takes what is not there")
        items = stack[start:]
        del stack[start:]
        return items

    for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name: str = opcode.name
        if step > _MOST_STEPS:
            raise WeightsInvalid(f"a pickle of more than {_MOST_STEPS} steps")
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(pop(int(name[5:]) if name[5:] else None)))
        elif name in ("APPEND", "APPENDS"):
            items = pop(1 if name == "APPEND" else None)
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = pop(2 if name == "SETITEM" else None)
            keys = [_expect(key, str) for key in items[::2]]
            _expect(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise WeightsInvalid(f"the name {argument}"[:120])
            stack.append(_Name(argument))
        elif name == "BINPERSID":
            stack.append(_storage(*pop(1)))
        elif name == "REDUCE":
            stack.append(_rebuild(*pop(2)))
        elif name == "BUILD":  # the state dict's "_metadata", of no use here
            pop(1)
            _expect(stack[-1], dict)
        elif name == "STOP":
            if len(stack) != 1 or marks:
                raise WeightsInvalid("a pickle that leaves things over")
            return stack[0]
        elif name != "PROTO":
            raise WeightsInvalid(f"the pickle opcode {name}")
    raise WeightsInvalid("a pickle without an end")


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise WeightsInvalid(f"a {type(value).__name__.strip('_')} in place of a {kind.__name__}")
    return value


def _storage(reference: Any) -> _Storage:
    """A persistent reference: ("storage", kind, key, device, count, view)."""
    match reference:
        case ("storage", _Name(kind), str(key), str(), int(), None) if kind in _DTYPES:
            return _Storage(key, _DTYPES[kind])
    raise WeightsInvalid("a reference to something that is not a storage")


def _rebuild(function: Any, arguments: Any) -> Any:
    """The two calls a state dict needs: an empty ordered dictionary, and a tensor on its storage."""
    match function, arguments:
        case _Name("collections OrderedDict"), ():
            return {}
        case _Name("torch._utils _rebuild_tensor_v2"), (
            _Storage() as storage, int(offset), tuple(shape), tuple(strides), _, _,
        ):  # fmt: skip
            sizes = (offset, *shape, *strides)
            if (
                len(shape) == len(strides) <= 8
                and all(type(n) is int and 0 <= n < 1 << 40 for n in sizes)
                and 0 not in shape
            ):
                return _Tensor(storage, offset, shape, strides)
    raise WeightsInvalid("a call that tensors do not need")
