"""The conversion, proved: the spatial mean of the map of logits is the classifier's own logits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines import load_model
from fcn_core.errors import UnknownModel, WeightsUnavailable
from fcn_core.keras_settings import Backend, import_keras, keras_settings
from fcn_core.pyramid import ResizedImage
from fcn_core.zoo import Preprocessing, build_classifier, model_spec, require_weights, seed_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Proof:
    """Largest difference between the mean of a logit map and the classifier's logits, and what was compared."""

    name: str
    weights: str
    engine: str
    size: int
    grid: tuple[int, int]
    error: float
    span: float

    @property
    def relative(self) -> float:
        """The error as a share of the range of the logits."""
        return self.error / self.span if self.span > 0 else float(self.error > 0)


def reference_backend(engine: str | None = None) -> Backend:
    """What Keras runs the classifier on: TensorFlow, unless ``KERAS_BACKEND`` is openvino and the engine is, too."""
    tensorflow = (engine or os.environ.get("FCN_ENGINE")) == "tensorflow"
    return "openvino" if os.environ.get("KERAS_BACKEND") == "openvino" and not tensorflow else "tensorflow"


def verify_model(
    name: str | None = None, engine: str | None = None, weights: str | None = "imagenet"
) -> Proof:
    """Compare a served model with the Keras classifier it was made from, on one random picture.

    Parameters
    ----------
    name, engine, weights
        As :func:`fcn_core.engines.load_model`.

    Raises
    ------
    FcnError
        As :func:`fcn_core.engines.load_model`.
    """
    spec = model_spec(name)
    model = load_model(spec.name, engine, weights)
    random = model.info.weights == "random"
    import_keras(reference_backend(engine))
    with keras_settings():
        classifier = build_classifier(spec, None if random else require_weights(spec))
    pixels = _noise(spec.input_size)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(np.float32)
    expected = _logits(classifier, spec.preprocessing, planes)
    result = model.logits(ResizedImage(pixels, spec.input_size, spec.input_size))
    mean = result.mean(axis=(0, 1))
    return Proof(
        spec.name,
        model.info.weights,
        model.info.engine,
        spec.input_size,
        (result.shape[0], result.shape[1]),
        float(np.abs(mean - expected).max()),
        float(np.ptp(expected)),
    )


def verify_application(name: str, weights: str | None = None) -> Proof:
    """Convert a classifier of ``keras.applications`` and compare.

    Parameters
    ----------
    name : str
        Such as ``MobileNetV2``.
    weights : "imagenet" or None
        Published weights, which Keras fetches, or random, seeded ones (also by the word "none").

    Raises
    ------
    UnknownModel
        Keras has no such application.
    WeightsUnavailable
        Its weights could not be fetched.
    ConversionError
        Its head cannot become a convolution.
    """
    import_keras(reference_backend())
    import keras

    from fcn_core.convert import largest_error, to_fully_convolutional

    build = getattr(keras.applications, name, None)
    if not callable(build):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise UnknownModel(
            f"Expected a classifier of keras.applications. Received {name[:60]!r}; there are {known}."
        )
    random = weights in (None, "none")
    try:
        with keras_settings():
            classifier = build(weights=None if random else "imagenet")
    except Exception as cause:  # what Keras raises for a download that fails is not documented
        if random:
            raise
        raise WeightsUnavailable(
            f"The ImageNet weights of {name} could not be fetched ({str(cause)[:160]}). Try --weights none, which "
            f"proves the same with random weights."
        ) from cause
    if random:
        seed_weights(classifier)
    network = to_fully_convolutional(classifier, output="logits")
    size = classifier.input_shape[1]
    image = np.random.default_rng(0).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    error, span = largest_error(classifier, network, image)
    grid = network.compute_output_shape((1, size, size, 3))[1:3]
    return Proof(name, "random" if random else "imagenet", "keras", size, (grid[0], grid[1]), error, span)


def _noise(size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def _logits(
    classifier: keras.Model, preprocessing: Preprocessing, planes: NDArray[np.float32]
) -> NDArray[np.float32]:
    from fcn_core.convert import logits_classifier

    batch = np.moveaxis(preprocessing(planes), 0, -1)[None]
    logits: NDArray[np.float32] = np.asarray(logits_classifier(classifier)(batch, training=False))[0]
    return logits
