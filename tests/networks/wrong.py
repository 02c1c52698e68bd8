"""Wrong conversions: what a proof has to find."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fcn_core.networks.head import OnMap


def exchanged(kernel: np.ndarray, one: int, other: int) -> np.ndarray:
    """Exchange two channels of the feature map in the kernel of a convolution."""
    rows = np.arange(kernel.shape[2])
    rows[[one, other]] = other, one
    return kernel[:, :, rows]


def a_quarter_negative(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel with the signs of a quarter of the channels changed; the feature of one may be always 0."""
    some = -(-kernel.shape[2] // 4)
    return np.concatenate([-kernel[:, :, :some], kernel[:, :, some:]], axis=2)


# kernel (height, width, channels, classes) and bias of each convolution in the head
WRONG_WEIGHTS: dict[str, Callable[[np.ndarray, list[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]] = {
    "no bias": lambda kernel, bias: (kernel, [np.zeros_like(b) for b in bias]),
    "classes in another order": lambda kernel, bias: (kernel[..., ::-1], [b[::-1] for b in bias]),
    "half the kernel": lambda kernel, bias: (kernel / 2, bias),
    "some channels' kernel wrong": lambda kernel, bias: (a_quarter_negative(kernel), bias),
    "two channels exchanged": lambda kernel, bias: (exchanged(kernel, 3, 4), bias),
}
A_ROW_LESS = "a row of cells left out"


def wrong_head(name: str) -> type[OnMap]:
    """Return a head with this fault."""

    class Wrong(OnMap):
        def __call__(self, features: Any) -> Any:
            import keras

            if name == A_ROW_LESS:
                features = keras.layers.Cropping2D(((1, 0), (0, 0)))(features)
            return super().__call__(features)

        def _convolve(self, node: Any, kernel: np.ndarray, bias: list[np.ndarray], x: Any) -> Any:
            if name in WRONG_WEIGHTS:
                kernel, bias = WRONG_WEIGHTS[name](kernel, bias)
            return super()._convolve(node, kernel, bias, x)

    return Wrong
