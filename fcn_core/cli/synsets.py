"""``fcn synsets`` searches synsets, ``fcn synset`` shows one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fcn_core import settings
from fcn_core.cli.arguments import Commands, add_model_name
from fcn_core.cli.terminal import complain

if TYPE_CHECKING:
    from fcn_core.synsets.ontology import Ontology, Synset


def add_commands(commands: Commands) -> None:
    """Add both commands."""
    search = commands.add_parser("synsets", help="search synsets by word or wnid, best match first")
    search.add_argument("query", metavar="QUERY", help="a word, a part of one, or a wnid")
    add_model_name(search)
    search.add_argument("--json", action="store_true", help="print the matches as JSON")
    search.set_defaults(run=_search)

    show = commands.add_parser("synset", help="show one synset: words, gloss, parents, children, classes")
    show.add_argument("name", metavar="WNID_OR_WORD", help="such as n02084071 or dog")
    add_model_name(show)
    show.add_argument("--json", action="store_true", help="print the synset as JSON")
    show.set_defaults(run=_show)


def find(text: str, ontology: Ontology) -> Synset:
    """Return the synset of a wnid or a word; say on standard error if it is not what a user expects of the word."""
    found = ontology.find(text)
    if line := ontology.look_up(text).line:
        complain(line)
    return found


def _ontology(options: argparse.Namespace) -> Ontology:
    """Return the hierarchy above the classes of a model; its network is not read."""
    from fcn_core.errors import LabelsInvalid
    from fcn_core.synsets.ontology import Ontology

    if options.model is None and options.labels is None and not settings.MODEL.given():
        return Ontology.load()
    from fcn_core.networks.zoo import model_spec

    spec = model_spec(options.model, options.labels)
    if spec.given is None:
        return Ontology.load()
    if spec.given.ontology is None:
        raise LabelsInvalid(
            f"Expected the labels of {spec.given.path.name}. Received none. Give them with --labels FILE, or write "
            f"one class a line into {spec.given.path.stem}.txt beside it."
        )
    return spec.given.ontology


def _search(options: argparse.Namespace) -> int:
    ontology = _ontology(options)
    found = ontology.search(options.query)
    meaning = ontology.look_up(options.query)
    if meaning.understood and meaning.line and found:
        complain(meaning.line)
    if options.json:
        rows = [
            {"wnid": s.wnid, "words": s.words, "gloss": s.gloss, "classes": ontology.count(s.wnid)}
            for s in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        print(meaning.line)
    for s in found:
        print(f"{s.wnid}  {ontology.count(s.wnid):4d}  {', '.join(s.words)}: {s.gloss}")
    return 0


def _show(options: argparse.Namespace) -> int:
    ontology = _ontology(options)
    s = find(options.name, ontology)
    class_ids = ontology.class_ids(s.wnid)
    if options.json:
        row = {
            "wnid": s.wnid,
            "words": s.words,
            "gloss": s.gloss,
            "parents": s.parents,
            "children": s.children,
            "class_ids": class_ids,
        }
        print(json.dumps(row, indent=2))
        return 0

    def named(wnids: Iterable[str]) -> str:
        return ", ".join(f"{ontology.label(w)} ({w})" for w in wnids) or "none"

    print(f"{s.wnid}  {', '.join(s.words)}\n{s.gloss}")
    print(f"parents:  {named(s.parents)}\nchildren: {named(s.children)}\nclasses:  {len(class_ids)}")
    return 0
