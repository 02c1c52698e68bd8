"""Verify a conversion with the proof that holds for it (:mod:`fcn_core.networks.proof`)."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fcn_core import settings
from fcn_core.engines.load import load_model
from fcn_core.errors import UnknownModel, WeightsUnavailable
from fcn_core.images.resize import ResizedImage, resize_array
from fcn_core.networks.geometry import Geometry
from fcn_core.networks.keras_settings import Backend, import_keras, keras_settings
from fcn_core.networks.proof import accepting, before_sigmoid, proof_size
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.spec import ModelSpec, ProofKind
from fcn_core.networks.zoo import build_classifier, model_spec, require_weights
from fcn_core.synsets.class_labels import Labels

if TYPE_CHECKING:
    import keras

_SQUARES = (2, 4, 8, 16) * 2  # per side
_LEAST_SPAN = 1e-3  # of logits: of a smaller one, 1e-4 is less than float32 computes
_WITHOUT_TENSORFLOW = "set KERAS_BACKEND=openvino"


@dataclass(frozen=True)
class Verification:
    """Difference between the mean of a map of logits and the classifier's own logits, and what was compared.

    Attributes
    ----------
    name, weights : str
    engine : str
        What computed the map: an engine, or "keras" for the converted network itself.
    backend : str
        The backend of Keras that ran the classifier, for example "tensorflow".
    proof : {"mean", "one cell"}
        What was compared with the classifier's own answer: the mean of the map, or its only cell.
    whole : bool
        Whether a layer reads the whole picture at once (squeeze-and-excite): the network cannot run in bands, and what
        a cell says depends on the whole picture a little.
    size : int
        Side of the square picture.
    grid : (int, int)
        Rows and columns of the map.
    error, span : float
        Largest absolute difference, and the range of the classifier's logits (largest minus smallest).
    compared, classes : int
        Number of classes that were compared, and of all classes (see
        :func:`fcn_core.networks.proof.compare_answers`). These, `error` and `span` belong to the picture whose error
        is the largest share of its range.
    """

    name: str
    weights: str
    engine: str
    backend: str
    proof: ProofKind
    whole: bool
    size: int
    grid: tuple[int, int]
    error: float
    span: float
    compared: int
    classes: int

    @property
    def relative(self) -> float:
        """The error as a share of the range of the logits; 1 if the range is 0, which verifies nothing."""
        return self.error / self.span if self.span > 0 else 1.0

    @property
    def provable(self) -> bool:
        """Whether a verdict is possible: equal logits agree with any map of equal logits, which verifies nothing."""
        return max(self.span, self.error) >= _LEAST_SPAN


def reference_backend(engine: str | None = None) -> Backend:
    """Return the backend of Keras: TensorFlow, unless both ``KERAS_BACKEND`` and the engine are openvino."""
    tensorflow = (engine or settings.ENGINE.value()) == "tensorflow"
    return "openvino" if os.environ.get("KERAS_BACKEND") == "openvino" and not tensorflow else "tensorflow"


def verify_model(
    name: str | None = None,
    engine: str | None = None,
    weights: str | None = "imagenet",
    labels: Labels | None = None,
    preprocessing: str | None = None,
) -> Verification:
    """Compare a served model, on pictures of noise, with the Keras classifier from which it was converted.

    Parameters
    ----------
    name, engine, weights, labels, preprocessing
        See :func:`fcn_core.engines.load.load_model`.

    Raises
    ------
    FcnError
        See :func:`fcn_core.engines.load.load_model`.
    """
    spec = model_spec(name, labels, preprocessing)
    model = load_model(name, engine, weights, labels=labels, preprocessing=preprocessing)
    own: tuple[int | None, int | None] = (spec.input_size, spec.input_size)
    sigmoid = False
    if spec.given is not None:
        spec, own, sigmoid = _converted(spec, engine)
    size, _ = proof_size(spec.proof, own, partial(_cells, model.geometry))
    pictures = _noises(size)
    channels = model.geometry.nodes[-1].channels
    logits = [model.logits(ResizedImage(pixels, size, size))[..., -channels:] for pixels in pictures]
    info, whole = model.info, not model.geometry.bandable
    del model  # release its memory for the classifier
    import_keras(reference_backend(engine), _WITHOUT_TENSORFLOW)
    with keras_settings():
        classifier = build_classifier(spec, None if info.weights == "random" else require_weights(spec))
        classifier = before_sigmoid(classifier) if sigmoid else classifier
        classifier = accepting(classifier, size, size)
    batch = np.concatenate([spec.preprocessing.batch(pixels) for pixels in pictures])
    how = _How(spec.title if spec.family else spec.name, info.weights, info.engine, spec.proof, whole)
    return _verification(how, classifier, batch, logits)


def _converted(spec: ModelSpec, engine: str | None) -> tuple[ModelSpec, tuple[int | None, int | None], bool]:
    """Return one's own model with the proof that holds for it, its own input size, and whether it ends in a sigmoid."""
    import_keras(reference_backend(engine), _WITHOUT_TENSORFLOW)
    from fcn_core.networks.convert import convert
    from fcn_core.networks.graph import channel_axis

    with keras_settings():
        classifier = spec.build()
        conversion = convert(classifier, output="logits")
    shape = classifier.input_shape
    own = shape[2:4] if channel_axis(classifier) == 1 else shape[1:3]
    return replace(spec, proof=conversion.proof), own, conversion.activation == "sigmoid"


def _cells(geometry: Geometry, height: int, width: int) -> int:
    """Return the cells of the map of an input, 0 if it is too small."""
    if min(height, width) < geometry.smallest:
        return 0
    return math.prod(geometry.grid(height, width))


def verify_application(name: str, weights: str | None = None) -> Verification:
    """Convert a classifier of ``keras.applications``, and compare both.

    Parameters
    ----------
    name : str
        For example ``MobileNetV2``.
    weights : "imagenet" or None
        Published weights, which Keras downloads, or seeded random weights (also with the word "none").

    Raises
    ------
    UnknownModel
        Keras has no such application.
    WeightsUnavailable
        Its weights could not be downloaded.
    ConversionError
        Its head cannot become a convolution.
    """
    import_keras(reference_backend(), _WITHOUT_TENSORFLOW)
    import keras

    from fcn_core.networks.convert import convert
    from fcn_core.networks.structure import read_geometry

    build = getattr(keras.applications, name, None)
    if not callable(build):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise UnknownModel(
            f"Expected a classifier of keras.applications. Received {name[:60]!r}. Choose one of {known}."
        )
    random = weights in (None, "none")
    try:
        with keras_settings():
            classifier = build(weights=None if random else "imagenet")
    except Exception as cause:  # Keras does not document what a failed download raises
        if random:
            raise
        raise WeightsUnavailable(
            f"Expected the ImageNet weights of {name}. Received none: they could not be downloaded "
            f"({str(cause)[:160]}). Try --weights none, which verifies the conversion with random weights."
        ) from cause
    preprocess = importlib.import_module(build.__module__).preprocess_input
    if random:
        with keras_settings():
            square = float(np.mean(np.asarray(preprocess(_noises(64).astype(np.float32))) ** 2))
        seed_weights(classifier, input_square=square)
    conversion = convert(classifier, output="logits")
    geometry, _ = read_geometry(conversion.network)
    size, _ = proof_size(conversion.proof, classifier.input_shape[1:3], partial(_cells, geometry))
    with keras_settings():
        batch = np.asarray(preprocess(_noises(size).astype(np.float32)))
    logits = [np.asarray(conversion.network(picture[None], training=False))[0] for picture in batch]
    how = _How(name, "random" if random else "imagenet", "keras", conversion.proof, not geometry.bandable)
    return _verification(how, accepting(classifier, size, size), batch, logits)


@dataclass(frozen=True)
class _How:
    """What is verified, and how."""

    name: str
    weights: str
    engine: str
    proof: ProofKind
    whole: bool


def _verification(
    how: _How,
    classifier: keras.Model,
    batch: NDArray[np.float32],
    logits: Sequence[NDArray[np.float32]],
) -> Verification:
    """Run the classifier, compare picture by picture, and return the largest difference."""
    import keras

    from fcn_core.networks.proof import compare_answers

    found = []
    for picture, each in zip(batch, logits, strict=True):
        answer = np.asarray(classifier(picture[None], training=False))
        difference = compare_answers(answer, each.mean(axis=(0, 1))[None])
        found.append(
            Verification(
                **vars(how),
                backend=keras.backend.backend(),
                size=batch.shape[1],
                grid=(each.shape[0], each.shape[1]),
                error=difference.error,
                span=difference.span,
                compared=difference.compared,
                classes=difference.classes,
            )
        )
    return max([each for each in found if each.provable] or found, key=lambda each: each.relative)


def _noises(size: int) -> NDArray[np.uint8]:
    """Return pictures of pixel noise, and of smooth noise with several numbers of squares per side.

    A weight is tested only if its feature is not zero. Pixel noise activates a third to a half of EfficientNet-Lite's
    features, all these pictures together four fifths or more.
    """
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (size, size, 3), dtype=np.uint8)]
    for squares in _SQUARES:
        colours = rng.integers(0, 256, (squares, squares, 3)).astype(np.float32)
        pictures.append(resize_array(colours, size, size).round().astype(np.uint8))
    return np.stack(pictures)
