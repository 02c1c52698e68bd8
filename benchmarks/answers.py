"""Forty ordinary photographs as the first display answers them: ``python -m benchmarks.answers INDEX.csv``.

INDEX.csv is that of ``python -m fcn_core evaluate``. ``answers.csv`` names forty of its photographs, chosen by lot, and
what is in each, written down by eye before anything was computed. The program prints a row a photograph and two shares:

- of the findings that the page names at first, those that are right: that have classes in common with what is there;
- of the masks of these photographs' rows, the good ones: with an IoU of at least one half at their own threshold, by a
  read-out that was learned from the other photographs alone. That needs scripts/requirements.txt and takes some
  minutes.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import fcn_core as fcn
from fcn_core.evaluation.index import read_index
from scripts.train_read_out import cross_validated, examples, own_iou

MODEL = "efficientnet-lite2"
SHOWN = 4
GOOD = 0.5


def main() -> None:
    """Read the list, run the network, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    options = parser.parse_args()
    with Path(__file__).with_name("answers.csv").open(newline="", encoding="utf-8") as file:
        there = {row["image"]: row["there"].split(";") for row in csv.DictReader(file)}
    cases, model = read_index(options.index), fcn.load_model(MODEL)
    _, rows = examples(cases, model, middle=True, fewer_scales=False)
    masks: dict[str, list[float]] = {}
    for row, answer in zip(rows, cross_validated(rows, 5, 0), strict=True):
        masks.setdefault(row.image, []).append(own_iou(row, answer))
    paths = {case.image.name: case.image for case in cases}
    right: list[bool] = []
    print("| photograph | found | wrong | IoU of masks |\n|---|---|---|---|")
    for name, words in there.items():
        said = findings_of(paths[name], model)
        wrong = [found for found in said if not is_there(found, words)]
        right += [found not in wrong for found in said]
        shown = (
            [found.synset.name for found in said],
            [found.synset.name for found in wrong],
            [f"{iou:.2f}" for iou in masks[name]],
        )
        print(f"| {name} | " + " | ".join(", ".join(each) for each in shown) + " |")
    ious = [iou for name in there for iou in masks[name]]
    good = sum(iou >= GOOD for iou in ious)
    print(f"\n{sum(right)} of {len(right)} findings right ({sum(right) / len(right):.0%})")
    print(f"{good} of {len(ious)} masks good ({good / len(ious):.0%})")


def findings_of(path: Path, model: fcn.Predictor) -> tuple[fcn.Finding, ...]:
    """Return what the page names at first."""
    maps = fcn.compute_class_maps(fcn.read_image(path), model, fcn.NOTEBOOK_SCALES[:3])
    return fcn.findings(maps)[:SHOWN]


def is_there(found: fcn.Finding, words: list[str]) -> bool:
    """Whether a finding is one of the things that are there, a kind of one, or a kind that includes one."""
    ontology = fcn.Ontology.load()
    ids = set(ontology.class_ids(found.synset.wnid))
    return any(ids & set(ontology.class_ids(ontology.find(word).wnid)) for word in words)


if __name__ == "__main__":
    main()
