"""The row of small maps, one a scale, as the sum that the arithmetic mean is."""

from __future__ import annotations

from app.state.pictures import Picture
from app.state.selection import Selection
from app.ui import figures
from app.ui.display import Span, card_photo, look_of, own_span, span_of
from app.ui.figures import Card
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.heatmap import Heatmap
from fcn_core.pipeline import Analysis

_SIZE = (260, 260)


def draw(chosen: Selection, maps: Analysis | None, picture: Picture, plans: tuple[PlannedScale, ...]) -> None:
    """Draw the row: the sum of the scales over their number is the arithmetic mean, which stands below.

    Parameters
    ----------
    chosen : Selection
    maps : Analysis or None
        None before the first scale is computed.
    picture : Picture
    plans : tuple of PlannedScale
        All scales that are asked for; empty: those of `maps`.
    """
    size = figures.shown_size(picture, *_SIZE)
    photo, look = card_photo(picture, size, chosen), look_of(chosen)
    span = span_of(maps, chosen) if maps is not None else None
    name = chosen.ontology[chosen.synset].name
    keys = [str(plan.requested) for plan in plans] or list(maps.heatmaps if maps else ())
    if not keys:
        return
    cards = []
    for key in keys:
        heatmap = maps.heatmaps.get(key) if maps is not None else None
        if maps is None or heatmap is None:
            cards.append(Card(times(key), ("waiting", ""), None, f"{key}: not yet computed"))
            continue
        rows, columns = heatmap.grid
        lines = (
            f"{rows} × {columns} cells, {figures.seconds(maps.class_maps[key].seconds)}",
            _peak(heatmap, span),
        )
        pixels = figures.paint(photo, heatmap, size, own_span(heatmap, span), look)
        row, column = heatmap.peak_cell
        alt = f"{name} at {times(key)}: peak {figures.number(heatmap.peak)} in row {row}, column {column}"
        cards.append(Card(times(key), lines, pixels, alt))
    figures.cards(cards, signs_of(len(keys)), size, lossless=not look.smooth)


def signs_of(count: int) -> tuple[str, ...]:
    """Return the sign before each of `count` cards, and the one after the last: together a sum over their number."""
    if count == 1:
        return "", "= arithmetic mean"
    return "(", *["+"] * (count - 1), f") / {count} = arithmetic mean"


def times(key: str) -> str:
    """Return a scale with a multiplication sign."""
    return key.replace("x", " × ")


def _peak(heatmap: Heatmap, span: Span | None) -> str:
    if span is None:
        return f"{figures.number(float(heatmap.values.min()))} to {figures.number(heatmap.peak)}"
    return f"peak {figures.number(heatmap.peak)}"
