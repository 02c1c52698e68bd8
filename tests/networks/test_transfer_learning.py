"""The usual patterns of transfer learning: each is converted and proved, or the message says what to change."""

import keras
import numpy as np
import pytest
from keras import layers

from fcn_core.errors import ConversionError
from fcn_core.networks.convert import convert
from fcn_core.networks.proof import prove
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.structure import read_geometry

pytestmark = pytest.mark.tensorflow

SIDE = 64
SHAPE = (SIDE, SIDE, 3)


def picture(*shape):
    return np.random.default_rng(3).uniform(0, 255, shape).astype("float32")


def body(pooling=None, shape=SHAPE):
    """The first half of a headless application: all of it takes longer and shows nothing else."""
    whole = application(shape)
    features = whole.get_layer("conv_pw_5_relu").output
    pool = {None: lambda x: x, "avg": gap(), "max": layers.GlobalMaxPooling2D()}[pooling]
    return keras.Model(whole.input, pool(features), name="body")


def application(shape=SHAPE):
    return keras.applications.MobileNet(weights=None, include_top=False, input_shape=shape, alpha=0.25)


def sequential(*stack):
    return keras.Sequential([keras.Input(SHAPE), *stack])


def functional(build, shape=SHAPE):
    image = keras.Input(shape)
    return keras.Model(image, build(image))


def gap():
    return layers.GlobalAveragePooling2D()


def dense(units=3, activation="softmax", **options):
    return layers.Dense(units, activation=activation, **options)


def tutorial(image):
    """Keras' own tutorial: augmentation, preprocessing, a body that is called for inference."""
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])(image)
    x = keras.applications.mobilenet.preprocess_input(x)
    return dense()(layers.Dropout(0.2)(gap()(body()(x, training=False))))


def caffe(image):
    return dense()(gap()(body()(keras.applications.resnet50.preprocess_input(image))))


def frozen(image):
    base = body()
    base.trainable = False
    return dense()(gap()(base(image)))


def thawed(image):
    base = body()
    for layer in base.layers[:-10]:
        layer.trainable = False
    return dense()(gap()(base(image)))


def two_heads(image):
    x = gap()(body()(image))
    return {"kind": dense(name="kind")(x), "colour": dense(4, name="colour")(x)}


def own_convolutions(image):
    x = image
    for channels in (8, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(channels, 3, activation="relu", padding="same")(x))
    return x


def inner_layer(image):
    base = application()
    cut = keras.Model(base.input, base.get_layer("conv_pw_6_relu").output)
    return dense()(gap()(cut(image)))


def two_bodies(image):
    """Features of two applications, side by side: both maps have the same cells, but are two maps."""
    return dense()(
        layers.Concatenate()([gap()(body()(image)), gap()(keras.layers.Conv2D(8, 8, strides=8)(image))])
    )


def two_bodies_joined(image):
    joined = layers.Concatenate()([body()(image), layers.Conv2D(8, 8, strides=8)(image)])
    return dense()(gap()(joined))


class Wrapped(keras.Model):
    """A subclassed model around a functional one, as many training scripts have it."""

    def __init__(self):
        super().__init__()
        self.body, self.pool, self.top = body(), gap(), dense()

    def call(self, image, training=False):
        return self.top(self.pool(self.body(image, training=training)))


def wrapped(called):
    model = Wrapped()
    if called:
        model(np.zeros((1, *SHAPE), "float32"))
    return model


def mixed():
    from fcn_core.networks.keras_settings import keras_settings

    with keras_settings(policy="mixed_float16"):
        return functional(lambda image: dense(dtype="float32")(gap()(own_convolutions(image))))


def reloaded(tmp_path):
    functional(tutorial).save(tmp_path / "mine.keras")
    return keras.models.load_model(tmp_path / "mine.keras", safe_mode=True)


# the classifier, and which proof holds
CONVERTED = {
    "1 body, pooling, dropout, Dense": (
        lambda _: sequential(application(), gap(), layers.Dropout(0.2), dense()), "mean"),
    "2 body with its own pooling": (lambda _: sequential(body("avg"), dense()), "mean"),
    "3 body with maximum pooling": (lambda _: sequential(body("max"), dense()), "one cell"),
    "4 the tutorial of Keras": (lambda _: functional(tutorial), "mean"),
    "5 Rescaling and RandomFlip in front": (
        lambda _: sequential(layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1), body(), gap(), dense()), "mean"),
    "6 preprocessing of Caffe inside": (lambda _: functional(caffe), "mean"),
    "7 Normalization inside": (
        lambda _: sequential(layers.Normalization(mean=120.0, variance=3600.0), body(), gap(), dense()), "mean"),
    "8 two classes, one sigmoid": (lambda _: sequential(body(), gap(), dense(1, "sigmoid")), "mean"),
    "9 several labels, sigmoids": (lambda _: sequential(body(), gap(), dense(4, "sigmoid")), "mean"),
    "10 logits, trained from_logits": (lambda _: sequential(body(), gap(), dense(3, None)), "mean"),
    "11 a frozen body": (lambda _: functional(frozen), "mean"),
    "12 some layers thawed": (lambda _: functional(thawed), "mean"),
    "13 a hidden Dense": (lambda _: sequential(body(), gap(), dense(16, "relu"), dense()), "one cell"),
    "14 batch normalisation in the head": (
        lambda _: sequential(body(), gap(), layers.BatchNormalization(), layers.Dropout(0.3), dense()), "mean"),
    "15 Flatten": (lambda _: sequential(body(), layers.Flatten(), dense()), "one cell"),
    "16 own convolutions, Flatten, Dense": (
        lambda _: functional(lambda i: dense()(layers.Flatten()(own_convolutions(i)))), "one cell"),
    "17 fine-tuned at another size": (
        lambda _: functional(lambda image: dense()(gap()(body(shape=(None, None, 3))(image))), (96, 80, 3)), "mean"),
    "18 an inner layer as features": (lambda _: functional(inner_layer), "mean"),
    "19 subclassed around a functional model": (lambda _: wrapped(called=True), "mean"),
    "20 mixed precision": (lambda _: mixed(), "mean"),
    "21 two bodies joined before the pooling": (lambda _: functional(two_bodies_joined), "mean"),
    "22 one output chosen of two": (
        lambda _: (m := functional(two_heads), keras.Model(m.input, m.output["kind"]))[1], "mean"),
    "23 saved and loaded": (reloaded, "mean"),
}  # fmt: skip
# the classifier, and the sentence that says what to change
REFUSED = {
    "two outputs": (lambda: functional(two_heads), "Choose one: build a keras.Model with one of each from it."),
    "two bodies, pooled apart": (lambda: functional(two_bodies), "Pool the last feature map only."),
    "subclassed, never called": (
        lambda: wrapped(called=False), "Call it on a picture once, or rebuild it with keras.Input."),
    "no head yet": (body, "Add GlobalAveragePooling2D and Dense."),
    "resized inside": (
        lambda: sequential(layers.Resizing(64, 64), body(), gap(), dense()), "Replace the layer with the fixed size."),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERTED)
def test_a_pattern_is_converted_and_proved(name, tmp_path):
    build, proof = CONVERTED[name]
    classifier = build(tmp_path)
    seed_weights(classifier, input_square=150.0**2)
    conversion = convert(classifier, output="logits")
    error, span = prove(classifier, conversion, picture)
    assert conversion.proof == proof
    assert span > 0.1
    assert error < (2e-3 if "mixed" in name else 1e-4) * span
    geometry, _ = read_geometry(conversion.network)
    assert conversion.network.compute_output_shape((1, 200, 328, 3))[1:3] == geometry.grid(200, 328)
    assert geometry.bandable


@pytest.mark.parametrize("name", REFUSED)
def test_a_pattern_that_is_refused_says_what_to_change(name):
    build, cure = REFUSED[name]
    with pytest.raises(ConversionError) as refusal:
        convert(build())
    assert str(refusal.value).endswith(cure)
