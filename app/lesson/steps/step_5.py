"""Figures of step five: the hierarchy, two paths to one class, and the effect of counting twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from itertools import pairwise

import streamlit as st

from app.lesson import draw, experiments
from app.lesson.experiments import Check
from app.lesson.facts import grid
from app.lesson.language import number
from app.lesson.language import translated as _
from app.lesson.session import lesson_state
from app.lesson.stage import Stage
from fcn_core import render
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.maps.heatmap import synset_heatmap
from fcn_core.synsets.ontology import Ontology

_FIRST = 10  # dogs that the notebook names
_TWICE = ("n02123394", "n02085620")  # classes with two parents; the first one in the hierarchy is shown


def _go(key: str) -> None:
    chosen = st.session_state.get(key)
    if chosen is not None:
        lesson_state().choices.choose(here=chosen)
        st.session_state[key] = None


def tree(stage: Stage) -> None:
    """Draw the current synset, the path to it and its children, with counts of classes."""
    ontology = stage.ontology
    here = ontology.collapse(stage.chosen.here or ontology.find("dog").wnid)

    def label(wnid: str) -> str:
        return f"{ontology.label(wnid)} · {ontology.count(wnid)}"

    up = ontology.breadcrumb(here)
    st.pills(
        _("Above"),
        up[:-1],
        format_func=label,
        key="lesson_up",
        on_change=_go,
        args=("lesson_up",),
        help=_("The path from the top of the hierarchy. The number counts ImageNet's classes."),
    )
    st.markdown(f"## {ontology.label(here)}\n\n{ontology[here].gloss}")
    down = ontology.visible_children(here)
    if down:
        st.pills(_("Below"), down, format_func=label, key="lesson_down", on_change=_go, args=("lesson_down",))
    else:
        st.caption(_("This is a class of ImageNet. It has nothing below it."))
    stage.say(here=ontology.label(here), here_classes=ontology.count(here))


def words(stage: Stage) -> None:
    """Draw the words of the first ten dogs, as the notebook prints them."""
    ontology = stage.ontology
    ids = ontology.naive_class_ids(ontology.find("dog").wnid)[:_FIRST]
    draw.table(
        stage,
        [
            {
                _("Class"): i,
                "wnid": (synset := ontology[ontology.classes[i]]).wnid,
                _("Words"): ", ".join(synset.words),
            }
            for i in ids
        ],
        _("The first classes below the synset of dogs, with their words."),
    )


def paths(stage: Stage) -> None:
    """Draw two paths from "animal" down to one class."""
    ontology = stage.ontology
    animal = ontology.find("animal").wnid
    wnid = next(w for w in _TWICE if len(experiments.paths_between(ontology, animal, w)) > 1)
    ways = experiments.paths_between(ontology, animal, wnid)
    said = _("Paths down the hierarchy that split and meet again.")
    draw.drawing(stage, paths_drawing(ontology, ways, said), said, width=520)
    stage.say(twice_class=ontology.label(wnid), twice_paths=len(ways))


def paths_drawing(ontology: Ontology, ways: tuple[tuple[str, ...], ...], said: str) -> str:
    """Return SVG of several paths from one synset to another that split and meet."""
    shared_top = next(i for i, step in enumerate(zip(*ways, strict=False)) if len(set(step)) > 1)
    backwards = [way[::-1] for way in ways]
    shared_end = next(i for i, step in enumerate(zip(*backwards, strict=False)) if len(set(step)) > 1)
    middles = [way[shared_top : len(way) - shared_end] for way in ways]
    longest = max(map(len, middles))
    row, column, width = 46, 230, 230 * len(ways)
    spots: dict[tuple[int, str], tuple[float, float]] = {}
    for i, wnid in enumerate(ways[0][:shared_top]):
        spots[-1, wnid] = (width / 2, i * row)
    for n, middle in enumerate(middles):
        for i, wnid in enumerate(middle):
            step = (longest + 1) / (len(middle) + 1)
            spots[n, wnid] = ((n + 0.5) * column, (shared_top - 1 + (i + 1) * step) * row)
    for i, wnid in enumerate(ways[0][len(ways[0]) - shared_end :]):
        spots[-1, wnid] = (width / 2, (shared_top + longest + i) * row)
    edges, boxes = [], []
    for n, way in enumerate(ways):
        chain = [spots.get((n, w), spots.get((-1, w))) for w in way]
        edges += [
            f'<path d="M{a[0]} {a[1] + 32}L{b[0]} {b[1]}" stroke="#8a94a6" fill="none"/>'
            for a, b in pairwise(chain)
            if a and b
        ]
    for (_way, wnid), (x, y) in spots.items():
        boxes.append(
            f'<rect x="{x - 92}" y="{y}" width="184" height="32" rx="16" fill="#eef0f3"/>'
            f'<text x="{x}" y="{y + 21}" text-anchor="middle" font-size="15" font-family="sans-serif" '
            f'fill="#22262e">{escape(ontology.label(wnid))}</text>'
        )
    height = max(y for _, y in spots.values()) + 34
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4} {height + 4}" role="img" '
        f'aria-label="{escape(said)}" '
        f'width="{width + 4}" height="{height + 4:.0f}">'
        f"{''.join(edges)}{''.join(boxes)}</svg>"
    )


def _count_twice(wnid: str) -> None:
    lesson_state().choices.choose(twice=wnid)


@cache
def _entries(ontology: Ontology) -> Mapping[str, int]:
    """Count what the notebook's search lists below each synset for which it repeats classes, largest synset first."""
    twice = sorted(experiments.counted_again(ontology), key=lambda w: (-ontology.count(w), w))
    return {w: len(ontology.naive_class_ids(w)) for w in twice}


def double(stage: Stage) -> None:
    """Draw one heatmap with each class counted once, and one as the notebook's search counts."""
    ontology = stage.ontology
    twice = list(_entries(ontology))
    asked = stage.chosen.twice
    wnid = asked if asked in twice else ontology.find("animal").wnid
    titles = {
        w: _(
            "{synset} · {entries} entries, {classes} classes",
            synset=ontology.label(w),
            entries=entries,
            classes=ontology.count(w),
        )
        for w, entries in _entries(ontology).items()
    }
    st.selectbox(
        _("Synset"), twice, twice.index(wnid),
        format_func=titles.__getitem__,
        **stage.widget("twice", wnid, "select", _count_twice, initial=""),
    )  # fmt: skip
    (class_map,) = stage.class_maps("one", stage.source, NOTEBOOK_SCALES[1:2]).values()
    ours = synset_heatmap(class_map, ontology.class_ids(wnid))
    theirs = synset_heatmap(class_map, ontology.naive_class_ids(wnid))
    top = max(2.0, theirs.peak)
    left, right = st.columns(2)
    for place, heatmap, name in (
        (left, ours, _("each class once")),
        (right, theirs, _("repetitions included")),
    ):
        draw.cells(
            stage,
            render.colourise(heatmap.values, 0.0, top, "magma"),
            _("Heatmap, {name}; its largest value is {peak}.", name=name, peak=number(heatmap.peak, ".2f")),
            place=place,
            caption=_(
                "{name}: up to {peak} (colours from 0 to {top})",
                name=name,
                peak=number(heatmap.peak, ".2f"),
                top=f"{top:.0f}",
            ),
        )
    stage.say(
        double_scale=grid(class_map.scale.height, class_map.scale.width),
        double_synset=ontology.label(wnid),
        double_ours=ours.peak,
        double_naive=theirs.peak,
        double_word=_("No probability can be that large.")
        if theirs.peak > 1
        else _("On this picture that is below one, and no less wrong."),
    )
    stage.checks["below_one"] = Check(max(0.0, ours.peak - 1.0), 1e-6)


FIGURES = {"tree": tree, "words": words, "paths": paths, "double": double}
