"""How a frozen record of choices is read from the parameters of an address, and written to them.

Each field says in its type how it looks in an address, so a new choice is one line of its record::

    fit: Annotated[str, one_of("Aspect", "Exact")] = "Aspect"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from app.state.samples import SAMPLES
from fcn_core.errors import FcnError
from fcn_core.images.scales import Scale, parse_scales
from fcn_core.networks.zoo import offered
from fcn_core.synsets.ontology import Ontology

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)
else:
    Record = TypeVar("Record")

#: Stands in the address for an uploaded picture, which exists in one session only.
UPLOAD = "upload"
#: Stands in the address for an empty choice of scales.
NO_SCALES = "none"
MOST_NAME = 40  # characters of the name of something on a page


@dataclass(frozen=True)
class Form:
    """How a field looks in an address.

    Attributes
    ----------
    read : callable
        Raises KeyError, ValueError or an FcnError if the text is not valid.
    write : callable
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


@cache
def forms(record: type) -> Mapping[str, Form]:
    """Return the forms of a record's fields."""
    hints = get_type_hints(record, include_extras=True)
    return {
        name: next(each for each in hint.__metadata__ if isinstance(each, Form))
        for name, hint in hints.items()
    }


def read(plain: Record, query: Mapping[str, str]) -> tuple[Record, tuple[str, ...]]:
    """Read the parameters of an address.

    Parameters
    ----------
    plain : record
        What an address without parameters means.
    query : mapping of str to str

    Returns
    -------
    record
        Missing and invalid parameters are as in `plain`.
    tuple of str
        The invalid parameters, as "name=value", shortened.
    """
    values: dict[str, Any] = {}
    ignored = []
    for name, text in query.items():
        try:
            values[name] = forms(type(plain))[name].read(text)
        except (KeyError, ValueError, FcnError):
            ignored.append(shortened(name, text))
    return replace(plain, **values), tuple(ignored)


def write(record: Record, plain: Record) -> dict[str, str]:
    """Write a record as parameters of an address: only what differs from `plain`."""
    return {
        name: form.write(getattr(record, name))
        for name, form in forms(type(record)).items()
        if getattr(record, name) != getattr(plain, name)
    }


def shortened(name: str, text: str) -> str:
    """Return a parameter for a message."""
    return f"{name[:24]}={text[:40]}"


def modern(query: Mapping[str, str], old: Mapping[tuple[str, str], Mapping[str, str]]) -> Mapping[str, str]:
    """Replace the parameters of addresses that people have kept by those of today.

    Parameters
    ----------
    query : mapping of str to str
    old : mapping
        What a parameter, as (name, value), is called now; one may have become several.
    """
    now: dict[str, str] = {}
    for name, text in query.items():
        now |= old.get((name, text), {name: text})
    return now


def one_of(*options: str) -> Form:
    """Return the form of a choice among options."""

    def read_one(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return Form(read_one)


def between(low: float, high: float) -> Form:
    """Return the form of a number in a range; None is not written."""

    def read_number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Form(read_number, lambda value: "" if value is None else f"{value:.6g}")


def whole(high: int = 100_000) -> Form:
    """Return the form of a whole number from 0."""
    return Form(lambda text: int(between(0, high).read(text)))


def flag() -> Form:
    """Return the form of a switch."""
    values = {"true": True, "1": True, "false": False, "0": False}
    return Form(lambda text: values[text.lower()], lambda value: str(value).lower())


def numbers(low: float, high: float) -> Form:
    """Return the form of a list of numbers in a range."""
    each = between(low, high)
    return Form(
        lambda text: tuple(map(each.read, text.split(","))), lambda values: ",".join(map(each.write, values))
    )


def scales() -> Form:
    """Return the form of scales, coarse first."""
    return Form(
        lambda text: () if text == NO_SCALES else coarse_first(parse_scales(text)),
        lambda values: ",".join(map(str, values)) or NO_SCALES,
    )


def coarse_first(values: Any) -> tuple[Scale, ...]:
    """Sort scales by their number of pixels."""
    return tuple(sorted(values, key=lambda scale: (scale.height * scale.width, scale)))


def picture() -> Form:
    """Return the form of a picture: the name of a sample, a URL, or "" for an uploaded one."""

    def read_picture(text: str) -> str:
        if text == UPLOAD:
            return ""
        if text not in SAMPLES and not text.startswith(("http://", "https://")):
            raise ValueError(text)
        return text

    return Form(read_picture, lambda address: address or UPLOAD)


def model() -> Form:
    """Return the form of a model: the name of one that the pages offer."""

    def read_model(text: str) -> str:
        if text not in {spec.name for spec in offered()}:
            raise ValueError(text)
        return text

    return Form(read_model)


def synset() -> Form:
    """Return the form of a synset; what its text means depends on the model: see :func:`with_synsets`."""
    return Form(str)


def words(most: int, longest: int) -> Form:
    """Return the form of a few words of so many characters at most, with commas between."""

    def read_words(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        if not 0 < len(found) <= most or max(map(len, found)) > longest:
            raise ValueError(text)
        return found

    return Form(read_words, ",".join)


def text(most: int = 100) -> Form:
    """Return the form of what the user has typed."""

    def read_text(typed: str) -> str:
        if len(typed) > most or not typed.isprintable():
            raise ValueError(typed)
        return typed

    return Form(read_text)


def pairs(most: int, longest: int) -> Form:
    """Return the form of named texts that the user has typed, as pairs of name and text without semicolons."""

    def read_pairs(text: str) -> tuple[tuple[str, str], ...]:
        found = tuple((name, typed) for name, _, typed in (each.partition(":") for each in text.split(";")))
        names = {name for name, _ in found}
        if not text.isprintable() or not len(found) == len(names) <= most:
            raise ValueError(text)
        if not all(0 < len(name) <= MOST_NAME and 0 < len(typed) <= longest for name, typed in found):
            raise ValueError(text)
        return found

    return Form(read_pairs, lambda values: ";".join(f"{name}:{typed}" for name, typed in values))


def wnids_of(texts: Iterable[str], ontology: Ontology) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the synsets of a hierarchy that texts name, each once, and the texts that name none."""
    found: dict[str, None] = {}
    unknown = []
    for each in texts:
        try:
            found[_wnid(each, ontology)] = None
        except FcnError:
            unknown.append(each)
    return tuple(found), tuple(unknown)


def with_synsets(
    record: Record, query: Mapping[str, str], ontology: Ontology, names: tuple[str, ...]
) -> tuple[Record, tuple[str, ...]]:
    """Return a record whose fields `names` are wnids of a hierarchy instead of texts, and the invalid parameters."""
    wnids, ignored = {}, []
    for name in names:
        try:
            wnids[name] = _wnid(query[name], ontology) if name in query else ""
        except FcnError:
            wnids[name] = ""
            ignored.append(shortened(name, query[name]))
    return replace(record, **wnids), tuple(ignored)


def _wnid(text: str, ontology: Ontology) -> str:
    return ontology.collapse(ontology.find(text).wnid)


def synset_text(wnid: str, ontology: Ontology) -> str:
    """Return how a synset stands in an address: as its word if that is unambiguous, else as the wnid."""
    word = ontology[wnid].name
    try:
        return word if _wnid(word, ontology) == wnid else wnid
    except FcnError:
        return wnid
