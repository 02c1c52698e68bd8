"""The map of differences: where one half of Compare says more than the other, and how much."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.compare.half import SIZE
from app.compare.halves import Half
from app.ui import display, figures, stage
from app.ui.stage import CellMap, Stage
from fcn_core import render
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.networks.geometry import CellGrid

#: A lower probability counts as this one: below it, how many times one exceeds the other means nothing.
FLOOR = 0.05
_OPACITY = 0.7  # the photograph below stays recognisable where nearly all of it differs

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Difference:
    """How two heatmaps of one picture differ: above 0 where the first says more, 0 where both say the same.

    Attributes
    ----------
    first, second : Heatmap
    between : callable
        Two arrays of their values -> what differs.
    most : float
        The largest absolute value there can be, or from which on the colour stays the same.
    """

    first: Heatmap
    second: Heatmap
    between: Callable[[Floats, Floats], Floats]
    most: float

    @property
    def is_ratio(self) -> bool:
        """Whether it is the logarithm of a ratio."""
        return self.between is log_odds

    def pixels(self, height: int, width: int) -> Floats:
        """Return the difference at each pixel of the picture at this size."""
        return self.between(place(self.first, height, width), place(self.second, height, width))

    def cells(self) -> tuple[Floats, CellGrid | None]:
        """Return the difference of each cell, and where the cells look; None divides the picture evenly."""
        if _places(self.first) == _places(self.second):
            return self.between(self.first.values, self.second.values), self.first.cells
        return self.pixels(*self.first.grid), None


def _places(heatmap: Heatmap) -> object:
    """Return where the cells look; how far they look around that place may differ between models."""
    cells = heatmap.cells
    return heatmap.grid if cells is None else (cells.y.edges(), cells.x.edges())


def of_synsets(first: Heatmap, second: Heatmap) -> Difference:
    """Compare two synsets by the logarithm of how many times more probable the first is than the second."""
    return Difference(first, second, log_odds, math.log(1 / FLOOR))


def of_models(first: Heatmap, second: Heatmap) -> Difference:
    """Compare two models by the difference of what they say about a synset."""
    return Difference(first, second, np.subtract, display.fixed_span(first.kind)[1] / 2)


def log_odds(first: Floats, second: Floats) -> Floats:
    """Return the logarithm of first / second; values below `FLOOR` count as `FLOOR`."""
    below = np.log(np.clip(second, FLOOR, 1))
    return np.asarray(np.log(np.clip(first, FLOOR, 1)) - below, np.float32)


def draw(difference: Difference, halves: tuple[Half, Half], group: str) -> None:
    """Draw the photograph with the difference over it."""
    picture = halves[0].picture
    size = figures.shown_size(picture, *SIZE)
    photo = display.photo(picture, size)
    over = render.overlay_signed(photo, difference.pixels(*size), difference.most, _OPACITY)
    values, cells = difference.cells()
    names = [_more(half, difference) for half in halves]
    if difference.is_ratio:  # "12 times more cat" says more than a logarithm
        values = np.sign(values) * np.exp(np.abs(values))
    alt = f"Where {halves[0].title} and {halves[1].title} differ in {picture.name}: at most " + " and ".join(
        _at_most(difference, sign, name) for sign, name in zip((1, -1), names, strict=True)
    )
    stage.draw(Stage(photo, alt, over, aside=False, map=CellMap(values, None, names, cells, group=group)),
               "compare-difference")  # fmt: skip


def _more(half: Half, difference: Difference) -> str:
    return f"times more {half.title}" if difference.is_ratio else f"more with {half.title}"


def _at_most(difference: Difference, sign: int, name: str) -> str:
    most = float((sign * difference.cells()[0]).max())
    if most <= 0:
        return f"nowhere {name.removeprefix('times ')}"
    return f"{figures.number(math.exp(most) if difference.is_ratio else most)} {name}"


def legend(difference: Difference, halves: tuple[Half, Half]) -> str:
    """Return HTML that says what the colours mean; the left half's colour is on the left."""
    most = f"{math.exp(difference.most):g}" if difference.is_ratio else f"{difference.most:g} or"
    first, second = (html.escape(f"{most} {_more(half, difference)}") for half in halves)
    if difference.is_ratio:
        text = (
            "How many times more probable one is than the other, on a logarithmic scale, by their means over the "
            f"scales. A probability below {FLOOR:g} counts as {FLOOR:g}. The range is fixed: log(p/q) from "
            f"−{difference.most:.1f} to {difference.most:.1f}."
        )
    else:
        what = display.MAP_LABELS[difference.first.kind]
        text = (
            f"The difference of the means over the scales, {what}. The range is fixed: from "
            f"−{difference.most:g} to {difference.most:g}."
        )
    left, right = ("{} {} {}".format(*colour) for colour in render.DIVERGING)
    stops = f"rgb({left}/{_OPACITY}),rgb({left}/0) 50%,rgb({right}/0) 50%,rgb({right}/{_OPACITY})"
    return (
        f'<div class="fcn-signed"><div class="bar" style="background:linear-gradient(to right,{stops})"></div>'
        f"<span>{first}</span><span>the same: plain photo</span><span>{second}</span></div>"
        f'<p class="fcn-note">{html.escape(text)}</p>'
    )
