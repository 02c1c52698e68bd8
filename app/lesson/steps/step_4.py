"""Figures of step four: random pixels of any size."""

from __future__ import annotations

import streamlit as st

from app.lesson import draw, experiments, svg
from app.lesson.experiments import Check
from app.lesson.facts import CLASSES, COLOURS, FORWARD, cells_along, grid, shape
from app.lesson.language import number
from app.lesson.language import translated as _
from app.lesson.stage import Stage
from fcn_core import render
from fcn_core.images.read import image_from_array
from fcn_core.images.scales import Scale
from fcn_core.maps.heatmap import ClassMap, synset_heatmap


def size(stage: Stage) -> None:
    """Ask for a size, draw random pixels, and prepare the choices of the question."""
    first, second = st.columns(2)
    height = first.slider(_("Height, in pixels"), 32, 640, **stage.widget("noise_height"))
    width = second.slider(_("Width, in pixels"), 32, 640, **stage.widget("noise_width"))
    said = _("A picture of random coloured pixels.")
    draw.photo(stage, experiments.noise(height, width), said, width=min(width, 480))
    stride = stage.model.output_stride
    h, w = cells_along(height, stride), cells_along(width, stride)
    native = cells_along(stage.spec.input_size, stride)
    wrong = shape(1, height // stride, width // stride, CLASSES)
    stage.say(
        noise_size=grid(height, width),
        noise_shape=shape(1, height, width, COLOURS),
        noise_answer=shape(1, h, w, CLASSES),
        noise_wrong_first=shape(1, CLASSES),
        noise_wrong_second=wrong if wrong != shape(1, h, w, CLASSES) else shape(1, native, native, CLASSES),
    )


def _noise_map(stage: Stage) -> ClassMap:
    height, width = stage.chosen.noise_height, stage.chosen.noise_width
    picture = image_from_array(experiments.noise(height, width), "noise")
    (class_map,) = stage.class_maps("noise", picture, (Scale(height, width),), "exact").values()
    return class_map


def noise(stage: Stage) -> bool:
    """Run the network on the random pixels, and compare the shape of its result with the predicted one."""
    if not st.toggle(_("Run the network on the noise"), **stage.widget("noise_run")):
        return False
    noise_map(stage)
    return True


def noise_map(stage: Stage) -> None:
    """Draw the largest probability in each cell of the random pixels."""
    height, width = stage.chosen.noise_height, stage.chosen.noise_width
    class_map = _noise_map(stage)
    probabilities = class_map.probabilities
    best = probabilities.max(axis=-1)
    draw.cells(
        stage,
        render.colourise(best),
        _(
            "A map of {rows} times {columns} squares: the largest probability in each cell.",
            rows=best.shape[0],
            columns=best.shape[1],
        ),
        width=min(480, 32 * best.shape[1]),
    )
    row, column = divmod(int(best.argmax()), best.shape[1])
    label = stage.ontology.label(stage.ontology.classes[int(probabilities[row, column].argmax())])
    stage.say(
        noise_result=shape(1, *class_map.logits.shape),
        noise_seconds=_("{seconds} seconds", seconds=number(class_map.seconds, ".2f")),
        noise_class=label,
        noise_peak=float(best.max()),
    )
    expected = stage.geometry().grid(height, width)
    stage.checks["shape"] = Check(
        float(max(abs(a - b) for a, b in zip(expected, class_map.grid, strict=True))), 0
    )
    stage.checks["cells"] = experiments.sums_check(probabilities)


def noise_sums(stage: Stage) -> bool:
    """Draw the sums of the classes in every cell of the noise's map."""
    if not stage.chosen.noise_run:
        return False
    sums = _noise_map(stage).probabilities.sum(axis=-1)
    draw.matrix(stage, sums, _("The sum of all probabilities of each cell."), digits=7)
    return True


def forward(stage: Stage) -> None:
    """Stretch the picture to the notebook's first size, and draw where the network sees the object."""
    height, width = FORWARD
    stride, own = stage.model.output_stride, stage.source
    answer = _result(stage, height, width)
    native = stage.spec.input_size
    sizes = ((width, height), (own.height, own.width), (native, native), (width, width))
    others = dict.fromkeys(_result(stage, *size) for size in sizes)
    turned, wrong = [each for each in others if each != answer][:2]
    stage.say(
        forward_size=grid(height, width),
        forward_before=shape(own.height, own.width, COLOURS),
        forward_answer=answer,
        forward_turned=turned,
        forward_own=wrong,
        forward_rows_exact=f"{height} / {stride} = {number(height / stride, 'g')}",
        forward_columns_exact=f"{width} / {stride} = {number(width / stride, 'g')}",
    )
    (class_map,) = stage.class_maps("forward", own, (Scale(height, width),), "exact").values()
    heatmap = synset_heatmap(class_map, stage.ontology.class_ids(stage.synset))
    left, right = st.columns(2)
    said = _("The picture, stretched to {height} times {width} pixels.", height=height, width=width)
    draw.photo(stage, svg.stretched(stage.picture.pixels, height, width), said, place=left)
    said = _("A map of {rows} times {columns} squares.", rows=heatmap.grid[0], columns=heatmap.grid[1])
    draw.cells(stage, render.colourise(heatmap.values), said, place=right)
    stage.say(forward_result=shape(1, *class_map.logits.shape), forward_peak=heatmap.peak)
    expected = stage.geometry().grid(height, width)
    stage.checks["forward"] = Check(
        float(max(abs(a - b) for a, b in zip(expected, class_map.grid, strict=True))), 0
    )


def _result(stage: Stage, height: int, width: int) -> str:
    """Return the shape that a picture of this size gives, by the rule of step one."""
    stride = stage.model.output_stride
    return shape(1, cells_along(height, stride), cells_along(width, stride), CLASSES)


FIGURES = {"size": size, "noise": noise, "noise_sums": noise_sums, "forward": forward}
