"""Singulars and plurals of English nouns, by rule; what the rules cannot know is in `fcn_core.synsets.nouns`."""

from __future__ import annotations

from collections.abc import Sequence

# Plural endings and their singulars: the rules for nouns of WordNet's Morphy, and -ves.
_PLURALS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("ves", "f"),
    ("ves", "fe"),
)
_HISSING = ("s", "x", "z", "ch", "sh")
# Names of classes whose plurals follow no rule.
_IRREGULAR = {
    **{
        "mouse": "mice",
        "ox": "oxen",
        "goose": "geese",
        "wolf": "wolves",
        "knife": "knives",
        "loaf": "loaves",
    },
    **{"calf": "calves", "foot": "feet", "tooth": "teeth", "potato": "potatoes", "tomato": "tomatoes"},
    **{
        name: name for name in ("fish", "sheep", "bison", "triceratops", "sunglasses", "binoculars", "trunks")
    },
}


def singulars(word: str) -> tuple[str, ...]:
    """Return the words of which this one may be the plural."""
    found = (word.removesuffix(plural) + ending for plural, ending in _PLURALS if word.endswith(plural))
    return tuple(dict.fromkeys(singular for singular in found if len(singular) > 1))


def plural(name: str) -> str:
    """Return the plural of a name; its last word takes the ending."""
    first, space, last = name.rpartition(" ")
    if last in _IRREGULAR:
        return first + space + _IRREGULAR[last]
    if last.endswith("man") and last != "human":
        return name[:-2] + "en"
    if last.endswith(_HISSING):
        return name + "es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def in_a_row(names: Sequence[str], last: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
