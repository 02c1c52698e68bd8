"""The figure to play with: a cell of the lesson's picture, from its patch to the probability of the synset.

All numbers of all cells go to the browser once; there a script shows one cell and answers to pointer and keyboard. It
asks nothing of the server, so a step from cell to cell takes a few milliseconds.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.lesson import frame, svg
from app.lesson.cell_by_cell.numbers import TERMS, TERMS_ON_A_SLIDE, Array, Cells, thousandths
from app.lesson.cell_by_cell.still import still
from app.lesson.cell_by_cell.words import words
from app.lesson.facts import grid
from app.lesson.language import current
from app.lesson.language import translated as _
from app.lesson.stage import NotReadyError, Stage
from app.state import caches
from app.state.queue.measurements import FieldOfEachCell, LastLayerOf
from app.state.samples import SAMPLES
from app.ui import figures
from fcn_core import render
from fcn_core.engines.last_layer import LastLayer
from fcn_core.images.scales import NOTEBOOK_SCALES

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "fcn_cell_by_cell",
    html=(_HERE / "figure.html").read_text(encoding="utf-8"),
    css=(_HERE / "figure.css").read_text(encoding="utf-8"),
    js=(_HERE / "figure.js").read_text(encoding="utf-8"),
)
_PHOTO = 512  # pixels of the picture's longer side: a patch of it is enlarged


def draw(stage: Stage, *, large: bool = False) -> None:
    """Draw the figure; without the measured field until that is there.

    Parameters
    ----------
    large : bool
        Whether it is for a slide: less of it, in letters that the last row can read.

    Raises
    ------
    NotReadyError
        The class map or the last layer is still computed.
    FcnError
        They cannot be computed.
    """
    (class_map,) = stage.class_maps("cells", stage.source, NOTEBOOK_SCALES[:1]).values()
    shown = TERMS_ON_A_SLIDE if large else TERMS
    cells = Cells(class_map, tuple(stage.ontology.class_ids(stage.synset)), shown)
    last = stage.measured("last layer", stage.source, class_map.scale, LastLayerOf(cells.classes))
    field, wait = None, None
    try:
        field = stage.measured("field of each cell", stage.source, class_map.scale, FieldOfEachCell())
    except NotReadyError as not_ready:
        wait = not_ready
    source, synset = stage.source, stage.synset
    key = (source.sha256, stage.model, class_map.scale, synset, current(), large, field is not None)
    kept = caches.cells_of_sample if source.address in SAMPLES else caches.cells_of_own_picture
    sent = kept(key, lambda: {**payload(stage, cells, last, field), "large": large})
    _component(key="lesson_cells", data=[sent])
    if wait is not None:
        frame.wait_for(NotReadyError(wait.share, _("the fields of all cells are being measured")))
    stage.paper.append(still(stage, cells, last, field))
    stage.say(
        cells_grid=grid(*cells.grid),
        cells_count=cells.heat.size,
        cells_input=grid(class_map.scale.height, class_map.scale.width),
        cells_terms=shown,
    )


def payload(stage: Stage, cells: Cells, last: LastLayer, field: Array | None) -> dict[str, Any]:
    """Return everything that the browser needs, as plain data; numbers are in thousandths, weights in 1e-4."""
    photo = svg.reduced(stage.picture.pixels, _PHOTO)
    ontology = stage.ontology
    index = {class_id: n for n, class_id in enumerate(cells.classes)}
    logits = cells.class_map.logits
    channels: dict[int, str] = {}
    shown, below = [], {class_id: ontology.label(ontology.classes[class_id]) for class_id in cells.classes}
    for cell in cells.all:
        sums = {class_id: cells.logit(last, cell, class_id) for class_id in cells.listed[cell]}
        total = cells.sum_below(cell)
        below |= {each: ontology.label(ontology.classes[each]) for each in total.classes}
        channels |= {
            term.channel: _bytes(last.features[..., term.channel], 0.0)
            for each in sums.values()
            for term in each.terms
            if term.channel not in channels
        }
        shown.append(
            {
                "classes": [index[class_id] for class_id in sums],
                "logits": [each.logit for each in sums.values()],
                "shares": [thousandths(cells.probabilities[cell][class_id]) for class_id in sums],
                "terms": [
                    [
                        (t.channel, thousandths(t.feature), round(1e4 * t.weight), product)
                        for t, product in zip(each.terms, each.products, strict=True)
                    ]
                    for each in sums.values()
                ],
                "rests": [each.rest for each in sums.values()],
                "active": int((last.features[cell] != 0).sum()),
                "parts": list(zip((below[each] for each in total.classes), total.parts, strict=True)),
                "rest": total.rest,
                "total": total.total,
            }
        )
    edges = cells.class_map.cells
    return {
        "photo": figures.uri(photo),
        "height": photo.shape[0],
        "width": photo.shape[1],
        "grid": list(cells.grid),
        "ys": edges.y.edges(),
        "xs": edges.x.edges(),
        "cells": shown,
        "names": [below[class_id] for class_id in cells.classes],
        "inside": [class_id in cells.class_ids for class_id in cells.classes],
        "biases": [thousandths(bias) for bias in last.bias.tolist()],
        "maps": [_bytes(logits[..., class_id], None) for class_id in cells.classes],
        "spans": [
            [thousandths(float(f(logits[..., class_id]))) for f in (np.min, np.max)]
            for class_id in cells.classes
        ],
        "heat": [thousandths(value) for value in cells.heat.ravel()],
        "channels": channels,
        "peaks": {c: thousandths(float(last.features[..., c].max())) for c in channels},
        "field": None if field is None else _field(field),
        "peak": list(cells.peak),
        "palette": _base64(render.colour_table("viridis")),
        "synset": stage.ontology.label(stage.synset),
        "count": len(cells.class_ids),
        "outputs": logits.shape[-1],
        "features": last.features.shape[-1],
        "words": words(),
        "comma": current() == "fr",
        "id": f"{stage.source.sha256}-{stage.model.name}-{stage.synset}",
    }


def _base64(values: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.uint8).tobytes()).decode()


def _bytes(values: Array, low: float | None) -> str:
    """Return a map as bytes in base64, from `low` (None: its smallest value) to its largest value."""
    lowest = float(values.min()) if low is None else low
    span = float(values.max()) - lowest
    return _base64(np.rint(255 * np.clip(values - lowest, 0, None) / (span or 1.0)))


def _field(field: Array) -> dict[str, Any]:
    """Return for each cell the brightness of every part of the picture, and what there is to say of it."""
    count = field.shape[0] * field.shape[1]
    shares = field.reshape(count, count).astype(np.float64)
    peaks = shares.max(axis=1, keepdims=True)
    bright = np.sqrt(np.divide(shares, peaks, out=np.zeros_like(shares), where=peaks > 0))
    largest_first = -np.sort(-shares, axis=1)
    return {
        "bright": _base64(np.rint(255 * bright)),
        "own": [thousandths(share) for share in np.diag(shares)],
        "half": [int(np.searchsorted(np.cumsum(row), 0.5)) + 1 for row in largest_first],
    }
