"""What a model is: how it is built, where its weights come from, and how pixels become its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcn_core.errors import WeightsInvalid
from fcn_core.networks.weights import WeightsFile
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.outputs import IMAGENET, Outputs

if TYPE_CHECKING:
    import keras

ProofKind = Literal["mean", "one cell"]
KERAS_TABLE = "https://keras.io/api/applications/"


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of a classifier on ImageNet's validation set, in percent, and the address that publishes it."""

    top1: float
    source: str


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of RGB pixels 0..255: the channels are reordered, then ``(x - mean) / divisor``.

    The divisor is one number, or one for each channel.
    """

    order: tuple[int, int, int]
    mean: tuple[float, float, float]
    divisor: float | tuple[float, float, float]

    def __call__(
        self, planes: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Preprocess planes of shape (3, h, w) into a new array of the same shape, or into `out`."""
        result = np.empty_like(planes) if out is None else out
        divisors = self.divisor if isinstance(self.divisor, tuple) else (self.divisor,) * 3
        for channel, mean, divisor, source in zip(result, self.mean, divisors, self.order, strict=True):
            np.subtract(planes[source], np.float32(mean), out=channel)
            if divisor != 1:
                channel *= np.float32(1 / divisor)
        return result

    def batch(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Preprocess a picture of shape (h, w, 3) into a batch of shape (1, h, w, 3) for Keras."""
        planes = np.moveaxis(np.asarray(pixels, np.float32), -1, 0)
        return np.ascontiguousarray(np.moveaxis(self(planes), 0, -1)[None])


@dataclass(frozen=True)
class GivenModel:
    """The files and options of a model of one's own.

    Attributes
    ----------
    path : Path
        The Keras model.
    labels : Path, tuple of str, or None
        The file of its labels, or they themselves; None: they are numbered.
    preprocessing : str
        Name among `PREPROCESSINGS`.
    ontology : Ontology or None
        The hierarchy of its labels; None if it has none: what it is depends on the number of outputs.
    in_folder : bool
        Whether its name says all this, because it lies in ``FCN_MODELS_DIR``.
    digest : str
        Of the file, the labels and the preprocessing: another one is another model.
    """

    path: Path
    labels: Path | tuple[str, ...] | None
    preprocessing: str
    ontology: Ontology | None = field(default=None, repr=False, compare=False)
    in_folder: bool = False
    digest: str = ""


def imagenet_outputs(_channels: int, _exclusive: bool) -> Outputs:
    """Return what the outputs of the models of the zoo mean."""
    return IMAGENET


@dataclass(frozen=True)
class ModelSpec:
    """One model of the zoo, or one's own.

    ``features`` are the channels of the map before the last layer; 0 where no page shows them.
    ``middle`` names the layers whose maps a pass at output stride 32 returns beside the class map
    (:mod:`fcn_core.networks.middle`). ``accuracy`` is that of the original, None where nobody publishes it.
    ``proof`` is how its conversion is proved (:mod:`fcn_core.networks.proof`), and ``channels_first`` whether Keras can
    build it in that layout. ``outputs`` tells from the number of the network's outputs, and whether they exclude each
    other, what they mean. ``given`` is there for a model of one's own.
    """

    name: str
    title: str
    build: Callable[[], keras.Model]
    read: Callable[[keras.Model, Path], None]
    input_size: int
    features: int
    parameters: float
    preprocessing: Preprocessing
    weights: WeightsFile
    source: str
    licence: str
    middle: tuple[str, ...] = ()
    family: str = ""
    proof: ProofKind = "mean"
    channels_first: bool = True
    accuracy: Accuracy | None = None
    outputs: Callable[[int, bool], Outputs] = imagenet_outputs
    given: GivenModel | None = None


def read_keras_h5(model: keras.Model, path: Path) -> None:
    """Read weights, with those of the top layer, from a file as Keras publishes them.

    Raises
    ------
    WeightsInvalid
        The file is damaged, or belongs to another model.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds of errors for a damaged or foreign file
        reason = " ".join(str(error).split())[:160]
        raise WeightsInvalid(
            f"Expected the weights of {model.name} with its top layer, as Keras publishes them. Received {path.name}, "
            f"which cannot be loaded ({type(error).__name__}: {reason}). Replace the file or remove it."
        ) from error


CAFFE = Preprocessing((2, 1, 0), (103.939, 116.779, 123.68), 1.0)
"""BGR minus the mean of ImageNet, for weights that come from Caffe (VGG, ResNet)."""

INCLUDED = Preprocessing((0, 1, 2), (0.0, 0.0, 0.0), 1.0)
"""None: the classifier itself begins with layers that normalise RGB pixels 0..255."""

UNIT = Preprocessing((0, 1, 2), (127.5, 127.5, 127.5), 127.5)
"""From -1 to 1."""

TORCH = Preprocessing(
    (0, 1, 2), (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
)
"""Minus the mean of ImageNet, over its standard deviation."""

PREPROCESSINGS = {
    "none": INCLUDED,
    "zero-one": Preprocessing((0, 1, 2), (0.0, 0.0, 0.0), 255.0),
    "tf": UNIT,
    "caffe": CAFFE,
    "torch": TORCH,
}
"""For a model of one's own, by name: as it was trained. "tf", "caffe" and "torch" are the modes of Keras'
``preprocess_input``; "none" leaves RGB pixels 0..255, for a model that begins with its own preprocessing."""
