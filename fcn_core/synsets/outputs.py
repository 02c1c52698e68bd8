"""What the outputs of a network mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from fcn_core.synsets.ontology import Ontology


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the outputs of a network mean.

    Attributes
    ----------
    ontology : Ontology
        Its classes are the outputs, in their order; ImageNet's by default.
    exclusive : bool
        Whether each place shows one class, so that a softmax over the outputs gives their probabilities. Otherwise each
        output is a probability by itself, by a sigmoid.
    """

    ontology: Ontology = field(default_factory=Ontology.load)
    exclusive: bool = True


IMAGENET = Outputs()
