"""Wnids that several tests use, and small hierarchies."""

from __future__ import annotations

from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.records import SynsetRecord

DOG, ANIMAL, ENTITY, CAT = "n02084071", "n00015388", "n00001740", "n02121620"


def toy(*nodes: tuple[str, str, str]) -> Ontology:
    """An ontology of (digit, words, digits of the children)."""
    return Ontology(
        SynsetRecord(f"n0000000{d}", tuple(words.split(", ")), "", tuple(f"n0000000{c}" for c in children))
        for d, words, children in nodes
    )
