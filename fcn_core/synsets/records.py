"""Synsets, the records that a hierarchy of them is made of, and the checks that the records pass first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from fcn_core.errors import HierarchyInvalid
from fcn_core.synsets.search import MAX_QUERY, normal

WNID = re.compile("n[0-9]{8}")
# What identifies a synset: a wnid, or in a flat list of classes the number of the class; ANY_CLASS is above them.
IDENTIFIER = re.compile("n[0-9]{8}|class-[0-9]{1,6}|any-class")
ANY_CLASS = "any-class"
UNLABELLED = "class {}"  # the word for a class of which only the number is known


class SynsetRecord(NamedTuple):
    """A synset as a file of synsets describes it."""

    wnid: str
    words: tuple[str, ...]
    gloss: str
    children: tuple[str, ...]
    parents: tuple[str, ...] = ()  # the main one first; empty: every synset that names it as a child, by wnid
    name: str = ""  # what people call it; empty: the first word


@dataclass(frozen=True)
class Synset:
    """A set of synonyms, which is one meaning.

    Attributes
    ----------
    wnid : str
        "n" and WordNet 3.0's eight-digit offset; "class-3" for class 3 of a model whose classes are plain words.
    words : tuple of str
        The synonyms in WordNet's order.
    gloss : str
        WordNet's definition, with examples where it has some.
    parents : tuple of str
        Wnids of the hypernyms in WordNet's order, the main one first.
    children : tuple of str
        Wnids of the hyponyms in this hierarchy, sorted.
    class_id : int or None
        Index among the network's outputs if the synset is a class itself.
    name : str
        What people call it: usually the first word, but "horse" for the class *sorrel*, which is the only horse.
    """

    wnid: str
    words: tuple[str, ...]
    gloss: str
    parents: tuple[str, ...]
    children: tuple[str, ...]
    class_id: int | None
    name: str


REMEDY = "Correct the nodes, or use Ontology.load()."


def checked(nodes: Iterable[SynsetRecord]) -> dict[str, SynsetRecord]:
    """Return the nodes by wnid, with sorted children, after checking each of them."""
    by_wnid: dict[str, SynsetRecord] = {}
    for node in nodes:
        if not IDENTIFIER.fullmatch(node.wnid):
            raise HierarchyInvalid(
                f'Expected "n" and eight digits as a wnid. Received {shown(node.wnid)}. {REMEDY}'
            )
        if node.wnid in by_wnid:
            raise HierarchyInvalid(f"Expected each synset once. Received {node.wnid} twice. {REMEDY}")
        if not node.words or not all(normal(word) and len(word) <= MAX_QUERY for word in node.words):
            raise HierarchyInvalid(
                f"Expected words of 1 to {MAX_QUERY} characters. Received the synset {node.wnid} without a word, "
                f"or with an empty or longer one. {REMEDY}"
            )
        by_wnid[node.wnid] = node._replace(children=tuple(sorted(set(node.children))))
    for node in by_wnid.values():
        for child in node.children:
            if child not in by_wnid:
                raise HierarchyInvalid(
                    f"Expected children that are among the synsets. Received {shown(child)} as a child of "
                    f"{node.wnid}. {REMEDY}"
                )
    return by_wnid


def parents_of(node: SynsetRecord, hypernyms: list[str]) -> tuple[str, ...]:
    """Return the parents in the order that the node gives, else by wnid."""
    if node.parents and sorted(node.parents) != sorted(hypernyms):
        raise HierarchyInvalid(
            f"Expected {hypernyms[:5]} as the parents of {node.wnid}, because it is a child of these. "
            f"Received {list(node.parents[:5])}. {REMEDY}"
        )
    return node.parents or tuple(sorted(hypernyms))


def places_of(bits: int) -> tuple[int, ...]:
    """Return the places of the ones among the bits of an integer, ascending."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return tuple(found)


def children_first(by_wnid: dict[str, SynsetRecord]) -> list[str]:
    """Return the wnids in an order in which children precede their parents; the same on every run."""
    sorter = TopologicalSorter({wnid: by_wnid[wnid].children for wnid in sorted(by_wnid)})
    try:
        return list(sorter.static_order())
    except CycleError as fault:
        raise HierarchyInvalid(
            f"Expected a hierarchy without cycles. Received {' > '.join(fault.args[1][:5])}. {REMEDY}"
        ) from None


def shown(text: str) -> str:
    """Return a received text for a message: one line, not too long."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


def classes_in_words(count: int) -> str:
    """Return "1 class", "118 classes"."""
    return f"{count} class{'' if count == 1 else 'es'}"
