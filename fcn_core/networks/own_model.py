"""A model of one's own: a Keras file, the labels of its classes, and how pixels become its input.

The file is read as :mod:`fcn_core.networks.own_file` reads it: nothing in it is executed. Beside ``my.keras`` may lie
``my.txt`` or ``my.json`` with its labels (:func:`fcn_core.synsets.class_labels.read_labels`); the JSON may be an object
with ``labels`` and ``preprocessing``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn_core import settings
from fcn_core.errors import ConversionError, LabelsInvalid, UnknownModel, WeightsInvalid
from fcn_core.networks.own_file import read_model
from fcn_core.networks.spec import PREPROCESSINGS, GivenModel, ModelSpec
from fcn_core.networks.weights import WeightsFile, digest
from fcn_core.settings import MODEL_SUFFIXES
from fcn_core.synsets.class_labels import (
    IMAGENET_LABELS,
    MOST_LABELS,
    Labels,
    hierarchy_of,
    numbered,
    preprocessing_of,
    read_labels,
)
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.outputs import Outputs

if TYPE_CHECKING:
    import keras

GRAPH_NAME = "own"  # of the folders of exported graphs; the digest of the file tells them apart
_BESIDE = (".txt", ".json")  # files of labels


def is_own(name: str) -> bool:
    """Return whether the name of a model is that of a file."""
    return Path(name).suffix.lower() in MODEL_SUFFIXES


def own_model(path: Path, labels: Labels | None = None, preprocessing: str | None = None) -> ModelSpec:
    """Return what a model of one's own is, without reading its network.

    Parameters
    ----------
    path : Path
        The Keras file.
    labels : str, Path, or sequence of str, optional
        See :func:`fcn_core.synsets.class_labels.read_labels`, or "imagenet". By default the file beside the model; if
        there is none, the classes are numbered.
    preprocessing : str, optional
        Among :data:`fcn_core.networks.spec.PREPROCESSINGS`. By default what the file beside the model says, else
        "none".

    Raises
    ------
    UnknownModel
        There is no such file, or no such preprocessing.
    LabelsInvalid
        The labels cannot be read.
    """
    if not is_there(path):
        raise UnknownModel(
            f"Expected the file of a Keras model ({', '.join(MODEL_SUFFIXES)}). Received {str(path)[:200]}, which "
            f"{'is a folder' if is_there(path, Path.is_dir) else 'does not exist'}. Correct the path."
        )
    if labels is None:
        labels = next((path.with_suffix(end) for end in _BESIDE if path.with_suffix(end).is_file()), None)
    beside = Path(labels) if isinstance(labels, str | Path) and labels != IMAGENET_LABELS else None
    chosen = preprocessing or (preprocessing_of(beside) if beside is not None else None) or "none"
    if chosen not in PREPROCESSINGS:
        raise UnknownModel(
            f"Expected a preprocessing among {', '.join(PREPROCESSINGS)}. Received {chosen[:40]!r}. Choose the one "
            f"with which the model was trained."
        )
    known: Ontology | None = None
    if isinstance(labels, str) and labels == IMAGENET_LABELS:
        known = Ontology.load()
    elif labels is not None:
        known = hierarchy_of(read_labels(labels))
        if len(known.classes) == 1:  # of a network with one output, which stands for two classes
            word = known[known.classes[0]].name
            known = hierarchy_of([f"not {word}", word])
    try:
        weights = WeightsFile(path.name, path.stat().st_size, digest(path))
    except OSError as error:
        raise WeightsInvalid(
            f"Expected a readable file of a Keras model. Received {path} ({error.strerror}). Repair the file, or "
            f"choose another."
        ) from error
    given = Path(labels) if isinstance(labels, str | Path) else tuple(labels) if labels is not None else None
    return ModelSpec(
        name=settings.name_of_file(path),
        title=path.stem,
        build=partial(_read, path),
        read=_nothing_more,
        input_size=0,
        features=0,
        parameters=0,
        preprocessing=PREPROCESSINGS[chosen],
        weights=weights,
        source="",
        licence="your own",
        channels_first=False,
        outputs=partial(_outputs, known, path.name),
        given=GivenModel(path, given, chosen, known, digest=_identity(weights, known, chosen)),
    )


def _identity(weights: WeightsFile, known: Ontology | None, preprocessing: str) -> str:
    """Return a digest of all that decides what a model says."""
    labels = [(wnid, known[wnid].words) for wnid in known.classes] if known is not None else None
    return hashlib.sha256(json.dumps([weights.digest, labels, preprocessing]).encode()).hexdigest()


def model_in_folder(path: Path) -> ModelSpec:
    """Return what a model in the folder ``FCN_MODELS_DIR`` is; its files are read again only when they have changed.

    Raises
    ------
    UnknownModel, LabelsInvalid, WeightsInvalid
        See :func:`own_model`.
    """
    return _unchanged(path, tuple(_stamp(path.with_suffix(end)) for end in (path.suffix, *_BESIDE)))


@lru_cache(maxsize=64)
def _unchanged(path: Path, _stamps: tuple[tuple[int, int, int], ...]) -> ModelSpec:
    spec = own_model(path)
    given = replace(spec.given, in_folder=True) if spec.given is not None else None
    return replace(spec, given=given)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file, zeros if there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_there(path: Path, kind: Callable[[Path], bool] = Path.is_file) -> bool:
    """Return whether there is such a file (or folder), as far as this user may know; False for an impossible name."""
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def _read(path: Path) -> keras.Model:
    """Read the network; Keras runs on the backend of this process."""
    model = read_model(path)
    inputs = getattr(model, "inputs", None) if getattr(model, "built", False) else None
    if not inputs:
        raise ConversionError(
            f"Expected a model that knows its input. Received {path.name}, which was never called on a picture. Give "
            f"it a keras.Input, and save it again."
        )
    shape = tuple(inputs[0].shape)
    if len(inputs) == 1 and (len(shape) != 4 or shape[3] != 3):
        raise ConversionError(
            f"Expected a network whose input is a picture with three channels, which come last. Received {path.name}, "
            f"whose input is {shape}. Put layers before it that take RGB pixels, and save the whole."
        )
    if any(output.shape[-1] is not None and output.shape[-1] > MOST_LABELS for output in model.outputs):
        raise ConversionError(
            f"Expected at most {MOST_LABELS} classes. Received {path.name}, which has more. Use fewer classes."
        )
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.weights):
        raise ConversionError(
            f"Expected weights that are numbers. Received {path.name}, in which some are infinite or not a number. "
            f"Train it again, with a smaller learning rate."
        )
    return model


def _nothing_more(model: keras.Model, path: Path) -> None:
    """Read no weights: the file of the network has them."""


def _outputs(known: Ontology | None, name: str, channels: int, exclusive: bool) -> Outputs:
    """Return what the outputs mean; a single one stands for two classes."""
    count = channels + 1 if channels == 1 else channels
    if known is None:
        return Outputs(numbered(count), exclusive)
    if len(known.classes) != count:
        raise LabelsInvalid(
            f"Expected {count} labels, one for each class of {name}. Received {len(known.classes)}. Correct the "
            f"labels."
        )
    return Outputs(known, exclusive)
