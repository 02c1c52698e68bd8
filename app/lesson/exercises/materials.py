"""What the exercises show: live values for their text, a heatmap in numbers, and maps to choose from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from html import escape

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.lesson import draw
from app.lesson.exercises import of_maps, of_network
from app.lesson.exercises.exercise import Facts, Map
from app.lesson.facts import CLASSES, COLOURS, grid, shape
from app.lesson.language import listed, number
from app.lesson.language import translated as _
from app.lesson.stage import NotReadyError, Stage
from fcn_core import render
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.heatmap import ClassMap, Heatmap, place, synset_heatmap
from fcn_core.networks.zoo import MODELS

_WORDS = (
    "animal", "dog", "cat", "bird", "horse", "fish", "insect", "reptile", "monkey", "bear", "fruit", "vegetable",
    "food", "vehicle", "furniture", "clothing", "structure", "container", "musical instrument", "ball", "tool",
)  # fmt: skip
_OFFERED = 5
_FEW = 2  # cells
_LETTERS = "ABCD"
_LEAST_DIFFERENCE = 0.08  # mean over the map, by which a wrong map differs from the right one
_OTHER_NETWORK = "efficientnet-lite2"


def facts(stage: Stage) -> Facts:
    """Return what the right answers depend on, and say the live values of the text.

    The maps are empty while the network is running.
    """
    spec = MODELS[_OTHER_NETWORK] if stage.spec.features == of_network.COURSE_FEATURES else stage.spec
    known = Facts(
        spec.features, stage.spec.input_size, stage.model.output_stride,
        (stage.picture.height, stage.picture.width), CLASSES, COLOURS,
    )  # fmt: skip
    _say(stage, known, spec.title.split(",")[0])
    try:
        coarse, fine = _class_maps(stage)
        known = replace(known, maps=_offered(stage, coarse), candidates=_candidates(stage, fine)[0])
    except (NotReadyError, FcnError):  # the figures say why
        return known
    stage.say(ex_right_map=next(key for key, kind in known.candidates.items() if kind == of_maps.RIGHT_MAP))
    return known


def say_peak(stage: Stage, known: Facts, wnid: str) -> None:
    """Say where the peak of the chosen heatmap is."""
    if wnid not in known.maps:
        return
    values = np.array(known.maps[wnid])
    row, column = divmod(int(values.argmax()), values.shape[1])
    stage.say(
        ex_heat_answer=_(
            "For “{synset}”, the peak is {peak}, in row {row} and column {column}.",
            synset=stage.ontology.label(wnid), peak=_shown(float(values.max()), known.maps[wnid]),
            row=row + 1, column=column + 1,
        )
    )  # fmt: skip


def _say(stage: Stage, known: Facts, title: str) -> None:
    course, stride = of_network.COURSE_FEATURES, known.stride
    (height, width), cells = of_network.ASKED, of_maps.CELLS
    grids = [known.grid(scale.height, scale.width) for scale in NOTEBOOK_SCALES]
    product = math.prod(cells)
    stage.say(
        ex_course_network="ResNet50",
        ex_course_features=course,
        ex_course_kernel=shape(1, 1, course, CLASSES),
        ex_course_dense=shape(course, CLASSES),
        ex_other_network=title,
        ex_other_features=known.features,
        ex_other_kernel=shape(1, 1, known.features, CLASSES),
        ex_other_dense=shape(known.features, CLASSES),
        ex_window=1,
        ex_axis=-1,
        ex_order="F, C, E, A, D",
        ex_too_much=of_network.TOO_MUCH,
        ex_asked_size=grid(height, width),
        ex_asked_height=height,
        ex_asked_width=width,
        ex_asked_rows_exact=number(height / stride, "g"),
        ex_asked_columns_exact=number(width / stride, "g"),
        ex_asked_result=shape(1, *known.grid(height, width), CLASSES),
        ex_own_size=grid(*known.picture),
        ex_own_result=shape(1, *known.grid(*known.picture), CLASSES),
        ex_area=stride**2,
        ex_cells=listed(number(value, ".2f") for value in cells),
        ex_cell_count=len(cells),
        ex_sum=number(sum(cells), ".2f"),
        ex_product=number(product, ".5f"),
        ex_arithmetic=number(sum(cells) / len(cells), ".4f"),
        ex_geometric=number(product ** (1 / len(cells)), ".4f"),
        ex_sizes=", ".join(grid(scale.height, scale.width) for scale in NOTEBOOK_SCALES),
        ex_grids=", ".join(grid(*each) for each in grids),
        ex_first_grid=grid(*grids[0]),
        ex_last_grid=grid(*grids[-1]),
        ex_first_rows=grids[0][0],
        ex_last_rows=grids[-1][0],
        ex_factor=number(grids[-1][0] / grids[0][0], ".2f"),
        ex_heat_answer="",
    )


def _class_maps(stage: Stage) -> tuple[ClassMap, ClassMap]:
    first, second = stage.class_maps("exercises", stage.source, NOTEBOOK_SCALES[:2]).values()
    return first, second


# --- A heatmap in numbers ---------------------------------------------------------------------------------------


def _offered(stage: Stage, class_map: ClassMap) -> Mapping[str, Map]:
    """Return the rounded heatmaps of what the network sees most of, besides what the lesson looks for.

    Those with few cells at their peak come first: where a map is 1 almost everywhere, there is nothing to find.
    """
    ontology = stage.ontology
    maps: dict[str, Map] = {}
    for wnid in (ontology.find(word).wnid for word in _WORDS):
        if wnid != stage.synset:
            values = synset_heatmap(class_map, ontology.class_ids(wnid)).values
            digits = 2 if values.max() >= 0.1 else 3
            maps[wnid] = tuple(tuple(round(float(v), digits) for v in row) for row in values)

    def rank(wnid: str) -> tuple[bool, float]:
        cells = [value for row in maps[wnid] for value in row]
        return cells.count(max(cells)) > _FEW, -max(cells)

    return {wnid: maps[wnid] for wnid in sorted(maps, key=rank)[:_OFFERED]}


def _shown(value: float, values: Map) -> str:
    return number(value, ".2f" if max(map(max, values)) >= 0.1 else ".3f")


def numbers(stage: Stage, known: Facts, wnid: str) -> bool:
    """Draw a heatmap with its values as numbers, and the same as a table."""
    _class_maps(stage)
    if wnid not in known.maps:
        return False
    values = known.maps[wnid]
    alt = _(
        "The heatmap in numbers: {rows} rows and {columns} columns. The same as a table is below it.",
        rows=len(values), columns=len(values[0]),
    )  # fmt: skip
    draw.drawing(stage, _numbers(values, alt), alt, width="stretch")
    with st.expander(_("The map as a table"), icon=":material/table:"):
        rows = [
            {_("row"): i, **{str(j): _shown(v, values) for j, v in enumerate(row, 1)}}
            for i, row in enumerate(values, 1)
        ]
        draw.table(stage, rows, _("The values of the heatmap, by row and column."))
    return True


def _numbers(values: Map, alt: str) -> str:
    """Return SVG of coloured cells with their values, rows and columns numbered."""
    array = np.array(values, np.float32)
    colours = render.colourise(array)
    (rows, columns), w, h, edge = array.shape, 56, 40, 30
    parts = [f'<rect width="{columns * w + edge}" height="{rows * h + edge}" fill="#eef0f4"/>']
    parts += [_word(edge + (j + 0.5) * w, edge / 2, j + 1, "#3b4250") for j in range(columns)]
    for i in range(rows):
        parts.append(_word(edge / 2, edge + (i + 0.5) * h, i + 1, "#3b4250"))
        for j in range(columns):
            red, green, blue = (int(c) for c in colours[i, j])
            ink = "#000000" if 0.3 * red + 0.6 * green + 0.1 * blue > 128 else "#ffffff"
            parts.append(
                f'<rect x="{edge + j * w}" y="{edge + i * h}" width="{w}" height="{h}" '
                f'fill="rgb({red},{green},{blue})"/>'
            )
            parts.append(_word(edge + (j + 0.5) * w, edge + (i + 0.5) * h, _shown(values[i][j], values), ink))
    size = f"{columns * w + edge} {rows * h + edge}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{size.split()[0]}" '
        f'height="{size.split()[1]}" role="img" aria-label="{escape(alt)}" font-family="sans-serif" font-size="17" '
        f'text-anchor="middle">{"".join(parts)}</svg>'
    )


def _word(x: float, y: float, text: object, ink: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" dominant-baseline="central" fill="{ink}">{text}</text>'


# --- Maps to choose from ----------------------------------------------------------------------------------------


def _candidates(stage: Stage, class_map: ClassMap) -> tuple[dict[str, str], dict[str, Heatmap]]:
    """Return what each letter shows, and its heatmap; the order depends on picture and synset."""
    maps = candidate_maps(class_map, stage.ontology.class_ids(stage.synset))
    seed = f"{stage.source.sha256} {stage.synset} {stage.model.name}"
    kinds = sorted(maps, key=lambda kind: hashlib.sha256(f"{seed} {kind}".encode()).digest())
    letters = dict(zip(_LETTERS, kinds, strict=False))
    return letters, {letter: maps[kind] for letter, kind in letters.items()}


def candidate_maps(class_map: ClassMap, class_ids: tuple[int, ...]) -> dict[str, Heatmap]:
    """Return the right heatmap, and at most three that mistakes would give and that look different."""
    right = synset_heatmap(class_map, class_ids)
    values = right.values
    wrong: dict[str, npt.NDArray[np.float32]] = {
        "mirrored": values[:, ::-1],
        "rest": 1 - values,
        "turned": values[::-1],
        "any": class_map.probabilities.max(axis=-1),
        "shares": values / max(float(values.sum()), 1e-9),
    }
    found = {of_maps.RIGHT_MAP: right}
    for kind, other in wrong.items():
        differences = [float(np.abs(other - each.values).mean()) for each in found.values()]
        if len(found) < len(_LETTERS) and min(differences) >= _LEAST_DIFFERENCE:
            found[kind] = replace(right, values=np.ascontiguousarray(other, np.float32))
    return found


def maps(stage: Stage) -> None:
    """Draw the maps to choose from over the picture."""
    maps = _candidates(stage, _class_maps(stage)[1])[1]
    picture = stage.picture
    for column, (letter, heatmap) in zip(st.columns(len(maps)), maps.items(), strict=True):
        spread = place(heatmap, picture.height, picture.width, smooth=False)
        row, col = heatmap.peak_cell
        draw.photo(
            stage,
            render.overlay(picture.pixels, render.colourise(spread), 0.75),
            _(
                "Map {letter} over the picture: its mean is {mean}, its peak is in row {row} of {rows} and column "
                "{column} of {columns}.",
                letter=letter, mean=number(heatmap.mean, ".2f"), row=row + 1, rows=heatmap.grid[0],
                column=col + 1, columns=heatmap.grid[1],
            ),
            place=column,
            caption=letter,
        )  # fmt: skip
