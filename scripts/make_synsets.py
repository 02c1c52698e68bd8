"""Make ``assets/imagenet_synsets.json``: the 1000 ImageNet classes and every synset above them in WordNet.

    python scripts/make_synsets.py --data-noun /usr/share/wordnet/data.noun --wnids wnids.txt
    python scripts/make_synsets.py --compare meta_clsloc.mat

``data.noun`` is that of WordNet 3.0 (on Debian and Ubuntu: ``apt install wordnet-base``; its format:
https://wordnet.princeton.edu/documentation/wndb5wn). ``--wnids`` is a text with one wnid per line, or an existing
JSON. The classes come first, sorted by wnid, which is the order of the networks' outputs; then the synsets above
them, also sorted by wnid. Each synset is one line, so that a diff shows what has changed.

The second command checks an existing JSON against the ILSVRC devkit: both must have the same synsets, words, glosses
and children. Use a file that you trust: a damaged one can crash the MATLAB reader of SciPy.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat

ASSET = Path(__file__).resolve().parents[1] / "assets" / "imagenet_synsets.json"
HYPERNYM_POINTERS = ("@", "@i")  # "is a kind of" and, for proper names, "is an instance of"


class Noun(NamedTuple):
    """The needed parts of one line of ``data.noun``."""

    words: list[str]
    gloss: str
    hypernyms: list[str]


def read_nouns(path: Path) -> dict[str, Noun]:
    """Return all noun synsets by wnid, which is "n" and the synset's eight-digit offset in the file."""
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
    """Return the wnids of the classes from a text with one wnid per line, or from an existing JSON."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return [node["wnid"] for node in json.loads(text)["synsets"] if not node["children"]]
    return text.split()


def hierarchy(nouns: dict[str, Noun], classes: list[str]) -> list[dict[str, object]]:
    """Return the classes and all synsets above them, each with its children and its parents in WordNet's order."""
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


def read_devkit(path: Path) -> list[dict[str, object]]:
    """Return the synsets of the devkit's ``meta_clsloc.mat``, in the order of the file; it does not name parents."""
    cells = loadmat(path, simplify_cells=True)["synsets"]
    wnids = {int(cell["ILSVRC2014_ID"]): str(cell["WNID"]) for cell in cells}
    return [
        {
            "wnid": str(cell["WNID"]),
            "words": str(cell["words"]).split(", "),
            "gloss": str(cell["gloss"]),
            "children": sorted(wnids[int(child)] for child in np.atleast_1d(cell["children"])),
        }
        for cell in cells
    ]


def differences(nodes: list[dict[str, object]], devkit: list[dict[str, object]]) -> list[str]:
    """Return the wnids of the synsets that are not the same in both, parents aside."""
    ours = {node["wnid"]: {name: node[name] for name in node if name != "parents"} for node in nodes}
    theirs = {node["wnid"]: node for node in devkit}
    return sorted(str(wnid) for wnid in ours.keys() | theirs.keys() if ours.get(wnid) != theirs.get(wnid))


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, then write the asset or compare it."""
    parser = argparse.ArgumentParser(description="Make the hierarchy of ImageNet synsets from WordNet 3.0.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data-noun", type=Path, help="data.noun of WordNet 3.0")
    source.add_argument("--compare", type=Path, metavar="MAT", help="the devkit's meta_clsloc.mat")
    parser.add_argument(
        "--wnids", type=Path, default=ASSET, help="the classes: one wnid per line, or an existing JSON"
    )
    parser.add_argument("--out", type=Path, default=ASSET, help="the JSON that is written or compared")
    options = parser.parse_args(arguments)

    if options.compare:
        nodes = json.loads(options.out.read_text(encoding="utf-8"))["synsets"]
        different = differences(nodes, read_devkit(options.compare))
        if different:
            parser.error(
                f"{options.compare}: expected the synsets of {options.out}; {len(different)} differ: {different[:5]}"
            )
        sys.stdout.write(f"{options.compare}: the same {len(nodes)} synsets as {options.out}\n")
        return

    nouns = read_nouns(options.data_noun)
    classes = read_wnids(options.wnids)
    strange = [w for w in classes if not re.fullmatch("n[0-9]{8}", w) or w not in nouns]
    if strange or not classes:
        parser.error(f"{options.wnids}: expected wnids that {options.data_noun} has; received {strange[:5]}")
    nodes = hierarchy(nouns, classes)
    if any(node["children"] for node in nodes if node["wnid"] in classes):
        parser.error(f"{options.wnids}: expected classes that are not kinds of each other")
    options.out.write_text(as_json(nodes), encoding="utf-8")
    sys.stdout.write(f"{options.out}: {len(classes)} classes, {len(nodes)} synsets\n")


if __name__ == "__main__":
    main()
