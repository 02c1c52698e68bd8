"""What a word means to the network, and the sentence that says so where that is not what its user expects.

The hierarchy has a word for 1860 things only. A word may be one of them; the network may know but one narrow kind of
it ("sheep: it knows rams only"); it may never have learned it ("woman"); or it is misspelt, or German.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from rapidfuzz.distance import OSA

from fcn_core.synsets.morphology import in_a_row, plural, singulars
from fcn_core.synsets.nouns import ENGLISH, Nouns
from fcn_core.synsets.records import WNID, Synset
from fcn_core.synsets.search import WordIndex, normal

FEW = 3  # so many classes can be named in a sentence
MANY = 5  # suggestions
SURE = 2  # with more typing errors than this, the user is asked


class _Hierarchy(Protocol):
    """What a look-up asks of an `fcn_core.Ontology`."""

    classes: tuple[str, ...]

    def __getitem__(self, wnid: str) -> Synset: ...
    def __contains__(self, wnid: object) -> bool: ...
    def label(self, wnid: str) -> str: ...
    def count(self, wnid: str) -> int: ...
    def class_ids(self, wnid: str) -> tuple[int, ...]: ...
    def ancestors(self, wnid: str) -> tuple[str, ...]: ...
    def collapse(self, wnid: str) -> str: ...
    def senses(self, word: str) -> tuple[Synset, ...]: ...
    def meaning(self, word: str) -> str | None: ...


@dataclass(frozen=True)
class Meaning:
    """What a text means.

    Attributes
    ----------
    synset : Synset or None
        What to look for; None where the user must choose, because nothing or several things are as near.
    others : tuple of Synset
        What else may be meant, or is near, best first; without `synset`.
    line : str
        A sentence for the user; empty where the text simply names the synset.
    understood : bool
        Whether the text is a word or a wnid, rather than the beginning of one, or a misspelt one.
    """

    synset: Synset | None
    others: tuple[Synset, ...] = ()
    line: str = ""
    understood: bool = True


class LookUp:
    """Looks up words.

    Parameters
    ----------
    ontology : _Hierarchy
    words : WordIndex
        That of the ontology's words.
    nouns : Nouns
    shipped : _Hierarchy, optional
        ImageNet's hierarchy, for the ontology of another network: words that it alone has were never learned.
    """

    def __init__(
        self, ontology: _Hierarchy, words: WordIndex, nouns: Nouns, shipped: _Hierarchy | None = None
    ) -> None:
        self._ontology, self._words, self._nouns, self._shipped = ontology, words, nouns, shipped

    def __call__(self, text: str) -> Meaning:
        """Return what a text means; see `Ontology.look_up`."""
        word, shown, wnid = normal(text), _shown(text), text.strip().lower()
        if wnid in self._ontology:
            return Meaning(self._ontology[wnid])
        if WNID.fullmatch(word):
            return Meaning(None, (), f"{word} is none of its synsets.", False)
        meaning = self._english(word, shown)
        if abroad := self._abroad(word, shown, meaning):
            return abroad
        if meaning is not None:
            return meaning
        if matching := self._distinct(self._words.matches(word) if word else []):
            return self._read_as(matching[0], shown, matching[1 : MANY + 1])
        return self._misspelt(word, shown) or Meaning(None, (), f"{shown} is no word that it knows.", False)

    def exact(self, text: str) -> str:
        """Return the word of the ontology that a text is, or is the plural of; else an empty text."""
        word = normal(text)
        names = (word, self._nouns.singular(word), *singulars(word))
        return next((name for name in names if self._words.senses(name)), "")

    def _english(self, word: str, shown: str) -> Meaning | None:
        """Return the meaning of an English noun."""
        return self._learned(word, shown) or self._never_learned(word, shown)

    def _learned(self, word: str, shown: str) -> Meaning | None:
        """Return the meaning of a word that the ontology has."""
        ontology, name = self._ontology, self.exact(word)
        if not name:
            return None
        senses = ontology.senses(name)
        wnid = ontology.meaning(name)
        if wnid is None:
            return Meaning(None, senses, f"{shown} has {len(senses)} senses. Which one do you mean?")
        found = ontology[wnid]
        others = tuple(
            s for s in senses if s != found and ontology.collapse(s.wnid) != ontology.collapse(wnid)
        )
        if near := self._nouns.near_usual(name):
            usual = ontology[ontology.collapse(near)]
            own_name = normal(found.words[0]) == name
            what = ontology.label(found.parents[0]) if own_name and found.parents else found.words[0]
            line = f"{shown}: it knows the {what} only. Nearest to the usual meaning: {usual.name}."
            if own_name:
                return Meaning(found, (usual, *others), line)
            return Meaning(None, (usual, found, *others), line)
        return Meaning(found, others, self._narrower(found, name, shown))

    def _narrower(self, synset: Synset, name: str, shown: str) -> str:
        """Return the sentence about a synset of which the network knows a narrower kind only; empty for the others."""
        ontology, small = self._ontology, self._ontology.collapse(synset.wnid)
        count = ontology.count(synset.wnid)
        if small != synset.wnid and normal(ontology.label(small)) not in (name, *map(normal, synset.words)):
            kinds = [small]
        elif small == synset.wnid and 1 < count <= FEW:
            kinds = [ontology.classes[i] for i in ontology.class_ids(small)]
            if {*kinds} <= {*synset.children}:  # its own kinds, as the elephant's
                return ""
        else:
            return ""
        return f"{shown}: it knows {in_a_row([plural(self._name(kind)) for kind in kinds])} only."

    def _never_learned(self, word: str, shown: str) -> Meaning | None:
        """Return the meaning of an English noun that the ontology does not have."""
        noun = self._nouns.never_learned(word)
        if noun is not None:
            near, name = self._named(noun.near), shown if noun.word == word else noun.word
        elif senses := self._shipped_senses(word):
            near, name = self._above(senses), shown
        else:
            return None
        line = f"{_NEVER} {name}"
        line += f". Nearest: {', '.join(s.name for s in near)}." if near else ", nor anything near it."
        return Meaning(None, tuple(near), line)

    def _shipped_senses(self, word: str) -> tuple[Synset, ...]:
        """Return the synsets of ImageNet's hierarchy that have a word or its singular, for another network."""
        if self._shipped is None:
            return ()
        names = (word, self._nouns.singular(word), *singulars(word))
        return next((found for name in names if (found := self._shipped.senses(name))), ())

    def _above(self, senses: tuple[Synset, ...]) -> list[Synset]:
        """Return the synset that this network knows, by its wnid or a word, nearest above these of ImageNet's."""
        ontology, shipped = self._ontology, self._shipped
        if shipped is None:
            return []
        for synset in senses:
            for wnid in (synset.wnid, *shipped.ancestors(synset.wnid)):
                words = [wnid] if wnid in ontology else []
                words += [found for word in shipped[wnid].words for found in self._words.senses(word)]
                if words and ontology.count(words[0]) < len(ontology.classes):
                    return self._named(words[:1])
        return []

    def _abroad(self, word: str, shown: str, english: Meaning | None) -> Meaning | None:
        """Return the meaning of a German or French word, or of an everyday English one that WordNet lacks ("fridge").

        If WordNet has the same noun, the network must not know it ("Hut", "pain"), and the word has both meanings.
        """
        found = self._nouns.abroad(word)
        if not found or (english and not english.line.startswith(_NEVER)):
            return None
        if found[0].language == ENGLISH:
            english = None
        hints = [
            f"{shown}: {each.english}{'' if each.language == ENGLISH else f' ({each.language})'}."
            for each in found
        ]
        meanings = [english] if english else []
        meanings += [m for each in found if (m := self._english(normal(each.english), each.english))]
        lines = [english.line] if english else []
        lines += [*hints, *(m.line for m in meanings if m.line and m is not english)]
        near = dict.fromkeys(s for m in meanings for s in (m.synset, *m.others) if s is not None)
        first = None if english else meanings[0].synset
        return Meaning(first, tuple(s for s in near if s != first), " ".join(dict.fromkeys(lines)))

    def _misspelt(self, word: str, shown: str) -> Meaning | None:
        """Return the meaning of the most similar word; without a synset if several are equally similar."""
        near = self._words.near_misses(word)
        if (not near or near[0][1] > 1) and (phrase := self._last_word(word, shown)):
            return phrase  # rather than "hand glass" for "wine glass"
        noun = self._nouns.misspelt(word) if " " not in word else None
        whole = any(_errors(word, s) <= near[0][1] for s in self._named([wnid for wnid, _ in near]))
        if noun and (not near or noun[1] < near[0][1] + (not whole)):
            meant = self._english(noun[0], noun[0]) or Meaning(None)
            return replace(meant, line=f"{shown}: read as {noun[0]}. {meant.line}", understood=False)
        if not near:
            return None
        best = self._distinct([wnid for wnid, errors in near if errors == near[0][1]])
        named = [s for s in best if _errors(word, s) == near[0][1]] or best  # not a part of a longer name
        if len(named) == 1 and near[0][1] <= SURE:
            return self._read_as(named[0], shown, [s for s in best[:MANY] if s != named[0]])
        names = in_a_row([self._name(s.wnid) for s in best[:MANY]], "or")
        return Meaning(
            None, tuple(best[:MANY]), f"{shown} is no word that it knows. Did you mean {names}?", False
        )

    def _last_word(self, word: str, shown: str) -> Meaning | None:
        """Return what is near to a phrase: what its last word means ("red car": car)."""
        last = word.rpartition(" ")[2]
        meant = self(last) if last != word else None
        if meant is None or not meant.understood:
            return None
        near = tuple(self._named([s.wnid for s in ((meant.synset,) if meant.synset else meant.others) if s]))
        names = ", ".join(s.name for s in near)
        nearest = f". Nearest: {names}." if near else ", nor anything near it."
        return Meaning(None, near, f"{_NEVER} {shown}{nearest}")

    def _name(self, wnid: str) -> str:
        return self._ontology.label(wnid)

    def _read_as(self, synset: Synset, shown: str, others: list[Synset] | None = None) -> Meaning:
        """Return a synset as the meaning of the beginning of its word, or of that word misspelt."""
        name = self._name(synset.wnid)
        narrower = self._narrower(synset, normal(name), name)
        return Meaning(synset, tuple(others or ()), f"{shown}: read as {name}. {narrower}".rstrip(), False)

    def _distinct(self, wnids: list[str]) -> list[Synset]:
        """Return synsets without those that look the same as one before them, because they have the same classes."""
        distinct: dict[str, str] = {}
        for wnid in wnids:
            distinct.setdefault(self._ontology.collapse(wnid), wnid)
        return [self._ontology[wnid] for wnid in distinct.values()]

    def _named(self, wnids: list[str] | tuple[str, ...]) -> list[Synset]:
        """Return the synsets that stand for these, each once: those with the same classes look the same."""
        known = (wnid for wnid in wnids if wnid in self._ontology)
        return [self._ontology[wnid] for wnid in dict.fromkeys(map(self._ontology.collapse, known))]


def advice(text: str, meaning: Meaning, known: str) -> str:
    """Return what to give in place of a text that names no synset; `known` is what to do where nothing is near."""
    near = (meaning.synset, *meaning.others) if meaning.synset else meaning.others
    named = [f"{s.words[0]} ({s.wnid})" for s in near[:3]]
    if not named:
        return f"{meaning.line} {known}"
    if not meaning.understood and (meaning.synset or meaning.line.endswith("?")):  # misspelt
        return f"{_shown(text)} is no word that it knows. Did you mean {in_a_row(named, 'or')}?"
    return f"{meaning.line} Give one of these: {', '.join(named)}."


def _errors(word: str, synset: Synset) -> int:
    """Return the fewest typing errors that make a whole word of a synset the word."""
    return min(int(OSA.distance(word, normal(each))) for each in synset.words)


_NEVER = "The network never learned"


def _shown(text: str) -> str:
    """Return a text as a sentence shows it: one line, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 40 else line[:40].rstrip() + "…"
