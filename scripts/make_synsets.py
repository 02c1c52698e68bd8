"""Make ``assets/imagenet_synsets.json``: the 1000 ImageNet classes and everything above them in WordNet.

    python scripts/make_synsets.py --data-noun /usr/share/wordnet/data.noun --wnids wnids.txt

``data.noun`` is that of WordNet 3.0 (on Debian and Ubuntu: ``apt install wordnet-base``; its format:
https://wordnet.princeton.edu/documentation/wndb5wn). ``--wnids`` is a text with one wnid a line, or the JSON
made before. The classes come first, in the order of their wnids, which is the order of the networks' outputs;
then the synsets above them, by wnid too. One synset a line, so that a change can be read in a diff.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

ASSET = Path(__file__).resolve().parents[1] / "assets" / "imagenet_synsets.json"
HYPERNYM_POINTERS = ("@", "@i")  # "is a kind of" and, for proper names, "is an instance of"


class Noun(NamedTuple):
    """One line of ``data.noun``, as far as it is needed."""

    words: list[str]
    gloss: str
    hypernyms: list[str]


def read_nouns(path: Path) -> dict[str, Noun]:
    """Return every noun synset by its wnid, which is "n" and the synset's eight-digit offset in the file."""
    nouns = {}
    with path.open(encoding="latin-1") as lines:
        for line in lines:
            if line.startswith("  "):  # the licence
                continue
            data, _, gloss = line.partition(" | ")
            fields = data.split(" ")
            word_count = int(fields[3], 16)
            words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * word_count : 2]]
            start = 5 + 2 * word_count
            pointers = fields[start : start + 4 * int(fields[start - 1])]
            symbols, offsets = pointers[0::4], pointers[1::4]
            nouns["n" + fields[0]] = Noun(
                words,
                gloss.strip(),
                ["n" + o for s, o in zip(symbols, offsets, strict=True) if s in HYPERNYM_POINTERS],
            )
    return nouns


def read_wnids(path: Path) -> list[str]:
    """Return the classes' wnids from a text, one a line, or from the JSON made before."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return [node["wnid"] for node in json.loads(text)["synsets"] if not node["children"]]
    return text.split()


def hierarchy(nouns: dict[str, Noun], classes: list[str]) -> list[dict[str, object]]:
    """Return the classes and all above them, each with its parents in WordNet's order and its children."""
    children: dict[str, set[str]] = {}
    waiting = list(classes)
    while waiting:
        wnid = waiting.pop()
        if wnid in children:
            continue
        children[wnid] = set()
        waiting += nouns[wnid].hypernyms
    for wnid in children:
        for hypernym in nouns[wnid].hypernyms:
            children[hypernym].add(wnid)
    return [
        {
            "wnid": w,
            "words": nouns[w].words,
            "gloss": nouns[w].gloss,
            "parents": nouns[w].hypernyms,
            "children": sorted(children[w]),
        }
        for w in sorted(children, key=lambda w: (bool(children[w]), w))
    ]


def as_json(nodes: list[dict[str, object]]) -> str:
    """Return the asset's text."""
    source = "WordNet 3.0, Copyright 2006 by Princeton University; see LICENSE-WordNet.txt"
    lines = ",\n".join(json.dumps(node, separators=(",", ":")) for node in nodes)
    return f'{{"source":{json.dumps(source)},\n"synsets":[\n{lines}\n]}}\n'


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and write the asset."""
    parser = argparse.ArgumentParser(description="Make the hierarchy of ImageNet synsets from WordNet 3.0.")
    parser.add_argument("--data-noun", type=Path, required=True, help="data.noun of WordNet 3.0")
    parser.add_argument(
        "--wnids", type=Path, default=ASSET, help="the classes: one wnid a line, or the JSON made before"
    )
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args(arguments)

    nouns = read_nouns(options.data_noun)
    classes = read_wnids(options.wnids)
    strange = [w for w in classes if not re.fullmatch("n[0-9]{8}", w) or w not in nouns]
    if strange or not classes:
        parser.error(f"{options.wnids}: expected wnids that {options.data_noun} has; received {strange[:5]}")
    nodes = hierarchy(nouns, classes)
    if any(node["children"] for node in nodes if node["wnid"] in classes):
        parser.error(f"{options.wnids}: a class may not be a kind of another class")
    options.out.write_text(as_json(nodes), encoding="utf-8")
    sys.stdout.write(f"{options.out}: {len(classes)} classes, {len(nodes)} synsets\n")


if __name__ == "__main__":
    main()
