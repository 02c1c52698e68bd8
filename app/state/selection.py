"""What the user chose on the Explore page, as one frozen record, and its mapping to the page's address.

Most choices are Streamlit widgets bound to the address by themselves (``bind="query-params"``); those that are
not plain widgets (picture, synset, scales, threshold, weights) are written by hand. Both are read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.state.queue.jobs import ModelKey
from app.state.samples import DEFAULT, SAMPLES
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, parse_scales
from fcn_core.maps.heatmap import MapKind
from fcn_core.networks.zoo import MODELS, model_spec
from fcn_core.render.colours import COLOUR_MAPS
from fcn_core.synsets.ontology import Ontology

#: In the address, in place of a picture that is in the memory of one session alone.
UPLOAD = "upload"
VIEWS = ("Mean", "Fine", "Mask", "Contour")
RANGES = ("Fixed", "Shared", "Per map")
MAPS = ("Probability", "Evidence")
CELLS = ("Smooth", "Blocks")
PLACES = ("Centres", "Even")
CARDS = ("Overlay", "Plain")
FITS = ("Aspect", "Exact")
TABS = ("Maps", "Mask", "Inspect", "Take it away")
STRIDES = ("32", "16", "8")
MAX_WEIGHT = 2.0


@dataclass(frozen=True)
class Selection:
    """Everything that makes the page what it is, but for an uploaded picture.

    Attributes
    ----------
    picture : str
        Name of a sample, the address of a picture, or "" for one that was uploaded.
    synset : str
        Wnid; "" leaves the choice to the picture.
    scales : tuple of Scale
    weights : tuple of float
        Of the live mean, one a scale; empty: all 1.
    threshold : float or None
        None: the suggested one.
    """

    picture: str = DEFAULT
    synset: str = ""
    scales: tuple[Scale, ...] = NOTEBOOK_SCALES[:3]
    model: str = "efficientnet-lite2"
    stride: str = "32"
    fit: str = "Aspect"
    map: str = "Probability"
    view: str = "Mean"
    range: str = "Fixed"
    colours: str = "viridis"
    opacity: float = 0.6
    cells: str = "Smooth"
    place: str = "Centres"
    cards: str = "Overlay"
    power: float = 1.0
    weights: tuple[float, ...] = ()
    snap: bool = True
    threshold: float | None = None
    tab: str = "Maps"
    row: int | None = None
    column: int | None = None

    @property
    def kind(self) -> MapKind:
        """Which map is shown."""
        return "probability" if self.map == "Probability" else "evidence"

    @property
    def model_key(self) -> ModelKey:
        """The predictor that is asked for."""
        return ModelKey(self.model, output_stride=int(self.stride))


def default() -> Selection:
    """The selection of an address without parameters; the model is that of ``FCN_MODEL``."""
    return Selection(model=model_spec().name)


def read(query: Mapping[str, str]) -> tuple[Selection, tuple[str, ...]]:
    """Read an address.

    Parameters
    ----------
    query : mapping of str to str
        Its parameters.

    Returns
    -------
    Selection
        Defaults where a parameter is missing or means nothing.
    tuple of str
        The parameters that were ignored, as they stand in the address, shortened.
    """
    values: dict[str, Any] = {}
    ignored = []
    for name, text in query.items():
        try:
            values[name] = _READ[name](text)
        except (KeyError, ValueError, FcnError):
            ignored.append(f"{name[:24]}={text[:40]}")
    return Selection(**{**vars(default()), **values}), tuple(ignored)


def write(selection: Selection) -> dict[str, str]:
    """Write a selection as an address's parameters: only what is not the default."""
    plain = default()
    return {
        f.name: _WRITE.get(f.name, str)(getattr(selection, f.name))
        for f in fields(selection)
        if getattr(selection, f.name) != getattr(plain, f.name)
    }


def _one_of(options: tuple[str, ...]) -> Callable[[str], str]:
    def read_one(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return read_one


def _between(low: float, high: float) -> Callable[[str], float]:
    def read_number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return read_number


def _whole(text: str) -> int:
    return int(_between(0, 100_000)(text))


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _picture(text: str) -> str:
    if text == UPLOAD:
        return ""
    if text not in SAMPLES and not text.startswith(("http://", "https://")):
        raise ValueError(text)
    return text


def _synset(text: str) -> str:
    synsets = Ontology.load()
    return synsets.collapse(synsets.find(text).wnid)


def _synset_text(wnid: str) -> str:
    """The word where it means this synset and no other, else the wnid."""
    synsets = Ontology.load()
    try:
        if synsets.collapse(synsets.find(synsets.label(wnid)).wnid) == wnid:
            return synsets.label(wnid)
    except FcnError:
        pass
    return wnid


def _weights(text: str) -> tuple[float, ...]:
    return tuple(_between(0, MAX_WEIGHT)(part) for part in text.split(","))


_READ: Mapping[str, Callable[[str], Any]] = {
    "picture": _picture,
    "synset": _synset,
    "scales": parse_scales,
    "model": _one_of(tuple(MODELS)),
    "stride": _one_of(STRIDES),
    "fit": _one_of(FITS),
    "map": _one_of(MAPS),
    "view": _one_of(VIEWS),
    "range": _one_of(RANGES),
    "colours": _one_of(COLOUR_MAPS),
    "opacity": _between(0, 1),
    "cells": _one_of(CELLS),
    "place": _one_of(PLACES),
    "cards": _one_of(CARDS),
    "power": _between(0, 1),
    "weights": _weights,
    "snap": _flag,
    "threshold": _between(0, 1),
    "tab": _one_of(TABS),
    "row": _whole,
    "column": _whole,
}
_WRITE: Mapping[str, Callable[[Any], str]] = {
    "picture": lambda address: address or UPLOAD,
    "synset": _synset_text,
    "scales": lambda scales: ",".join(map(str, scales)),
    "weights": lambda weights: ",".join(f"{w:g}" for w in weights),
    "snap": lambda value: str(value).lower(),
    "opacity": lambda value: f"{value:g}",
    "power": lambda value: f"{value:g}",
    "threshold": lambda value: f"{value:g}",
}
#: Parameters the page writes itself; the others are bound to their widgets.
BY_HAND = ("picture", "synset", "scales", "threshold", "weights")
