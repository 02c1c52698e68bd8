"""An analysis as one HTML file: pictures inside, no script, nothing loaded from elsewhere, all text escaped.

The page is the template ``templates/report.html`` beside this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jinja2
import numpy as np
from numpy.typing import NDArray

from fcn_core import render
from fcn_core.export import original
from fcn_core.export.reproduce import command_line, python_snippet, rename_note
from fcn_core.images.resize import resize_image
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.maps.region import Box, contours_of
from fcn_core.pipeline import Analysis
from fcn_core.render.colours import UInt8
from fcn_core.system.installed import versions

_LARGE, _SMALL = 1000, 480  # pixels of the longest side

_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("fcn_core.export"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class _Image:
    """A picture of the page."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str


def html_report(analysis: Analysis, cmap: str = "viridis") -> bytes:
    """Return the analysis as a separate page, for screens (light or dark) and paper.

    Parameters
    ----------
    analysis : Analysis
    cmap : str
        One of :data:`fcn_core.render.COLOUR_MAPS`.

    Returns
    -------
    bytes
        HTML in UTF-8.
    """
    photo, region = _photo_and_region(analysis, cmap)
    cards, colour_bar = _cards(analysis, cmap)
    page = _PAGES.get_template("report.html").render(
        image=analysis.image,
        synset=analysis.synset,
        classes=len(analysis.class_ids),
        imagenet="ImageNet " if analysis.model.vocabulary == "imagenet" else "",
        model=analysis.model,
        options=analysis.options,
        photo=photo,
        region=region,
        cards=cards,
        colour_bar=colour_bar,
        scale_table=_scale_table(analysis),
        box_table=_box_table(analysis) if analysis.boxes else "",
        command=command_line(analysis),
        rename_note=rename_note(analysis),
        snippet=python_snippet(analysis),
        versions=versions(),
    )
    return page.encode()


def _photo_and_region(analysis: Analysis, cmap: str) -> tuple[_Image, _Image]:
    photo, height, width = _reduced(analysis.at_working_size.image.pixels, _LARGE)
    small = analysis.at_working_size
    sampled = np.ix_(_middles(small.image.height, height), _middles(small.image.width, width))
    fine, mask = small.fine[sampled], small.mask[sampled]
    shown = render.overlay_map(photo, fine, cmap=cmap)
    shown = render.draw_contours(shown, contours_of(mask))
    shown = render.draw_boxes(shown, [_scaled(b, width / analysis.image.width) for b in analysis.boxes])
    count, share = len(analysis.boxes), analysis.coverage
    caption = (
        "Fine map, 0 to 1, each cell placed at the centre of its receptive field. The outline is at the threshold "
        f"{analysis.threshold:.2f}: {share:.1%} of the picture, {count} box{'' if count == 1 else 'es'}."
    )
    if not analysis.marked:
        caption = (
            f"Fine map, 0 to 1. No {analysis.synset.name} was found, so nothing is outlined: the probability that "
            f"there is one is {analysis.presence:.2f}, below {analysis.presence_floor:g}."
        )
    return (
        _image(photo, "The picture as it was read", "The picture."),
        _image(shown, "The picture with the fine map over it and the object outlined", caption),
    )


def _cards(analysis: Analysis, cmap: str) -> tuple[list[_Image], _Image]:
    """Return the heatmaps over the picture, and the colour bar that they share."""
    photo, height, width = _reduced(analysis.at_working_size.image.pixels, _SMALL)
    means = {"arithmetic mean": analysis.arithmetic, "geometric mean": analysis.geometric}
    heatmaps = {**analysis.heatmaps, **means}
    top = 1.0 if analysis.kind == "probability" else max(1e-6, *(each.peak for each in heatmaps.values()))

    def card(title: str, heatmap: Heatmap) -> _Image:
        values = place(heatmap, height, width, smooth=False)
        pixels = render.overlay_map(photo, values, (0, top), cmap)
        rows, columns = heatmap.grid
        caption = f"{title}: {rows} × {columns} cells, peak {heatmap.peak:.3f}"
        return _image(pixels, f"Heatmap, {title}, over the picture", caption)

    fixed = "probability, fixed range" if analysis.kind == "probability" else "evidence, shared range"
    bar = _image(render.legend(0, top, cmap, fixed), f"Colour bar: {fixed}, 0 to {top:.3g}", format="png")
    return [card(title, heatmap) for title, heatmap in heatmaps.items()], bar


def _scale_table(analysis: Analysis) -> str:
    return render.html_table(
        ("Scale", "Network's input", "Grid", "Peak", "Mean", "Seconds"),
        [
            (
                key + (" (enlarges the picture)" if m.scale.enlarges else ""),
                f"{m.scale.height} × {m.scale.width}",
                f"{m.grid[0]} × {m.grid[1]}",
                f"{analysis.heatmaps[key].peak:.4f}",
                f"{analysis.heatmaps[key].mean:.4f}",
                f"{m.seconds:.2f}",
            )
            for key, m in analysis.class_maps.items()
        ],
    )


def _box_table(analysis: Analysis) -> str:
    return render.html_table(
        ("Box", "Left", "Top", "Right", "Bottom", "Pixels", "Peak"),
        [
            [str(n), *map(str, (b.x0, b.y0, b.x1, b.y1, b.area)), f"{b.peak:.3f}"]
            for n, b in enumerate(original.boxes(analysis), start=1)
        ],
    )


def _reduced(pixels: UInt8, side: int) -> tuple[UInt8, int, int]:
    """Return a picture with no side longer than `side`, its height and its width."""
    factor = min(1.0, side / max(pixels.shape[:2]))
    height, width = (max(2, math.floor(n * factor)) for n in pixels.shape[:2])
    small = resize_image(pixels, height, width) if factor < 1 else pixels
    return np.clip(np.rint(small), 0, 255).astype(np.uint8), height, width


def _middles(of: int, count: int) -> NDArray[np.intp]:
    """Return the indices of `count` pixels that are evenly spread over `of`."""
    return ((np.arange(count) + 0.5) * of / count).astype(np.intp)


def _scaled(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = (round(n * factor) for n in (box.x0, box.y0, box.x1, box.y1))
    return replace(box, x0=x0, y0=y0, x1=max(x1, x0 + 1), y1=max(y1, y0 + 1))


def _image(pixels: UInt8, alt: str, caption: str = "", format: render.Format = "webp") -> _Image:
    height, width = pixels.shape[:2]
    return _Image(render.data_uri(render.encode(pixels, format, 85), format), width, height, alt, caption)
