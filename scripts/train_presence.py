"""Make ``assets/presence.json``: the weights by which class maps tell whether a synset is in a picture at all.

    python scripts/train_presence.py presence.csv --boxes index_boxes.csv --class-maps FOLDER

``presence.csv`` has the columns ``image`` (relative to it), ``synset_wnid``, ``present`` (0 or 1) and ``largest``
(share of the picture of the largest object). ``--boxes`` adds photographs of one class each, with the columns ``image``
and ``class_index``: the class and what is above it are present, the synsets of the first index that are not are absent.
They help to learn but are not part of the stated figures. ``--class-maps`` names a folder where the logits are kept, so
that the network sees each photograph once.

A logistic regression with few weights (fitted by Newton's method, ridge penalty). It learns from all sets of scales, so
that one scale is calibrated too. The stated figures come from photographs kept apart: five parts, three divisions.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fcn_core.engines.base import Predictor
from fcn_core.engines.load import load_model
from fcn_core.evaluation.presence import average_precision, calibration_error
from fcn_core.images.read import read_image
from fcn_core.images.scales import NOTEBOOK_SCALES, plan_scales
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.presence import FEATURES, ReadOut, features
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology

Float64 = npt.NDArray[np.float64]
ASSET = Path(__file__).resolve().parents[1] / "assets" / "presence.json"
SCALES = NOTEBOOK_SCALES[:3]
SETS = ((0, 1, 2), (0, 1), (1, 2), (0,), (1,), (2,))
MOST_CLASSES = 130  # broader synsets, such as animal, are no answer
RIDGE = 3.0
BOX_WEIGHT = 0.02  # of a pair of the second index, against 1 of the first
PARTS, DIVISIONS = 5, 3
DIGITS = 4


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a photograph and a synset.

    Attributes
    ----------
    tables : (sets, n, 6) ndarray
        Features, by set of scales.
    present : (n,) bool ndarray
    largest : (n,) ndarray
    picture : (n,) int ndarray
    """

    tables: Float64
    present: npt.NDArray[np.bool_]
    largest: Float64
    picture: npt.NDArray[np.intp]


def class_maps_of(path: Path, name: str, model: Predictor, kept: Path | None) -> list[ClassMap]:
    """Return the class maps of a photograph, from the folder if they are there."""
    image = read_image(path)
    file = None if kept is None else kept / (name.replace("/", "_") + ".npz")
    if file is None or not file.exists():
        found = list(compute_class_maps(image, model, SCALES).values())
        if file is not None:
            np.savez(file, **{f"logits{k}": m.logits.astype(np.float16) for k, m in enumerate(found)})  # type: ignore[arg-type]
        return found
    plans = plan_scales(image.height, image.width, SCALES)
    with np.load(file) as arrays:
        logits = [arrays[f"logits{k}"].astype(np.float32) for k in range(len(SCALES))]
    return [
        ClassMap(each, model.cells(plan.height, plan.width), plan, 0.0)
        for each, plan in zip(logits, plans, strict=True)
    ]


def read_index(index: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Return the rows of each photograph."""
    rows: dict[str, list[dict[str, str]]] = {}
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["image"], []).append(row)
    yield from rows.items()


def gather(index: Path, synsets: tuple[str, ...], model: Predictor, kept: Path | None) -> Pairs:
    """Return the pairs of an index; an index of single classes is asked for `synsets`, the class and what is above."""
    ontology = Ontology.load()
    tables, present, largest, picture = [], [], [], []
    for number, (image, rows) in enumerate(read_index(index)):
        maps = class_maps_of(index.parent / image, image, model, kept)
        if synsets:
            class_id = int(rows[0]["class_index"])
            wnid = ontology.classes[class_id]
            above = [
                ontology.collapse(w) for w in ontology.ancestors(wnid) if ontology.count(w) <= MOST_CLASSES
            ]
            groups = [ontology.class_ids(w) for w in dict.fromkeys([*synsets, wnid, *above])]
            present += [class_id in ids for ids in groups]
            largest += [1.0] * len(groups)
        else:
            groups = [ontology.class_ids(row["synset_wnid"]) for row in rows]
            present += [row["present"] == "1" for row in rows]
            largest += [float(row["largest"]) for row in rows]
        tables.append(np.stack([features([maps[k] for k in chosen], groups) for chosen in SETS]))
        picture += [number] * len(groups)
    return Pairs(
        np.concatenate(tables, axis=1), np.array(present), np.array(largest), np.array(picture, np.intp)
    )


def fit(table: Float64, present: npt.NDArray[np.bool_], weight: Float64) -> ReadOut:
    """Fit a logistic regression: Newton's method with halved steps, ridge penalty on standardised features."""
    centre, scale = table.mean(axis=0), table.std(axis=0)
    rows = np.column_stack([(table - centre) / scale, np.ones(len(table))])
    penalty = np.r_[np.full(table.shape[1], RIDGE), 1e-6]
    rate = np.average(present, weights=weight)
    found = np.r_[np.zeros(table.shape[1]), np.log(rate / (1 - rate))]

    def loss(at: Float64) -> float:
        log_odds = rows @ at
        return float(
            (weight * (np.logaddexp(0, log_odds) - present * log_odds)).sum() + (penalty * at**2).sum() / 2
        )

    current = loss(found)
    for _ in range(50):
        answer = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (weight * (answer - present)) + penalty * found
        curve = (rows * (weight * answer * (1 - answer))[:, None]).T @ rows + np.diag(penalty)
        step, share = np.linalg.solve(curve, slope), 1.0
        while (new := loss(found - share * step)) > current and share > 1e-4:
            share /= 2
        if current - new < 1e-6:
            break
        found, current = found - share * step, new
    weights = found[:-1] / scale
    return ReadOut(weights, float(found[-1] - weights @ centre))


def fit_pairs(pairs: Pairs, chosen: npt.NDArray[np.bool_], boxes: Pairs | None) -> ReadOut:
    """Fit to the chosen pairs and to all of the second index, each in all sets of scales."""
    parts = [(pairs.tables[:, chosen], pairs.present[chosen], 1.0)]
    if boxes is not None:
        parts.append((boxes.tables, boxes.present, BOX_WEIGHT))
    table = np.concatenate([t.reshape(-1, len(FEATURES)) for t, _, _ in parts])
    present = np.concatenate([np.tile(p, len(SETS)) for _, p, _ in parts])
    weight = np.concatenate([np.full(len(SETS) * len(p), w / len(SETS)) for _, p, w in parts])
    return fit(table, present, weight)


def cross_validate(pairs: Pairs, boxes: Pairs | None) -> dict[str, dict[str, list[float]]]:
    """Return mean and spread of the figures on photographs kept apart, by set of scales."""
    figures: dict[str, dict[str, list[float]]] = {}
    count = pairs.picture.max() + 1
    answers = np.zeros((DIVISIONS, len(SETS), pairs.present.size))
    for division in range(DIVISIONS):
        part = (np.random.default_rng(division).permutation(count) % PARTS)[pairs.picture]
        for number in range(PARTS):
            read_out = fit_pairs(pairs, part != number, boxes)
            for k, table in enumerate(pairs.tables):
                answers[division, k, part == number] = read_out.probability(table[part == number])
    seen = (pairs.largest >= 0.01) | ~pairs.present
    for k, chosen in enumerate(SETS):
        every = [average_precision(a, pairs.present) for a in answers[:, k]]
        large = [average_precision(a[seen], pairs.present[seen]) for a in answers[:, k]]
        error = [calibration_error(a, pairs.present) for a in answers[:, k]]
        name = ",".join(str(SCALES[scale]) for scale in chosen)
        figures[name] = {
            label: [round(float(np.mean(values)), 3), round(float(np.std(values)), 3)]
            for label, values in (
                ("average precision", every),
                ("average precision, objects of at least 1 %", large),
                ("expected calibration error above 0.1", error),
            )
        }
    return figures


def main() -> None:
    """Learn, cross-validate, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--class-maps", type=Path)
    parser.add_argument("--model", default="efficientnet-lite2")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    if options.class_maps is not None:
        options.class_maps.mkdir(parents=True, exist_ok=True)
    model = load_model(options.model)
    pairs = gather(options.index, (), model, options.class_maps)
    synsets = tuple(
        dict.fromkeys(row["synset_wnid"] for _, rows in read_index(options.index) for row in rows)
    )
    boxes = None if options.boxes is None else gather(options.boxes, synsets, model, options.class_maps)
    figures = cross_validate(pairs, boxes)
    read_out = fit_pairs(pairs, np.ones(pairs.present.size, np.bool_), boxes)
    indexes = [path for path in (options.index, options.boxes) if path is not None]
    document = {
        "about": "Weights of fcn_core.maps.presence: log-odds that a synset is in a picture at all.",
        "intercept": round(read_out.intercept, DIGITS),
        "weights": {
            name: round(weight, DIGITS)
            for name, weight in zip(FEATURES, read_out.weights.tolist(), strict=True)
        },
        "provenance": {
            "made": datetime.now(UTC).date().isoformat(),
            "by": "scripts/train_presence.py " + " ".join(path.name for path in indexes),
            "model": model.info.name,
            "weights_sha256": model.info.weights_sha256,
            "data": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in indexes},
            "pairs": [int(pairs.present.size), 0 if boxes is None else int(boxes.present.size)],
            "present": [int(pairs.present.sum()), 0 if boxes is None else int(boxes.present.sum())],
            "photographs kept apart, mean and spread of divisions, by scales": figures,
        },
    }
    options.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
