"""The hierarchy of synsets above ImageNet's 1000 classes.

The hypernym closure, in WordNet 3.0, of the classes' synsets: 1860 nodes, the very ones of the ILSVRC devkit.
It is a graph, not a tree: 75 synsets have several hypernyms. Whatever counts or sums classes takes each once.

Fellbaum, "WordNet: An Electronic Lexical Database", 1998; Russakovsky et al., "ImageNet Large Scale Visual
Recognition Challenge", IJCV 2015. Synsets are named by their wnid, "n" and eight digits.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.errors import AmbiguousSynset, HierarchyInvalid, UnknownSynset
from fcn_core.synsets.devkit import Node, read_devkit
from fcn_core.system.assets import asset

ASSET = asset("imagenet_synsets.json")
CLASSES = 1000
WNID = re.compile("n[0-9]{8}")
MAX_QUERY = 100  # characters of what is looked for
MAX_NAIVE = 100_000

# What an empty search shows: everyday kinds of things of which ImageNet has several classes.
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

# Plural endings and what they stand for: the rules of WordNet's Morphy for nouns, and -ves.
PLURALS = (
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


@dataclass(frozen=True)
class Synset:
    """A set of synonyms: one meaning.

    Attributes
    ----------
    wnid : str
        "n" and WordNet 3.0's eight-digit offset.
    words : tuple of str
        The synonyms, in WordNet's order; the first names the synset.
    gloss : str
        WordNet's definition, with examples where it has some.
    parents : tuple of str
        Wnids of the hypernyms, the main one first, as in WordNet. A devkit's file does not tell their order:
        there it is the one farthest from the root by the longest path, then with most classes, then by wnid.
    children : tuple of str
        Wnids of the hyponyms among the synsets here, sorted.
    class_id : int or None
        Index among the network's 1000 outputs when the synset is a class itself.
    """

    wnid: str
    words: tuple[str, ...]
    gloss: str
    parents: tuple[str, ...]
    children: tuple[str, ...]
    class_id: int | None


class Ontology:
    """Synsets that form a hierarchy: look-up, search, and the classes below each.

    Iterating yields every `Synset`, the classes first, in the order of the network's outputs, then the others
    by wnid; ``ontology[wnid]`` is the synset of a wnid and ``wnid in ontology`` tells whether there is one.
    Methods that walk the graph take and return wnids. A wnid that is not there raises `UnknownSynset`.

    Parameters
    ----------
    nodes : iterable of Node
        One root; those without children are the classes, and the order of their wnids is that of the
        network's outputs.

    Raises
    ------
    HierarchyInvalid
        When the nodes do not form a hierarchy.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        by_wnid = _checked(nodes)
        order = _children_first(by_wnid)
        wnids = sorted(by_wnid, key=lambda w: (bool(by_wnid[w].children), w))
        class_ids = {w: i for i, w in enumerate(wnids) if not by_wnid[w].children}

        # The classes below a synset are the bits of an integer: a union is |, a count bit_count().
        self._classes_below: dict[str, int] = {}
        hypernyms: dict[str, list[str]] = {w: [] for w in by_wnid}
        for wnid in order:
            children = by_wnid[wnid].children
            below = 0 if children else 1 << class_ids[wnid]
            for child in children:
                below |= self._classes_below[child]
                hypernyms[child].append(wnid)
            self._classes_below[wnid] = below
        roots = [w for w in wnids if not hypernyms[w]]
        if len(roots) != 1:
            raise HierarchyInvalid(
                f"a hierarchy of synsets needs one root; received {len(roots)}: {roots[:5]}"
            )
        self.root = roots[0]

        self._depth: dict[str, int] = {}
        longest: dict[str, int] = {}
        for wnid in reversed(order):
            above = hypernyms[wnid]
            self._depth[wnid] = min((self._depth[p] for p in above), default=-1) + 1
            longest[wnid] = max((longest[p] for p in above), default=-1) + 1
            above.sort(key=lambda p: (-longest[p], -self._classes_below[p].bit_count(), p))
            if by_wnid[wnid].parents:
                hypernyms[wnid] = _in_order(by_wnid[wnid], above)

        # Synsets with the same classes give the same map: the narrowest stands for all.
        self._stand_in: dict[int, str] = {}
        for wnid in wnids:
            below = self._classes_below[wnid]
            if all(self._classes_below[child] != below for child in by_wnid[wnid].children):
                self._stand_in.setdefault(below, wnid)

        self._synsets = {
            w: Synset(
                w,
                by_wnid[w].words,
                by_wnid[w].gloss,
                tuple(hypernyms[w]),
                by_wnid[w].children,
                class_ids.get(w),
            )
            for w in wnids
        }
        self.classes: tuple[str, ...] = tuple(class_ids)

    @classmethod
    def load(cls) -> Ontology:
        """Return the hierarchy that comes with the program (read once, on first use)."""
        return _load(ASSET)

    @classmethod
    def from_devkit_mat(cls, path: str | Path) -> Ontology:
        """Read the hierarchy from the ILSVRC devkit's ``meta_clsloc.mat``.

        Parameters
        ----------
        path : str or Path
            The file; 4 MB at most.

        Raises
        ------
        HierarchyInvalid
            When the file cannot be read, is damaged, or does not hold a hierarchy above 1000 classes.
        """
        ontology = cls(read_devkit(path))
        if len(ontology.classes) != CLASSES:
            raise HierarchyInvalid(
                f"{str(path)!r} has {len(ontology.classes)} classes; the networks know {CLASSES}: "
                "give the devkit's meta_clsloc.mat"
            )
        return ontology

    def __getitem__(self, wnid: str) -> Synset:
        try:
            return self._synsets[wnid]
        except KeyError:
            raise UnknownSynset(
                f"{_shown(wnid)} is not the wnid of one of the {len(self)} synsets of ImageNet; "
                "expected one such as n02084071: search by word for others"
            ) from None

    def __contains__(self, wnid: object) -> bool:
        return wnid in self._synsets

    def __iter__(self) -> Iterator[Synset]:
        return iter(self._synsets.values())

    def __len__(self) -> int:
        return len(self._synsets)

    def index(self, wnid: str) -> int:
        """Return the synset's place in the order of iteration, which is its row in `membership`."""
        return self._rows[self[wnid].wnid]

    def label(self, wnid: str) -> str:
        """Return the synset's first word."""
        return self[wnid].words[0]

    # The classes below

    def class_ids(self, wnid: str) -> tuple[int, ...]:
        """Return the classes that are kinds of the synset: outputs of the network, ascending, each once."""
        below = self._classes_below[self[wnid].wnid]
        return tuple(i for i in range(below.bit_length()) if below >> i & 1)

    def count(self, wnid: str) -> int:
        """Return the number of classes that are kinds of the synset."""
        return self._classes_below[self[wnid].wnid].bit_count()

    def naive_class_ids(self, wnid: str) -> tuple[int, ...]:
        """Return the classes as a depth-first search lists them: twice where two paths lead to one.

        This is what the notebook does, and why its "probabilities" exceed 1. It is here to show that, not to
        be used.

        Raises
        ------
        HierarchyInvalid
            Beyond 100 000 entries, which only a contrived hierarchy reaches.
        """
        found: list[int] = []
        waiting = [self[wnid].wnid]
        while waiting:
            synset = self._synsets[waiting.pop()]
            if synset.class_id is not None:
                found.append(synset.class_id)
            if len(found) > MAX_NAIVE:
                raise HierarchyInvalid(f"depth-first search from {wnid} finds more than {MAX_NAIVE} entries")
            waiting += reversed(synset.children)
        return tuple(found)

    def membership(self) -> Any:
        """Return which class is a kind of which synset, to sum over all synsets at once.

        Returns
        -------
        scipy.sparse.csr_array, float32, (synsets, classes)
            1 where the class is a kind of the synset; rows in the order of iteration. Multiplied with class
            probabilities (classes, n) it gives the synsets' (synsets, n). Made once and shared: read-only.
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

    # Walking the graph

    def depth(self, wnid: str) -> int:
        """Return the number of steps from the root by the shortest path (the root's is 0)."""
        return self._depth[self[wnid].wnid]

    def ancestors(self, wnid: str) -> tuple[str, ...]:
        """Return every synset above, each once, nearest first by the shortest path up, main parents first."""
        found: dict[str, None] = {}
        level = self[wnid].parents
        while level:
            found |= dict.fromkeys(level)
            above = dict.fromkeys(p for w in level for p in self._synsets[w].parents)
            level = tuple(p for p in above if p not in found)
        return tuple(found)

    def path_to_root(self, wnid: str) -> tuple[str, ...]:
        """Return the synset, its main parent, that one's main parent ... and the root.

        The main parent is the first (see `Synset`), so that a dog is a canine before it is a domestic animal:
        this path may be longer than `depth`.
        """
        path = [self[wnid].wnid]
        while parents := self._synsets[path[-1]].parents:
            path.append(parents[0])
        return tuple(path)

    # The hierarchy as a picker shows it

    def collapse(self, wnid: str) -> str:
        """Return the one synset that stands for all those with the very same classes: the narrowest.

        Such synsets have the same map, so it is enough to show one: the class itself for whatever is above
        that class only, "vertebrate" for "chordate". Were several the narrowest, the smaller wnid.
        """
        return self._stand_in[self._classes_below[self[wnid].wnid]]

    def visible_children(self, wnid: str) -> tuple[str, ...]:
        """Return the collapsed synset's children as a picker shows them, those with most classes first.

        They are collapsed too, and one that lies below another of them is left out: there is a way to it. At
        equal numbers of classes they are sorted by label.
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
        """Return the synsets that have the word, broadest first; case, "_" and "-" do not matter."""
        return tuple(self._synsets[w] for w in self._by_word.get(_normal(word), ()))

    def find(self, text: str) -> Synset:
        """Return the synset of a wnid or a word.

        A word means the one synset that has it. Where several do, it means, if there is such a one,

        1. the sense whose classes contain those of all others;
        2. the only sense whose first word it is ("cat" is first in "cat, true cat", but second in "big cat,
           cat").

        Otherwise it is ambiguous ("crane": a bird, a machine).

        Parameters
        ----------
        text : str
            Case, "_" for a space, "-" for a space, and spaces around do not matter.

        Raises
        ------
        UnknownSynset
            With the nearest by `search`.
        AmbiguousSynset
            With every sense: wnid, words, number of classes, gloss.
        """
        word = _normal(text)
        if WNID.fullmatch(word):
            return self[word]
        wnid = self._meaning(word)
        if wnid is not None:
            return self._synsets[wnid]
        if word in self._by_word:
            senses = "; ".join(self._sense(w) for w in self._by_word[word])
            raise AmbiguousSynset(
                f"{_shown(text)} has {len(self._by_word[word])} senses; "
                f"give the wnid of the one meant: {senses}"
            )
        nearest = ", ".join(f"{s.words[0]} ({s.wnid})" for s in self.search(text, limit=3))
        raise UnknownSynset(
            f"{_shown(text)} is neither wnid nor word of one of the {len(self)} synsets of ImageNet; "
            + (f"the nearest: {nearest}" if word and nearest else "expected one such as n02084071 or dog")
        )

    def search(self, query: str, limit: int = 20) -> tuple[Synset, ...]:
        """Return the synsets whose wnid or words match, best first.

        How well a synset matches, in this order:

        1. its wnid or one of its words is the query, or the query's singular;
        2. the query, or its singular, is a part of one of its words ("hunting dog");
        3. its wnid or one of its words begins with the query; then: every part of the query begins a part of
           the word ("gold retr"); then: the word contains the query;
        4. only where nothing matches so far: the query is a word, or a part of one, with a few typing errors
           (insertion, deletion, substitution, transposition; one from three letters on, two from five, three
           from nine); then: the beginning of one with fewer errors than that.

        At equal match, what `find` takes the query for comes first, then the broader before the narrower:
        more classes, smaller depth, smaller wnid.

        Parameters
        ----------
        query : str
            Of more than 100 characters the first 100. Empty: everyday kinds of things, broadest first.
        limit : int
            The number of synsets at most.
        """
        word = _normal(query)
        if not word:
            known = [w for w in STARTING_POINTS if w in self._synsets] or list(self._synsets)
            return tuple(self._synsets[w] for w in sorted(known, key=self._breadth)[: max(limit, 0)])
        closeness = self._matches(word) or self._near_misses(word)
        meaning = self._meaning(word)
        found = sorted(closeness, key=lambda w: (closeness[w], w != meaning, self._breadth(w)))
        return tuple(self._synsets[w] for w in found[: max(limit, 0)])

    def _breadth(self, wnid: str) -> tuple[int, int, str]:
        return -self._classes_below[wnid].bit_count(), self._depth[wnid], wnid

    def _sense(self, wnid: str) -> str:
        synset, count = self._synsets[wnid], self.count(wnid)
        classes = "1 class" if count == 1 else f"{count} classes"
        return f"{wnid} ({', '.join(synset.words)}; {classes}): {synset.gloss}"

    def _meaning(self, word: str) -> str | None:
        """Return the wnid that a normalised word means by the rule of `find`, if there is one."""
        senses = self._by_word.get(word, ())
        together = 0
        for wnid in senses:
            together |= self._classes_below[wnid]
        for wnid in senses:
            if self._classes_below[wnid] == together:
                return wnid
        named = [w for w in senses if _normal(self._synsets[w].words[0]) == word]
        return named[0] if len(named) == 1 else None

    def _matches(self, query: str) -> dict[str, tuple[int, ...]]:
        """Return how well each synset matches without typing errors; smaller is better."""
        found: dict[str, tuple[int, ...]] = {}
        if re.fullmatch("n[0-9]{1,8}", query):
            for wnid in self._synsets:
                if wnid.startswith(query):
                    found[wnid] = (_SAME if wnid == query else _BEGINNING,)
        singulars = _singulars(query)
        for word, wnids in self._by_word.items():
            match = _match(query, singulars, word)
            if match is not None:
                for wnid in wnids:
                    found[wnid] = min(found.get(wnid, (match,)), (match,))
        return found

    def _near_misses(self, query: str) -> dict[str, tuple[int, ...]]:
        """Return the synsets within a few typing errors of the query, and how far they are."""
        allowed = 0 if len(query) < 3 else 1 if len(query) < 5 else 2 if len(query) < 9 else 3
        if not allowed:
            return {}
        spellings, letters, lengths = self._vocabulary
        candidates = np.flatnonzero(lengths >= len(query) - allowed)
        width = len(query) + allowed
        errors = _typing_errors(query, letters[candidates, :width])
        lengths = lengths[candidates]
        inside = np.arange(errors.shape[1]) <= lengths[:, None]
        beginning = np.where(inside, errors, np.iinfo(errors.dtype).max).min(axis=1)
        whole = np.where(lengths <= width, errors[np.arange(len(lengths)), np.minimum(lengths, width)], width)
        found: dict[str, tuple[int, ...]] = {}
        for place in np.flatnonzero((whole <= allowed) | (beginning < allowed)):
            near = whole[place] <= allowed
            match = (_NEAR, int(whole[place])) if near else (_NEAR_BEGINNING, int(beginning[place]))
            for wnid in spellings[candidates[place]]:
                found[wnid] = min(found.get(wnid, match), match)
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {wnid: row for row, wnid in enumerate(self._synsets)}

    @cached_property
    def _by_word(self) -> dict[str, list[str]]:
        """The synsets that have a normalised word, broadest first."""
        found: dict[str, list[str]] = {}
        for wnid in sorted(self._synsets, key=self._breadth):
            for word in dict.fromkeys(map(_normal, self._synsets[wnid].words)):
                found.setdefault(word, []).append(wnid)
        return found

    @cached_property
    def _vocabulary(self) -> tuple[list[set[str]], NDArray[np.uint32], NDArray[np.intp]]:
        """Every word of a synset, and every single word in it: whose it is, its letters, its length."""
        owners: dict[str, set[str]] = {}
        for word, wnids in self._by_word.items():
            for spelling in {word, *word.split(" ")}:
                owners.setdefault(spelling, set()).update(wnids)
        spellings = np.array(list(owners))
        letters = spellings.view(np.uint32).reshape(len(spellings), -1)
        return list(owners.values()), letters, np.strings.str_len(spellings)


@cache
def _load(path: Path) -> Ontology:
    with path.open(encoding="utf-8") as file:
        nodes = json.load(file)["synsets"]
    return Ontology(
        Node(n["wnid"], tuple(n["words"]), n["gloss"], tuple(n["children"]), tuple(n["parents"]))
        for n in nodes
    )


def _checked(nodes: Iterable[Node]) -> dict[str, Node]:
    """Return the nodes by wnid, children sorted, each fit to be one."""
    by_wnid: dict[str, Node] = {}
    for node in nodes:
        if not WNID.fullmatch(node.wnid):
            raise HierarchyInvalid(f'a synset is called {_shown(node.wnid)}; expected "n" and eight digits')
        if node.wnid in by_wnid:
            raise HierarchyInvalid(f"the synset {node.wnid} is there twice; expected each once")
        if not node.words or not all(_normal(word) and len(word) <= MAX_QUERY for word in node.words):
            raise HierarchyInvalid(
                f"the synset {node.wnid} has no word, or an empty or endless one; "
                f"expected words of 1 to {MAX_QUERY} characters"
            )
        by_wnid[node.wnid] = node._replace(children=tuple(sorted(set(node.children))))
    for node in by_wnid.values():
        for child in node.children:
            if child not in by_wnid:
                raise HierarchyInvalid(
                    f"{node.wnid} has a child {_shown(child)} that is not among the synsets"
                )
    return by_wnid


def _in_order(node: Node, hypernyms: list[str]) -> list[str]:
    """Return the hypernyms in the order the node gives them."""
    if sorted(node.parents) != sorted(hypernyms):
        raise HierarchyInvalid(
            f"the synset {node.wnid} has the parents {node.parents[:5]}, but is a child of {hypernyms[:5]}"
        )
    return list(node.parents)


def _children_first(by_wnid: dict[str, Node]) -> list[str]:
    """Return the wnids in an order in which children precede their parents; the same on every run."""
    sorter = TopologicalSorter({wnid: by_wnid[wnid].children for wnid in sorted(by_wnid)})
    try:
        return list(sorter.static_order())
    except CycleError as fault:
        raise HierarchyInvalid(f"synsets are kinds of themselves: {' > '.join(fault.args[1][:5])}") from None


# How well a word matches a query, best first.
_SAME, _SINGULAR, _WORDS, _BEGINNING, _BEGINNINGS, _CONTAINED, _NEAR, _NEAR_BEGINNING = range(8)


def _match(query: str, singulars: frozenset[str], word: str) -> int | None:
    """Return how well a word matches, without typing errors; all are normalised."""
    if word == query:
        return _SAME
    if word in singulars:
        return _SINGULAR
    spaced = f" {word} "
    if f" {query} " in spaced or any(f" {singular} " in spaced for singular in singulars):
        return _WORDS
    if word.startswith(query):
        return _BEGINNING
    if all(f" {part}" in spaced for part in query.split(" ")):
        return _BEGINNINGS
    if len(query) > 2 and query in word:
        return _CONTAINED
    return None


def _normal(text: str) -> str:
    """Return the text as words are compared: no case, no accents, one space for "_", "-" and white space."""
    text = unicodedata.normalize("NFKD", text[:MAX_QUERY].casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub(r"[_\-\s]+", " ", text).strip()


def _singulars(word: str) -> frozenset[str]:
    """Return what the word may be the plural of."""
    found = (word.removesuffix(plural) + ending for plural, ending in PLURALS if word.endswith(plural))
    return frozenset(singular for singular in found if len(singular) > 1)


def _shown(text: str) -> str:
    """Return what was received, on one line and not too long, for a message."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _typing_errors(query: str, letters: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Count the typing errors between the query and every beginning of every word.

    Restricted Damerau-Levenshtein distance (Damerau 1964), row by row of its table, all words at once.

    Parameters
    ----------
    query : str, of length m
    letters : ndarray (words, n)
        Code points, zero behind the end of a word.

    Returns
    -------
    ndarray (words, n + 1), int16
        In column j the distance between the query and the first j letters.
    """
    columns = np.arange(letters.shape[1] + 1, dtype=np.int16)
    before = above = np.broadcast_to(columns, (len(letters), len(columns)))
    codes = [ord(letter) for letter in query]
    for i, code in enumerate(codes, start=1):
        row = np.empty(above.shape, np.int16)
        row[:, 0] = i
        np.minimum(above[:, 1:] + 1, above[:, :-1] + (letters != code), out=row[:, 1:])
        if i > 1:
            swapped = (letters[:, 1:] == codes[i - 2]) & (letters[:, :-1] == code)
            row[:, 2:] = np.where(swapped, np.minimum(row[:, 2:], before[:, :-2] + 1), row[:, 2:])
        # an insertion costs one a column: a running minimum of what is left when that is taken off
        row = np.minimum.accumulate(row - columns, axis=1) + columns
        before, above = above, row
    return above
