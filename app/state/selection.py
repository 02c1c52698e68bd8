"""What the user chose on the Explore page, as one frozen record, and its form in the page's address.

:func:`app.state.session.selection` reads the record once a run. Widgets that are always on the page are bound to the
address by Streamlit (``bind="query-params"``); the page writes the other choices itself (:data:`BY_HAND`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from app.state.queue.jobs import ModelKey
from app.state.samples import DEFAULT, SAMPLES
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, Scale, parse_scales
from fcn_core.maps.heatmap import MapKind
from fcn_core.networks.zoo import MODELS, model_spec
from fcn_core.render import COLOUR_MAPS, MAP_OPACITY
from fcn_core.synsets.ontology import Ontology

#: Stands in the address for an uploaded picture, which exists in one session only.
UPLOAD = "upload"
VIEWS = ("Outline", "Heatmap", "Photo")
#: Views of addresses that people have kept, and what they are called now: the view and the map that it shows.
OLD_VIEWS = {
    "Mean": ("Heatmap", "Mean"),
    "Fine": ("Heatmap", "Fine"),
    "Mask": ("Outline", "Fine"),
    "Contour": ("Outline", "Fine"),
}
HEATMAPS = ("Fine", "Mean")
RANGES = ("Fixed", "Shared", "Per map")
MAPS = ("Probability", "Evidence")
CELLS = ("Smooth", "Blocks")
PLACES = ("Centres", "Even")
CARDS = ("Overlay", "Plain")
FITS = ("Aspect", "Exact")
TABS = ("Maps", "Mask", "Inspect", "Export")
#: Names of tabs in addresses that people have kept, and their names now.
OLD_TABS = {"Take it away": "Export"}
STRIDES = ("32", "16", "8")
MAX_WEIGHT = 2.0


@dataclass(frozen=True)
class Selection:
    """All choices on the Explore page, except the content of an uploaded picture.

    Attributes
    ----------
    picture : str
        Name of a sample, URL of a picture, or "" for an uploaded one.
    synset : str
        Wnid; "" lets the picture decide.
    scales : tuple of Scale
        Coarse first; empty if none is chosen.
    weights : tuple of float
        Weights of the scales in the live mean; empty if all are 1.
    heatmap : str
        Which map the heatmap view shows: the fine map, or the live mean of the scales.
    how : bool
        Whether the part "How does it work?" is open.
    trace : bool
        Whether the strongest trace is marked where the synset is probably not in the picture.
    threshold : float or None
        From 0 to 1; None uses the suggested threshold.
    row, column : int or None
        Cell of the finest grid to inspect; None uses the cell with the highest value.
    """

    picture: str = DEFAULT
    synset: str = ""
    scales: tuple[Scale, ...] = NOTEBOOK_SCALES[:3]
    model: str = "efficientnet-lite2"
    stride: str = "32"
    fit: str = "Aspect"
    map: str = "Probability"
    view: str = "Outline"
    heatmap: str = "Fine"
    how: bool = False
    range: str = "Fixed"
    colours: str = "viridis"
    opacity: float = MAP_OPACITY
    cells: str = "Smooth"
    place: str = "Centres"
    cards: str = "Overlay"
    power: float = 1.0
    weights: tuple[float, ...] = ()
    snap: bool = True
    trace: bool = False
    threshold: float | None = None
    tab: str = "Maps"
    row: int | None = None
    column: int | None = None

    @property
    def kind(self) -> MapKind:
        """Kind of the heatmaps."""
        return "probability" if self.map == "Probability" else "evidence"

    @property
    def fitting(self) -> Fit:
        """How the picture is fitted to the scales."""
        return "aspect" if self.fit == "Aspect" else "exact"

    @property
    def model_key(self) -> ModelKey:
        """The chosen model with its output stride."""
        return ModelKey(self.model, output_stride=int(self.stride))

    @property
    def cut(self) -> float | Literal["auto"]:
        """The threshold as the core expects it."""
        return "auto" if self.threshold is None else self.threshold

    def weight(self, scale: str) -> float:
        """Return the weight of a scale ("400x640") in the live mean."""
        weights = dict(zip(map(str, self.scales), self.weights, strict=False))
        return weights.get(scale, 1.0)


def default() -> Selection:
    """Return the selection of an address without parameters; ``FCN_MODEL`` sets its model."""
    return Selection(model=model_spec().name)


def read(query: Mapping[str, str]) -> tuple[Selection, tuple[str, ...]]:
    """Read the parameters of an address.

    Parameters
    ----------
    query : mapping of str to str

    Returns
    -------
    Selection
        With defaults for missing and invalid parameters.
    tuple of str
        The invalid parameters, as "name=value", shortened.
    """
    values: dict[str, Any] = {}
    ignored = []
    for name, text in query.items():
        try:
            values[name] = _READ[name](text)
        except (KeyError, ValueError, FcnError):
            ignored.append(f"{name[:24]}={text[:40]}")
    return replace(default(), **values), tuple(ignored)


def write(selection: Selection) -> dict[str, str]:
    """Write a selection as parameters of an address, without defaults and without an empty choice of scales."""
    plain = default()
    return {
        f.name: _WRITE.get(f.name, str)(value)
        for f in fields(selection)
        if (value := getattr(selection, f.name)) not in (getattr(plain, f.name), ())
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
    """Return the synset's word if it is unambiguous, else the wnid."""
    synsets = Ontology.load()
    try:
        if synsets.collapse(synsets.find(synsets.label(wnid)).wnid) == wnid:
            return synsets.label(wnid)
    except FcnError:
        pass
    return wnid


def _tab(text: str) -> str:
    return _one_of(TABS)(OLD_TABS.get(text, text))


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
    "heatmap": _one_of(HEATMAPS),
    "how": _flag,
    "range": _one_of(RANGES),
    "colours": _one_of(COLOUR_MAPS),
    "opacity": _between(0, 1),
    "cells": _one_of(CELLS),
    "place": _one_of(PLACES),
    "cards": _one_of(CARDS),
    "power": _between(0, 1),
    "weights": _weights,
    "snap": _flag,
    "trace": _flag,
    "threshold": _between(0, 1),
    "tab": _tab,
    "row": _whole,
    "column": _whole,
}
_WRITE: Mapping[str, Callable[[Any], str]] = {
    "picture": lambda address: address or UPLOAD,
    "synset": _synset_text,
    "scales": lambda scales: ",".join(map(str, scales)),
    "weights": lambda weights: ",".join(f"{w:g}" for w in weights),
    "snap": lambda value: str(value).lower(),
    "how": lambda value: str(value).lower(),
    "trace": lambda value: str(value).lower(),
    "opacity": lambda value: f"{value:g}",
    "power": lambda value: f"{value:g}",
    "threshold": lambda value: f"{value:g}",
}
#: Parameters that the page writes itself: their widgets are not always on the page, or are not plain widgets.
BY_HAND = ("picture", "synset", "scales", "threshold", "weights", "power", "snap", "trace", "row", "column")
#: Parameters that Streamlit keeps equal to the widget of the same key.
BOUND = tuple(f.name for f in fields(Selection) if f.name not in BY_HAND)
