"""The sample pictures: those in ``assets/samples``, those that come with scikit-image, and one that is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import ModelInfo
from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.networks.middle import MiddleMap
from fcn_core.system.assets import asset

DEFAULT = "dog"
PRECOMPUTED = asset("precomputed/dog_efficientnet-lite2.npz")
_OURS = "samples/"


@dataclass(frozen=True)
class Sample:
    """One sample picture.

    Attributes
    ----------
    title : str
    credit : str
        Author and licence.
    file : str or None
        ``samples/...`` in ``assets/``, otherwise the name in scikit-image's data folder.
    url : str or None
        Where to download it, if it has no file.
    word : str or None
        The synset to ask for first; None asks for what is found most certainly.
    """

    title: str
    credit: str
    file: str | None = None
    url: str | None = None
    word: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the picture's file."""
        return (self.file or self.url or "picture").rpartition("/")[2]

    @property
    def path(self) -> Path | None:
        """Path of the file; scikit-image is not imported to find it."""
        if self.file is None:
            return None
        if self.file.startswith(_OURS):
            return asset(self.file)
        spec = importlib.util.find_spec("skimage")
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / "data" / self.file


SAMPLES: Mapping[str, Sample] = {
    "dog": Sample("Dog", "German shepherd, by Hans Kemperman. Public domain.", "samples/dog.webp"),
    "hens": Sample("Hens", "By Tranquilles. Public domain.", "samples/hens.webp"),
    "coffee": Sample("Coffee", "By Rachel Michetti. CC0.", "coffee.png"),
    "horses": Sample("Horses", "Nokota horses, by Seth Zeigler. CC0.", "samples/horses.webp"),
    "cow": Sample("Cows", "By Dohduhdah. Public domain.", "samples/cow.webp"),
    "duck": Sample("Duck", "By Bernard Spragg. CC0.", "samples/duck.webp"),
    "motorcycle": Sample(
        "Motorcycle",
        "Middlebury 2014 stereo benchmark, by Nera Nesic and others, as distributed with scikit-image.",
        "motorcycle_left.png",
    ),
    "pig": Sample("Pig", "By Teinesavaii. Public domain.", "samples/pig.webp"),
    "rocket": Sample("Rocket", "SpaceX DSCOVR launch. Public domain.", "rocket.jpg", word="missile"),
    "sheep": Sample("Sheep", "By Rob Mitchell. CC0.", "samples/sheep.webp"),
    "astronaut": Sample("Astronaut", "Eileen Collins, by NASA. Public domain.", "astronaut.png"),
    "cat": Sample("Cat", "Chelsea, by Stefan van der Walt. CC0.", "chelsea.png"),
    "labrador": Sample(
        "Labrador",
        "The course notebook's black Labrador, at Wikimedia Commons, where author and licence are stated.",
        url="https://upload.wikimedia.org/wikipedia/commons/thumb/1/16/Female_Black_Labrador_Retriever.jpg/"
        "1280px-Female_Black_Labrador_Retriever.jpg",
        word="dog",
    ),
}


def save_precomputed(path: Path, sha256: str, info: ModelInfo, class_maps: Mapping[str, ClassMap]) -> None:
    """Write class maps; the app shows them before any model is loaded.

    To keep the file small, logits are written in half precision, and middle maps as whole numbers from -127 to 127 with
    one step for each channel.
    """
    arrays: dict[str, NDArray[Any]] = {key: m.logits.astype(np.float16) for key, m in class_maps.items()}
    for key, m in class_maps.items():
        arrays[f"{key}/cells"] = _numbers(m.cells)
        arrays[f"{key}/scale"] = np.array([m.scale.height, m.scale.width, m.scale.enlarges, m.seconds])
        arrays[f"{key}/middle"] = np.array([each.name for each in m.middle], np.str_)
        for each in m.middle:
            values = each.values.astype(np.float32)
            steps = np.maximum(np.abs(values).max(axis=(0, 1)) / 127, np.finfo(np.float32).tiny)
            arrays[f"{key}/{each.name}"] = np.rint(values / steps).astype(np.int8)
            arrays[f"{key}/{each.name}/steps"] = steps
            arrays[f"{key}/{each.name}/cells"] = _numbers(each.cells)
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
            height, width, enlarges, seconds = archive[f"{key}/scale"].tolist()
            plan = PlannedScale(Scale.parse(key), int(height), int(width), bool(enlarges))
            middle = tuple(
                MiddleMap(
                    name,
                    (archive[f"{key}/{name}"] * archive[f"{key}/{name}/steps"]).astype(np.float16),
                    _cells(archive[f"{key}/{name}/cells"]),
                )
                for name in archive[f"{key}/middle"].tolist()
            )
            logits, cells = archive[key].astype(np.float32), _cells(archive[f"{key}/cells"])
            class_maps.append(ClassMap(logits, cells, plan, float(seconds), middle))
    class_maps.sort(key=lambda m: m.scale.height * m.scale.width)
    return sha256, ModelInfo(name, title, "imagenet", weights or None, engine, 32), tuple(class_maps)


def _numbers(cells: CellGrid) -> NDArray[np.float64]:
    return np.array([vars(axis)[name] for axis in (cells.y, cells.x) for name in _AXIS], np.float64)


def _cells(numbers: NDArray[np.float64]) -> CellGrid:
    y, x = numbers.reshape(2, len(_AXIS)).tolist()
    return CellGrid(_axis(y), _axis(x))


def _axis(values: list[float]) -> CellAxis:
    size_in, size, stride, first, extent = values
    return CellAxis(int(size_in), int(size), int(stride), first, int(extent))
