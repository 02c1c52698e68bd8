"""What an exercise is, and what its right answers depend on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.lesson.exercises.verdicts import Verdict

Answers = Mapping[str, str]
Map = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Facts:
    """What the right answers depend on.

    Attributes
    ----------
    features : int
        Channels before the last layer, of a network other than the course's.
    input_size, stride, classes, colours : int
    picture : (int, int)
        Height and width of the learner's picture.
    maps : mapping
        For each synset on offer its heatmap as it is shown: rows of rounded values. Empty while it is computed.
    candidates : mapping
        What each of the heatmaps to choose from shows, by its letter. Empty while they are computed.
    """

    features: int
    input_size: int
    stride: int
    picture: tuple[int, int]
    classes: int = 1000
    colours: int = 3
    maps: Mapping[str, Map] = field(default_factory=dict)
    candidates: Mapping[str, str] = field(default_factory=dict)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of cells for an input."""
        return math.ceil(height / self.stride), math.ceil(width / self.stride)


@dataclass(frozen=True)
class Part:
    """One answer of an exercise.

    Attributes
    ----------
    name : str
        Its name within the exercise.
    label : str
        English label of its input; braces are filled with the text's live values.
    options : tuple of str
        What can be chosen; empty: the answer is typed.
    several : bool
        Whether several can be chosen; they are joined with "+".
    """

    name: str
    label: str
    options: tuple[str, ...] = ()
    several: bool = False


@dataclass(frozen=True)
class Exercise:
    """One exercise: its answers, and who judges them."""

    name: str
    parts: tuple[Part, ...]
    judge: Callable[[Answers, Facts], dict[str, Verdict]]

    def verdicts(self, answers: Answers, facts: Facts) -> dict[str, Verdict]:
        """Judge the answers, by the names of the parts; what is missing counts as not answered."""
        return self.judge({part.name: answers.get(part.name, "") for part in self.parts}, facts)
