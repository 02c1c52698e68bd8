"""What the user chose on the Compare page, as one frozen record, and its form in the page's address.

What Explore chooses and Compare does not (scales, fit, map, colours) comes along when the user goes from one to the
other, and stands in Compare's address from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from app.state import address, models
from app.state.address import flag, one_of
from app.state.samples import DEFAULT
from app.state.selection import FITS, MAPS, Selection, default
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale
from fcn_core.networks.zoo import offered
from fcn_core.render.colours import COLOUR_MAPS
from fcn_core.synsets.ontology import Ontology

WHAT = ("Synsets", "Models", "Pictures")
VIEWS = ("Outline", "Heatmap")
_CARRIED = ("fit", "map", "colours")
_SYNSETS = ("synset", "other")


@dataclass(frozen=True)
class Comparison:
    """All choices on the Compare page.

    Attributes
    ----------
    compare : str
        In what the two halves differ; in the rest both are as the first.
    synset, model, picture : str
        Of the first half, as in :class:`~app.state.selection.Selection`; without a synset it is the dog.
    other, other_model, other_picture : str
        Of the second half; "" is one that differs from the first.
    """

    compare: Annotated[str, one_of(*WHAT)] = "Models"
    synset: Annotated[str, address.synset()] = ""
    other: Annotated[str, address.synset()] = ""
    model: Annotated[str, address.model()] = "efficientnet-lite2"
    other_model: Annotated[str, address.model()] = ""
    picture: Annotated[str, address.picture()] = DEFAULT
    other_picture: Annotated[str, address.picture()] = "coffee"
    scales: Annotated[tuple[Scale, ...], address.scales()] = NOTEBOOK_SCALES[:3]
    fit: Annotated[str, one_of(*FITS)] = "Aspect"
    map: Annotated[str, one_of(*MAPS)] = "Probability"
    colours: Annotated[str, one_of(*COLOUR_MAPS)] = "viridis"
    view: Annotated[str, one_of(*VIEWS)] = "Outline"
    trace: Annotated[bool, flag()] = False

    @property
    def ontology(self) -> Ontology:
        """The hierarchy above the first model's classes, from which both synsets are."""
        return models.ontology_of(self.model)

    @property
    def wnids(self) -> tuple[str, str]:
        """The synsets to choose from in the two halves."""
        first, second = models.first_synsets(self.ontology)
        first_chosen = self.synset or first
        return first_chosen, self.other or (second if first_chosen == first else first)

    @property
    def models(self) -> tuple[str, str]:
        """The models to choose from in the two halves."""
        return self.model, self.other_model or self._another_model

    @property
    def _another_model(self) -> str:
        """The first model that is offered beside the chosen one; the same if it is the only one."""
        return next((spec.name for spec in offered() if spec.name != self.model), self.model)

    @property
    def pictures(self) -> tuple[str, str]:
        """The pictures to choose from in the two halves."""
        return self.picture, self.other_picture

    def asked(self, side: int) -> str:
        """Return the synset that a half, 0 or 1, is asked for."""
        return self.wnids[side if self.compare == "Synsets" else 0]

    def half(self, side: int) -> tuple[str, str, Selection]:
        """Return the picture and the model of a half, 0 or 1, and how Explore would show it.

        Its synset is "" if the model never learned it.
        """
        model = self.models[side if self.compare == "Models" else 0]
        picture = self.pictures[side if self.compare == "Pictures" else 0]
        wnid = models.translated(self.asked(side), self.ontology, models.ontology_of(model))
        shown = Selection(
            picture=picture, synset=wnid, model=model, trace=self.trace, scales=self.scales, fit=self.fit,
            map=self.map, colours=self.colours, view=self.view,
        )  # fmt: skip
        return picture, model, shown


def plain() -> Comparison:
    """Return the comparison of an address without parameters; ``FCN_MODEL`` sets its first model."""
    return Comparison(model=default().model)


def read(query: Mapping[str, str]) -> tuple[Comparison, tuple[str, ...]]:
    """Read the parameters of an address; see :func:`app.state.address.read`."""
    read, ignored = address.read(plain(), query)
    read, unknown = address.with_synsets(read, query, read.ontology, _SYNSETS)
    return read, ignored + unknown


def write(comparison: Comparison) -> dict[str, str]:
    """Write a comparison as parameters of an address, without defaults."""
    written = address.write(comparison, plain())
    synsets = {name: getattr(comparison, name) for name in _SYNSETS}
    texts = {name: address.synset_text(w, comparison.ontology) for name, w in synsets.items() if w}
    return {**written, **texts}


def with_model(comparison: Comparison, name: str) -> Comparison:
    """Return the comparison with another first model; a synset that it never learned is no longer asked for."""
    known, other = comparison.ontology, models.ontology_of(name)
    synset, second = (models.translated(getattr(comparison, each), known, other) for each in _SYNSETS)
    return replace(comparison, model=name, synset=synset, other=second)


def kept(comparison: Comparison) -> Comparison:
    """Return the comparison without models that are no longer offered, and without their synsets."""
    if comparison.other_model and not models.is_offered(comparison.other_model):
        comparison = replace(comparison, other_model="")
    asked = comparison.synset, comparison.other
    if models.is_offered(comparison.model):
        synset, other = (wnid if wnid in comparison.ontology else "" for wnid in asked)
        return replace(comparison, synset=synset, other=other)
    model = models.default_name()
    synset, other = (models.kept(wnid, None, model) for wnid in asked)
    return replace(comparison, model=model, synset=synset, other=other)


def carried(comparison: Comparison, chosen: Selection, first: bool) -> Comparison:
    """Return the comparison with what Explore shows.

    Parameters
    ----------
    comparison : Comparison
    chosen : Selection
        What Explore shows.
    first : bool
        Whether this is the first visit: the first half then begins as Explore.
    """
    taken = {name: getattr(chosen, name) for name in _CARRIED}
    if chosen.scales:
        taken["scales"] = chosen.scales
    if first:
        comparison = with_model(comparison, chosen.model)
        taken |= {name: getattr(chosen, name) for name in ("synset", "model", "picture")}
        if chosen.picture == comparison.other_picture:
            taken["other_picture"] = DEFAULT
        if chosen.view in VIEWS:
            taken["view"] = chosen.view
    return replace(comparison, **taken)
