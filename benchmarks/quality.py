"""How well the masks find things, measured: the tables of quality.md.

    python -m benchmarks.quality INDEX.csv [--out shipped.json]
    python -m benchmarks.quality INDEX.csv --cross-validate [--divisions 3]

The index is that of ``python -m fcn_core evaluate``. The first command measures the map that the program ships, beside
the plain mean, CAM and a Gaussian at the centre: own masks, those that miss, those worse than the plain mean's, figures
by size of the object, and time as a multiple of the network's passes. Rows may have boxes alone. These figures flatter
on the photographs that the read-out was learned from.

The second command learns the read-out anew on four fifths of the photographs and measures it on the others, also
without each family of numbers: what each of them is worth. It measures regions, which is fast and agrees with pixels
within 0.01. It needs scripts/requirements.txt; about five minutes a division.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_core.engines.load import load_model
from fcn_core.evaluation.evaluate import Evaluation, evaluate_index
from fcn_core.evaluation.index import read_index
from fcn_core.evaluation.tables import size_rows, table_rows
from fcn_core.maps.region_features import KINDS, SLOTS

SHIPPED = ("fine", "evidence", "cam", "centre")
MODEL = "efficientnet-lite2"

#: Families of numbers about a region, by their names.
FAMILIES = {
    "the middle of the network": lambda name: name.startswith("block"),
    "its channels": lambda name: name.startswith("block") and name.split()[-1].isdigit(),
    "its likenesses": lambda name: name.startswith("block") and not name.split()[-1].isdigit(),
    "other kinds of things": lambda name: any(name == f"{slot} {kind}" for slot in SLOTS for kind in KINDS),
    "the random walk": lambda name: "walk" in name,
    "colours and places": lambda name: "colour" in name or name.startswith(("distance", "spread", "height")),
    "figures of the whole picture": lambda name: (
        "picture's" in name or name.split()[1:2] in (["peak"], ["whole"], ["median"])
    ),
}


def shipped(index: Path) -> tuple[Evaluation, ...]:
    """The map that the program ships and what it is compared with, without what needs TensorFlow."""
    return evaluate_index(
        index,
        load_model(MODEL),
        ways=SHIPPED,
        progress=lambda done, of: print(
            f"\r{done}/{of}", end="\n" * (done == of), file=sys.stderr, flush=True
        ),
    )


def cross_validated(index: Path, divisions: int) -> list[tuple[str, ...]]:
    """The rows of a table: the read-out with all numbers, and without each family."""
    from scripts.train_read_out import cross_validated as validate
    from scripts.train_read_out import examples, measures

    names, rows = examples(read_index(index), load_model(MODEL), middle=True, fewer_scales=False)
    table: list[tuple[str, ...]] = [("", "PxAP", "mean IoU", "own IoU", "below 0.1", "below 0.3")]
    for title, belongs in {"all numbers": lambda _: False, **FAMILIES}.items():
        kept = [i for i, name in enumerate(names) if not belongs(name)]
        fewer = [replace(row, features=row.features[:, kept]) for row in rows]
        found = [measures(fewer, validate(fewer, 5, seed)) for seed in range(divisions)]
        figures = [
            np.array([each[key] for each in found])
            for key in ("pxap", "mean_iou", "own_iou", "below_0.1", "below_0.3")
        ]
        shown = [f"{f.mean():.3f} ({f.min():.3f} to {f.max():.3f})" for f in figures]
        table.append((title if title == "all numbers" else f"without {title}", *shown))
        print(table[-1], file=sys.stderr, flush=True)
    return table


def markdown(rows: list[tuple[str, ...]]) -> str:
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|---{'|---:' * (len(rows[0]) - 1)}|", *others])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument(
        "--cross-validate", action="store_true", help="learn and measure on different pictures"
    )
    parser.add_argument("--divisions", type=int, default=3, help="number of divisions of the pictures")
    parser.add_argument("--out", type=Path, help="also write the shipped map's figures as JSON")
    options = parser.parse_args()
    if options.cross_validate:
        print(markdown(cross_validated(options.index, options.divisions)))
        return
    results = shipped(options.index)
    tables = [table_rows(results), size_rows(results[:1]), size_rows(results)]
    print("\n\n".join(markdown(rows) for rows in tables if rows))
    if options.out:
        found = [result.to_json() for result in results]
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
