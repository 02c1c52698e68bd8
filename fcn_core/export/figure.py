"""The report figure: photo, fine map, every scale and both means on one sheet, drawn with matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcn_core import render
from fcn_core.maps.heatmap import Heatmap
from fcn_core.maps.region import Box, contours_of
from fcn_core.pipeline import Analysis
from fcn_core.render.colour_bar import short_number
from fcn_core.render.colours import UInt8
from fcn_core.system.folders import give_matplotlib_a_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED, _WARNING = "#262730", "#6b6f7a", "#d55e00"

# Inches.
_WIDTH, _MARGIN, _GAP = 14.0, 0.45, 0.34
_HEADER, _LARGE_TITLE, _SMALL_TITLE, _ROW_GAP = 0.95, 0.5, 0.72, 0.22
_CONTENT = _WIDTH - 2 * _MARGIN - 0.95  # the rest is for the colour bars
_TALLEST = 7.0  # of the two large panels


def report_figure(analysis: Analysis, cmap: str = "viridis", dpi: int = 150) -> Figure:
    """Draw everything on one sheet: photo, fine map with outline and boxes, every scale, both means.

    Heatmaps are drawn cell by cell, without smoothing, and with one range: probabilities from 0 to 1, evidence from 0
    to the largest value of any scale. A ring marks each peak.

    Parameters
    ----------
    analysis : Analysis
    cmap : str
        One of :data:`fcn_core.render.COLOUR_MAPS`.
    dpi : int
        Pixels per inch; the sheet is 14 inches wide.

    Returns
    -------
    matplotlib.figure.Figure
        On an Agg canvas: ``figure.savefig(path)``. It has no window and need not be closed.
    """
    give_matplotlib_a_place()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    render.colour_table(cmap)  # refuses an unknown name
    small = analysis.at_working_size  # a panel shows fewer pixels
    photo, fine, contours, boxes = small.image.pixels, small.fine, contours_of(small.mask), small.boxes
    height, width = photo.shape[:2]
    means = {"arithmetic mean": analysis.arithmetic, "geometric mean": analysis.geometric}
    cards = {**analysis.heatmaps, **means}
    top = 1.0 if analysis.kind == "probability" else max(1e-6, *(heatmap.peak for heatmap in cards.values()))

    # Every panel has the photo's proportions, within limits. A photo beyond the limits fills only a part of its panel.
    shape = min(max(height / width, 0.2), 1.6)
    columns = min(max(len(cards), 4), 6)
    rows = math.ceil(len(cards) / columns)
    large_width, small_width = ((_CONTENT - (n - 1) * _GAP) / n for n in (2, columns))
    large_height, small_height = min(large_width * shape, _TALLEST), small_width * shape
    large_top = _HEADER + _LARGE_TITLE
    large_bottom = large_top + large_height
    small_top = large_bottom + 0.3 + _SMALL_TITLE
    small_bottom = small_top + rows * small_height + (rows - 1) * (_SMALL_TITLE + _ROW_GAP)
    tall = small_bottom + _MARGIN
    figure = Figure(figsize=(_WIDTH, tall), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)

    def grid(top: float, bottom: float, **spacing: Any) -> Any:
        edges = {"left": _MARGIN / _WIDTH, "right": (_MARGIN + _CONTENT) / _WIDTH}
        return figure.add_gridspec(top=1 - top / tall, bottom=1 - bottom / tall, **{**edges, **spacing})

    _write_header(figure, analysis)
    large = grid(large_top, large_bottom, nrows=1, ncols=2, wspace=_GAP / large_width)
    _draw_photo(figure.add_subplot(large[0, 0]), photo, analysis)
    _draw_region(figure.add_subplot(large[0, 1]), (photo, fine, contours, boxes), analysis, cmap)
    small = grid(
        small_top, small_bottom, nrows=rows, ncols=columns,
        wspace=_GAP / small_width, hspace=(_SMALL_TITLE + _ROW_GAP) / small_height,
    )  # fmt: skip
    for index, (name, heatmap) in enumerate(cards.items()):
        axes = figure.add_subplot(small[index // columns, index % columns])
        axes.imshow(
            heatmap.values, vmin=0, vmax=top, cmap=cmap, extent=(0, width, height, 0), interpolation="nearest"
        )
        axes.set(xlim=(0, width), ylim=(height, 0))
        _mark_peak(axes, heatmap, (height, width))
        seconds = f" · {analysis.class_maps[name].seconds:.2f} s" if name in analysis.heatmaps else ""
        grid_size = f"{heatmap.grid[0]} × {heatmap.grid[1]} cells{seconds}"
        span = _range(float(heatmap.values.min()), heatmap.peak)
        _caption(axes, name, f"{grid_size}\npeak {short_number(heatmap.peak)} · range {span}")
        if 0 < index <= len(analysis.heatmaps):
            sign = "+" if index < len(analysis.heatmaps) else "="
            _write(axes, sign, (0, 0.5), (-_GAP * 36, 0), fontsize=15, ha="center", va="center", color=_MUTED)

    beside = {
        "nrows": 1,
        "ncols": 1,
        "left": 1 - (_MARGIN + 0.6) / _WIDTH,
        "right": 1 - (_MARGIN + 0.44) / _WIDTH,
    }
    if analysis.kind == "probability":
        bar = grid(large_top, small_bottom, **beside)
        _colour_bar(figure, bar, 1.0, cmap, "probability and fine map, fixed range 0 to 1")
    else:
        _colour_bar(figure, grid(large_top, large_bottom, **beside), 1.0, cmap, "fine map, 0 to 1")
        _colour_bar(
            figure, grid(small_top, small_bottom, **beside), top, cmap, "evidence (logits)\nshared range"
        )
    return figure


def _write_header(figure: Figure, analysis: Analysis) -> None:
    model, classes = analysis.model, len(analysis.class_ids)
    imagenet = "ImageNet " if model.vocabulary == "imagenet" else ""
    facts = (
        f"{analysis.synset.wnid}, {classes} {imagenet}class{'' if classes == 1 else 'es'}",
        f"{analysis.kind} map",
        f"{model.title} ({model.engine}, output stride {model.output_stride})",
        f"fit: {analysis.fit}",
    )
    words = _shortened(", ".join(analysis.synset.words[:2]), 60)
    tall = figure.get_figheight()

    def write(text: str, left: float, top: float, **style: Any) -> None:
        figure.text(left / _WIDTH, 1 - top / tall, _printable(text), **_style(style))

    write(f"Where is “{words}”?", _MARGIN, 0.32, fontsize=17, weight="bold")
    write("  ·  ".join(facts), _MARGIN, 0.68, fontsize=9, color=_MUTED)
    if model.weights == "random":
        warning = "random weights: for measurements only"
        write(warning, _WIDTH - _MARGIN, 0.36, fontsize=10, weight="bold", color=_WARNING, ha="right")


def _draw_photo(axes: Axes, photo: UInt8, analysis: Analysis) -> None:
    axes.imshow(photo, interpolation="antialiased")
    image = analysis.image
    _caption(axes, "photo", f"{_shortened(image.name, 50)}, {image.size_in_words}", size=11)


def _draw_region(
    axes: Axes,
    reduced: tuple[UInt8, NDArray[np.float32], tuple[NDArray[np.float64], ...], tuple[Box, ...]],
    analysis: Analysis,
    cmap: str,
) -> None:
    photo, fine, contours, boxes = reduced
    line = max(2, round(max(photo.shape[:2]) / 240))
    shown = render.overlay_map(photo, fine, cmap=cmap)
    axes.imshow(
        render.draw_boxes(render.draw_contours(shown, contours, width=line), boxes, width=line),
        interpolation="antialiased",
    )
    share = analysis.coverage
    count = f"{len(boxes)} box{'' if len(boxes) == 1 else 'es'}"
    found = f"outline at threshold {analysis.threshold:.2f}, {count}, {share:.0%} of the picture"
    if not analysis.marked:
        found = f"no {analysis.synset.name} found: presence {analysis.presence:.2f}"
    _caption(axes, "fine map", found, size=11)


def _mark_peak(axes: Axes, heatmap: Heatmap, size: tuple[int, int]) -> None:
    (rows, columns), (row, column) = heatmap.grid, heatmap.peak_cell
    centre = ((column + 0.5) * size[1] / columns, (row + 0.5) * size[0] / rows)
    for ink, thickness in (("black", 2.6), ("white", 1.2)):
        axes.plot(
            *centre,
            "o",
            markersize=6.5,
            fillstyle="none",
            color=ink,
            markeredgewidth=thickness,
            clip_on=False,
        )


def _caption(axes: Axes, title: str, caption: str, size: float = 9) -> None:
    """Write a bold title and a caption of one or more lines above the axes, which become a plain picture."""
    axes.set_axis_off()
    axes.set_anchor("NW")
    leading = 12 if size < 10 else 13
    lines = caption.count("\n") + 1
    _write(
        axes, caption, (0, 1), (0, 5 + leading * lines), fontsize=size - 1.5, color=_MUTED, linespacing=1.35
    )
    _write(axes, title, (0, 1), (0, 9 + leading * lines), fontsize=size, weight="bold", va="bottom")


def _style(style: dict[str, Any]) -> dict[str, Any]:
    return {"va": "top", "color": _INK, "fontfamily": "DejaVu Sans", "parse_math": False, **style}


def _write(axes: Axes, text: str, at: tuple[float, float], points: tuple[float, float], **style: Any) -> None:
    """Write text beside the axes: `at` is from 0 to 1 from their lower left corner, then moved by points."""
    axes.annotate(
        _printable(text),
        at,
        points,
        xycoords="axes fraction",
        textcoords="offset points",
        annotation_clip=False,
        **_style(style),
    )


def _colour_bar(figure: Figure, grid: Any, top: float, cmap: str, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(0, top), cmap),
        cax=figure.add_subplot(grid[0, 0]),
        ticks=np.linspace(0, top, 6),
        format=lambda tick, _: short_number(tick),
    )
    bar.set_label(label, fontsize=8, color=_MUTED, labelpad=6)
    bar.outline.set(linewidth=0.6, edgecolor=_MUTED)
    bar.ax.tick_params(labelsize=8, labelcolor=_INK, length=3, width=0.6, color=_MUTED)


def _printable(text: str) -> str:
    """Replace characters that DejaVu Sans does not have by a box: file names come in every script."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(sign if sign == "\n" or ord(sign) in known else "□" for sign in text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _range(low: float, high: float) -> str:
    """Format both ends with the decimals that the high one needs for two digits."""
    decimals = 2 if high <= 0 else min(max(2, 1 - math.floor(math.log10(high))), 6)
    return f"{low:.{decimals}f} to {high:.{decimals}f}"
