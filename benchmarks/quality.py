"""What was tried for better masks, measured: the tables of quality.md.

    python -m benchmarks.quality INDEX.csv [--quick] [--out quality.json]
    python -m benchmarks.quality INDEX.csv --shipped [--out shipped.json]

The index is that of ``python -m fcn_core evaluate``. Every variant is measured on every row at the size of the picture;
then the setting of the fine map is chosen anew on part of the pictures and measured on the others. ``--quick`` leaves
out what needs other passes of the network than the three scales (output strides 16 and 8, mirrored pictures, more
scales). About six minutes on two idle cores.

``--shipped`` measures only the map that the program ships, beside the plain mean, CAM and a Gaussian at the centre: own
masks, those that miss, those worse than the plain mean's, figures by size of the object, and time as a multiple of the
network's passes. Here rows may have boxes alone. About two minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.variants import PARTS, PASSES, PLAIN, REGIONS, SETTINGS, THREE, Picture, Variant, fine
from fcn_core.engines.load import load_model
from fcn_core.evaluation import metrics
from fcn_core.evaluation.evaluate import Evaluation, evaluate_index, read_index
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.evaluation.tables import size_rows, table_rows
from fcn_core.images.read import read_image
from fcn_core.images.resize import resize_image
from fcn_core.maps.fine_map import fine_map, segment
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.maps.region import normalise, suggest_threshold, threshold_mask
from fcn_core.synsets.ontology import Ontology

SHIPPED = ("fine", "evidence", "cam", "centre")


def shipped(index: Path) -> tuple[Evaluation, ...]:
    """The map that the program ships and what it is compared with, without what needs TensorFlow."""
    return evaluate_index(
        index,
        load_model("efficientnet-lite2"),
        ways=SHIPPED,
        progress=lambda done, of: print(
            f"\r{done}/{of}", end="\n" * (done == of), file=sys.stderr, flush=True
        ),
    )


def markdown(rows: list[tuple[str, ...]]) -> str:
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|---{'|---:' * (len(rows[0]) - 1)}|", *others])


def superpixel_oracle(picture: Picture, truth: np.ndarray) -> np.ndarray:
    """The share of the object in every region: the best that any map constant on regions can do."""
    regions = segment(picture.image.pixels)
    height, width = regions.labels.shape
    share = regions.mean(resize_image(truth.astype(np.float32), height, width))
    small = Heatmap(share[regions.labels].astype(np.float32), "evidence")
    return place(small, *truth.shape, placement="even")


def measure(
    variants: dict[str, Variant], index: Path
) -> tuple[dict[str, list[metrics.PictureScore]], list[str], dict]:
    """Every variant on every row; the rows' pictures; seconds of the fine map's parts a picture."""
    cases, ontology, models = read_index(index), Ontology.load(), {32: load_model("efficientnet-lite2")}
    scores: dict[str, list[metrics.PictureScore]] = {name: [] for name in [*variants, "oracle"]}
    seconds: dict[str, list[float]] = {"passes": [], "segment": [], "fine": []}
    picture: Picture | None = None
    for number, case in enumerate(cases):
        print(f"\r{number + 1}/{len(cases)}", end="", file=sys.stderr, flush=True)
        if picture is None or picture.image.name != case.image.name:
            picture = Picture(read_image(case.image), models)
        if case.mask is None:
            raise SystemExit(f"Line {case.line} of {index} has no mask, by which the variants are compared.")
        orientation = exif_orientation(case.image)
        truth, valid = read_mask(case.mask, picture.image.height, picture.image.width, orientation)
        ids = ontology.class_ids(ontology.find(case.synset).wnid)
        for name, variant in variants.items():
            values = variant(picture, ids)
            if values.shape != truth.shape:
                values = place(
                    Heatmap(np.asarray(values, np.float32), "evidence"), *truth.shape, placement="even"
                )
            mask = threshold_mask(normalise(values), suggest_threshold(normalise(values)))
            scores[name].append(metrics.score_picture(values, truth, valid, mask=mask))
        scores["oracle"].append(metrics.score_picture(superpixel_oracle(picture, truth), truth, valid))
        clock = [time.perf_counter()]
        maps = [picture._pass(32, s, False) for s in THREE]
        clock.append(time.perf_counter())
        regions = segment(picture.image.pixels)
        clock.append(time.perf_counter())
        fine_map(picture.image.pixels, maps, ids, regions=regions)
        clock.append(time.perf_counter())
        for name, spent in zip(seconds, np.diff(clock), strict=True):
            seconds[name].append(float(spent))
    print(file=sys.stderr)
    return scores, [case.image.name for case in cases], {k: float(np.median(v)) for k, v in seconds.items()}


def summary(scores: list[metrics.PictureScore]) -> metrics.Summary:
    total = metrics.Scores()
    for score in scores:
        total.include(score)
    return total.summary()


def row(name: str, scores: list[metrics.PictureScore]) -> str:
    s = summary(scores)
    alone = np.mean([metrics.pxap(score.histograms) for score in scores])
    best = np.mean([metrics.iou_at_thresholds(score.histograms).max() for score in scores])
    own = "" if s.mask_iou is None else f"{s.mask_iou:.3f}"
    return (
        f"| {name} | {s.pointing:.2f} | {s.pxap:.3f} | {s.mean_iou:.3f} | {s.threshold:.2f} | {own} "
        f"| {alone:.3f} | {best:.3f} |"
    )


HEAD = (
    "| | pointing | PxAP | mean IoU | at | IoU, suggested threshold | PxAP, picture by picture "
    "| IoU, best threshold of each |\n|---|---|---|---|---|---|---|---|"
)


def cross_validate(
    scores: dict[str, list[metrics.PictureScore]], pictures: list[str], folds: int, seed: int
) -> tuple[float, float, list[str]]:
    """Choose setting and threshold on all folds but one, measure on that one; PxAP over all, mean IoU, choices."""
    names = sorted(set(pictures))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[i]: position % folds for position, i in enumerate(order)}
    fold = np.array([fold_of[name] for name in pictures])
    histograms, ious, chosen = np.zeros((2, 1001), np.int64), [], []
    for held in range(folds):
        inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        learnt = {name: summary([of[i] for i in inside]) for name, of in scores.items()}
        best = max(learnt, key=lambda name: learnt[name].pxap + learnt[name].mean_iou)
        chosen.append(best)
        for i in outside:
            histograms += scores[best][i].histograms
            at = round(learnt[best].threshold * 1000)
            ious.append(metrics.iou_at_thresholds(scores[best][i].histograms)[at])
    return metrics.pxap(histograms), float(np.mean(ious)), chosen


def spread(
    scores: list[metrics.PictureScore], pictures: list[str], draws: int = 1000
) -> dict[str, tuple[float, float]]:
    """5th and 95th percentile of PxAP and mean IoU over pictures drawn with replacement."""
    rng, names = np.random.default_rng(0), sorted(set(pictures))
    rows = {name: [i for i, p in enumerate(pictures) if p == name] for name in names}
    found = []
    for _ in range(draws):
        drawn = [i for name in rng.choice(names, len(names)) for i in rows[name]]
        s = summary([scores[i] for i in drawn])
        found.append((s.pxap, s.mean_iou))
    low, high = np.percentile(found, (5, 95), axis=0)
    return {"PxAP": (low[0], high[0]), "mean IoU": (low[1], high[1])}


def without(scores: list[metrics.PictureScore], pictures: list[str]) -> list[tuple[float, str]]:
    """How much PxAP would rise without each row, largest first."""
    whole = summary(scores).pxap
    gains = [(summary(scores[:i] + scores[i + 1 :]).pxap - whole, pictures[i]) for i in range(len(scores))]
    return sorted(gains, reverse=True)


def evened(scores: list[metrics.PictureScore]) -> float:
    """PxAP if every picture's map had its best threshold at the same score."""
    total = np.zeros((2, 1001), np.int64)
    for score in scores:
        best = min(max(int(metrics.iou_at_thresholds(score.histograms).argmax()), 1), 999)
        level = np.arange(1001)
        moved = np.where(level < best, level * 500 / best, 500 + (level - best) * 500 / (1000 - best)).astype(
            int
        )
        for side in (0, 1):
            np.add.at(total[side], moved, score.histograms[side])
    return metrics.pxap(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--quick", action="store_true", help="only what the three scales' passes allow")
    parser.add_argument("--shipped", action="store_true", help="only the map that the program ships")
    parser.add_argument("--out", type=Path, help="also write every figure as JSON")
    options = parser.parse_args()
    if options.shipped:
        results = shipped(options.index)
        tables = [table_rows(results), size_rows(results[:1]), size_rows(results)]
        print("\n\n".join(markdown(rows) for rows in tables if rows))
        if options.out:
            found = [result.to_json() for result in results]
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return
    groups = {"Maps without regions": PLAIN, "Regions and edges, other ways": REGIONS, "The fine map": PARTS}
    if not options.quick:
        groups["Other passes of the network"] = PASSES
    groups["One number changed"] = {name: fine(setting) for name, setting in SETTINGS.items()}
    every = {name: variant for group in groups.values() for name, variant in group.items()}
    scores, pictures, seconds = measure(every, options.index)
    ours = scores["**fine map**"]

    print(f"{len(ours)} rows, {len(set(pictures))} pictures, EfficientNet-Lite2\n")
    for title, group in groups.items():
        print(f"### {title}\n\n{HEAD}")
        print("\n".join(row(name, scores[name]) for name in group), end="\n\n")

    candidates = {name: scores[name] for name in ["**fine map**", *SETTINGS]}
    held = [cross_validate(candidates, pictures, 5, seed) for seed in range(10)]
    ap, overlap = np.array([h[:2] for h in held]).T
    print("### Held out\n")
    print(
        f"Setting chosen anew among {len(candidates)} on four fifths, measured on the rest, ten divisions: PxAP"
    )
    print(f"{ap.mean():.3f} ({ap.min():.3f} to {ap.max():.3f}), mean IoU {overlap.mean():.3f} ", end="")
    print(f"({overlap.min():.3f} to {overlap.max():.3f}).\n")
    for name, (low, high) in spread(ours, pictures).items():
        print(f"{name} over pictures drawn with replacement: 5 % below {low:.3f}, 5 % above {high:.3f}.\n")

    print("### Ceilings\n")
    print(f"{HEAD}\n{row('each region its true share', scores['oracle'])}\n{row('fine map', ours)}\n")
    print(
        f"PxAP of the fine map with every picture's best threshold at the same score: {evened(ours):.3f}.\n"
    )
    print("PxAP rises most without: ", end="")
    print(", ".join(f"{name} (+{gain:.3f})" for gain, name in without(ours, pictures)[:8]) + ".\n")

    print("### Time\n")
    print(
        f"Median seconds a picture: three passes {seconds['passes']:.3f}, regions {seconds['segment']:.3f}, ",
        end="",
    )
    print(
        f"fine map {seconds['fine']:.3f}; whole / passes = {sum(seconds.values()) / seconds['passes']:.2f}."
    )
    if options.out:
        found = {name: vars(summary(of)) for name, of in scores.items()}
        options.out.write_text(
            json.dumps({"variants": found, "seconds": seconds}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
