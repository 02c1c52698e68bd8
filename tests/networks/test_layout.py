"""The same network with channels first: every rule, on Keras' OpenVINO backend, which computes both."""

CHECK = """
import keras
import numpy as np
from keras import layers, ops
from fcn_core.networks.convert import to_fully_convolutional
from fcn_core.networks.keras_settings import keras_settings
from fcn_core.networks.layout import channels_first
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.structure import read_geometry

def caffe(x):
    return keras.applications.imagenet_utils.preprocess_input(x, mode="caffe")

def excited(x):
    s = layers.Reshape((1, 1, 6))(layers.Dense(6, "sigmoid")(layers.GlobalAveragePooling2D()(x)))
    return layers.Multiply()([x, s])

def attended(x):
    both = layers.Concatenate()([ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)])
    return layers.Multiply()([x, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(both)])

FRONT = {
    "BGR": lambda x: ops.stack([x[..., k] for k in (2, 1, 0)], axis=-1),
    "two channels": lambda x: x[..., 1:],
    "flip": lambda x: ops.flip(x, -1),
    "scale of each channel": lambda x: layers.Rescaling([0.5, 1.0, 2.0], [1.0, 2.0, 3.0])(x),
    "normalisation": lambda x: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x),
    "cropped": lambda x: layers.Cropping2D(((1, 2), (3, 0)))(x),
}
BODY = {
    "Dense": lambda x: layers.Dense(6, "gelu")(layers.LayerNormalization()(x)),
    "batch normalisation": lambda x: layers.ReLU(6.0)(layers.BatchNormalization()(x)),
    "PReLU": lambda x: layers.PReLU("uniform", shared_axes=[1, 2])(x),
    "squeeze-and-excite": excited,
    "spatial attention": attended,
    "separable": lambda x: layers.SeparableConv2D(6, 3, strides=2)(layers.ZeroPadding2D(((0, 1), (2, 1)))(x)),
    "pooled": lambda x: layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x)]),
    "softmax": lambda x: layers.Softmax()(x),
    "numbers": lambda x: ops.relu6(x * 2.0 + 3.0) / 6.0,
}
rng = np.random.default_rng(0)
picture = rng.uniform(-1, 1, (1, 21, 30, 3)).astype("float32")
for name in [*FRONT, *BODY]:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same")(FRONT.get(name, lambda x: x)(image))
    x = layers.Conv2D(6, 3, strides=2)(BODY.get(name, lambda x: x)(x))
    model = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    seed_weights(model)
    last = to_fully_convolutional(model, output="logits")
    with keras_settings("channels_first"):
        first = channels_first(last)
    expected = ops.convert_to_numpy(last(picture))
    found = ops.convert_to_numpy(first(np.ascontiguousarray(picture.transpose(0, 3, 1, 2))))
    assert np.abs(found.transpose(0, 2, 3, 1) - expected).max() < 1e-4 * np.ptp(expected), name
    assert read_geometry(first)[0].grid(21, 30) == read_geometry(last)[0].grid(21, 30), name
try:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3)(ops.add(image, np.ones(3, "float32")))
    channels_first(to_fully_convolutional(keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_every_layer_has_a_counterpart_that_computes_the_same(fresh_python):
    said = fresh_python(CHECK, KERAS_BACKEND="openvino").stdout
    assert said.startswith("ConversionError Expected layers whose windows are known")
    assert "with a number for each channel" in said
