"""Make ``assets/nouns.txt``: the English nouns that name no synset of the network, and the nearest one it has.

    python scripts/make_nouns.py --wordnet /usr/share/wordnet

The folder is WordNet 3.0's: ``data.noun``, ``index.noun``, ``cntlist.rev`` and ``noun.exc`` (on Debian and Ubuntu:
``apt install wordnet-base``; formats: https://wordnet.princeton.edu/documentation/wndb5wn). The file has one line per
meaning; `fcn_core.synsets.nouns` describes it and reads it.

What is nearest to a noun is computed from its senses in WordNet, the frequent ones first, each by the first of these
that leads to a synset: its hypernyms ("puppy" is a dog); what it is the young of ("kitten": young domestic cat); its
members ("people" are persons); what it is a part of ("hand": of a human being).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from fcn_core.synsets.morphology import singulars
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.search import normal

ASSET = Path(__file__).resolve().parents[1] / "assets" / "nouns.txt"
SOURCE = (
    "# WordNet 3.0, Copyright 2006 by Princeton University; see LICENSE-WordNet.txt. See make_nouns.py.\n"
)
MOST = 3  # synsets near a noun
RARE = 5  # a sense met less than a fifth as often as the most frequent one is left out
SELDOM = 10  # a noun met less often than this has no usual sense

# Too broad, or an odd choice of classes, to be near anything: everything is an entity, and "sheet" is a paper towel.
TOO_BROAD = {
    *(
        "entity",
        "physical entity",
        "abstraction",
        "object",
        "whole",
        "artifact",
        "living thing",
        "organism",
        "matter",
    ),
    *(
        "causal agent",
        "instrumentality",
        "substance",
        "attribute",
        "location",
        "shape",
        "relation",
        "communication",
    ),
    *(
        "part",
        "piece",
        "signal",
        "sign",
        "visual signal",
        "point",
        "natural object",
        "solid",
        "fluid",
        "agent",
    ),
    *(
        "material",
        "commodity",
        "consumer goods",
        "natural depression",
        "natural elevation",
        "device",
        "covering",
    ),
    *(
        "implement",
        "equipment",
        "drug",
        "drug of abuse",
        "peer",
        "contestant",
        "round shape",
        "durables",
        "mechanism",
    ),
    *(
        "area",
        "surface",
        "framework",
        "sheet",
        "support",
        "supporting structure",
        "medium",
        "structure",
        "chordate",
    ),
    *(
        "vertebrate",
        "placental",
        "creation",
        "board",
        "emblem",
        "circle",
        "horizontal surface",
        "case",
        "plate",
        "design",
        "shade",
        "conveyance",
        "mixture",
    ),
    *("protective covering", "piece of cloth", "explorer", "work", "line", "stick", "restraint", "barrier"),
    *(
        "instrument",
        "natural phenomenon",
        "nutriment",
        "foodstuff",
        "fixture",
        "strip",
        "obstruction",
        "structure",
    ),
    *(
        "electrical device",
        "electronic equipment",
        "machine",
        "mechanical device",
        "sphere",
        "rod",
        "bar",
        "shaft",
    ),
    *(
        "establishment",
        "place of business",
        "mercantile establishment",
        "supply",
        "produce",
        "body",
        "plant organ",
    ),
    *(
        "plant part",
        "reproductive structure",
        "electro-acoustic transducer",
        "transducer",
        "control",
        "source",
    ),
    *(
        "adornment",
        "decoration",
        "press",
        "print media",
        "diapsid",
        "outgrowth",
        "ornament",
        "toiletry",
        "facility",
    ),
}
PERSON, HUMAN = "n00007846", {"n02472293", "n05217688", "n05216365"}  # homo, human body, body
# Numbers of WordNet's lexicographer files: what a noun is about, roughly.
ANIMAL, ARTIFACT, BODY, FOOD, PERSONS, PLANT = 5, 6, 8, 13, 18, 20


class Noun(NamedTuple):
    """The needed parts of one line of ``data.noun``."""

    words: list[str]
    file: int
    pointers: list[tuple[str, str]]
    gloss: str


def read_data(path: Path) -> dict[str, Noun]:
    """Return all noun synsets by wnid."""
    nouns = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split(" ")
        end = 4 + 2 * int(fields[3], 16)
        pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
        nouns["n" + fields[0]] = Noun(
            fields[4:end:2],
            int(fields[1]),
            [(symbol, "n" + offset) for symbol, offset in zip(pointers[0::4], pointers[1::4], strict=True)],
            gloss.strip(),
        )
    return nouns


def read_senses(folder: Path) -> tuple[dict[str, list[str]], dict[str, dict[int, int]]]:
    """Return the wnids of each noun, the most frequent first, and how often each was counted in texts, by place."""
    senses = {}
    for line in (folder / "index.noun").read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):
            fields = line.split()
            senses[fields[0]] = ["n" + offset for offset in fields[-int(fields[2]) :]]
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for line in (folder / "cntlist.rev").read_text(encoding="latin-1").splitlines():
        key, place, count = line.split()
        word, _, rest = key.partition("%")
        if rest.startswith("1:"):  # a noun
            counts[word][int(place) - 1] = int(count)
    return senses, counts


class Nearness:
    """Finds the synset nearest to a sense.

    Parameters
    ----------
    nouns : dict of str to Noun
    senses : dict of str to list of str
    ontology : Ontology
    """

    def __init__(self, nouns: dict[str, Noun], senses: dict[str, list[str]], ontology: Ontology) -> None:
        self.nouns, self.senses, self.ontology = nouns, senses, ontology
        self.broad = {s.wnid for s in ontology if s.words[0] in TOO_BROAD}

    def of(self, wnid: str) -> str | None:
        """Return the wnid of the nearest synset, if any is near."""
        kind = PERSON if wnid in HUMAN else self.above(wnid)
        if (
            kind is None and self.nouns[wnid].file == PERSONS
        ):  # some are an "operator", which is a causal agent
            kind = PERSON
        if (
            kind is None or self.ontology.count(kind) > 100
        ):  # such as "animal": what it is the young of says more
            kind = self.adult(wnid) or kind
        return kind or self.namesake(wnid) or self.member(wnid) or self.whole(wnid)

    def above(self, wnid: str) -> str | None:
        """Return the nearest hypernym that is a synset and not too broad; the sense itself counts."""
        level, seen = [wnid], set[str]()
        while level:
            for each in level:
                if each in self.ontology and each not in self.broad:
                    return each
            seen.update(level)
            level = [above for each in level for above in self.pointed(each, "@", "@i") if above not in seen]
        return None

    def adult(self, wnid: str) -> str | None:
        """Return what an animal is the young of, from the words of its definition."""
        noun = self.nouns[wnid]
        found = re.search(
            r"\byoung (?:of )?(?:an? |the |certain |domestic )*([a-z]+)", noun.gloss.split(";")[0]
        )
        if noun.file != ANIMAL or found is None:
            return None
        animals = (sense for sense in self.senses.get(found[1], ()) if self.nouns[sense].file == ANIMAL)
        return next(filter(None, map(self.above, animals)), None)

    def namesake(self, wnid: str) -> str | None:
        """Return the synset that has a synonym's name: a "TV", or television receiver, is called a television."""
        noun = self.nouns[wnid]
        senses = (sense for word in noun.words for sense in self.senses.get(word.lower(), ()))
        return next(
            (
                s
                for s in senses
                if s in self.ontology and s not in self.broad and self.nouns[s].file == noun.file
            ),
            None,
        )

    def member(self, wnid: str) -> str | None:
        """Return the nearest synset of what a group consists of."""
        return next(filter(None, map(self.above, self.pointed(wnid, "%m"))), None)

    def whole(self, wnid: str) -> str | None:
        """Return the nearest synset of what a part of a body is a part of."""
        if self.nouns[wnid].file == ANIMAL:  # a wing, a tail
            return next(filter(None, map(self.above, self.pointed(wnid, "#p"))), None)
        level, seen = [wnid] if self.nouns[wnid].file == BODY else [], set[str]()
        while level:
            if not HUMAN.isdisjoint(level):
                return PERSON
            seen.update(level)
            level = [up for each in level for up in self.pointed(each, "#p", "@") if up not in seen]
        return None

    def pointed(self, wnid: str, *symbols: str) -> list[str]:
        """Return what a sense points to."""
        return [target for symbol, target in self.nouns[wnid].pointers if symbol in symbols]


def lines(folder: Path, ontology: Ontology) -> list[str]:
    """Return the lines of the asset."""
    nouns = read_data(folder / "data.noun")
    senses, counts = read_senses(folder)
    nearness = Nearness(nouns, senses, ontology)
    known = {normal(word) for synset in ontology for word in synset.words}
    keys: dict[str, str] = {}
    met: dict[str, int] = {}  # how often common nouns were counted
    for word, wnids in senses.items():
        often = [counts[word].get(place, 0) for place in range(len(wnids))]
        common = [wnid for wnid, count in zip(wnids, often, strict=True) if count * RARE >= max(often)]
        common, others = (
            [
                w for w in some if not any(symbol == "@i" for symbol, _ in nouns[w].pointers)
            ]  # names of one person, place
            for some in (common, [w for w in wnids if w not in common])
        )
        name = normal(word)
        if len(name) < 2 or not re.search("[a-z]", name):
            continue
        met[name] = max(often)
        if name in known:
            key = _usual(name, common, max(often), nearness)
            if key:
                keys[name] = key
            continue
        near = _nearest(common, nearness)
        if not near and max(often) < SELDOM:
            near = _nearest([w for w in others if nouns[w].file in (ANIMAL, ARTIFACT, FOOD)], nearness)
        ordinary = any(
            word in nouns[wnid].words for wnid in common + others
        )  # not only with a capital letter
        if near or (ordinary and "_" not in word):
            keys[name] = " ".join(near)
    for name in [
        n for n in keys if n not in known
    ]:  # "eggs" is a noun of its own, and a rare one: the plural is meant
        if any(
            met[name] <= met[s]
            for s in singulars(name)
            if len(s) > 2 and s in keys.keys() | known and s in met
        ):
            del keys[name]
    # What the last word of a name says already need not be said again: a cherry tree is a tree.
    keys = {n: k for n, k in keys.items() if n in known or " " not in n or keys.get(n.rsplit(" ", 1)[1]) != k}
    for line in (folder / "noun.exc").read_text(encoding="latin-1").splitlines():
        plural, *bases = (normal(each) for each in line.split())
        for singular in bases:
            if singular in keys.keys() | known and plural not in known | {singular} and not keys.get(plural):
                keys[plural] = ">" + singular
    groups: dict[str, list[str]] = defaultdict(list)
    for name, key in sorted(keys.items()):
        groups[key].append(name)
    common = [
        n
        for n, key in keys.items()
        if key[:1] in "n" and n not in known and " " not in n and met[n] >= SELDOM
    ]
    common.sort(key=lambda n: (-met[n], n))
    return [f"{key},{','.join(group)},\n" for key, group in [*sorted(groups.items()), ("*", common)]]


def _nearest(wnids: list[str], nearness: Nearness) -> list[str]:
    """Return the synsets near some senses.

    Animals come first. A person is near only if no sense before is a thing ("cow" is an animal), a plant only if no
    other sense leads anywhere ("carrot" is a vegetable).
    """
    ontology, nouns = nearness.ontology, nearness.nouns
    plants = [wnid for wnid in wnids if nouns[wnid].file == PLANT]
    others = [wnid for wnid in wnids if wnid not in plants]
    if plants and others:
        return _nearest(others, nearness) or _nearest(plants, nearness)
    wnids = sorted(wnids, key=lambda wnid: nouns[wnid].file != ANIMAL)
    found: list[str] = []
    things = False
    for wnid in wnids:
        near, is_person = nearness.of(wnid), nearness.nouns[wnid].file == PERSONS
        if near is None or (things and is_person):
            continue
        things = things or not is_person
        classes = set(ontology.class_ids(near))
        if all(classes.isdisjoint(ontology.class_ids(each)) for each in found):
            found.append(near)
    return found[:MOST]


def _usual(name: str, common: list[str], counted: int, nearness: Nearness) -> str:
    """Return "=" and the usual one of several synsets of a word, or "+" and what its usual, unknown sense is near to.

    It is empty for a word about which there is nothing to say.
    """
    ontology, nouns = nearness.ontology, nearness.nouns
    synsets = [synset.wnid for synset in ontology.senses(name)]
    usual = [wnid for wnid in common if wnid in ontology]
    if len(synsets) > 1 and len(usual) == 1 and counted >= SELDOM:
        return "=" + usual[0]
    if not (common and counted) or common[0] in ontology or nouns[common[0]].file not in (ANIMAL, BODY):
        return ""
    if any(nouns[wnid].file == nouns[common[0]].file for wnid in synsets):
        return ""
    near = _nearest(common[:1], nearness)
    return "+" + near[0] if near else ""


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, then write the asset."""
    parser = argparse.ArgumentParser(
        description="Make the table of nouns that name no synset of the network."
    )
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet 3.0's folder")
    parser.add_argument("--out", type=Path, default=ASSET, help="the file that is written")
    options = parser.parse_args(arguments)
    made = lines(options.wordnet, Ontology.load())
    options.out.write_text(SOURCE + "".join(made), encoding="utf-8")
    sys.stdout.write(f"{options.out}: {len(made)} meanings, {options.out.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
