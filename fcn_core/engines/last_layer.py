"""The last layer of a network: what goes into it at every cell, its weights, and what comes out.

It is a convolution with a window of 1 x 1, so the logit of class k at one cell is ``sum_c f_c W_ck + b_k``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.errors import EngineError

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The last layer at all cells of one picture, for some of its classes.

    Attributes
    ----------
    features : (h, w, F) float32 ndarray
        What goes into it.
    kernel : (F, n) float32 ndarray
        Its weights, one column for each of the classes.
    bias : (n,) float32 ndarray
    classes : tuple of int
        Class ids of the columns.
    """

    features: Float32
    kernel: Float32
    bias: Float32
    classes: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.features.nbytes + self.kernel.nbytes + self.bias.nbytes

    def column(self, class_id: int) -> int:
        """Return the column of a class."""
        return self.classes.index(class_id)


def read_openvino(logits: Any, classes: Sequence[int], title: str) -> tuple[Any, Float32, Float32]:
    """Read the last layer of OpenVINO's graph.

    Parameters
    ----------
    logits : openvino.Node
        The result of the graph.
    classes : sequence of int
    title : str
        Of the model, for messages.

    Returns
    -------
    openvino.Output
        The tensor of features, (1, F, h, w).
    (F, n) and (n,) float32 ndarray
        Weights and bias of the classes, copied.

    Raises
    ------
    EngineError
        The graph does not end with a convolution of 1 x 1 and a bias.
    """
    node = logits.input_value(0).get_node()
    while node.get_type_name() == "Transpose":
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Add":
        layer, bias = (node.input_value(port).get_node() for port in (0, 1))
        if layer.get_type_name() == "Convolution" and bias.get_type_name() == "Constant":
            weights = layer.input_value(1).get_node()
            if weights.get_type_name() == "Constant" and tuple(weights.shape)[2:] == (1, 1):
                chosen = list(classes)
                return (
                    layer.input_value(0),
                    np.ascontiguousarray(weights.data[chosen, :, 0, 0].T, np.float32),
                    np.array(bias.data.ravel()[chosen], np.float32),
                )
    raise not_a_convolution(title)


def not_a_convolution(title: str) -> EngineError:
    """Return the error for a network that ends with another layer."""
    return EngineError(
        f"Expected a network that ends with a convolution of 1 x 1 and a bias. Received {title}, which ends with "
        f"another layer. Choose another model."
    )
