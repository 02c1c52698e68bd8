"""HTML of pictures, heatmap cards, colour bars and tables."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.state.queue.jobs import Source
from fcn_core import render
from fcn_core.maps.heatmap import Heatmap, Placement, place

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """How maps become colours: the user's choices under Display."""

    colours: str = "viridis"
    opacity: float = render.MAP_OPACITY
    smooth: bool = True
    placement: Placement = "centres"


def shown_size(image: Source, width: int, most: int) -> tuple[int, int]:
    """Return the (height, width) to show a picture at: at most `width` wide and `most` high, proportions kept."""
    factor = min(width / image.width, most / image.height)
    return max(1, round(image.height * factor)), max(1, round(image.width * factor))


def uri(pixels: UInt8, lossless: bool = False) -> str:
    """Encode a picture as a data URI: JPEG, or PNG if `lossless`, so that cells keep sharp edges."""
    kind: render.Format = "png" if lossless else "jpeg"
    return render.data_uri(render.encode(pixels, kind, 88), kind)


def paint(
    photo: UInt8 | None, heatmap: Heatmap, size: tuple[int, int], span: tuple[float, float], look: Look
) -> UInt8:
    """Colour a heatmap at a size (height, width); blend it over `photo` if given."""
    placement: Placement = look.placement if heatmap.cells is not None else "even"
    values = place(heatmap, *size, placement=placement, smooth=look.smooth)
    if photo is None:
        return render.colourise(values, *span, look.colours)
    return render.overlay_map(photo, values, span, look.colours, look.opacity)


def figure(pixels: UInt8, alt: str, caption: str = "", lossless: bool = False) -> str:
    """Return HTML of a picture. Its size is stated, so that the layout does not jump; `caption` is plain text."""
    height, width = pixels.shape[:2]
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="fcn-figure"><img src="{uri(pixels, lossless)}" width="{width}" height="{height}" '
        f'alt="{html.escape(alt)}">{text}</figure>'
    )


@dataclass(frozen=True)
class Card:
    """A heatmap with a title and lines of small print; `pixels` is None while it is computed."""

    title: str
    lines: tuple[str, ...]
    pixels: UInt8 | None
    alt: str


def cards(items: Sequence[Card], signs: Sequence[str], shape: tuple[int, int], lossless: bool) -> None:
    """Show cards of equal size in a row that scrolls sideways, a sign (such as "+") before each and after the last."""
    parts = []
    before = [
        f'<span class="op" aria-hidden="true">{html.escape(sign)}</span>' if sign else "" for sign in signs
    ]
    for card, sign in zip(items, before[:-1], strict=True):
        parts.append(sign)
        picture = (
            f'<img src="{uri(card.pixels, lossless)}" alt="{html.escape(card.alt)}">'
            if card.pixels is not None
            else ""
        )
        lines = "<br>".join(f"<small>{html.escape(line)}</small>" for line in card.lines)
        parts.append(
            f'<figure class="fcn-card{"" if card.pixels is not None else " fcn-wait"}">'
            f'<div class="frame" style="aspect-ratio:{shape[1]}/{shape[0]}">{picture}</div>'
            f"<figcaption><b>{html.escape(card.title)}</b><br>{lines}</figcaption></figure>"
        )
    parts.append(before[-1])
    st.html(f'<div class="fcn-sum" tabindex="0" role="group" aria-label="Scales">{"".join(parts)}</div>')


def legend(span: tuple[float, float] | None, cmap: str, label: str, opacity: float = 1.0) -> str:
    """Return HTML of a colour bar labelled with its range.

    Parameters
    ----------
    span : (float, float) or None
        None: each map has its own range.
    cmap, label : str
    opacity : float
        Below 1: of the highest value of maps over a photo. The bar becomes transparent towards its low end, as they do.
    """
    table = render.colour_table(cmap)[np.linspace(0, 255, 17).round().astype(int)]
    alphas = np.linspace(0, opacity, len(table)) if opacity < 1 else np.ones(len(table))
    stops = ",".join(f"rgb({r} {g} {b}/{a:.2f})" for (r, g, b), a in zip(table.tolist(), alphas, strict=True))
    low, high = ("lowest", "highest of each map") if span is None else (number(span[0]), number(span[1]))
    return (
        f'<div class="fcn-legend"><span class="bar-block"><span>{low}</span>'
        f'<span class="bar" role="img" aria-label="Colour bar from {low} to {high}" '
        f'style="background:linear-gradient(to right,{stops})"></span><span>{high}</span></span>'
        f'<span class="fcn-muted">{html.escape(label)}</span></div>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return HTML of a table of plain text; columns of numbers are right-aligned."""
    return f'<div class="fcn-scroll">{render.html_table(head, rows, "fcn-table")}</div>'


def number(value: float) -> str:
    """Format a value with two decimals, or none from 100 on."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def seconds(value: float) -> str:
    """Format a duration."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
