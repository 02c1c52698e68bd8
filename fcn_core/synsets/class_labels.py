"""The labels of a model of one's own: from a file or a list to the hierarchy of its classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fcn_core.errors import HierarchyInvalid, LabelsInvalid
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.records import ANY_CLASS, WNID, SynsetRecord, shown
from fcn_core.synsets.search import MAX_QUERY, normal

MOST_BYTES = 4_000_000
MOST_LABELS = 50_000
IMAGENET = "imagenet"  # instead of labels: the classes of ImageNet, in their order

Labels = str | Path | Sequence[str]

_FORM = (
    "Write one class a line, in the order of the model's outputs: a wnid such as n02084071, or a word; or a JSON list "
    "of these."
)


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Return the labels of a model's classes, in the order of its outputs.

    Parameters
    ----------
    labels : str, Path, or sequence of str
        A file, or the labels themselves. The file has one class a line (empty lines and lines that begin with # are
        left out), or is JSON: a list, or an object by number as Keras' ``imagenet_class_index.json``, whose entries are
        words or pairs of wnid and word; it may
        be the value of ``labels`` in an object.

    Raises
    ------
    LabelsInvalid
        The file cannot be read, or has no labels.
    """
    if isinstance(labels, str | Path):
        found = _read(Path(labels))
        where = str(labels)
    else:
        found, where = [str(each).strip() for each in labels], "the list"
    if not found or len(found) > MOST_LABELS or not all(found):
        raise LabelsInvalid(
            f"Expected 1 to {MOST_LABELS} labels. Received {len(found)}, or an empty one, from {where}. {_FORM}"
        )
    return tuple(found)


def hierarchy_of(labels: Sequence[str]) -> Ontology:
    """Return the hierarchy of a model's classes.

    Parameters
    ----------
    labels : sequence of str
        If each begins with a wnid of the shipped hierarchy, the classes are these synsets, below those of WordNet that
        are above them. Otherwise they are a flat list of plain words; commas divide synonyms.

    Raises
    ------
    LabelsInvalid
        A label is given twice, is too long, or is a wnid that does not exist; the message says which.
    """
    first = [each.split()[0].strip(",;:").lower() for each in labels]
    _require_each_once(first if all(map(WNID.fullmatch, first)) else labels)
    if not all(map(WNID.fullmatch, first)):
        return _flat(labels)
    known = Ontology.load()
    for number, wnid in enumerate(first):
        if wnid not in known:
            raise LabelsInvalid(
                f"Expected wnids of the {len(known)} synsets above ImageNet's classes. Received {wnid} as class "
                f"{number}, which is none of them. Write words for all classes instead."
            )
    return known if tuple(first) == known.classes else restricted(known, first)


def numbered(count: int) -> Ontology:
    """Return the hierarchy of classes of which only the number is known."""
    return _flat([f"class {number}" for number in range(count)])


def restricted(ontology: Ontology, classes: Sequence[str]) -> Ontology:
    """Return the hierarchy above some synsets, which become the classes of another network.

    Parameters
    ----------
    ontology : Ontology
    classes : sequence of str
        Wnids in the order of the network's outputs, each once. One may be above another.
    """
    kept = dict.fromkeys(wnid for each in classes for wnid in (each, *ontology.ancestors(each)))
    nodes = (
        SynsetRecord(s.wnid, s.words, s.gloss, tuple(c for c in s.children if c in kept), s.parents, s.name)
        for s in map(ontology.__getitem__, kept)
    )
    return Ontology(nodes, classes)


def _flat(labels: Sequence[str]) -> Ontology:
    words = [tuple(filter(None, map(str.strip, label.split(",")))) for label in labels]
    for number, each in enumerate(words):
        if not each or not all(normal(word) and len(word) <= MAX_QUERY for word in each):
            raise LabelsInvalid(
                f"Expected words of 1 to {MAX_QUERY} characters. Received {shown(labels[number])} as class {number}. "
                f"{_FORM}"
            )
    wnids = [f"class-{number}" for number in range(len(labels))]
    above = SynsetRecord(ANY_CLASS, ("any class",), "every class of the model", tuple(wnids))
    nodes = [SynsetRecord(wnid, each, "", ()) for wnid, each in zip(wnids, words, strict=True)]
    try:
        return Ontology([above, *nodes], wnids)
    except HierarchyInvalid as error:
        raise LabelsInvalid(str(error)) from error


def _require_each_once(labels: Sequence[str]) -> None:
    places: dict[str, int] = {}
    for number, label in enumerate(labels):
        if (before := places.setdefault(normal(label.split(",")[0]), number)) != number:
            raise LabelsInvalid(
                f"Expected each label once. Received {shown(label)} as class {before} and as class {number}. Give "
                f"them different names."
            )


def _read(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise LabelsInvalid(
                f"Expected a file of labels of at most {MOST_BYTES // 10**6} MB. Received {path}, which is larger. "
                f"{_FORM}"
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise LabelsInvalid(
            f"Expected a readable text file of labels. Received {path} ({getattr(error, 'strerror', None) or error}). "
            f"{_FORM}"
        ) from error
    if path.suffix.lower() != ".json":
        lines = (line.strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]
    try:
        found = json.loads(text)
        if isinstance(found, dict) and "labels" in found:
            found = found["labels"]
        if isinstance(found, dict):
            found = [found[str(number)] for number in range(len(found))]
        return [each if isinstance(each, str) else " ".join(each) for each in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabelsInvalid(
            f"Expected labels as JSON. Received {path}, which has another form ({type(error).__name__}). {_FORM}"
        ) from error
