"""Heads of classifiers on every cell of a map: exact, proved, and refused with their reason."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from fcn_core.errors import ConversionError
from fcn_core.networks import convert as converting
from fcn_core.networks.convert import convert
from fcn_core.networks.head import _Flat
from fcn_core.networks.proof import prove
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.refusals import REFUSALS
from fcn_core.networks.structure import read_geometry
from tests.networks.wrong import WRONG_WEIGHTS, wrong_head

pytestmark = pytest.mark.tensorflow

SQUARE = 100**2 / 3  # mean square of even noise up to 100


def picture(*shape):
    return np.random.default_rng(3).uniform(-100, 100, shape).astype("float32")


def classifier(*head, side=(12, 16)):
    """A small body, of stride 2 and 8 channels, with this head."""
    image = x = keras.Input((*side, 3))
    for layer in (layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="body"), *head):
        x = layer(x)
    return keras.Model(image, x, name="toy")


def gap(**options):
    return layers.GlobalAveragePooling2D(**options)


def dense(units=5, activation=None, **options):
    return layers.Dense(units, activation=activation, **options)


def joined(features):
    """Average and maximum of the same map, side by side."""
    return layers.Concatenate()([gap()(features), layers.GlobalMaxPooling2D()(features)])


def excited(features):
    """Squeeze-and-excite, then a head."""
    s = dense(8, "sigmoid")(layers.Reshape((1, 1, 8))(gap()(features)))
    return dense()(gap()(layers.Multiply()([features, s])))


def residual(vector):
    return layers.Add()([vector, dense(8)(vector)])


def gated(vector):
    return vector * ops.relu6(vector + 3.0) * (1 / 6)


# heads, and which proof holds
HEADS = {
    "Dense": ([gap(), dense()], "mean"),
    "Dense without bias": ([gap(), dense(use_bias=False)], "mean"),
    "BatchNormalization": ([gap(), layers.BatchNormalization(), layers.Dropout(0.5), dense()], "mean"),
    "BatchNormalization last": ([gap(), dense(), layers.BatchNormalization()], "mean"),
    "two linear Dense": ([gap(), dense(6), dense()], "mean"),
    "a linear shortcut": ([gap(), residual, dense()], "mean"),
    "1x1 convolution": ([gap(keepdims=True), layers.Conv2D(5, 1), layers.Flatten()], "mean"),
    "grouped convolution": (
        [gap(keepdims=True), layers.Conv2D(6, 1, groups=2), layers.Conv2D(5, 1), layers.Flatten()], "mean"
    ),
    "mean of rows and columns": ([lambda x: ops.mean(x, axis=(1, 2)), dense()], "mean"),
    "average over the whole map": ([layers.AveragePooling2D((6, 8)), layers.Flatten(), dense()], "mean"),
    "squeeze-and-excite": ([excited], "mean"),
    "reshaped": ([gap(), layers.Reshape((1, 1, 8)), layers.Conv2D(5, 1), layers.Reshape((5,))], "mean"),
    "softmax": ([gap(), dense(5, "softmax")], "mean"),
    "sigmoid": ([gap(), dense(5, "sigmoid")], "mean"),
    "one sigmoid": ([gap(), dense(1, "sigmoid")], "mean"),
    "one logit": ([gap(), dense(1)], "mean"),
    "no activation, said so": ([gap(), dense(), layers.Activation("linear")], "mean"),
    "sigmoid apart": ([gap(), dense(), layers.Activation("sigmoid")], "mean"),
    "ReLU": ([gap(), dense(6, "relu"), dense()], "one cell"),
    "LayerNormalization": ([gap(), layers.LayerNormalization(), dense()], "one cell"),
    "PReLU": ([gap(), dense(6), layers.PReLU("uniform"), dense()], "one cell"),
    "Softmax before Dense": ([gap(), layers.Softmax(), dense()], "one cell"),
    "softmax in the middle": ([gap(), dense(6, "softmax"), dense()], "one cell"),
    "two softmaxes": ([gap(), dense(5, "softmax"), layers.Softmax()], "one cell"),
    "MobileNetV3": (
        [gap(keepdims=True), layers.Conv2D(9, 1), layers.Activation("hard_silu"), layers.Dropout(0.2),
         layers.Conv2D(5, 1), layers.Flatten(), layers.Activation("softmax")], "one cell"
    ),
    "gate with numbers": ([gap(), gated, dense()], "one cell"),
    "maximum": ([layers.GlobalMaxPooling2D(), dense()], "one cell"),
    "average and maximum": ([joined, dense()], "one cell"),
    "Flatten": ([layers.Flatten(), dense()], "one cell"),
    "VGG": (
        [layers.Flatten(), dense(7, "relu"), layers.Dropout(0.5), dense(6, "relu"), dense(5, "softmax")], "one cell"
    ),
    "flattened by Reshape": ([layers.Reshape((-1,)), dense()], "one cell"),
    "activation after Flatten": ([layers.Flatten(), layers.ReLU(), layers.Dropout(0.1), dense()], "one cell"),
    "BatchNormalization after Flatten": (
        [layers.Flatten(), layers.BatchNormalization(), dense(6, "relu"), dense()], "one cell"
    ),
    "LeNet": (
        [layers.AveragePooling2D(2), layers.Activation("tanh"), layers.Conv2D(6, 3, activation="tanh"),
         layers.AveragePooling2D((1, 2)), layers.Flatten(), dense(7, "tanh"), dense()], "one cell"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_head_on_every_cell_is_exact(name):
    head, proof = HEADS[name]
    model = classifier(*head)
    seed_weights(model, input_square=SQUARE)
    conversion = convert(model, output="logits")
    error, span = prove(model, conversion, picture)
    assert conversion.proof == proof
    assert span > 0.1
    assert error < 1e-5 * span
    geometry, _ = read_geometry(conversion.network)
    assert conversion.network.compute_output_shape((1, 40, 44, 3))[1:3] == geometry.grid(40, 44)
    assert conversion.network.get_layer("logits").output is conversion.network.output
    assert geometry.bandable == (name != "squeeze-and-excite")
    maps = np.asarray(convert(model).network(picture(1, 40, 44, 3)))
    if "sigmoid" in name or name == "one logit":
        assert 0 <= maps.min() <= maps.max() <= 1
    else:
        assert np.abs(maps.sum(-1) - 1).max() < 1e-5


@pytest.mark.parametrize("name", ["Dense", "VGG", "MobileNetV3", "BatchNormalization after Flatten"])
def test_a_head_with_channels_first_is_the_same(name):
    """The weights are those of the classifier with channels last, and so are the answers."""
    from fcn_core.networks.keras_settings import keras_settings

    def build(channels_first):
        with keras_settings("channels_first" if channels_first else "channels_last"):
            image = x = keras.Input((3, 12, 16) if channels_first else (12, 16, 3))
            for layer in (layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"), *HEADS[name][0]):
                x = type(layer).from_config(
                    {k: v for k, v in layer.get_config().items() if k not in ("name", "data_format")}
                )(x)
            model = keras.Model(image, x)
            seed_weights(model, input_square=SQUARE)
            return convert(model, output="logits").network

    image = picture(1, 40, 44, 3)
    last = np.asarray(build(channels_first=False)(image))
    first = build(channels_first=True)
    shape = first.compute_output_shape((1, 3, 40, 44))
    assert (shape[1], *shape[2:]) == (last.shape[3], *last.shape[1:3])
    for ours, theirs in zip(first.get_weights(), build(channels_first=False).get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("axis", [1, 3])
@pytest.mark.parametrize("flatten_format", ["channels_first", "channels_last", False])
def test_the_window_after_flatten_reads_each_value_with_its_own_weight(axis, flatten_format):
    """Flatten with channels first moves them last; Reshape, and Flatten of another format, keep the order."""
    rng = np.random.default_rng(0)
    values, kernel = rng.normal(size=(2, 3, 4)), rng.normal(size=(24, 5))  # rows, columns, channels
    features = keras.KerasTensor((None, 4, 2, 3) if axis == 1 else (None, 2, 3, 4))
    if axis == 3 and flatten_format == "channels_first":
        with pytest.raises(ConversionError, match="Flatten with channels first on a map with channels last"):
            _Flat.of(features, axis, flatten_format)
        return
    kept = axis == 1 and flatten_format != "channels_first"
    flat = (np.moveaxis(values, -1, 0) if kept else values).ravel()
    windows = _Flat.of(features, axis, flatten_format).windows(kernel)
    assert np.allclose(np.tensordot(values, windows, 3), flat @ kernel)


WRONG_HEADS = [(name, wrong) for name in ("Dense", "VGG", "MobileNetV3") for wrong in WRONG_WEIGHTS]


@pytest.mark.parametrize(("name", "wrong"), WRONG_HEADS)
def test_a_wrong_head_is_found(monkeypatch, name, wrong):
    model = classifier(*HEADS[name][0])
    seed_weights(model, input_square=SQUARE)
    monkeypatch.setattr(converting, "OnMap", wrong_head(wrong))
    error, span = prove(model, convert(model, output="logits"), picture)
    assert error > 1e-3 * span


WRONG_ORDERS = {
    "rows and columns exchanged": lambda kernel: np.moveaxis(
        kernel.transpose(1, 0, 2, 3).reshape(kernel.shape), 0, 0
    ),
    "columns reversed": lambda kernel: kernel[:, ::-1],
    "channels before positions": lambda kernel: (
        kernel.reshape(kernel.shape[2], -1, kernel.shape[3]).transpose(1, 0, 2).reshape(kernel.shape)
    ),
}


@pytest.mark.parametrize("wrong", WRONG_ORDERS)
def test_a_wrong_order_of_flatten_is_found(monkeypatch, wrong):
    model = classifier(*HEADS["VGG"][0])
    seed_weights(model, input_square=SQUARE)
    right = _Flat.windows
    monkeypatch.setattr(_Flat, "windows", lambda self, kernel: WRONG_ORDERS[wrong](right(self, kernel)))
    error, span = prove(model, convert(model, output="logits"), picture)
    assert error > 1e-3 * span


def test_the_wrong_proof_fails():
    """Where a layer after the pooling is not linear, the mean of the map is not the classifier's answer."""
    from dataclasses import replace

    model = classifier(*HEADS["ReLU"][0])
    seed_weights(model, input_square=SQUARE)
    conversion = convert(model, output="logits")
    error, span = prove(model, replace(conversion, proof="mean"), picture)
    assert error > 1e-3 * span


def two_maps(image):
    x = layers.Conv2D(8, 3)(image)
    return dense()(layers.Concatenate()([gap()(x), gap()(layers.Conv2D(8, 3, strides=2)(x))]))


def tokens(image):
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, strides=4)(image))
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return dense()(layers.GlobalAveragePooling1D()(x))


def branches(image):
    x = gap()(layers.Conv2D(8, 3)(image))
    return [dense(name="first")(x), dense(name="second")(x)]


class Subclassed(keras.Model):
    def call(self, image):
        return image


def model_of(build, **options):
    image = keras.Input((12, 16, 3))
    return keras.Model(image, build(image), name="toy")


# reason in `REFUSALS`, and what the message names
REFUSED = {
    "subclassed, never called": (lambda: Subclassed(), "graph", "Subclassed"),
    "unbuilt": (lambda: keras.Sequential([dense()]), "graph", "Sequential"),
    "two outputs": (lambda: model_of(branches), "outputs", "1 inputs and 2 outputs"),
    "no pooling": (lambda: classifier(layers.Conv2D(5, 1)), "no head", "Conv2D"),
    "no Dense": (lambda: classifier(gap()), "no head", "GlobalAveragePooling2D"),
    "two maps": (lambda: model_of(two_maps), "several maps", "GlobalAveragePooling2D 'global_average"),
    "transformer": (lambda: model_of(tokens), "grid", "Reshape"),
    "GroupNormalization": (
        lambda: classifier(gap(), layers.GroupNormalization(2), dense()), "after the pooling", "GroupNormalization"
    ),
    "Dense of groups": (
        lambda: classifier(gap(), layers.Reshape((4, 2)), dense(), layers.Flatten()), "after the pooling", "Reshape"
    ),
    "LayerNormalization after Flatten": (
        lambda: classifier(layers.Flatten(), layers.LayerNormalization(), dense()),
        "after Flatten", "LayerNormalization",
    ),
    "activation of what BatchNormalization moves": (
        lambda: classifier(layers.Flatten(), layers.BatchNormalization(), layers.ReLU(), dense()),
        "after Flatten", "ReLU",
    ),
    "fixed size": (lambda: classifier(layers.Reshape((12, 4, 8)), gap(), dense()), "size", "fixed shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_refused_with_its_reason(name):
    build, key, received = REFUSED[name]
    with pytest.raises(ConversionError) as refusal:
        convert(build())
    message, why = str(refusal.value), REFUSALS[key]
    assert received in message
    assert message.startswith(f"Expected {why.expected}. Received ")
    assert message.endswith(f"{why.reason} {why.cure}")
    assert "\n" not in message


def test_every_reason_has_a_case():
    from tests.networks.test_structure import NOT_PLACED

    assert {key for _, key, _ in REFUSED.values()} | ({"windows"} if NOT_PLACED else set()) == set(REFUSALS)


def test_a_network_that_enlarges_its_map_cannot_be_proved_with_one_cell():
    model = classifier(layers.UpSampling2D(2), gap(), dense(6, "relu"), dense())
    conversion = convert(model, output="logits")
    with pytest.raises(ConversionError, match="has 4 cells"):
        prove(model, conversion, picture)


def test_mixed_precision_is_kept():
    from fcn_core.networks.keras_settings import keras_settings

    with keras_settings(policy="mixed_float16"):
        model = classifier(layers.Flatten(), dense(7, "relu"), dense(5))
    seed_weights(model, input_square=SQUARE)
    conversion = convert(model, output="logits")
    assert {layer.compute_dtype for layer in conversion.network.layers if layer.weights} == {"float16"}
    error, span = prove(model, conversion, lambda *shape: picture(*shape) / 100)
    assert error < 1e-2 * span


def test_names_that_meet_are_kept_apart():
    """Two bodies share the names of their layers, and one layer has a name that the conversion gives."""
    image = keras.Input((12, 16, 3))
    inner = [keras.Input((12, 16, 3)), layers.Conv2D(3, 3, padding="same", name="logits")]
    x = keras.Sequential(inner)(
        keras.Sequential([inner[0], layers.Conv2D(3, 3, padding="same", name="logits")])(image)
    )
    model = keras.Model(image, dense(name="probabilities")(gap()(x)), name="toy")
    seed_weights(model, input_square=SQUARE)
    error, span = prove(model, convert(model, output="logits"), picture)
    assert error < 1e-5 * span
    assert convert(model).network.output_names == ["probabilities"]
