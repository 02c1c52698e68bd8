"""Look synsets up by word: exact senses, search by part of a word, and suggestions for misspelt words.

Words are compared without case and accents; ``_``, ``-`` and white space are one space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from rapidfuzz.distance import OSA

from fcn_core.synsets.morphology import singulars

MAX_QUERY = 100  # characters of a query that are read

# Shown for an empty query: everyday kinds of things of which ImageNet has several classes.
STARTING_POINTS = (
    "n00015388",  # animal
    "n02084071",  # dog
    "n03094503",  # container
    "n04524313",  # vehicle
    "n01503061",  # bird
    "n03051540",  # clothing
    "n01661091",  # reptile
    "n02159955",  # insect
    "n07555863",  # food
    "n03800933",  # musical instrument
    "n03405725",  # furniture
    "n02512053",  # fish
    "n13134947",  # fruit
    "n02913152",  # building
    "n04451818",  # tool
    "n02484322",  # monkey
    "n02778669",  # ball
    "n02958343",  # car
    "n02121620",  # cat
    "n12992868",  # fungus
)

# How well a word matches a query, best first.
_SAME, _SINGULAR, _PART, _BEGINNING, _BEGINNINGS, _CONTAINED, _NEAR, _NEAR_BEGINNING = range(8)


class WordIndex:
    """An index of the words of synsets.

    Parameters
    ----------
    words : mapping of str to tuple of str
        The words of each synset by its wnid, broadest synset first: this order decides between equal matches.
    """

    def __init__(self, words: Mapping[str, tuple[str, ...]]) -> None:
        self._place = {wnid: place for place, wnid in enumerate(words)}
        self._by_word: dict[str, list[str]] = {}
        for wnid, synonyms in words.items():
            for word in dict.fromkeys(map(normal, synonyms)):
                self._by_word.setdefault(word, []).append(wnid)
        # Whole words and their single parts, because a misspelt query is compared with both.
        self._by_spelling: dict[str, set[str]] = {}
        for word, wnids in self._by_word.items():
            for spelling in {word, *word.split(" ")}:
                self._by_spelling.setdefault(spelling, set()).update(wnids)

    def senses(self, word: str) -> tuple[str, ...]:
        """Return the wnids of the synsets that have this word, broadest first."""
        return tuple(self._by_word.get(normal(word), ()))

    def search(self, query: str, meaning: str | None = None) -> list[str]:
        """Return the wnids of the synsets that match a query, best first.

        Parameters
        ----------
        query : str
            Only the first `MAX_QUERY` characters are read. An empty query matches `STARTING_POINTS`.
        meaning : str, optional
            The wnid that comes first among equal matches.
        """
        word = normal(query)
        if not word:
            return sorted(self._place.keys() & {*STARTING_POINTS} or self._place, key=self._place.__getitem__)
        return self.matches(word, meaning) or [wnid for wnid, _ in self.near_misses(word)]

    def matches(self, word: str, meaning: str | None = None) -> list[str]:
        """Return the wnids of the synsets that match a word in normal form without typing errors, best first."""
        rank = self._matches(word)
        return sorted(rank, key=lambda wnid: (rank[wnid], wnid != meaning, self._place[wnid]))

    def near_misses(self, word: str) -> list[tuple[str, int]]:
        """Return the wnids of the synsets that match with a few typing errors, best first, and their errors.

        Where only the beginning of a word matches, one error is added.
        """
        rank = self._near_misses(word)
        best_first = sorted(rank, key=lambda wnid: (rank[wnid], self._place[wnid]))
        return [(wnid, rank[wnid][1] + (rank[wnid][0] == _NEAR_BEGINNING)) for wnid in best_first]

    def _matches(self, query: str) -> dict[str, tuple[int, ...]]:
        """Return the rank of each synset that matches without typing errors; smaller is better."""
        found: dict[str, tuple[int, ...]] = {}
        if re.fullmatch("n[0-9]{1,8}", query):
            for wnid in self._place:
                if wnid.startswith(query):
                    found[wnid] = (_SAME if wnid == query else _BEGINNING,)
        possible = singulars(query)
        for word, wnids in self._by_word.items():
            match = _match(query, possible, word)
            if match is not None:
                for wnid in wnids:
                    found[wnid] = min(found.get(wnid, (match,)), (match,))
        return found

    def _near_misses(self, query: str) -> dict[str, tuple[int, ...]]:
        """Return the rank of each synset that matches with a few typing errors."""
        allowed = errors_allowed(query)
        found: dict[str, tuple[int, ...]] = {}
        for spelling, wnids in self._by_spelling.items() if allowed else ():
            match = _near_match(query, spelling, allowed)
            if match is not None:
                for wnid in wnids:
                    found[wnid] = min(found.get(wnid, match), match)
        return found


def normal(text: str) -> str:
    """Return the form in which words are compared: no case, no accents, one space for ``_``, ``-`` and spaces."""
    text = unicodedata.normalize("NFKD", text[:MAX_QUERY].casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub(r"[_\-\s]+", " ", text).strip()


def errors_allowed(query: str) -> int:
    """Return how many typing errors a word of a query's length may have."""
    return 0 if len(query) < 3 else 1 if len(query) < 5 else 2 if len(query) < 9 else 3


def _match(query: str, singulars_of_it: tuple[str, ...], word: str) -> int | None:
    """Return how well a word matches without typing errors; all arguments are in normal form."""
    if word == query:
        return _SAME
    if word in singulars_of_it:
        return _SINGULAR
    spaced = f" {word} "
    if f" {query} " in spaced or any(f" {singular} " in spaced for singular in singulars_of_it):
        return _PART
    if word.startswith(query):
        return _BEGINNING
    if all(f" {part}" in spaced for part in query.split(" ")):
        return _BEGINNINGS
    if len(query) > 2 and query in word:
        return _CONTAINED
    return None


def _near_match(query: str, spelling: str, allowed: int) -> tuple[int, int] | None:
    """Return how well a word, or else its beginning, matches with typing errors; None for too many of them.

    Errors are counted by the optimal string alignment distance: insertions, deletions, substitutions and
    transpositions of neighbours (Damerau 1964). A beginning may have one error fewer than a whole word.
    """
    if len(spelling) < len(query) - allowed:
        return None
    errors = OSA.distance(query, spelling, score_cutoff=allowed)
    if errors <= allowed:
        return _NEAR, errors
    lengths = range(len(query) - allowed + 1, min(len(query) + allowed, len(spelling)))
    beginnings = (OSA.distance(query, spelling[:n], score_cutoff=allowed - 1) for n in lengths)
    errors = min(beginnings, default=allowed)
    return (_NEAR_BEGINNING, errors) if errors < allowed else None
