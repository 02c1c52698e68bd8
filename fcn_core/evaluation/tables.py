"""The results of an evaluation as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fcn_core.evaluation.metrics import SizeGroup
from fcn_core.evaluation.ways import WAYS

if TYPE_CHECKING:
    from fcn_core.evaluation.evaluate import Evaluation


def measures(result: Evaluation) -> str:
    """Format the measures of one way, one a line; those without truth are left out."""
    s = result.summary
    rows = [("pointing accuracy", f"{s.pointing:.3f}")]
    if s.pxap is not None:
        rows += [("PxAP", f"{s.pxap:.3f}")]
    if s.max_box_acc_v2 is not None:
        rows += [("MaxBoxAccV2", f"{s.max_box_acc_v2:.3f}")]
    if s.mean_iou is not None:
        rows += [("mean IoU", f"{s.mean_iou:.3f} at the best single threshold, {s.threshold:.2f}")]
    if s.mask_iou is not None:
        rows += [("own-threshold IoU", f"{s.mask_iou:.3f}")]
        rows += [("own IoU below 0.1", f"{s.below_0_1:.3f} of the rows")]
        rows += [("own IoU below 0.3", f"{s.below_0_3:.3f} of the rows")]
    ratio = "" if result.pass_ratio is None else f", {result.pass_ratio:.2f} times the network's passes"
    rows += [("seconds an image", f"{result.seconds:.2f}{ratio}")]
    return "\n".join(f"{name:<18} {value}" for name, value in rows)


def table(results: Sequence[Evaluation]) -> str:
    """Format the measures of several ways for a terminal, one row per way."""
    return _aligned(table_rows(results))


def table_rows(results: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Return the cells of the measures of several ways: a head, and one row per way."""
    head = (
        *("", "pointing", "PxAP", "MaxBoxAccV2", "mean IoU", "at", "own IoU", "below 0.1", "below 0.3"),
        *("worse", "s/image", "passes"),
    )
    rows: list[tuple[str, ...]] = [head]
    for result in results:
        s = result.summary
        figures = (
            *(s.pointing, s.pxap, s.max_box_acc_v2, s.mean_iou, s.threshold, s.mask_iou),
            *(s.below_0_1, s.below_0_3, result.worse_than_plain),
        )
        times = (f"{result.seconds:.2f}", "-" if result.pass_ratio is None else f"{result.pass_ratio:.2f}")
        rows.append((WAYS[result.way], *map(_figure, figures), *times))
    return rows


def size_table(results: Sequence[Evaluation]) -> str:
    """Format the cells of `size_rows` for a terminal."""
    return _aligned(size_rows(results))


def size_rows(results: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Return the mean IoU by the object's share of the picture as cells: with own IoU for one way, else a row per way.

    There is none if no row has a mask.
    """
    groups = results[0].summary.by_size
    if not groups:
        return []
    title = "object's share of the picture"
    if len(results) == 1:
        head = (title, "rows", "mean IoU", "own IoU")
        rows = [(_label(g), str(g.pictures), _figure(g.mean_iou), _figure(g.mask_iou)) for g in groups]
        return [head, *rows]
    labels = (f"mean IoU by {title}", *map(_label, groups))
    counts = ("rows", *(str(group.pictures) for group in groups))
    ways = [(WAYS[r.way], *(_figure(g.mean_iou) for g in r.summary.by_size)) for r in results]
    return [labels, counts, *ways]


def _label(group: SizeGroup) -> str:
    low, high = (f"{100 * edge:.0f} %" for edge in (group.at_least, group.below))
    if group.at_least == 0:
        return f"below {high}"
    return f"{low} and above" if group.below == 1 else f"{low} to {high}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Align the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
