"""Where the cells of a network are, or the reason why that is not known."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from fcn_core.errors import ConversionError
from fcn_core.networks.convert import to_fully_convolutional
from fcn_core.networks.refusals import REFUSALS
from fcn_core.networks.structure import read_geometry

pytestmark = pytest.mark.tensorflow

SIZES = ((64, 96), (65, 97), (50, 71))


def preprocessed(mode):
    return lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode=mode)


def swapped(x):
    return ops.stack([x[..., k] for k in (2, 1, 0)], axis=-1)


def attended(x):
    """Spatial attention (CBAM): mean and maximum of the channels of each cell weigh it."""
    parts = [ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)]
    return layers.Multiply()(
        [x, layers.Conv2D(1, 7, padding="same", activation="sigmoid")(ops.concatenate(parts, axis=-1))]
    )


PLACED = {
    "caffe": preprocessed("caffe"),
    "tf": preprocessed("tf"),
    "torch": preprocessed("torch"),
    "channels of a map swapped": lambda x: swapped(layers.Conv2D(3, 3, strides=2, padding="same")(x)),
    "reversed slice": lambda x: x[..., ::-1],
    "some channels": lambda x: x[:, :, :, :2],
    "flip of channels": lambda x: ops.flip(x, -1),
    "Dense on cells": lambda x: layers.Dense(4, "gelu")(layers.LayerNormalization()(x)),
    "spatial attention": attended,
    "numbers": lambda x: ops.relu6(x * 2.0 + 3.0) / 6.0,
    "Cropping2D": lambda x: layers.Cropping2D(4)(x),
}  # fmt: skip
NOT_PLACED = {
    "UpSampling2D": lambda x: layers.UpSampling2D(2)(x),
    "Concatenate": lambda x: layers.Concatenate(axis=1)([x, x]),
    "GetItem": lambda x: x[:, 8:-8, 8:-8],
    "Flip": lambda x: ops.flip(x, 1),
    "Pad": lambda x: ops.pad(x, ((0, 0), (8, 8), (8, 8), (0, 0))),
    "Transpose": lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "Einsum": lambda x: ops.einsum("bhwc,cd->bhwd", x, ops.eye(3)),
    "MaxPool": lambda x: ops.max_pool(x, 2),
}


def network_of(layer):
    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(layer(image))
    return to_fully_convolutional(
        keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))), output="logits"
    )


@pytest.mark.parametrize("name", PLACED)
def test_the_geometry_knows_the_cells_that_there_are(name):
    network = network_of(PLACED[name])
    geometry, _ = read_geometry(network)
    for size in SIZES:
        assert np.asarray(network(np.zeros((1, *size, 3), "float32"))).shape[1:3] == geometry.grid(*size)


@pytest.mark.parametrize("name", NOT_PLACED)
def test_layers_that_move_cells_in_an_unknown_way_are_refused(name):
    with pytest.raises(ConversionError, match=f"Received {name} ") as refusal:
        read_geometry(network_of(NOT_PLACED[name]))
    assert str(refusal.value).startswith(f"Expected {REFUSALS['windows'].expected}.")


def test_a_normalisation_over_the_picture_reads_it_as_a_whole():
    for layer, whole in (
        (layers.GroupNormalization(3), True),
        (layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False), True),
        (layers.LayerNormalization(), False),
    ):
        assert read_geometry(network_of(layer))[0].bandable != whole
