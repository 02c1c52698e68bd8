"""The EfficientNet-Lite architecture and the reader of its packaged weights.

Lite is EfficientNet (Tan and Le, ICML 2019) made for small devices (Liu, "Higher accuracy on vision models with
EfficientNet-Lite", TensorFlow blog, 2020): no squeeze-and-excite, ReLU6 instead of swish, and stem, head, first and
last stage are not scaled. The weights come with pip as PyTorch's legacy pickle; it is read here without PyTorch
by an unpickler that knows four names and refuses every other.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
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


# What a state dict of tensors needs, and nothing else.
_OPCODES = frozenset(
    (
        "PROTO",
        "STOP",
        "MARK",
        "EMPTY_DICT",
        "EMPTY_TUPLE",
        "EMPTY_LIST",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "SETITEM",
        "SETITEMS",
        "APPEND",
        "APPENDS",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINUNICODE",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "GLOBAL",
        "REDUCE",
        "BUILD",
        "BINPERSID",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
    )
)
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a PyTorch legacy checkpoint of plain tensors, without PyTorch and without running anything in it.

    Parameters
    ----------
    path : Path
        The ``.pth`` file: four pickles, a pickled list of storage keys, then the storages' raw data.

    Returns
    -------
    dict of str to ndarray
        Tensor by name, in the shapes PyTorch has.

    Raises
    ------
    WeightsInvalid
        Anything but tensors inside, or a file that is cut off.
    """
    data = path.read_bytes()
    stream = io.BytesIO(data)
    try:
        magic, protocol = _load_plain(stream), _load_plain(stream)
        if (magic, protocol) != (0x1950A86A20F9469CFC6C, 1001):
            raise WeightsInvalid(f"no legacy PyTorch header, but {magic!r:.40}, {protocol!r:.40}")
        _load_plain(stream)
        state = _TensorUnpickler(_checked(stream)).load()
        order = _load_plain(stream)
        storages: dict[str, np.ndarray] = {}
        view = memoryview(data)
        kinds = {t.key: t.dtype for t in state.values()}
        for key in order:
            count = int.from_bytes(stream.read(8), "little")
            size = count * kinds[key].itemsize
            start = stream.tell()
            if start + size > len(data):
                raise WeightsInvalid(f"storage {key!r:.40} of {count} numbers ends beyond the file")
            storages[key] = np.frombuffer(view[start : start + size], kinds[key])
            stream.seek(start + size)
        return {str(name): tensor.view(storages[tensor.key]) for name, tensor in state.items()}
    except WeightsInvalid as error:
        raise WeightsInvalid(
            f"Expected a PyTorch checkpoint of plain tensors. Received {path.name}: {error}. "
            f"Install the weights package again."
        ) from error
    except Exception as error:  # a hostile pickle can fail in any way
        raise WeightsInvalid(
            f"Expected a PyTorch checkpoint of plain tensors. Received {path.name}, which cannot be read "
            f"({type(error).__name__}: {str(error)[:120]}). Install the weights package again."
        ) from error


def _checked(stream: io.BytesIO) -> io.BytesIO:
    """Refuse opcodes that tensors do not need, before any of them runs; leave the stream where it was."""
    start = stream.tell()
    for opcode, _, _ in pickletools.genops(stream):
        if opcode.name not in _OPCODES:
            raise WeightsInvalid(f"pickle opcode {opcode.name}")
    stream.seek(start)
    return stream


def _load_plain(stream: io.BytesIO) -> Any:
    return _PlainUnpickler(_checked(stream)).load()


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, strings and containers only."""

    def find_class(self, module: str, name: str) -> Any:
        raise WeightsInvalid(f"the name {module}.{name}"[:120])

    def persistent_load(self, pid: Any) -> Any:
        raise WeightsInvalid(f"the reference {pid!r:.80}")


class _Tensor:
    """A tensor whose storage has not been read yet."""

    def __init__(
        self, storage: tuple[str, np.dtype[Any]], offset: int, shape: Any, strides: Any, *_: Any
    ) -> None:
        self.key, self.dtype = storage
        self.offset, self.shape, self.strides = offset, tuple(shape), tuple(strides)

    def view(self, storage: np.ndarray) -> np.ndarray:
        """The tensor's numbers, refused where they would reach outside the storage."""
        steps = [(int(n), int(step)) for n, step in zip(self.shape, self.strides, strict=True)]
        last = self.offset + sum((n - 1) * step for n, step in steps)
        if self.offset < 0 or any(n < 1 or step < 0 for n, step in steps) or last >= storage.size:
            raise WeightsInvalid(
                f"a tensor of shape {self.shape}, strides {self.strides} in {storage.size} numbers"
            )
        return np.lib.stride_tricks.as_strided(
            storage[self.offset :],
            self.shape,
            tuple(step * storage.itemsize for _, step in steps),
            writeable=False,
        )


class _TensorUnpickler(_PlainUnpickler):
    """State dicts of tensors: ordered dictionaries, tensor rebuilds, two kinds of storage."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return name
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) == 6 and pid[0] == "storage" and pid[1] in _DTYPES:
            return str(pid[2]), _DTYPES[pid[1]]
        return super().persistent_load(pid)
