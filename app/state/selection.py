"""What the user chose on the Explore page, as one frozen record, and its form in the page's address.

A new choice is one line of :class:`Selection`, and a widget that is drawn with
:meth:`app.state.choices.Choices.widget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from app.state import address, models
from app.state.address import between, flag, numbers, one_of, whole
from app.state.queue.jobs import ModelKey
from app.state.samples import DEFAULT
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit, Scale
from fcn_core.maps.heatmap import MapKind
from fcn_core.render import COLOUR_MAPS, MAP_OPACITY
from fcn_core.synsets.ontology import Ontology

VIEWS = ("Outline", "Heatmap", "Photo")
HEATMAPS = ("Fine", "Mean")
RANGES = ("Fixed", "Shared", "Per map")
MAPS = ("Probability", "Evidence")
CELLS = ("Smooth", "Blocks")
PLACES = ("Centres", "Even")
CARDS = ("Overlay", "Plain")
FITS = ("Aspect", "Exact")
TABS = ("Maps", "Mask", "Inspect", "Export")
STRIDES = ("32", "16", "8")
MAX_WEIGHT = 2.0
#: Parameters of addresses that people have kept, and what they are called now.
OLD: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("tab", "Take it away"): {"tab": "Export"},
    ("view", "Mean"): {"view": "Heatmap", "heatmap": "Mean"},
    ("view", "Fine"): {"view": "Heatmap", "heatmap": "Fine"},
    ("view", "Mask"): {"view": "Outline"},
    ("view", "Contour"): {"view": "Outline"},
}


@dataclass(frozen=True)
class Selection:
    """All choices on the Explore page, except the content of an uploaded picture.

    Attributes
    ----------
    picture : str
        Name of a sample, URL of a picture, or "" for an uploaded one.
    synset : str
        Wnid in the model's hierarchy; "" lets the picture decide.
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

    picture: Annotated[str, address.picture()] = DEFAULT
    synset: Annotated[str, address.synset()] = ""
    scales: Annotated[tuple[Scale, ...], address.scales()] = NOTEBOOK_SCALES[:3]
    model: Annotated[str, address.model()] = "efficientnet-lite2"
    stride: Annotated[str, one_of(*STRIDES)] = "32"
    fit: Annotated[str, one_of(*FITS)] = "Aspect"
    map: Annotated[str, one_of(*MAPS)] = "Probability"
    view: Annotated[str, one_of(*VIEWS)] = "Outline"
    heatmap: Annotated[str, one_of(*HEATMAPS)] = "Fine"
    how: Annotated[bool, flag()] = False
    range: Annotated[str, one_of(*RANGES)] = "Fixed"
    colours: Annotated[str, one_of(*COLOUR_MAPS)] = "viridis"
    opacity: Annotated[float, between(0, 1)] = MAP_OPACITY
    cells: Annotated[str, one_of(*CELLS)] = "Smooth"
    place: Annotated[str, one_of(*PLACES)] = "Centres"
    cards: Annotated[str, one_of(*CARDS)] = "Overlay"
    power: Annotated[float, between(0, 1)] = 1.0
    weights: Annotated[tuple[float, ...], numbers(0, MAX_WEIGHT)] = ()
    snap: Annotated[bool, flag()] = True
    trace: Annotated[bool, flag()] = False
    threshold: Annotated[float | None, between(0, 1)] = None
    tab: Annotated[str, one_of(*TABS)] = "Maps"
    row: Annotated[int | None, whole()] = None
    column: Annotated[int | None, whole()] = None

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
        return models.key_of(self.model, int(self.stride))

    @property
    def ontology(self) -> Ontology:
        """The hierarchy above the chosen model's classes."""
        return models.ontology_of(self.model)

    @property
    def inspects(self) -> bool:
        """Whether the page shows a single cell."""
        return self.how and self.tab == "Inspect"

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
    return Selection(model=models.default_name())


def read(query: Mapping[str, str]) -> tuple[Selection, tuple[str, ...]]:
    """Read the parameters of an address; see :func:`app.state.address.read`."""
    chosen, ignored = address.read(default(), address.modern(query, OLD))
    chosen, unknown = address.with_synsets(chosen, query, chosen.ontology, ("synset",))
    ignored += unknown
    for name, other in (("row", "column"), ("column", "row")):
        if getattr(chosen, name) is not None and getattr(chosen, other) is None:
            ignored = (*ignored, f"{address.shortened(name, query[name])} without {other}")
            chosen = replace(chosen, row=None, column=None)
    if "tab" in query and "how" not in query:  # the tabs were always open once
        chosen = replace(chosen, how=True)
    return chosen, ignored


def write(selection: Selection) -> dict[str, str]:
    """Write a selection as parameters of an address, without defaults."""
    written = address.write(selection, default())
    if selection.synset:
        written["synset"] = address.synset_text(selection.synset, selection.ontology)
    return {**written, "how": "false"} if "tab" in written and not selection.how else written


def weighted(chosen: Selection, weights: Mapping[str, float]) -> tuple[float, ...]:
    """Return the weights of the chosen scales, which are given by name; empty if all are 1."""
    values = tuple(weights.get(str(scale), 1.0) for scale in chosen.scales)
    return () if all(value == 1 for value in values) else values
