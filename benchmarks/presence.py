"""How well the program tells whether something is in a picture at all: ``python -m benchmarks.presence PRESENCE.csv``.

The index has the columns ``image`` (relative to it), ``synset_wnid``, ``present`` (0 or 1) and ``largest`` (share of
the picture of the largest object), a row for each pair of a photograph and a synset. It prints, for the shipped
weights, the average precision and the expected calibration error of the presence (and, for comparison, the average
precision of the peak of the mean map, and the error that exact answers would show by chance), how many findings are
right, and how many objects larger than 5 % of the picture they name; see `fcn_core.evaluation.presence`. Photographs
that the weights were learned from flatter them: the figures of ``assets/presence.json`` come from photographs kept
apart.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

import fcn_core as fcn
from fcn_core.evaluation.presence import (
    Truth,
    average_precision,
    calibration_error,
    calibration_error_by_chance,
    judge,
)
from fcn_core.maps.presence import presences
from fcn_core.pipeline import PRESENCE_FLOOR

SMALL = 0.01


def main() -> None:
    """Read the index, run the network, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("--model", default="efficientnet-lite2")
    parser.add_argument("--scales", default="200x320,400x640,800x1280")
    options = parser.parse_args()
    ontology, model = fcn.Ontology.load(), fcn.load_model(options.model)
    scales = fcn.parse_scales(options.scales)
    photographs: dict[str, list[dict[str, str]]] = {}
    with options.index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            photographs.setdefault(row["image"], []).append(row)
    answers, peaks, present, largest, right, named = [], [], [], [], [], []
    chips, seconds = 0, {"presence": 0.0, "findings": 0.0}
    for image, rows in photographs.items():
        maps = fcn.compute_class_maps(fcn.read_image(options.index.parent / image), model, scales)
        truths = [
            Truth(frozenset(ontology.class_ids(r["synset_wnid"])), r["present"] == "1", float(r["largest"]))
            for r in rows
        ]
        start = time.perf_counter()
        found = fcn.findings(maps)
        seconds["findings"] += time.perf_counter() - start
        start = time.perf_counter()
        groups = [ontology.class_ids(row["synset_wnid"]) for row in rows]
        answers += [float(presences(maps, [group])[0]) for group in groups]
        seconds["presence"] += (time.perf_counter() - start) / len(rows)
        peaks += [fcn.combine([fcn.synset_heatmap(m, g) for m in maps.values()]).peak for g in groups]
        present += [truth.present for truth in truths]
        largest += [truth.largest for truth in truths]
        chips += len(found)
        judged = judge([ontology.class_ids(each.synset.wnid) for each in found], truths)
        right += judged[0]
        named += judged[1]
    answer, truth, size = np.array(answers), np.array(present), np.array(largest)
    seen = (size >= SMALL) | ~truth
    above = answer >= PRESENCE_FLOOR
    by_chance = calibration_error_by_chance(answer)
    lines = (
        ("photographs, pairs, present", f"{len(photographs)}, {truth.size}, {truth.sum()}"),
        ("average precision", f"{average_precision(answer, truth):.3f}"),
        ("  objects of at least 1 %", f"{average_precision(answer[seen], truth[seen]):.3f}"),
        ("  of the mean map's peak", f"{average_precision(peaks, truth):.3f}"),
        ("  the same, at least 1 %", f"{average_precision(np.array(peaks)[seen], truth[seen]):.3f}"),
        ("calibration error above 0.1", f"{calibration_error(answer, truth):.3f}"),
        ("  of exact answers, by chance", "{:.3f} ({:.3f} to {:.3f})".format(*by_chance)),
        (f"absent, but at least {PRESENCE_FLOOR:g}", f"{above[~truth].mean():.3f}"),
        (f"present (1 %), but below {PRESENCE_FLOOR:g}", f"{(~above)[truth & (size >= SMALL)].mean():.3f}"),
        ("findings, those of categories", f"{chips}, {len(right)}"),
        ("  right", f"{np.mean(right):.3f}"),
        ("objects above 5 %, named", f"{len(named)}, {np.mean(named):.3f}"),
        (
            "ms a synset, ms the findings",
            ", ".join(f"{1e3 * s / len(photographs):.1f}" for s in seconds.values()),
        ),
    )
    for label, value in lines:
        print(f"{label:32}{value}")


if __name__ == "__main__":
    main()
