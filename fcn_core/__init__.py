"""Where an ImageNet network sees a synset: fully convolutional heatmaps of any picture, at any scale.

Examples
--------
>>> import fcn_core as fcn
>>> image = fcn.read_image("dog.jpg")                               # doctest: +SKIP
>>> result = fcn.analyse(image, "dog", fcn.load_model())            # doctest: +SKIP
>>> result.heatmaps["400x640"].values.shape                         # doctest: +SKIP
(13, 20)
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcn_core import convert, errors, export, metrics, render
    from fcn_core.engines import ModelInfo, Predictor, load_model
    from fcn_core.errors import FcnError
    from fcn_core.heatmap import ClassMap, Heatmap, combine, place, synset_heatmap
    from fcn_core.images import Limits, RGBImage, image_from_array, read_image
    from fcn_core.layers import SoftmaxMap
    from fcn_core.pipeline import Analysis, analyse, compute_class_maps, interpret
    from fcn_core.pyramid import NOTEBOOK_SCALES, Scale, parse_scales, plan_scales, resize_image
    from fcn_core.synsets import Ontology, Synset
    from fcn_core.zoo import MODELS

__version__ = "1.0.0"

# OpenVINO reports to a third party that it was imported. Nothing leaves this machine unasked: it finds no reporter.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# Name -> module; None: the name is a module itself. Nothing is loaded before it is asked for.
_HOME: dict[str, str | None] = {
    "MODELS": "zoo",
    "NOTEBOOK_SCALES": "pyramid",
    "Analysis": "pipeline",
    "ClassMap": "heatmap",
    "FcnError": "errors",
    "Heatmap": "heatmap",
    "Limits": "images",
    "ModelInfo": "engines",
    "Ontology": "synsets",
    "Predictor": "engines",
    "RGBImage": "images",
    "Scale": "pyramid",
    "SoftmaxMap": "layers",
    "Synset": "synsets",
    "analyse": "pipeline",
    "combine": "heatmap",
    "compute_class_maps": "pipeline",
    "convert": None,
    "errors": None,
    "export": None,
    "image_from_array": "images",
    "interpret": "pipeline",
    "load_model": "engines",
    "metrics": None,
    "parse_scales": "pyramid",
    "place": "heatmap",
    "plan_scales": "pyramid",
    "read_image": "images",
    "render": None,
    "resize_image": "pyramid",
    "synset_heatmap": "heatmap",
}

__all__ = [
    "MODELS",
    "NOTEBOOK_SCALES",
    "Analysis",
    "ClassMap",
    "FcnError",
    "Heatmap",
    "Limits",
    "ModelInfo",
    "Ontology",
    "Predictor",
    "RGBImage",
    "Scale",
    "SoftmaxMap",
    "Synset",
    "analyse",
    "combine",
    "compute_class_maps",
    "convert",
    "errors",
    "export",
    "image_from_array",
    "interpret",
    "load_model",
    "metrics",
    "parse_scales",
    "place",
    "plan_scales",
    "read_image",
    "render",
    "resize_image",
    "synset_heatmap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    if home is None:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
