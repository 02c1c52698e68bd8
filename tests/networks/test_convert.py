"""Any Keras classifier can be converted to a map whose mean is the classifier's answer."""

import zipfile
from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers

from fcn_core.errors import ConversionError
from fcn_core.networks import convert
from fcn_core.networks.convert import to_fully_convolutional
from fcn_core.networks.layers import CropToSmallest
from fcn_core.networks.proof import largest_error
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.structure import read_geometry, split
from fcn_core.networks.zoo import MODELS
from tests.networks.wrong import A_ROW_LESS, WRONG_WEIGHTS, wrong_head

pytestmark = pytest.mark.tensorflow

# Smallest inputs that Keras allows or that are quick; the height differs from the width where it may.
APPLICATIONS = {
    "DenseNet121": (64, 96),
    "EfficientNetB0": (64, 96),
    "InceptionV3": (107, 139),
    "MobileNet": (96, 96),
    "MobileNetV2": (96, 96),
    "NASNetMobile": (64, 64),
    "ResNet50": (64, 96),
    "ResNet50V2": (64, 96),
    "Xception": (96, 96),
}


LOGITS = ("DenseNet121", "MobileNet", "ResNet50V2")  # built with classifier_activation=None


def unseeded(name, height, width, activation="softmax"):
    build = getattr(keras.applications, name)
    return build(weights=None, input_shape=(height, width, 3), classes=10, classifier_activation=activation)


def application(name, height, width, activation="softmax"):
    model = unseeded(name, height, width, activation)
    seed_weights(model, input_square=PICTURE_SQUARE)
    return model


PICTURE_SQUARE = 100**2 / 3  # mean square of even noise up to 100


def picture(*shape):
    return np.random.default_rng(3).uniform(-100, 100, shape).astype("float32")


@pytest.fixture(scope="module")
def classifiers():
    """Return each application, built once."""
    built = {}

    def get(name):
        if name not in built:
            built[name] = application(name, *APPLICATIONS[name], None if name in LOGITS else "softmax")
        return built[name]

    return get


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_zoo(zoo_classifiers, name):
    spec = MODELS[name]
    classifier = zoo_classifiers(name)
    network = to_fully_convolutional(classifier, output="logits")
    image = picture(1, spec.input_size, spec.input_size, 3) / spec.preprocessing.divisor
    error, span = largest_error(classifier, network, image)
    assert span > 1
    assert error < 1e-4 * span
    if name == "resnet50":  # the notebook's sizes
        maps = to_fully_convolutional(classifier)
        assert maps.compute_output_shape((1, 800, 600, 3)) == (1, 25, 19, 1000)
        probabilities = np.asarray(maps(picture(1, 200, 300, 3)))
        assert probabilities.shape == (1, 7, 10, 1000)
        assert probabilities.min() >= 0
        assert np.abs(probabilities.sum(-1) - 1).max() < 1e-5


def head(pooled, *rest):
    image = keras.Input((32, 48, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.GlobalAveragePooling2D(keepdims=pooled)(x)
    for layer in rest:
        x = layer(x)
    return keras.Model(image, x, name="toy")


def body(pooling=None):
    image = keras.Input((32, 48, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Add()([x, layers.Conv2D(8, 1)(x)])
    if pooling == "avg":
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name="body")


def transfer_learning(pooling):
    """As in Keras' tutorial: augmentation, preprocessing and a frozen body inside a new model."""
    image = keras.Input((32, 48, 3))
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])(image)
    x = body(pooling)(layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
    if pooling is None:
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(5)(layers.Dropout(0.2)(x)), name="mine")


CONVERTIBLE = {
    "Dense": lambda: head(False, layers.Dense(5)),
    "Dense with softmax": lambda: head(False, layers.Dense(5, activation="softmax")),
    "Dense without bias": lambda: head(False, layers.Dense(5, use_bias=False)),
    "Dropout": lambda: head(False, layers.Dropout(0.5), layers.Dense(5)),
    "Activation": lambda: head(False, layers.Dense(5), layers.Activation("softmax")),
    "Softmax": lambda: head(False, layers.Dense(5), layers.Softmax()),
    "kept sides": lambda: head(True, layers.Flatten(), layers.Dense(5)),
    "1x1 convolution": lambda: head(True, layers.Conv2D(5, 1), layers.Reshape((5,)), layers.Activation("softmax")),
    "Sequential": lambda: keras.Sequential(
        [keras.Input((32, 48, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(5)]
    ),
    "Sequential with a body": lambda: keras.Sequential(
        [keras.Input((32, 48, 3)), body(), layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")]
    ),
    "Sequential built late": lambda: (
        m := keras.Sequential([body("avg"), layers.Dense(5)]), m.build((None, 32, 48, 3))
    )[0],
    "transfer learning": lambda: transfer_learning(None),
    "transfer learning, pooled body": lambda: transfer_learning("avg"),
    "model in a model in a model": lambda: keras.Sequential([transfer_learning("avg"), layers.Softmax()]),
    "free input size": lambda: keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(5)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_heads_that_can_be_converted(name):
    classifier = CONVERTIBLE[name]()
    seed_weights(classifier, input_square=PICTURE_SQUARE)
    image = picture(2, 32, 48, 3)
    network = to_fully_convolutional(classifier, output="logits")
    error, span = largest_error(classifier, network, image)
    assert span > 0.5
    assert error < 1e-5 * span
    assert network(picture(1, 50, 71, 3)).shape[-1] == 5
    maps = np.asarray(to_fully_convolutional(classifier)(picture(1, 50, 71, 3)))
    assert np.abs(maps.sum(-1) - 1).max() < 1e-5
    read_geometry(network)


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("name", [*WRONG_WEIGHTS, A_ROW_LESS])
def test_a_wrong_conversion_is_found(monkeypatch, name, activation):
    classifier = head(False, layers.Dense(5, activation=activation))
    seed_weights(classifier, input_square=PICTURE_SQUARE)
    image = picture(1, 32, 48, 3)
    error, span = largest_error(classifier, to_fully_convolutional(classifier, output="logits"), image)
    assert error < 1e-5 * span
    monkeypatch.setattr(convert, "OnMap", wrong_head(name))
    error, span = largest_error(classifier, to_fully_convolutional(classifier, output="logits"), image)
    assert error > 1e-3 * span


def convolution(*rest):
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3)(image)
    for layer in rest:
        x = layer(x)
    return keras.Model(image, x, name="toy")


class Subclassed(keras.Model):
    def call(self, image):
        return image


REFUSED = {
    "no Dense": (lambda: convolution(layers.GlobalAveragePooling2D()), "GlobalAveragePooling2D"),
    "no head": (lambda: convolution(), "Conv2D"),
    "no layer": (lambda: (x := keras.Input((8, 8, 3)), keras.Model(x, x, name="toy"))[1], "its input"),
    "subclassed": (Subclassed, "Subclassed"),
    "unbuilt": (lambda: keras.Sequential([layers.Dense(5)]), "Sequential"),
    "two inputs": (
        lambda: keras.Model([a := keras.Input((3,)), b := keras.Input((3,))], layers.Add()([a, b]), name="toy"),
        "2 inputs and 1 output",
    ),
    "fixed size": (
        lambda: convolution(layers.Reshape((60, 15, 8)), layers.GlobalAveragePooling2D(), layers.Dense(5)),
        "any size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_heads_that_cannot_be_converted_are_refused(name):
    build, received = REFUSED[name]
    with pytest.raises(ConversionError, match="Received") as refusal:
        to_fully_convolutional(build())
    assert received in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_weights_are_shared_not_copied(classifiers):
    classifier = classifiers("MobileNetV2")
    network = to_fully_convolutional(classifier)
    own = {id(w) for w in classifier.weights}
    assert [w.path for w in network.weights if id(w) not in own] == ["logits/kernel", "logits/bias"]


@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "efficientnet-lite0"])
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_denser_map_contains_the_cells_of_the_coarse_one(classifiers, zoo_classifiers, name, output_stride):
    """The a-trous construction computes the same cells and others between them."""
    lite = name in MODELS
    classifier = (zoo_classifiers if lite else classifiers)(name)
    coarse = to_fully_convolutional(classifier, output="logits")
    dense = to_fully_convolutional(classifier, output="logits", output_stride=output_stride)
    image = picture(1, 192, 224, 3) / (128 if lite else 1)
    expected, found = np.asarray(coarse(image)), np.asarray(dense(image))
    old, new = read_geometry(coarse)[0].cells(192, 224), read_geometry(dense)[0].cells(192, 224)
    assert found.shape[1:3] == (new.y.size, new.x.size)
    assert (new.y.stride, new.x.stride) == (output_stride, output_stride)
    # the phase is where the geometry says that both look at the same pixels
    phases = [(o.first - n.first) / output_stride for o, n in ((old.y, new.y), (old.x, new.x))]
    assert all(p.is_integer() and 0 <= p < 32 // output_stride for p in phases)
    same = found[:, int(phases[0]) :: 32 // output_stride, int(phases[1]) :: 32 // output_stride]
    assert same.shape == expected.shape
    assert np.abs(same - expected).max() < 1e-3 * np.ptp(expected)
    assert np.ptp(found) > 0.5 * np.ptp(expected)


REFUSED_STRIDES = {
    "pooling after the stride": ("DenseNet121", 8, "as Keras cannot dilate it"),
    "branches out of step": ("Xception", 16, "branches that differ at output stride 16"),
    "more than there is": ("MobileNetV2", 64, "would have 32"),
    "no power of two": ("MobileNetV2", 12, "would have 8"),
}


@pytest.mark.parametrize("name", REFUSED_STRIDES)
def test_impossible_output_strides_are_refused(classifiers, name):
    application, output_stride, reason = REFUSED_STRIDES[name]
    with pytest.raises(ConversionError, match=reason):
        to_fully_convolutional(classifiers(application), output_stride=output_stride)


def test_branches_of_different_size_are_cropped(classifiers):
    """NASNet pads its maps for one input size only; for others its branches differ by a row."""
    network = to_fully_convolutional(classifiers("NASNetMobile"))
    kinds = Counter(type(layer).__name__ for layer in network.layers)
    assert kinds["CropToSmallest"] > 0
    assert network(picture(1, 75, 101, 3)).shape == (1, *read_geometry(network)[0].grid(75, 101), 10)
    straight = to_fully_convolutional(classifiers("MobileNetV2"))
    assert "CropToSmallest" not in {type(layer).__name__ for layer in straight.layers}


def test_cells_may_be_the_pixels():
    image = keras.Input((32, 32, 3))
    features = layers.GlobalAveragePooling2D()(layers.Rescaling(2.0)(image))
    network = to_fully_convolutional(keras.Model(image, layers.Dense(5)(features)), output="logits")
    assert read_geometry(network)[0].grid(50, 71) == (50, 71)


def test_the_parts_one_after_another_equal_the_whole(classifiers):
    network = to_fully_convolutional(classifiers("ResNet50"), output="logits")
    _, cuts = read_geometry(network)
    image = picture(1, 64, 40, 3)
    x = image
    for part in split(network, cuts):
        x = part(x)
    assert len(cuts) == 4
    assert np.array_equal(np.asarray(x), np.asarray(network(image)))


@pytest.fixture
def elsewhere():
    """Change the settings of Keras for the rest of the test, as a keras.json does."""
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()

    def choose(data_format, floatx, policy):
        keras.config.set_image_data_format(data_format)
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)

    yield choose
    choose(*before)


@pytest.mark.parametrize("name", ["MobileNetV2", "NASNetMobile"])
def test_later_settings_of_keras_have_no_effect(name, classifiers, elsewhere):
    """The classifier keeps the data format and precision that it was built with."""
    classifier = classifiers(name)
    elsewhere("channels_first", "float16", "mixed_float16")
    network = to_fully_convolutional(classifier, output="logits")
    error, span = largest_error(classifier, network, picture(1, *classifier.input_shape[1:]))
    assert error < 1e-4 * span
    assert {weight.dtype for weight in network.weights} == {"float32"}
    geometry, _ = read_geometry(network)
    assert network.compute_output_shape((1, 131, 97, 3)) == (1, *geometry.grid(131, 97), 10)
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.floatx() == "float16"


def test_the_precision_of_the_classifier_is_kept(elsewhere):
    elsewhere("channels_last", "float32", "mixed_float16")
    classifier = application("MobileNetV2", 64, 64)
    elsewhere("channels_last", "float64", "float64")
    network = to_fully_convolutional(classifier)
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.get_layer("logits").compute_dtype == "float16"


def test_channels_first_is_kept(elsewhere):
    elsewhere("channels_first", "float32", "float32")
    classifier = keras.applications.MobileNetV2(weights=None, input_shape=(3, 64, 64), classes=10)
    elsewhere("channels_last", "float32", "float32")
    network = to_fully_convolutional(classifier, output="logits")
    assert network.get_layer("logits").data_format == "channels_first"
    assert network.compute_output_shape((1, 3, 131, 97)) == (1, 10, *read_geometry(network)[0].grid(131, 97))


def test_the_cropping_layer_is_saved_with_its_data_format(elsewhere):
    layer = CropToSmallest()
    elsewhere("channels_first", "float32", "float32")
    again = CropToSmallest.from_config(layer.get_config())
    assert again.compute_output_shape([(1, 8, 9, 3), (1, 7, 10, 3)]) == [(1, 7, 9, 3), (1, 7, 9, 3)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_a_saved_network_has_layers_of_keras_only(tmp_path, activation):
    """So Keras loads it in a process that does not have this program."""
    image = keras.Input((32, 32, 3))
    cells = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, 2)(image))
    classifier = keras.Model(image, layers.Dense(3, activation)(cells))
    network = to_fully_convolutional(classifier)
    network.save(tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        assert b"fcn_core" not in archive.read("config.json")
    again = keras.saving.load_model(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).random((1, 40, 48, 3), np.float32)
    np.testing.assert_array_equal(again(pixels), network(pixels))
