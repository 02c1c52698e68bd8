"""An analysis as one HTML file: pictures inside, no script, nothing fetched, everything escaped."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fcn_core import render
from fcn_core.export import original
from fcn_core.export.reproduce import command_line, python_snippet, renamed
from fcn_core.images.resize import resize_image
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.maps.region import Box, contours_of
from fcn_core.pipeline import Analysis, versions

_LARGE, _SMALL = 1000, 480  # pixels of the longest side

UInt8 = NDArray[np.uint8]


def html_report(analysis: Analysis, cmap: str = "viridis") -> bytes:
    """The analysis as a page of its own, for screen (light or dark) and paper.

    Parameters
    ----------
    analysis : Analysis
    cmap : str
        One of :data:`fcn_core.render.COLOUR_MAPS`.

    Returns
    -------
    bytes
        UTF-8.
    """
    synset, image, model = analysis.synset, analysis.image, analysis.model
    words, count = html.escape(", ".join(synset.words)), len(analysis.class_ids)
    title = f"Where is “{html.escape(synset.words[0])}”?"
    name = html.escape(image.name)
    random = (
        ""
        if model.weights == "imagenet"
        else f'<p class="warning">The network has {html.escape(model.weights)} weights: the maps mean nothing.</p>'
    )
    body = f"""\
<header>
<h1>{title}</h1>
<p>{name}, {image.size_in_words} · {words} ({synset.wnid}, {count} ImageNet
class{"" if count == 1 else "es"}) · {html.escape(model.title)} on {html.escape(model.engine)}, output stride
{model.output_stride} · {analysis.kind} map · fit: {analysis.fit}</p>
{random}
</header>
<main>
{_region_section(analysis, cmap)}
{_scales_section(analysis, cmap)}
{_numbers_section(analysis)}
<section>
<h2>Make it again</h2>
<pre>{html.escape(command_line(analysis))}</pre>
{f'<p class="quiet">{html.escape(renamed(analysis))}</p>' if renamed(analysis) else ""}
<pre>{html.escape(python_snippet(analysis))}</pre>
<p class="quiet">SHA-256 of the picture {image.sha256}<br>SHA-256 of the weights {model.weights_sha256 or "none"}<br>
{html.escape(", ".join(f"{k} {v}" for k, v in versions().items()))}</p>
</section>
</main>"""
    return _page(f"{title} {name}", body).encode()


def _region_section(analysis: Analysis, cmap: str) -> str:
    photo, height, width = _shrunk(analysis.image.pixels, _LARGE)
    sampled = np.ix_(_middles(analysis.image.height, height), _middles(analysis.image.width, width))
    fine, mask = analysis.fine[sampled], analysis.mask[sampled]
    shown = render.overlay(photo, render.colourise(fine, 0, 1, cmap), 0.6)
    shown = render.draw_contours(shown, contours_of(mask))
    shown = render.draw_boxes(shown, [_scaled(b, width / analysis.image.width) for b in analysis.boxes])
    count, share = len(analysis.boxes), analysis.mask.mean()
    region = (
        "Fine map, 0 to 1, every cell placed at its field's centre; outlined where it reaches "
        f"{analysis.threshold:.2f}: {share:.1%} of the picture, {count} box{'' if count == 1 else 'es'}."
    )
    return f"""\
<section class="pair">
{_figure(photo, "The picture.", "The picture as it was read")}
{_figure(shown, region, "The picture with the fine map over it and the found region outlined")}
</section>"""


def _scales_section(analysis: Analysis, cmap: str) -> str:
    photo, height, width = _shrunk(analysis.image.pixels, _SMALL)
    peaks = [h.peak for h in (*analysis.heatmaps.values(), analysis.arithmetic, analysis.geometric)]
    top = 1.0 if analysis.kind == "probability" else max(*peaks, 1e-6)

    def card(title: str, heatmap: Heatmap) -> str:
        values = place(heatmap, height, width, smooth=False)
        pixels = render.overlay(photo, render.colourise(values, 0, top, cmap), 0.75)
        h, w = heatmap.grid
        caption = f"{title}: {h} × {w} cells, peak {heatmap.peak:.3f}"
        return _figure(pixels, caption, f"Heatmap, {title}, over the picture")

    cards = [card(key, heatmap) for key, heatmap in analysis.heatmaps.items()]
    cards += [card("arithmetic mean", analysis.arithmetic), card("geometric mean", analysis.geometric)]
    fixed = "probability, fixed range" if analysis.kind == "probability" else "evidence, shared range"
    bar = _image(render.legend(0, top, cmap, fixed), "png", f"Colour bar: {fixed}, 0 to {top:.3g}")
    return f"""\
<section>
<h2>Every scale, and their means</h2>
<div class="grid">
{"".join(cards)}</div>
{bar}
</section>"""


def _numbers_section(analysis: Analysis) -> str:
    scales = _table(
        ("Scale", "Network's input", "Grid", "Peak", "Mean", "Seconds"),
        (
            (
                key + (" (enlarges the picture)" if m.scale.enlarges else ""),
                f"{m.scale.height} × {m.scale.width}",
                f"{m.grid[0]} × {m.grid[1]}",
                f"{analysis.heatmaps[key].peak:.4f}",
                f"{analysis.heatmaps[key].mean:.4f}",
                f"{m.seconds:.2f}",
            )
            for key, m in analysis.class_maps.items()
        ),
    )
    boxes = _table(
        ("Box", "Left", "Top", "Right", "Bottom", "Pixels", "Peak"),
        (
            tuple(map(str, (n, b.x0, b.y0, b.x1, b.y1, b.area, f"{b.peak:.3f}")))
            for n, b in enumerate((original.box(analysis.image, b) for b in analysis.boxes), start=1)
        ),
    )
    return (
        f"<section>\n<h2>Numbers</h2>\n{scales}\n{boxes if analysis.boxes else '<p>No box.</p>'}\n</section>"
    )


def _shrunk(pixels: UInt8, side: int) -> tuple[UInt8, int, int]:
    factor = min(1.0, side / max(pixels.shape[:2]))
    height, width = (max(2, math.floor(n * factor)) for n in pixels.shape[:2])
    small = resize_image(pixels, height, width) if factor < 1 else pixels
    return np.clip(np.rint(small), 0, 255).astype(np.uint8), height, width


def _middles(of: int, count: int) -> NDArray[np.intp]:
    """Indices of `count` pixels evenly spread over `of`."""
    return ((np.arange(count) + 0.5) * of / count).astype(np.intp)


def _scaled(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = (round(n * factor) for n in (box.x0, box.y0, box.x1, box.y1))
    return replace(box, x0=x0, y0=y0, x1=max(x1, x0 + 1), y1=max(y1, y0 + 1))


def _figure(pixels: UInt8, caption: str, alt: str) -> str:
    return f"<figure>{_image(pixels, 'webp', alt)}<figcaption>{html.escape(caption)}</figcaption></figure>\n"


def _image(pixels: UInt8, format_: render.Format, alt: str) -> str:
    data = base64.b64encode(render.encode(pixels, format_, 85)).decode()
    height, width = pixels.shape[:2]
    return f'<img src="data:image/{format_};base64,{data}" width="{width}" height="{height}" alt="{html.escape(alt)}">'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>\n"

    return (
        f'<div class="wide"><table>\n<thead>{row(head, "th")}</thead>\n'
        f"<tbody>{''.join(row(cells, 'td') for cells in rows)}</tbody></table></div>"
    )


def _page(title: str, body: str) -> str:
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --ground: #fff; --box: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --quiet: #9aa4af; --line: #363c44; --ground: #14171c; --box: #1d2127 }
}
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
h1 { margin: 0; font-size: 1.8rem; line-height: 1.2 }
h2 { margin: 2rem 0 .8rem; font-size: 1.15rem }
header p, figcaption, .quiet { color: var(--quiet); font-size: .9rem; overflow-wrap: anywhere }
.warning { color: #c2410c; font-weight: 600 }
.pair, .grid { display: grid; gap: 1rem }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(12rem, 100%), 1fr)) }
figure { margin: 0; break-inside: avoid }
img { display: block; max-width: 100%; height: auto; border-radius: 6px }
figure img { width: 100% }
.grid + img { margin-top: 1rem }
.wide { overflow-x: auto; margin-bottom: 1rem }
table { border-collapse: collapse; font-size: .9rem }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
pre { padding: .8rem 1rem; background: var(--box); border-radius: 6px; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; break-inside: avoid }
@media print {
  :root { color-scheme: light; --ink: #000; --quiet: #444; --line: #bbb; --ground: #fff; --box: #f4f4f4 }
  body { max-width: none; padding: 0; font-size: 10pt }
  .pair { grid-template-columns: 1fr 1fr }
  .grid { grid-template-columns: repeat(3, 1fr) }
}
"""
