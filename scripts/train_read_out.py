r"""Learn the read-out of the fine map from photographs with masks, and write it as JSON with its provenance.

    python -m scripts.train_read_out INDEX.csv --model efficientnet-lite2 --out assets/read_outs/efficientnet-lite2.json
    python -m scripts.train_read_out INDEX.csv --model efficientnet-lite2 --model efficientnet-lite0 \
        --without-middle --out assets/read_outs/any.json
    python -m scripts.train_read_out INDEX.csv --model efficientnet-lite2 --synset person \
        --out assets/read_outs/person-efficientnet-lite2.json

The index is that of ``evaluate``. Each row gives its regions as examples, with the share of the object in each; a row
weighs 1 in sum. Rows are repeated with fewer scales, so that the read-out also serves those. The read-out of a taught
synset is learned from ``scripts/outlines.json`` instead, outlines in photographs beside the index. Nothing of a
photograph is written. Needs LightGBM (``pip install -r scripts/requirements.txt``).

The cross-validation divides the photographs, not the rows: frames of one video stay together, and the features are
chosen anew within each part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import lightgbm
import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import Predictor
from fcn_core.engines.load import load_model
from fcn_core.evaluation.evaluate import EVALUATION_SCALES
from fcn_core.evaluation.index import Case, read_index
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.images.read import RGBImage, read_image
from fcn_core.maps.fine_map import describe
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.region import hysteresis_mask, suggest_threshold
from fcn_core.maps.region_features import read_scene, region_features
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology
from scripts.boosted_trees_json import from_lightgbm
from scripts.outlines import FILE as OUTLINES
from scripts.outlines import Outline, read_outlines

Float64 = NDArray[np.float64]
_Value = TypeVar("_Value", bound=np.generic)

_PARAMETERS = {
    "objective": "cross_entropy",
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_data_in_leaf": 200,
    "lambda_l2": 5,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
}
_ROUNDS = 250
_FEATURES = 100  # as many are kept: those with the largest gain in a first training
_ALL: tuple[int, ...] = (0, 1, 2)
_FEWER_SCALES: tuple[tuple[int, ...], ...] = ((0,), (1,), (0, 1))
_WEIGHT_OF_FEWER = 0.3
_DRAWN = "COCO 2017, DAVIS 2016, Weizmann horses, Oxford-IIIT pets; none of them is part of this file"
_OUTLINED = "COCO 2017 and ImageNet, outlined by another network; none of them is part of this file"


@dataclass(frozen=True, eq=False)
class Example:
    """The regions of one row: features (n, k), and pixels of object and background in each region, (n,).

    `labels` (h, w) is the region of each pixel of the small picture.
    """

    image: str
    scales: tuple[int, ...]
    labels: NDArray[np.intp]
    features: NDArray[np.float32]
    inside: Float64
    outside: Float64

    @property
    def truth(self) -> Float64:
        """Share of the object in each region."""
        share: Float64 = self.inside / np.maximum(self.inside + self.outside, 1)
        return share

    @property
    def weights(self) -> Float64:
        """Of the regions: a row weighs 1 in sum, times the number of regions, less with fewer scales."""
        pixels = self.inside + self.outside
        weights: Float64 = pixels / pixels.sum() * 500 * (1.0 if self.scales == _ALL else _WEIGHT_OF_FEWER)
        return weights


def examples(
    cases: Sequence[Case | Outline], model: Predictor, *, middle: bool, fewer_scales: bool = True
) -> tuple[list[str], list[Example]]:
    """Return the names of the features, and the examples of all rows."""
    ontology = Ontology.load()
    names: list[str] = []
    found: list[Example] = []
    image: RGBImage | None = None
    for case, before in zip(cases, [None, *cases], strict=False):
        if isinstance(case, Case) and case.mask is None:
            continue
        if image is None or before is None or before.image != case.image:
            image = case.picture() if isinstance(case, Outline) else read_image(case.image)
            maps = list(compute_class_maps(image, model, EVALUATION_SCALES).values())
            if not middle:
                maps = [ClassMap(m.logits, m.cells, m.scale, m.seconds) for m in maps]
            whole = describe(image.pixels, maps)
            fewer = {chosen: [maps[i] for i in chosen] for chosen in _FEWER_SCALES if fewer_scales}
            scenes = {_ALL: whole} | {chosen: read_scene(whole.regions, few) for chosen, few in fewer.items()}
        truth, valid = _mask(case, image)
        labels = _enlarged(whole.regions.labels, image.height, image.width)
        count = whole.regions.sizes.size
        inside, outside = (
            np.bincount(labels[pixels & valid], minlength=count).astype(np.float64)
            for pixels in (truth, ~truth)
        )
        ids = ontology.class_ids(ontology.find(case.synset).wnid)
        for chosen, scene in scenes.items():
            features = region_features(scene, ids)
            names = list(features)
            table = np.stack(list(features.values()), axis=1).astype(np.float32)
            found.append(Example(case.image.name, chosen, whole.regions.labels, table, inside, outside))
    return names, found


def _mask(case: Case | Outline, image: RGBImage) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the object's pixels, and those that are not void, at the size of the picture."""
    if isinstance(case, Outline):
        inside, valid = (_enlarged(each, image.height, image.width) for each in (case.inside, case.valid))
        return inside, valid
    if case.mask is None:
        raise ValueError(f"Expected a row with a mask. Received one without: {case.name}")
    return read_mask(case.mask, image.height, image.width, exif_orientation(case.image))


def _enlarged(values: NDArray[_Value], height: int, width: int) -> NDArray[_Value]:
    rows, columns = (
        ((np.arange(pixels) + 0.5) * size / pixels).astype(np.intp)
        for pixels, size in zip((height, width), values.shape, strict=True)
    )
    enlarged: NDArray[_Value] = values[rows][:, columns]
    return enlarged


def train(rows: Sequence[Example], columns: Sequence[int], seed: int) -> lightgbm.Booster:
    """Train with these columns alone."""
    data = lightgbm.Dataset(
        np.concatenate([r.features[:, columns] for r in rows]),
        np.concatenate([r.truth for r in rows]),
        weight=np.concatenate([r.weights for r in rows]),
        params={"verbose": -1},
    )
    return lightgbm.train(_PARAMETERS | {"seed": seed}, data, _ROUNDS)


def train_with_best(rows: Sequence[Example], seed: int) -> tuple[lightgbm.Booster, list[int]]:
    """Train with all columns, and again with those of the largest gain."""
    everything = list(range(rows[0].features.shape[1]))
    first = train([r for r in rows if r.scales == _ALL], everything, seed)
    best = sorted(np.argsort(-first.feature_importance("gain"), kind="stable")[:_FEATURES].tolist())
    return train(rows, best, seed), best


def kept_apart(
    rows: Sequence[Example], parts: int, seed: int
) -> Iterator[tuple[set[str], lightgbm.Booster, list[int]]]:
    """Yield for each part the names of its photographs, and the read-out with its columns that never saw them."""
    groups = sorted({_group(r.image) for r in rows})
    order = np.random.default_rng(seed).permutation(len(groups))
    part = {group: int(order[i]) % parts for i, group in enumerate(groups)}
    for number in range(parts):
        model, best = train_with_best([r for r in rows if part[_group(r.image)] != number], seed)
        yield {r.image for r in rows if part[_group(r.image)] == number}, model, best


def cross_validated(rows: Sequence[Example], parts: int, seed: int) -> list[Float64]:
    """Return the probabilities of each example's regions by a read-out that never saw its photograph."""
    answers: list[Float64] = [np.zeros(0)] * len(rows)
    for images, model, best in kept_apart(rows, parts, seed):
        for i, row in enumerate(rows):
            if row.image in images:
                answers[i] = np.asarray(model.predict(row.features[:, best]), np.float64)
    return answers


def _group(image: str) -> str:
    """Return the photograph, or the video that a frame is of ("davis_blackswan_00025.jpg")."""
    return re.sub(r"_\d+\.jpg$", "", image) if image.startswith("davis") else image


def measures(rows: Sequence[Example], answers: Sequence[Float64]) -> dict[str, Any]:
    """Return PxAP, IoU at the best single threshold and at each row's own, by the size of the object as well.

    Measured on regions; ``evaluate`` measures pixels.
    """
    histograms, ious, own, sizes = np.zeros((2, 1001)), [], [], []
    for row, answer in zip(rows, answers, strict=True):
        level = np.minimum((answer - answer.min()) / max(np.ptp(answer), 1e-9) * 1000, 1000).astype(int)
        counts = np.stack([np.bincount(level, pixels, 1001) for pixels in (row.inside, row.outside)])
        histograms += counts
        true, false = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        ious.append(true / np.maximum(true[0] + false, 1))
        own.append(own_iou(row, answer))
        sizes.append(row.inside.sum() / (row.inside + row.outside).sum())
    true, false = histograms[:, ::-1].cumsum(axis=1)
    pxap = float((true / np.maximum(true + false, 1) * np.diff(true / true[-1], prepend=0)).sum())
    mean = np.mean(ious, axis=0)
    mine, size = np.asarray(own), np.asarray(sizes)
    by_size = {
        name: [round(float(mine[chosen].mean()), 3), int(chosen.sum())]
        for name, low, high in (
            ("below 10 %", 0, 0.1),
            ("to 20 %", 0.1, 0.2),
            ("to 40 %", 0.2, 0.4),
            ("above", 0.4, 2),
        )
        for chosen in [(size >= low) & (size < high)]
        if chosen.any()
    }
    return {
        "rows": len(rows),
        "pxap": round(pxap, 3),
        "mean_iou": round(float(mean.max()), 3),
        "own_iou": round(float(mine.mean()), 3),
        "below_0.1": round(float((mine < 0.1).mean()), 3),
        "below_0.3": round(float((mine < 0.3).mean()), 3),
        "own_iou_by_size": by_size,
    }


def own_iou(row: Example, answer: Float64) -> float:
    """Return the IoU of a row's mask at its own suggested threshold, measured on regions."""
    fine = answer[row.labels]
    mask = np.zeros(answer.size, np.bool_)
    mask[row.labels[hysteresis_mask(fine, suggest_threshold(fine))]] = True
    return float(row.inside[mask].sum() / (row.inside.sum() + row.outside[mask].sum()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, cross-validate and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--without-middle", action="store_true")
    parser.add_argument("--synset", help="a taught synset, whose outlines are learned from")
    parser.add_argument("--divisions", type=int, default=3, help="number of cross-validations")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    synset = Ontology.load().find(chosen.synset).wnid if chosen.synset else None
    cases = (
        [outline for outline in read_outlines(chosen.index.parent) if outline.synset == synset]
        if synset
        else read_index(chosen.index)
    )
    rows: list[Example] = []
    names: list[str] = []
    for name in chosen.model:
        names, found = examples(cases, load_model(name), middle=not chosen.without_middle)
        rows += found
    learned = {"synset": synset} if synset else {}
    source = OUTLINES if synset else chosen.index
    write(chosen.out, names, rows, chosen.model, source, chosen.divisions, learned)


def write(
    out: Path,
    names: Sequence[str],
    rows: Sequence[Example],
    models: Sequence[str],
    index: Path,
    divisions: int,
    learned: Mapping[str, str],
) -> None:
    """Cross-validate, train on everything, and write the read-out, with what else is to be told of it."""
    whole = [i for i, r in enumerate(rows) if r.scales == _ALL]
    validated = []
    for seed in range(divisions):
        answers = cross_validated(rows, 5, seed)
        validated.append(measures([rows[i] for i in whole], [answers[i] for i in whole]))
        print(validated[-1], flush=True)
    model, best = train_with_best(rows, 0)
    dump = model.dump_model()
    dump["feature_names"] = [names[i] for i in best]
    layers = list(dict.fromkeys(n.removesuffix(" like object") for n in names if n.endswith(" like object")))
    described = {
        "what": "Probability that a region of a picture belongs to a synset. Read by fcn_core.maps.read_out.",
        "layers": layers,
        **learned,
        "provenance": {
            "made_by": "scripts/train_read_out.py",
            "date": date.today().isoformat(),
            "networks": list(models),
            "photographs": len({r.image for r in rows}),
            "rows": len(whole),
            "sources": _OUTLINED if learned else _DRAWN,
            "index_sha256": hashlib.sha256(index.read_bytes()).hexdigest(),
            "learner": f"LightGBM {version('lightgbm')}",
            "parameters": _PARAMETERS | {"rounds": _ROUNDS},
            "cross_validated": validated,
        },
        **from_lightgbm(dump),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(described, indent=1)
    out.write_text(re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", _on_one_line, text) + "\n", encoding="utf-8")


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + " ".join(found[1].split()) + "]"


if __name__ == "__main__":
    main()
