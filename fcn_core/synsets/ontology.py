"""The hierarchy of synsets above ImageNet's 1000 classes.

It is the hypernym closure, in WordNet 3.0, of the synsets of the classes: the 1860 synsets of the ILSVRC devkit.
It is a graph, not a tree: 75 synsets have several hypernyms. Counts and sums over classes count each class once.

Fellbaum, "WordNet: An Electronic Lexical Database", 1998; Russakovsky et al., "ImageNet Large Scale Visual
Recognition Challenge", IJCV 2015. A synset is identified by its wnid, "n" and eight digits.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fcn_core.errors import AmbiguousSynset, HierarchyInvalid, UnknownSynset
from fcn_core.synsets import nouns
from fcn_core.synsets.look_up import LookUp, Meaning, advice
from fcn_core.synsets.records import (
    REMEDY,
    UNLABELLED,
    WNID,
    Synset,
    SynsetRecord,
    checked,
    children_first,
    classes_in_words,
    parents_of,
    places_of,
    shown,
)
from fcn_core.synsets.search import WordIndex, normal
from fcn_core.system.assets import asset

__all__ = ("ASSET", "MAX_NAIVE", "Ontology", "Synset")

ASSET = asset("imagenet_synsets.json")
NAMES = asset("everyday_names.csv")  # what people call a synset whose first word is another
_EXAMPLE = "n02084071"  # dog
MAX_NAIVE = 100_000  # entries of the depth-first search


class Ontology:
    """A hierarchy of synsets: look-up, search, and the classes below each synset.

    Iteration yields every `Synset`: first the classes in the order of the network's outputs, then the others by
    wnid. ``ontology[wnid]`` is one synset, and ``wnid in ontology`` tests whether it exists. The other methods take
    and return wnids, and raise `UnknownSynset` for a wnid that does not exist.

    Parameters
    ----------
    nodes : iterable of SynsetRecord
        They have one root.
    classes : sequence of str, optional
        Wnids of the classes in the order of the network's outputs; among them are all nodes without children. By
        default the nodes without children, sorted.

    Raises
    ------
    HierarchyInvalid
        The nodes do not form such a hierarchy.
    """

    def __init__(self, nodes: Iterable[SynsetRecord], classes: Sequence[str] | None = None) -> None:
        by_wnid = checked(nodes)
        order = children_first(by_wnid)
        leaves = sorted(w for w in by_wnid if not by_wnid[w].children)
        self.classes: tuple[str, ...] = tuple(leaves if classes is None else classes)
        class_ids = {w: i for i, w in enumerate(self.classes)}
        if len(class_ids) < len(self.classes) or not {*leaves} <= {*class_ids} <= {*by_wnid}:
            raise HierarchyInvalid(
                f"Expected as classes synsets of the hierarchy, each once, with all that have no children. Received "
                f"{len(self.classes)} classes for {len(leaves)} synsets without children. {REMEDY}"
            )
        wnids = [*self.classes, *sorted(by_wnid.keys() - class_ids.keys())]

        # The classes below a synset are the bits of an integer: | is their union, bit_count() their number.
        self._classes_below: dict[str, int] = {}
        hypernyms: dict[str, list[str]] = {w: [] for w in by_wnid}
        for wnid in order:
            children = by_wnid[wnid].children
            below = 1 << class_ids[wnid] if wnid in class_ids else 0
            for child in children:
                below |= self._classes_below[child]
                hypernyms[child].append(wnid)
            self._classes_below[wnid] = below
        roots = [w for w in wnids if not hypernyms[w]]
        if len(roots) != 1:
            raise HierarchyInvalid(
                f"Expected synsets with one root. Received {len(roots)} roots: {roots[:5]}. {REMEDY}"
            )
        self.root = roots[0]

        self._depth: dict[str, int] = {}
        for wnid in reversed(order):
            self._depth[wnid] = min((self._depth[p] for p in hypernyms[wnid]), default=-1) + 1

        # Synsets with the same classes have the same map: the narrowest represents them all.
        self._representative: dict[int, str] = {}
        for wnid in wnids:
            below = self._classes_below[wnid]
            if all(self._classes_below[child] != below for child in by_wnid[wnid].children):
                self._representative.setdefault(below, wnid)

        self._synsets = {
            w: Synset(
                w,
                by_wnid[w].words,
                by_wnid[w].gloss,
                parents_of(by_wnid[w], hypernyms[w]),
                by_wnid[w].children,
                class_ids.get(w),
                by_wnid[w].name or by_wnid[w].words[0],
            )
            for w in wnids
        }

    @classmethod
    def load(cls) -> Ontology:
        """Return the hierarchy that is part of this program; it is read once, on first use."""
        return _load(ASSET)

    @cached_property
    def is_imagenet(self) -> bool:
        """Whether the classes are ImageNet's, in their order: what was learned for these holds."""
        return self is Ontology.load() or self.classes == Ontology.load().classes

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it was made from; the shipped one is loaded again."""
        if self is _load(ASSET):
            return Ontology.load, ()
        nodes = [SynsetRecord(s.wnid, s.words, s.gloss, s.children, s.parents, s.name) for s in self]
        return Ontology, (nodes, self.classes)

    def __getitem__(self, wnid: str) -> Synset:
        try:
            return self._synsets[wnid]
        except KeyError:
            raise UnknownSynset(
                f"Expected the wnid of one of the {self._what}, such as {self._example.wnid}. "
                f"Received {shown(wnid)}. Search by word to find a wnid."
            ) from None

    def __contains__(self, wnid: object) -> bool:
        return wnid in self._synsets

    def __iter__(self) -> Iterator[Synset]:
        return iter(self._synsets.values())

    def __len__(self) -> int:
        return len(self._synsets)

    def index(self, wnid: str) -> int:
        """Return the synset's position in the order of iteration, which is its row in `membership`."""
        return self._rows[self[wnid].wnid]

    def label(self, wnid: str) -> str:
        """Return the synset's first word."""
        return self[wnid].words[0]

    # The classes below a synset

    def class_ids(self, wnid: str) -> tuple[int, ...]:
        """Return the classes below a synset: indices of the network's outputs, ascending, each once."""
        return places_of(self._classes_below[self[wnid].wnid])

    def count(self, wnid: str) -> int:
        """Return the number of classes below a synset."""
        return self._classes_below[self[wnid].wnid].bit_count()

    def naive_class_ids(self, wnid: str) -> tuple[int, ...]:
        """Return the classes that a depth-first search lists: a class on two paths appears twice.

        The notebook does this, and therefore its "probabilities" exceed 1. The lesson uses it to show why; nothing
        else should.

        Raises
        ------
        HierarchyInvalid
            The search lists more than 100 000 entries, which happens only in a contrived hierarchy.
        """
        found: list[int] = []
        waiting = [self[wnid].wnid]
        while waiting:
            synset = self._synsets[waiting.pop()]
            if synset.class_id is not None:
                found.append(synset.class_id)
            if len(found) > MAX_NAIVE:
                raise HierarchyInvalid(
                    f"Expected a depth-first search of at most {MAX_NAIVE} entries. Received more than that below "
                    f"{wnid}. Use class_ids, which lists each class once."
                )
            waiting += reversed(synset.children)
        return tuple(found)

    def membership(self) -> Any:
        """Return the matrix that sums class probabilities to those of all synsets at once.

        Returns
        -------
        scipy.sparse.csr_array, float32, (synsets, classes)
            1 where the class is below the synset; rows in the order of iteration. Its product with class
            probabilities (classes, n) is the synsets' probabilities (synsets, n). Shared by all callers: read-only.
        """
        return self._membership

    @cached_property
    def _membership(self) -> Any:
        from scipy.sparse import csr_array

        rows = [self.class_ids(wnid) for wnid in self._synsets]
        columns = np.fromiter((i for row in rows for i in row), np.int32)
        ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
        matrix = csr_array(
            (np.ones(len(columns), np.float32), columns, ends), shape=(len(self), len(self.classes))
        )
        for part in (matrix.data, matrix.indices, matrix.indptr):
            part.flags.writeable = False
        return matrix

    # Paths through the graph

    def depth(self, wnid: str) -> int:
        """Return the length of the shortest path from the root (0 for the root)."""
        return self._depth[self[wnid].wnid]

    def ancestors(self, wnid: str) -> tuple[str, ...]:
        """Return every synset above, each once: nearest first by the shortest path, main parents first."""
        found: dict[str, None] = {}
        level = self[wnid].parents
        while level:
            found |= dict.fromkeys(level)
            above = dict.fromkeys(p for w in level for p in self._synsets[w].parents)
            level = tuple(p for p in above if p not in found)
        return tuple(found)

    def path_to_root(self, wnid: str) -> tuple[str, ...]:
        """Return the path of main parents from the synset to the root, both included.

        The main parent is the first (see `Synset`): a dog is a canine before it is a domestic animal. The path may
        therefore be longer than `depth`.
        """
        path = [self[wnid].wnid]
        while parents := self._synsets[path[-1]].parents:
            path.append(parents[0])
        return tuple(path)

    # The hierarchy without synsets that look the same

    def collapse(self, wnid: str) -> str:
        """Return the narrowest synset with exactly the same classes.

        Synsets with the same classes have the same map, so showing one of them is enough: "vertebrate" for
        "chordate", or the class itself for a synset with one class. If several are narrowest, it is the one with
        the smallest wnid.
        """
        return self._representative[self._classes_below[self[wnid].wnid]]

    def visible_children(self, wnid: str) -> tuple[str, ...]:
        """Return the collapsed children of a collapsed synset, those with most classes first.

        A child that is below another child is left out, because it can be reached through that one. Children with
        equally many classes are sorted by label.
        """
        children = {self.collapse(child) for child in self[self.collapse(wnid)].children}
        below = {
            c for c in children if not children.isdisjoint({*map(self.collapse, self.ancestors(c))} - {c})
        }
        return tuple(sorted(children - below, key=lambda w: (-self.count(w), self.label(w).casefold(), w)))

    def breadcrumb(self, wnid: str) -> tuple[str, ...]:
        """Return the collapsed path from the root to the collapsed synset, both included."""
        path = reversed(self.path_to_root(self.collapse(wnid)))
        return tuple(dict.fromkeys(self.collapse(w) for w in path))

    # Look-up and search

    def senses(self, word: str) -> tuple[Synset, ...]:
        """Return the synsets that have this word, broadest first; case, "_" and "-" do not matter."""
        return tuple(self._synsets[w] for w in self._words.senses(word))

    def look_up(self, text: str) -> Meaning:
        """Return what a text means to the network, and a sentence where that is not what its user expects.

        The first of these that applies:

        1. a wnid; a word, or the plural of one, that a synset has. If several synsets have it, see `find`. The sentence
           says so if the network knows a narrower kind only ("sheep: it knows rams only");
        2. an English noun that no synset has ("woman"): the synsets nearest to it in WordNet;
        3. an everyday German or French noun, or an English one younger than WordNet: its English word;
        4. the beginning or a part of a word, or of several ("gold retr");
        5. a misspelt word, or a phrase that ends in a word of these kinds ("red car").

        Parameters
        ----------
        text : str
            Case, accents, spaces at the ends, and "_" or "-" for a space do not matter.
        """
        return self._look_up(text)

    def find(self, text: str) -> Synset:
        """Return the synset of a wnid or a word, or of its plural.

        If several synsets have the word, the result is, in this order:

        1. the synset whose classes include those of all the others;
        2. the one that the word usually means, by how often WordNet's authors met each of its senses ("car");
        3. the only synset of which it is the first word.

        Otherwise the word is ambiguous ("crane": a bird, a machine).

        Parameters
        ----------
        text : str
            Case, spaces at the ends, and "_" or "-" for a space do not matter.

        Raises
        ------
        UnknownSynset
            No synset has this wnid or word; the message says what `look_up` says.
        AmbiguousSynset
            The message lists every sense: wnid, words, number of classes, gloss.
        """
        wnid = text.strip().lower()
        if wnid in self or WNID.fullmatch(wnid):
            return self[wnid]
        name = self._look_up.exact(text)
        if (meant := self.meaning(name)) is not None:
            return self._synsets[meant]
        if senses := self.senses(name):
            listed = "; ".join(
                f"{s.wnid} ({', '.join(s.words)}; {classes_in_words(self.count(s.wnid))}): {s.gloss}"
                for s in senses
            )
            raise AmbiguousSynset(
                f"Expected a word with one meaning. Received {shown(text)}, which has {len(senses)} senses. "
                f"Give the wnid of one of them: {listed}"
            )
        raise UnknownSynset(
            f"Expected a wnid or word of one of the {self._what}, such as {self._example.wnid} or "
            f"{self._example.name}. "
            f"Received {shown(text)}. {self._advice(text)}"
        )

    def search(self, query: str, limit: int = 20) -> tuple[Synset, ...]:
        """Return the synsets whose wnid or words match, best first.

        For a noun that no synset has, what `look_up` finds to be near. Otherwise, first what `look_up` finds; then:

        1. the wnid or a word is the query, or the singular of the query;
        2. the query, or its singular, is a part of a word ("hunting dog");
        3. the wnid or a word begins with the query; then: each part of the query begins a part of the word
           ("gold retr"); then: the word contains the query;
        4. only if nothing has matched: the query is a word, or a part of one, with a few typing errors (insertion,
           deletion, substitution, transposition; one from three letters on, two from five, three from nine);
           then: it is the beginning of one, with fewer errors than that.

        Equal matches are in this order: the synset that `find` returns, then more classes first, then smaller
        depth, then smaller wnid.

        Parameters
        ----------
        query : str
            Only the first 100 characters are read. If empty: everyday kinds of things, broadest first.
        limit : int
            The largest number of results.
        """
        name = self._look_up.exact(query)
        if name or not normal(query):
            found = self._words.search(name or query, self.meaning(name))
        else:
            meaning = self.look_up(query)
            first = [
                s.wnid for s in ((meaning.synset, *meaning.others) if meaning.synset else meaning.others)
            ]
            rest = [] if meaning.understood and first else self._words.search(query)  # no "mud puppy"
            found = list(dict.fromkeys((*first, *rest)))
        return tuple(self._synsets[w] for w in found[: max(limit, 0)])

    def meaning(self, word: str) -> str | None:
        """Return the wnid of the one synset that a word means by the rules of `find`, if there is one."""
        senses = self._words.senses(word)
        together = 0
        for wnid in senses:
            together |= self._classes_below[wnid]
        for wnid in senses:
            if self._classes_below[wnid] == together:
                return wnid
        usual = nouns.load().usual(normal(word)) if senses else ""
        if usual in senses:
            return usual
        named = [w for w in senses if normal(self.label(w)) == normal(word)]
        return named[0] if len(named) == 1 else None

    @property
    def _what(self) -> str:
        """The synsets, for a message."""
        return f"{len(self)} {'ImageNet synsets' if self.is_imagenet else 'synsets of this model'}"

    def _advice(self, text: str) -> str:
        """What to do about a text that names no synset."""
        if self.label(self.classes[0]) == UNLABELLED.format(0):
            return "This model has no labels: give them (--labels), or write them into a file beside it."
        names = [self.label(wnid) for wnid in self.classes[:12]]
        known = f"Give one of its classes: {', '.join(names)}{', ...' if len(self.classes) > 12 else ''}."
        return advice(
            text, self.look_up(text), "Search by a part of the word." if self.is_imagenet else known
        )

    @property
    def _example(self) -> Synset:
        return self._synsets[_EXAMPLE if _EXAMPLE in self else self.classes[0]]

    @cached_property
    def _look_up(self) -> LookUp:
        return LookUp(self, self._words, nouns.load(), None if self.is_imagenet else Ontology.load())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {wnid: row for row, wnid in enumerate(self._synsets)}

    @cached_property
    def _words(self) -> WordIndex:
        broadest_first = sorted(self._synsets, key=lambda w: (-self.count(w), self._depth[w], w))
        return WordIndex({wnid: self._synsets[wnid].words for wnid in broadest_first})


@cache
def _load(path: Path) -> Ontology:
    with path.open(encoding="utf-8") as file:
        nodes = json.load(file)["synsets"]
    with NAMES.open(encoding="utf-8", newline="") as file:
        names = {row["wnid"]: row["name"] for row in csv.DictReader(file)}
    return Ontology(
        SynsetRecord(
            n["wnid"],
            tuple(n["words"]),
            n["gloss"],
            tuple(n["children"]),
            tuple(n["parents"]),
            names.get(n["wnid"], ""),
        )
        for n in nodes
    )
