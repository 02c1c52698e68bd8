"""The conversion, proved: the spatial mean of the map of logits is the classifier's own answer."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fcn_core import settings
from fcn_core.engines.load import load_model
from fcn_core.errors import UnknownModel, WeightsUnavailable
from fcn_core.images.scales import ResizedImage, resize_array
from fcn_core.networks.keras_settings import Backend, import_keras, keras_settings
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.zoo import build_classifier, model_spec, require_weights

if TYPE_CHECKING:
    import keras

_CELLS = (2, 4, 8, 16) * 2


@dataclass(frozen=True)
class Verification:
    """How far the mean of a map of logits is from the classifier's own answer, and what was compared.

    Attributes
    ----------
    name, weights : str
    engine : str
        What made the map: an engine, or "keras" for the converted network itself.
    backend : str
        What Keras ran the classifier on: "tensorflow", say.
    size : int
        Side of the square picture.
    grid : (int, int)
        Rows and columns of the map.
    error, span : float
        Largest absolute difference, and largest less smallest logit of the classifier.
    compared, classes : int
        How many classes were compared, of how many (see :func:`fcn_core.networks.convert.compare_answers`).
        These, `error` and `span` are those of the picture whose error is the largest share of its range.
    """

    name: str
    weights: str
    engine: str
    backend: str
    size: int
    grid: tuple[int, int]
    error: float
    span: float
    compared: int
    classes: int

    @property
    def relative(self) -> float:
        """The error as a share of the range of the logits; 1 where that is 0, which proves nothing."""
        return self.error / self.span if self.span > 0 else 1.0


def reference_backend(engine: str | None = None) -> Backend:
    """What Keras runs the classifier on: TensorFlow, unless ``KERAS_BACKEND`` is openvino and the engine is, too."""
    tensorflow = (engine or settings.ENGINE.value()) == "tensorflow"
    return "openvino" if os.environ.get("KERAS_BACKEND") == "openvino" and not tensorflow else "tensorflow"


def verify_model(
    name: str | None = None, engine: str | None = None, weights: str | None = "imagenet"
) -> Verification:
    """Compare a served model, on pictures of noise, with the Keras classifier it was made from.

    Parameters
    ----------
    name, engine, weights
        As :func:`fcn_core.engines.load.load_model`.

    Raises
    ------
    FcnError
        As :func:`fcn_core.engines.load.load_model`.
    """
    spec = model_spec(name)
    model = load_model(spec.name, engine, weights)
    pictures = _noises(spec.input_size)
    logits = [model.logits(ResizedImage(pixels, spec.input_size, spec.input_size)) for pixels in pictures]
    info = model.info
    del model  # the classifier needs the memory
    import_keras(reference_backend(engine))
    with keras_settings():
        classifier = build_classifier(spec, None if info.weights == "random" else require_weights(spec))
    planes = [np.moveaxis(pixels, -1, 0).astype(np.float32) for pixels in pictures]
    batch = np.stack([np.moveaxis(spec.preprocessing(each), 0, -1) for each in planes])
    return _verification(spec.name, info.weights, info.engine, classifier, batch, logits)


def verify_application(name: str, weights: str | None = None) -> Verification:
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

    from fcn_core.networks.convert import to_fully_convolutional

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
    size = classifier.input_shape[1]
    preprocess = importlib.import_module(build.__module__).preprocess_input
    with keras_settings():
        batch = np.asarray(preprocess(_noises(size).astype(np.float32)))
    if random:
        seed_weights(classifier, input_square=float(np.mean(batch**2)))
    network = to_fully_convolutional(classifier, output="logits")
    logits = [np.asarray(network(picture[None], training=False))[0] for picture in batch]
    return _verification(name, "random" if random else "imagenet", "keras", classifier, batch, logits)


def _verification(
    name: str,
    weights: str,
    engine: str,
    classifier: keras.Model,
    batch: NDArray[np.float32],
    logits: Sequence[NDArray[np.float32]],
) -> Verification:
    """Ask the classifier itself, and compare picture by picture."""
    import keras

    from fcn_core.networks.convert import compare_answers

    found = []
    for picture, each in zip(batch, logits, strict=True):
        answer = np.asarray(classifier(picture[None], training=False))
        difference = compare_answers(answer, each.mean(axis=(0, 1))[None])
        found.append(
            Verification(
                name=name,
                weights=weights,
                engine=engine,
                backend=keras.backend.backend(),
                size=batch.shape[1],
                grid=(each.shape[0], each.shape[1]),
                error=difference.error,
                span=difference.span,
                compared=difference.compared,
                classes=difference.classes,
            )
        )
    return max(found, key=lambda each: each.relative)


def _noises(size: int) -> NDArray[np.uint8]:
    """Noise of single pixels, and smooth noise of so many cells a side.

    A weight is tested where its feature is not zero: of EfficientNet-Lite's features single pixels excite a half or a
    third, all these four fifths or more.
    """
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (size, size, 3), dtype=np.uint8)]
    for cells in _CELLS:
        colours = rng.integers(0, 256, (cells, cells, 3)).astype(np.float32)
        pictures.append(resize_array(colours, size, size).round().astype(np.uint8))
    return np.stack(pictures)
