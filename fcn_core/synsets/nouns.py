"""English nouns that name no synset of the network, and everyday German, French and recent English ones.

`nouns.txt` has a line for each meaning, "KEY,word,word,...,", with words in normal form. A key is

- the wnids of the synsets nearest to words that the network never learned, or nothing where nothing is near;
- "=" and a wnid: the usual one of several synsets that these words have;
- "+" and a wnid: the network has these words in an unusual sense only; the wnid is what their usual sense is near to;
- ">" and a word: the singular of these irregular plurals;
- "*", in the last line: the common ones of the words that the network never learned, the commonest first.

It is searched as text: a table of its 70 000 words would fill twenty times as much memory, and a search of the whole
text takes half a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

from fcn_core.synsets.morphology import singulars
from fcn_core.synsets.search import errors_allowed, normal
from fcn_core.system.assets import asset

TABLE, ABROAD = asset("nouns.txt"), asset("everyday_words.csv")
ENGLISH = "English"  # the language of words that are younger than WordNet, or too familiar for it


class Abroad(NamedTuple):
    """What a word of another language, or one that WordNet lacks, is in WordNet's English."""

    english: str
    language: str


@dataclass(frozen=True)
class Noun:
    """A noun that names no synset.

    Attributes
    ----------
    word : str
        In normal form, singular.
    near : tuple of str
        Wnids of the nearest synsets, the usual sense's first; empty where nothing is near.
    """

    word: str
    near: tuple[str, ...]


class Nouns:
    """What the tables of nouns say.

    Parameters
    ----------
    table : str
        The text of `nouns.txt`.
    abroad : str
        The text of `everyday_words.csv`: lines of a word, its language, and an English word.
    """

    def __init__(self, table: str, abroad: str) -> None:
        self._table = table
        self._key = lru_cache(1000)(self._find_key)  # a look-up asks for a word several times
        self._abroad: dict[str, list[Abroad]] = {}
        for line in abroad.splitlines()[1:]:
            word, language, english = line.split(",")
            self._abroad.setdefault(normal(word), []).append(Abroad(english, language))

    def never_learned(self, word: str) -> Noun | None:
        """Return the noun that a word is, or is the plural of; None for a word that is no such noun."""
        for name in dict.fromkeys((word, self.singular(word), *singulars(word))):
            key = self._key(name)
            if key is not None and key[:1] in "n":
                return Noun(name, tuple(key.split()))
        return None

    def singular(self, word: str) -> str:
        """Return the singular of an irregular plural; any other word unchanged."""
        key = self._key(word) or ""
        return key[1:] if key.startswith(">") else word

    def usual(self, word: str) -> str:
        """Return the wnid of the usual one of several synsets that a word has; empty if none is."""
        key = self._key(word) or ""
        return key[1:] if key.startswith("=") else ""

    def near_usual(self, word: str) -> str:
        """Return what the usual sense of a word is near to, if none of its synsets is that sense; else empty."""
        key = self._key(word) or ""
        return key[1:] if key.startswith("+") else ""

    def abroad(self, word: str) -> tuple[Abroad, ...]:
        """Return what a word, or the one it is the English plural of, is in WordNet's English, by language."""
        names = (word, *singulars(word))
        return next((tuple(self._abroad[name]) for name in names if name in self._abroad), ())

    def misspelt(self, word: str) -> tuple[str, int] | None:
        """Return the common noun most similar to a word, and how many typing errors make it the word."""
        allowed = errors_allowed(word)
        common = self._table[self._table.index("\n*,") + 3 :].split(",") if allowed else []
        best = process.extractOne(word, common, scorer=OSA.distance, score_cutoff=allowed)
        return (str(best[0]), int(best[1])) if best else None

    def _find_key(self, word: str) -> str | None:
        """Return the key of the line that has a word."""
        place = self._table.find(f",{word},")
        if place < 0 or not word:
            return None
        start = self._table.rfind("\n", 0, place) + 1
        return self._table[start : self._table.index(",", start)]


@cache
def load() -> Nouns:
    """Return the tables that are part of this program; they are read once, on first use."""
    return Nouns(TABLE.read_text(encoding="utf-8"), ABROAD.read_text(encoding="utf-8"))
