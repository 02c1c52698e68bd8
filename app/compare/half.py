"""One half of Compare: a photograph with an outline or a heatmap, and a line in words."""

from __future__ import annotations

import html
from functools import partial

import streamlit as st

from app.compare.halves import Looked, try_again
from app.ui import display, figures, notices, stage
from app.ui.stage import CellMap, Outline, Stage
from app.ui.wording import certainty
from fcn_core.maps.heatmap import Heatmap
from fcn_core.networks.zoo import model_spec
from fcn_core.pipeline import Analysis
from fcn_core.render import Colour

#: Of the left and of the right half: as in the map of differences, and light enough for a line on a photograph.
COLOURS: tuple[Colour, Colour] = ((86, 180, 233), (230, 159, 0))
SIZE = (640, 520)


def draw(looked: Looked, side: int, group: str) -> Analysis | None:
    """Draw a half; return its analysis if it has a result.

    Parameters
    ----------
    looked : Looked
    side : int
        0 or 1.
    group : str
        Of pictures that frame the same place together.
    """
    half, colour = looked.half, COLOURS[side]
    st.html(
        f'<h2 class="fcn-half-head"><i style="background:{stage.css(colour)}"></i>{html.escape(half.title)}</h2>'
    )
    if looked.snapshot.error:
        again = partial(try_again, looked.job.key)
        title = model_spec(half.model.name).title
        notices.failed(title, looked.snapshot.error, again, key=f"side-again-{side}")
    size = figures.shown_size(half.picture, *SIZE)
    photo, key = display.photo(half.picture, size), f"compare-stage-{side}"
    if not half.chosen.synset:
        stage.draw(Stage(photo, f"The photo: {half.picture.name}"), key)
        st.html(f'<p class="fcn-half-line">{html.escape(f"{half.title} never learned {half.name}.")}</p>')
        return None
    if looked.view is None:
        stage.draw(Stage(photo, f"The photo: {half.picture.name}"), key)
        if not looked.snapshot.finished:
            st.html('<p class="fcn-half-line">Looking …</p>')
        return None
    analysis = looked.view.analysis(half.chosen)
    mean = analysis.arithmetic
    where = f"{half.picture.name}, {half.title}" if half.title != half.name else half.picture.name
    cells = CellMap(mean.values, None, [_of(looked, mean)], mean.cells, group=group)
    if half.chosen.view == "Heatmap":
        over = figures.paint(photo, mean, size, display.fixed_span(mean.kind), display.look_of(half.chosen))
        alt = f"Heatmap of {half.name} over {where}, highest value {figures.number(mean.peak)}"
        stage.draw(Stage(photo, alt, over, aside=False, map=cells), key)
    else:
        polygons = looked.outlined.polygons
        alt = (
            f"{where} with an outline of {half.name}" if polygons else f"{where}: no {half.name} is outlined"
        )
        outline = Outline(half.chosen.synset, half.name, colour, polygons)
        stage.draw(Stage(photo, alt, outlines=(outline,), map=cells), key)
    st.html(f'<p class="fcn-half-line">{html.escape(sentence(looked, analysis))}</p>')
    return analysis


def _of(looked: Looked, mean: Heatmap) -> str:
    """Say what a value under the pointer is of."""
    half = looked.half
    name = half.name if half.title == half.name else f"{half.name}, {half.title}"
    return name if mean.kind == "probability" else f"{name} (evidence)"


def sentence(looked: Looked, analysis: Analysis) -> str:
    """Say what was found, in one line."""
    name, share, covered = looked.half.name, f"{analysis.presence:.0%}", f"{looked.outlined.coverage:.0%}"
    if analysis.present:
        said = certainty(analysis.presence, analysis.model.outputs.ontology)
        return f"{name}: {said if said == share else f'{said} ({share})'}, outlined on {covered} of the photo"
    trace = f"; what looks most like it is outlined on {covered} of the photo"
    return f"No {name} found here ({share}){trace if analysis.marked else ''}"
