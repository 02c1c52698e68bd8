"""The labels of a model of one's own: from a file or a list to the hierarchy of its classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fcn_core.errors import HierarchyInvalid, LabelsInvalid
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.records import ANY_CLASS, UNLABELLED, WNID, SynsetRecord, shown
from fcn_core.synsets.search import MAX_QUERY, normal

MOST_BYTES = 4_000_000
MOST_LABELS = 25_000  # ImageNet has 21 841 synsets with pictures
_CARD = ("labels", "preprocessing")
IMAGENET_LABELS = "imagenet"  # instead of labels: the classes of ImageNet, in their order

Labels = str | Path | Sequence[str]

_FORM = (
    "Write one class a line, in the order of the model's outputs: a wnid such as n02084071, or a word; or a JSON list "
    "of these."
)


# What identifies a synset, and so cannot be a word for another.
_TAKEN = re.compile(r"(?:n[0-9]{8}|class[ _-][0-9]+|any[ _-]class)\b", re.IGNORECASE)


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Return the labels of a model's classes, in the order of its outputs.

    Parameters
    ----------
    labels : str, Path, or sequence of str
        A file, or the labels themselves. The file has one class a line (empty lines and lines that begin with # are
        left out), or is JSON: a list, or an object by number as Keras' ``imagenet_class_index.json``, whose entries are
        words or pairs of wnid and word. Either may be the value of ``labels`` in
        an object.

    Raises
    ------
    LabelsInvalid
        The file cannot be read, or has no labels.
    """
    if isinstance(labels, str | Path):
        listed, where = _read(Path(labels)), str(labels)
    else:
        listed, where = _listed(labels, "the labels"), "the list"
    found = [" ".join(each.split()) for each in listed]
    if not found or len(found) > MOST_LABELS:
        raise LabelsInvalid(
            f"Expected 1 to {MOST_LABELS} labels. Received {len(found)} from {where}. {_FORM}"
        )
    for number, each in enumerate(found):
        if not each or not each.isprintable():
            raise LabelsInvalid(
                f"Expected labels that can be printed. Received {shown(each)} as class {number} from {where}. {_FORM}"
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
    return _numbered_words([UNLABELLED.format(number) for number in range(count)])


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
    for number, label in enumerate(labels):
        if taken := _TAKEN.match(label):
            raise LabelsInvalid(
                f"Expected words, or wnids in all lines. Received {shown(taken[0])} as class {number}, which is a "
                f"number of a synset. Write a word for it, or wnids for all classes."
            )
    return _numbered_words(labels)


def _numbered_words(labels: Sequence[str]) -> Ontology:
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


def _listed(found: object, where: str) -> list[str]:
    """Return a list of labels, each of them a text or a pair of wnid and word."""
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
        raise LabelsInvalid(f"Expected a list of labels. Received {where}, which are no list. {_FORM}")
    labels = []
    for number, each in enumerate(found):
        parts = [each] if isinstance(each, str) else each
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            raise LabelsInvalid(
                f"Expected labels that are texts. Received {type(each).__name__} as class {number} from {where}. "
                f"{_FORM}"
            )
        labels.append(" ".join(parts))
    return labels


def _read(path: Path) -> list[str]:
    text = _text(path)
    if path.suffix.lower() != ".json":
        lines = (line.strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]
    found = _document(path, text)
    if isinstance(found, dict) and not {*found} & {*_CARD}:
        if sorted(found) != sorted(map(str, range(len(found)))):
            raise LabelsInvalid(
                f"Expected labels by number, from 0 on. Received {path}, in which some are missing. {_FORM}"
            )
        found = [found[str(number)] for number in range(len(found))]
    elif isinstance(found, dict):
        found = found.get("labels")
    return _listed(found, str(path))


def preprocessing_of(path: Path) -> str | None:
    """Return the preprocessing that a JSON file of labels names.

    Raises
    ------
    LabelsInvalid
        The file cannot be read, or has an unknown key beside "labels" and "preprocessing".
    """
    found = _document(path, _text(path)) if path.suffix.lower() == ".json" else None
    if not isinstance(found, dict) or not {*found} & {*_CARD}:
        return None
    if unknown := sorted(found.keys() - {*_CARD}):
        raise LabelsInvalid(
            f"Expected the keys {' and '.join(_CARD)}. Received {shown(unknown[0])} in {path}. Correct the key."
        )
    return str(found["preprocessing"]) if "preprocessing" in found else None


def _document(path: Path, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelsInvalid(
            f"Expected labels as JSON. Received {path}, which is not JSON ({str(error)[:80]}). {_FORM}"
        ) from error


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # not a device or a pipe, which may have no end
            raise FileNotFoundError(0, "no such file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise LabelsInvalid(
                f"Expected a file of labels of at most {MOST_BYTES // 10**6} MB. Received {path}, which is larger. "
                f"{_FORM}"
            )
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise LabelsInvalid(
            f"Expected a readable text file of labels. Received {str(path)[:200]} "
            f"({getattr(error, 'strerror', None) or error}). {_FORM}"
        ) from error
