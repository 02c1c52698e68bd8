"""How well the named regions of whole pictures cover the objects that are there: everything at once.

    python -m benchmarks.regions INDEX.csv [--presence PRESENCE.csv] [--cross-validate] [--out regions.json]

The index is that of ``python -m fcn_core evaluate``; only its rows with masks count. Each picture is divided once by
`fcn_core.label_regions`, which knows none of the rows' synsets. The measure of a row is the IoU between the object's
mask and the union of the segments whose name is right for the row's synset, at the size of the picture; void pixels are
left out on both sides. A row without such a segment counts 0. A name is right if

- all its classes are among those of the row's synset: it is this synset or lies below it; or
- it lies above the row's synset, at a level that still says what it is: it has at most 20 classes, or it is one of the
  everyday kinds by which findings are named (dog, bird, vehicle; not animal) or lies below one.

"True names given" is the same with the row's synsets as the only candidates: what is lost there is lost by the fine
maps; the rest, by names that are missing, wrong, or win regions of others. ``--presence`` reads a file with the columns
image, synset_wnid and present (1 or 0), and counts, of the segments whose name concerns at least one of these
synsets, how many have a right name of one that is present.

The shipped read-out of regions was learned from such photographs, which flatters it. ``--cross-validate`` measures each
picture with one that was learned from the others alone; it needs scripts/requirements.txt and takes some minutes.
Findings are the shipped ones both times.

The spread is the standard deviation over pictures that are drawn anew with replacement.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import Predictor
from fcn_core.engines.load import load_model
from fcn_core.evaluation.evaluate import EVALUATION_SCALES
from fcn_core.evaluation.index import Case, read_index
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.images.read import RGBImage, read_image
from fcn_core.maps.findings import Finding
from fcn_core.maps.fine_map import describe
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.read_out import object_probability
from fcn_core.maps.region_features import Scene, region_features
from fcn_core.maps.segmentation import RegionScores, Segmentation, label_regions
from fcn_core.maps.superpixels import segment
from fcn_core.maps.taught import taught_synset
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology, Synset
from fcn_core.synsets.search import STARTING_POINTS

FEW_CLASSES = 20
KINDS = frozenset(STARTING_POINTS) - {"n00015388", "n03094503"}  # without animal and container
SIZES = ((0.0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1.01))
FOUND, GIVEN = "names found", "true names given"


@dataclass(frozen=True)
class Row:
    """What one row of the index got in one way: the IoU, the object's share of the picture, whether it has a name."""

    image: str
    iou: float
    share: float
    named: bool


def is_right(name: str, synset: str, ontology: Ontology) -> bool:
    """Return whether a segment's name is right for a synset; see the module."""
    if set(ontology.class_ids(name)) <= set(ontology.class_ids(synset)):
        return True
    if name not in ontology.ancestors(synset):
        return False
    return ontology.count(name) <= FEW_CLASSES or not KINDS.isdisjoint({name, *ontology.ancestors(name)})


def score(case: Case, image: RGBImage, segmentation: Segmentation, ontology: Ontology) -> Row:
    """Measure one row."""
    assert case.mask is not None
    truth, valid = read_mask(case.mask, image.height, image.width, exif_orientation(case.image))
    synset = ontology.find(case.synset).wnid
    right = [s.label for s in segmentation.segments if is_right(s.synset.wnid, synset, ontology)]
    return Row(
        str(case.image),
        iou(np.isin(segmentation.expand(), right), truth, valid),
        share(truth, valid),
        bool(right),
    )


def iou(found: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    """Return the intersection over union among the valid pixels."""
    union = int(np.count_nonzero((found | truth) & valid))
    return float(np.count_nonzero(found & truth & valid) / union) if union else 0.0


def share(truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    """Return the object's share of the valid pixels."""
    return float(np.count_nonzero(truth & valid) / max(1, int(np.count_nonzero(valid))))


def right_names(
    segmentation: Segmentation, present: Mapping[str, bool], ontology: Ontology
) -> tuple[int, int]:
    """Return how many segments concern a listed synset, and how many of these a present one."""
    concerned = right = 0
    for s in segmentation.segments:
        listed = [wnid for wnid in present if is_right(s.synset.wnid, wnid, ontology)]
        concerned += bool(listed)
        right += any(present[wnid] for wnid in listed)
    return concerned, right


def read_presence(path: Path, ontology: Ontology) -> dict[Path, dict[str, bool]]:
    """Return by picture which synsets are present and which are not."""
    found: dict[Path, dict[str, bool]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            wnid = ontology.find(row["synset_wnid"]).wnid
            found.setdefault((path.parent / row["image"]).resolve(), {})[wnid] = row["present"] == "1"
    return found


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the mean IoU with its spread, by size, and the shares of bad rows."""
    values, shares = np.array([r.iou for r in rows]), np.array([r.share for r in rows])
    pictures = sorted({r.image for r in rows})
    of = [np.array([k for k, r in enumerate(rows) if r.image == picture]) for picture in pictures]
    rng = np.random.default_rng(0)
    drawn = [
        values[np.concatenate([of[k] for k in rng.integers(0, len(of), len(of))])].mean() for _ in range(1000)
    ]
    return {
        "rows": len(rows),
        "pictures": len(pictures),
        "mean_iou": float(values.mean()),
        "spread": float(np.std(drawn)),
        "named": float(np.mean([r.named for r in rows])),
        "below_0.1": float((values < 0.1).mean()),
        "below_0.3": float((values < 0.3).mean()),
        "by_size": [
            {"from": low, "to": high, "rows": int(inside.sum()), "mean_iou": float(values[inside].mean())}
            for low, high in SIZES
            for inside in [(shares >= low) & (shares < high)]
            if inside.any()
        ],
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Format the summaries for a terminal, one line for each."""
    sizes = [f"{low:.0%} to {min(high, 1):.0%}" for low, high in SIZES]
    lines = [
        f"{'':18}{'mean IoU':>17}{'named':>8}{'< 0.1':>8}{'< 0.3':>8}" + "".join(f"{s:>13}" for s in sizes)
    ]
    for name, s in results.items():
        by = {(b["from"], b["to"]): f"{b['mean_iou']:.3f} ({b['rows']})" for b in s["by_size"]}
        lines.append(
            f"{name:18}{s['mean_iou']:9.3f} ± {s['spread']:.3f}{s['named']:8.3f}{s['below_0.1']:8.3f}"
            f"{s['below_0.3']:8.3f}" + "".join(f"{by.get(size, '-'):>13}" for size in SIZES)
        )
    return "\n".join(lines)


ReadOut = Callable[[Scene, Sequence[int]], NDArray[np.float64]]


def read_outs_of_others(cases: Sequence[Case], model: Predictor) -> dict[str, ReadOut]:
    """Return by name of a picture the read-out that was learned from other pictures alone."""
    from scripts.train_read_out import examples, kept_apart

    def read_out(trees: Any, columns: list[int]) -> ReadOut:
        def probability(scene: Scene, class_ids: Sequence[int]) -> NDArray[np.float64]:
            table = np.stack(list(region_features(scene, class_ids).values()), axis=1)
            return np.asarray(trees.predict(table[:, columns]), np.float64)

        return probability

    _, rows = examples(cases, model, middle=True, fewer_scales=False)
    return {
        image: read_out(trees, columns)
        for images, trees, columns in kept_apart(rows, 5, seed=0)
        for image in images
    }


def scores_by(read_out: ReadOut, image: RGBImage, class_maps: Mapping[str, ClassMap]) -> RegionScores:
    """Return the function by which `label_regions` scores its regions; a taught synset has its shipped read-out."""
    scene = describe(image.pixels, list(class_maps.values()))
    ontology = Ontology.load()

    def score(synset: Synset) -> NDArray[np.float64]:
        ids = ontology.class_ids(synset.wnid)
        return object_probability(scene, ids) if taught_synset(ids, ontology) else read_out(scene, ids)

    return score


def measure(
    cases: Sequence[Case],
    class_maps_of: Callable[[RGBImage], Mapping[str, ClassMap]],
    presence: Mapping[Path, Mapping[str, bool]] | None = None,
    read_outs: Mapping[str, ReadOut] | None = None,
) -> dict[str, Any]:
    """Measure all rows.

    `class_maps_of` runs the network on a picture; `read_outs` are those of `read_outs_of_others`, or the shipped one.
    """
    ontology = Ontology.load()
    rows: dict[str, list[Row]] = {FOUND: [], GIVEN: []}
    concerned = right = segments = 0
    seconds = 0.0
    pictures = dict.fromkeys(case.image for case in cases)
    for done, path in enumerate(pictures, start=1):
        image, own = read_image(path), [case for case in cases if case.image == path]
        class_maps = class_maps_of(image)
        scores = None if read_outs is None else scores_by(read_outs[path.name], image, class_maps)
        start = time.perf_counter()
        found = label_regions(image, class_maps, scores=scores)
        seconds += time.perf_counter() - start
        true = [Finding(ontology[w], 1.0) for w in dict.fromkeys(ontology.find(c.synset).wnid for c in own)]
        regions = segment(image.pixels)
        given = label_regions(image, class_maps, candidates=true, scores=scores, regions=regions)
        for way, segmentation in ((FOUND, found), (GIVEN, given)):
            rows[way] += [score(case, image, segmentation, ontology) for case in own]
        segments += len(found.segments)
        if presence and (listed := presence.get(path.resolve())):
            counted = right_names(found, listed, ontology)
            concerned, right = concerned + counted[0], right + counted[1]
        print(f"\r{done} of {len(pictures)} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {
        "ways": {way: summary(each) for way, each in rows.items()},
        "segments_a_picture": segments / len(pictures),
        "seconds_a_picture": seconds / len(pictures),
        **({"concerned": concerned, "right": right} if presence else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--presence", type=Path, help="which synsets are in which pictures")
    parser.add_argument(
        "--cross-validate", action="store_true", help="learn and measure on different pictures"
    )
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, help="all figures as JSON")
    options = parser.parse_args()
    model = load_model(options.model)
    cases = [case for case in read_index(options.index) if case.mask is not None]
    presence = read_presence(options.presence, Ontology.load()) if options.presence else None
    found = measure(
        cases,
        lambda image: compute_class_maps(image, model, EVALUATION_SCALES),
        presence,
        read_outs_of_others(cases, model) if options.cross_validate else None,
    )
    print(table(found["ways"]))
    print(f"{found['segments_a_picture']:.2f} segments a picture")
    if not options.cross_validate:  # whose scenes are described outside of what is timed
        print(f"{found['seconds_a_picture']:.3f} s a picture after the passes")
    if presence:
        print(
            f"{found['right']} of {found['concerned']} segments that concern a listed synset have a right name"
        )
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
