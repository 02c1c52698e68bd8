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
from typing import TYPE_CHECKING, Any

from fcn_core.system import openvino_telemetry_off

if TYPE_CHECKING:
    from fcn_core import errors, export, render
    from fcn_core.batch.many import PictureResult, analyse_many
    from fcn_core.engines.base import ModelInfo, Predictor
    from fcn_core.engines.load import load_model
    from fcn_core.errors import FcnError
    from fcn_core.evaluation import metrics
    from fcn_core.images.limits import Limits
    from fcn_core.images.read import RGBImage, image_from_array, read_image
    from fcn_core.images.resize import resize_image
    from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, parse_scales, plan_scales
    from fcn_core.maps.findings import Finding, findings
    from fcn_core.maps.heatmap import ClassMap, Heatmap, combine, place, synset_heatmap
    from fcn_core.maps.presence import presence
    from fcn_core.maps.segmentation import Segmentation, label_regions
    from fcn_core.networks import convert
    from fcn_core.networks.layers import SoftmaxMap
    from fcn_core.networks.zoo import MODELS
    from fcn_core.pipeline import Analysis, MapOptions, analyse, compute_class_maps, interpret
    from fcn_core.portable.network import ExportedNetwork, export_network
    from fcn_core.synsets.ontology import Ontology, Synset

__version__ = "1.0.0"

openvino_telemetry_off.turn_off()

# Name -> the module or package below this one that holds it; "" for a module beside this file. It is imported on first
# use.
_HOME: dict[str, str] = {
    "MODELS": "networks.zoo",
    "NOTEBOOK_SCALES": "images.scales",
    "Analysis": "pipeline",
    "ClassMap": "maps.heatmap",
    "ExportedNetwork": "portable.network",
    "FcnError": "errors",
    "Finding": "maps.findings",
    "Heatmap": "maps.heatmap",
    "Limits": "images.limits",
    "MapOptions": "pipeline",
    "ModelInfo": "engines.base",
    "Ontology": "synsets.ontology",
    "PictureResult": "batch.many",
    "Predictor": "engines.base",
    "RGBImage": "images.read",
    "Scale": "images.scales",
    "Segmentation": "maps.segmentation",
    "SoftmaxMap": "networks.layers",
    "Synset": "synsets.ontology",
    "analyse": "pipeline",
    "analyse_many": "batch.many",
    "combine": "maps.heatmap",
    "compute_class_maps": "pipeline",
    "convert": "networks",
    "errors": "",
    "export": "",
    "export_network": "portable.network",
    "findings": "maps.findings",
    "image_from_array": "images.read",
    "interpret": "pipeline",
    "label_regions": "maps.segmentation",
    "load_model": "engines.load",
    "metrics": "evaluation",
    "parse_scales": "images.scales",
    "place": "maps.heatmap",
    "plan_scales": "images.scales",
    "presence": "maps.presence",
    "read_image": "images.read",
    "render": "",
    "resize_image": "images.resize",
    "synset_heatmap": "maps.heatmap",
}

__all__ = [
    "MODELS",
    "NOTEBOOK_SCALES",
    "Analysis",
    "ClassMap",
    "ExportedNetwork",
    "FcnError",
    "Finding",
    "Heatmap",
    "Limits",
    "MapOptions",
    "ModelInfo",
    "Ontology",
    "PictureResult",
    "Predictor",
    "RGBImage",
    "Scale",
    "Segmentation",
    "SoftmaxMap",
    "Synset",
    "analyse",
    "analyse_many",
    "combine",
    "compute_class_maps",
    "convert",
    "errors",
    "export",
    "export_network",
    "findings",
    "image_from_array",
    "interpret",
    "label_regions",
    "load_model",
    "metrics",
    "parse_scales",
    "place",
    "plan_scales",
    "presence",
    "read_image",
    "render",
    "resize_image",
    "synset_heatmap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOME[name]}".rstrip("."))
    if home.__name__ == __name__ or not hasattr(home, name):  # a module
        return importlib.import_module(f"{home.__name__}.{name}")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
