"""The sample pictures: those that come with scikit-image, and one that is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_core.engines.base import ModelInfo
from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.system.assets import asset

DEFAULT = "cat"
PRECOMPUTED = asset("precomputed/cat_efficientnet-lite2.npz")


@dataclass(frozen=True)
class Sample:
    """One sample picture.

    Attributes
    ----------
    title : str
    word : str
        The first synset to show.
    credit : str
        Author and licence.
    file : str or None
        Name in scikit-image's data folder.
    url : str or None
        Where to download it, if it does not come with scikit-image.
    """

    title: str
    word: str
    credit: str
    file: str | None = None
    url: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the picture's file."""
        return self.file or (self.url or "picture").rpartition("/")[2]

    @property
    def path(self) -> Path | None:
        """Path of the file; scikit-image is not imported to find it."""
        spec = importlib.util.find_spec("skimage")
        if self.file is None or spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / "data" / self.file


SAMPLES: Mapping[str, Sample] = {
    "cat": Sample("Cat", "cat", "Chelsea, by Stefan van der Walt. CC0.", "chelsea.png"),
    "coffee": Sample("Coffee", "espresso", "By Rachel Michetti. CC0.", "coffee.png"),
    "rocket": Sample("Rocket", "missile", "SpaceX DSCOVR launch. Public domain.", "rocket.jpg"),
    "motorcycle": Sample(
        "Motorcycle",
        "vehicle",
        "Middlebury 2014 stereo benchmark, by Nera Nesic and others, as distributed with scikit-image.",
        "motorcycle_left.png",
    ),
    "astronaut": Sample(
        "Astronaut", "football helmet", "Eileen Collins, by NASA. Public domain.", "astronaut.png"
    ),
    "labrador": Sample(
        "Labrador",
        "dog",
        "YellowLabradorLooking, by Djmirko and others. CC BY-SA 3.0, downloaded from Wikimedia Commons when chosen.",
        url="https://upload.wikimedia.org/wikipedia/commons/2/26/YellowLabradorLooking_new.jpg",
    ),
}


def save_precomputed(path: Path, sha256: str, info: ModelInfo, class_maps: Mapping[str, ClassMap]) -> None:
    """Write class maps, with logits in half precision; the app shows them before any model is loaded."""
    arrays = {key: m.logits.astype(np.float16) for key, m in class_maps.items()}
    for key, m in class_maps.items():
        y, x = m.cells.y, m.cells.x
        arrays[f"{key}/cells"] = np.array([vars(y)[f] for f in _AXIS] + [vars(x)[f] for f in _AXIS])
        arrays[f"{key}/scale"] = np.array([m.scale.height, m.scale.width, m.scale.enlarges, m.seconds])
    about = np.array([sha256, info.name, info.title, info.weights_sha256 or "", info.engine])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, about=about, **arrays)  # type: ignore[arg-type]


_AXIS = ("input_size", "size", "stride", "first", "extent")


def load_precomputed(path: Path = PRECOMPUTED) -> tuple[str, ModelInfo, tuple[ClassMap, ...]]:
    """Read what `save_precomputed` wrote.

    Returns
    -------
    tuple
        The SHA-256 of the picture, the model, and the class maps, coarse first.

    Raises
    ------
    OSError, ValueError, KeyError
        The file is missing or damaged.
    """
    with np.load(path) as archive:
        sha256, name, title, weights, engine = (str(text) for text in archive["about"])
        class_maps = []
        for key in archive.files:
            if key == "about" or "/" in key:
                continue
            y, x = archive[f"{key}/cells"].reshape(2, len(_AXIS)).tolist()
            height, width, enlarges, seconds = archive[f"{key}/scale"].tolist()
            plan = PlannedScale(Scale.parse(key), int(height), int(width), bool(enlarges))
            cells = CellGrid(_axis(y), _axis(x))
            class_maps.append(ClassMap(archive[key].astype(np.float32), cells, plan, float(seconds)))
    class_maps.sort(key=lambda m: m.scale.height * m.scale.width)
    return sha256, ModelInfo(name, title, "imagenet", weights or None, engine, 32), tuple(class_maps)


def _axis(values: list[float]) -> CellAxis:
    size_in, size, stride, first, extent = values
    return CellAxis(int(size_in), int(size), int(stride), first, int(extent))
