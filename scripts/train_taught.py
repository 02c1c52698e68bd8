"""Teach a synset for which the network has no class: make ``assets/taught.json``.

    python -m scripts.train_taught person scripts/person.csv --photographs FOLDER --class-maps FOLDER

The index has the columns ``image`` (relative to ``--photographs``) and ``present`` (0 or 1). ``--class-maps`` names a
folder where the logits are kept, so that the network sees each photograph once.

Nothing says where the synset is, so this is multiple-instance learning: a picture is a bag of windows, its answer the
smooth maximum of a linear function of the window's standardised logits. It learns from the two coarser scales, alone
and together. The stated figures come from photographs kept apart: five parts, three divisions. Slope and intercept are
fitted to those answers by all sets of scales (Platt scaling).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from fcn_core.engines.load import load_model
from fcn_core.evaluation.presence import average_precision, calibration_error
from fcn_core.maps.windows import terms_of
from fcn_core.synsets.ontology import Ontology
from scripts.train_presence import PARTS, SCALES, SETS, class_maps_of

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bags = tuple[Float32, npt.NDArray[np.intp]]  # the windows of all pictures (n, classes), and how many each has

ASSET = Path(__file__).resolve().parents[1] / "assets" / "taught.json"
DIVISIONS = 3
RIDGE = 0.01  # of weights of standardised columns, against a mean loss of 1
ALONE = 0.3  # weight of a photograph from a folder of pictures of one object each, against 1
LEARNED = ((0, 1), (0,), (1,))  # sets of scales to learn from: the finest has most windows and adds little
ITERATIONS = 40
DIGITS = 3


@dataclass(frozen=True, eq=False)
class Photographs:
    """What is learned from: windows by scale, whether the synset is there, and what each photograph weighs."""

    scales: tuple[Bags, ...]
    present: npt.NDArray[np.bool_]
    weight: Float64
    source: npt.NDArray[np.str_]


def gather(index: Path, folder: Path, model_name: str, kept: Path | None) -> Photographs:
    """Return the windows of all photographs of an index."""
    model = load_model(model_name)
    windows: dict[int, list[Float32]] = defaultdict(list)
    present, source = [], []
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            maps = class_maps_of(folder / row["image"], row["image"], model, kept)
            for k, class_map in enumerate(maps):
                terms = terms_of(class_map)
                logits = class_map.logits.reshape(-1, class_map.logits.shape[-1])
                standing = (logits - terms.mean[:, None]) / terms.deviation[:, None]
                windows[k].append(np.asarray(terms.windows @ standing, np.float32))
            present.append(row["present"] == "1")
            source.append(row["image"].partition("/")[0])
    sources = np.array(source)
    weight = np.where(sources == "boxes", ALONE, 1.0)
    scales = tuple((np.concatenate(w), np.array([len(each) for each in w])) for w in windows.values())
    return Photographs(scales, np.array(present), weight, sources)


def pooled(windows: Float32, counts: npt.NDArray[np.intp], weights: Float32) -> tuple[Float64, Float64]:
    """Return each picture's smooth maximum, and each window's share in it."""
    answers = (windows @ weights).astype(np.float64)
    starts = np.r_[0, counts.cumsum()[:-1]]
    largest = np.maximum.reduceat(answers, starts)
    powers = np.exp(answers - np.repeat(largest, counts))
    sums = np.add.reduceat(powers, starts)
    return largest + np.log(sums / counts), powers / np.repeat(sums, counts)


def learn(photographs: Photographs, which: npt.NDArray[np.bool_]) -> Float64:
    """Return the weights of the classes: logistic loss, ridge penalty on standardised columns, L-BFGS."""
    bags = {
        k: (windows[np.repeat(which, counts)], counts[which])
        for k, (windows, counts) in enumerate(photographs.scales)
        if any(k in each for each in LEARNED)
    }
    present, share = photographs.present[which], photographs.weight[which]
    share = share / share.sum()
    deviation = np.sqrt(np.mean([w.var(axis=0) for w, _ in bags.values()], axis=0)).astype(np.float64)
    rate = float(share @ present)

    def loss(at: Float64) -> tuple[float, Float64]:
        weights = (at[:-1] / deviation).astype(np.float32)
        answers = {k: pooled(*each, weights) for k, each in bags.items()}
        value, slope = RIDGE * float(at[:-1] @ at[:-1]) / 2, np.r_[RIDGE * at[:-1], 0.0]
        pull = {k: np.zeros(share.size) for k in bags}
        for chosen in LEARNED:
            log_odds = np.mean([answers[k][0] for k in chosen], axis=0) + at[-1]
            value += float(share @ (np.logaddexp(0, log_odds) - present * log_odds)) / len(LEARNED)
            error = share * (1 / (1 + np.exp(-log_odds)) - present) / len(LEARNED)
            slope[-1] += error.sum()
            for k in chosen:
                pull[k] += error / len(chosen)
        for k, (windows, counts) in bags.items():
            part = (answers[k][1] * np.repeat(pull[k], counts)).astype(np.float32)
            slope[:-1] += (part @ windows) / deviation
        return value, slope

    start = np.r_[np.zeros(deviation.size), np.log(rate / (1 - rate))]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    weights: Float64 = (found[:-1] / deviation).round(DIGITS)
    return weights


def answers(photographs: Photographs, weights: Float64) -> Float64:
    """Return the answer of each set of scales to each photograph, (sets, n), before slope and intercept."""
    scales = [pooled(*each, weights.astype(np.float32))[0] for each in photographs.scales]
    return np.stack([np.mean([scales[k] for k in chosen], axis=0) for chosen in SETS])


def cross_validated(photographs: Photographs) -> Float64:
    """Return the answers to photographs kept apart, (divisions, sets, n)."""
    count = photographs.present.size
    found = np.zeros((DIVISIONS, len(SETS), count))
    for division in range(DIVISIONS):
        part = np.random.default_rng(division).permutation(count) % PARTS
        for number in range(PARTS):
            all_answers = answers(photographs, learn(photographs, part != number))
            found[division][:, part == number] = all_answers[:, part == number]
            print(f"division {division}, part {number}", flush=True)
    return found


def scaling(found: Float64, photographs: Photographs) -> tuple[float, float]:
    """Return slope and intercept that make answers log-odds."""
    weight = photographs.weight / photographs.weight.sum()

    def loss(at: Float64) -> float:
        log_odds = at[0] * found + at[1]
        return float(((np.logaddexp(0, log_odds) - photographs.present * log_odds) @ weight).mean())

    slope, intercept = minimize(loss, [1.0, 0.0], method="Nelder-Mead").x
    return round(float(slope), DIGITS), round(float(intercept), DIGITS)


def figures(
    found: Float64, photographs: Photographs, slope: float, intercept: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return mean and spread over the divisions, by source of the photographs and by set of scales."""
    probability = 1 / (1 + np.exp(-(slope * found + intercept)))
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for source in np.unique(photographs.source).tolist():
        of = photographs.source == source
        present = photographs.present[of]
        by_set = {}
        for k, chosen in enumerate(SETS):
            values = [each[k, of] for each in probability]
            listed = [v >= 0.7 for v in values]
            by_set[",".join(str(SCALES[scale]) for scale in chosen)] = {
                name: [round(float(np.mean(numbers)), 3), round(float(np.std(numbers)), 3)]
                for name, numbers in (
                    ("average precision", [average_precision(v, present) for v in values]),
                    ("expected calibration error above 0.1", [calibration_error(v, present) for v in values]),
                    ("right of those from 0.7", [present[x].mean() for x in listed]),
                    ("listed of those present", [x[present].mean() for x in listed]),
                )
            }
        measured[source] = {"photographs": {"n": int(of.sum()), "present": int(present.sum())}, **by_set}
    return measured


def main() -> None:
    """Learn, cross-validate, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("synset")
    parser.add_argument("index", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--class-maps", type=Path)
    parser.add_argument("--model", default="efficientnet-lite2")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    ontology = Ontology.load()
    photographs = gather(options.index, options.photographs, options.model, options.class_maps)
    found = cross_validated(photographs)
    slope, intercept = scaling(found, photographs)
    weights = learn(photographs, np.ones(photographs.present.size, np.bool_))
    wnids = ontology.classes
    order = [int(c) for c in np.argsort(-weights, kind="stable") if weights[c]]
    document = {
        "about": "Weights of fcn_core.maps.taught: classes that together tell of a synset without classes of its own.",
        "synsets": {
            ontology.find(options.synset).wnid: {
                "label": options.synset,
                "slope": slope,
                "intercept": intercept,
                "weights": {f"{wnids[c]} {ontology.label(wnids[c])}": float(weights[c]) for c in order},
            }
        },
        "provenance": {
            "made": datetime.now(UTC).date().isoformat(),
            "by": f"scripts/train_taught.py {options.synset} {options.index.name}",
            "model": options.model,
            "labels": "by eye, on photographs of COCO 2017 and ImageNet's validation set; none is part of this file",
            "data": {options.index.name: hashlib.sha256(options.index.read_bytes()).hexdigest()},
            "photographs kept apart, mean and spread of divisions, by source and scales": figures(
                found, photographs, slope, intercept
            ),
        },
    }
    options.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
