"""How pages say in words what a number means."""

from __future__ import annotations

from fcn_core.synsets.ontology import Ontology

#: Presence from which a finding is called sure, and from which it is called likely.
_SURE, _LIKELY = 0.9, 0.7


def certainty(presence: float, ontology: Ontology) -> str:
    """Say in a word how probable it is that something is there; in percent for a network of one's own.

    What a word promises was measured for ImageNet's classes only.
    """
    if not ontology.is_imagenet:
        return f"{presence:.0%}"
    return "sure" if presence >= _SURE else "likely" if presence >= _LIKELY else "perhaps"
