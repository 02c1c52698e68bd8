"""The main area of Explore: what comes out. Synset, pictures, the row of scales, and the tabs below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cached, inspector, panels, pointer, selection, takeaway
from app.inputs import Picture
from app.jobs import JobKey, ModelKey
from app.panels import Card, Look
from app.selection import Selection
from fcn_core import render
from fcn_core.engines import ModelInfo
from fcn_core.heatmap import ClassMap, Heatmap, MapKind, combine, spread
from fcn_core.images import RGBImage
from fcn_core.pipeline import Analysis, interpret
from fcn_core.pyramid import Fit, PlannedScale
from fcn_core.region import contours_of, suggest_threshold
from fcn_core.synsets import Ontology

_WORKING_PIXELS = (
    1_500_000  # pictures are interpreted at most at this size, for the page; files get the whole
)
_LARGE, _MEAN, _CARD = (640, 560), (540, 420), (260, 260)
_EVIDENCE_TOP = 20.0  # logits rarely exceed it
_LOW_PEAK = 0.1
_LABELS = {"probability": "probability", "evidence": "evidence in logits"}


@dataclass(frozen=True, eq=False)
class Result:
    """Class maps of one picture and one model, all that were asked for or the first of them."""

    key: JobKey
    model: ModelKey
    picture: Picture
    info: ModelInfo
    fit: Fit
    class_maps: Mapping[str, ClassMap]
    complete: bool

    @property
    def done(self) -> tuple[tuple[str, int], ...]:
        """Which scales, and which arrays they are: the key of what is derived from them."""
        return tuple((key, id(m.logits)) for key, m in self.class_maps.items())

    @property
    def working(self) -> RGBImage:
        """The picture at the size at which the page works."""
        image = self.picture.image
        return cached.working_copy(image.sha256, _WORKING_PIXELS, image)

    def analysis(self, chosen: Selection) -> Analysis:
        """The class maps interpreted as chosen, at the page's working size."""
        return cached.analysis(
            self.key,
            self.done,
            chosen.synset,
            cast(MapKind, chosen.map.lower()),
            self.fit,
            chosen.snap,
            "auto" if chosen.threshold is None else chosen.threshold,
            self.working,
            dict(self.class_maps),
            self.info,
        )

    def whole(self, chosen: Selection) -> Callable[[], Analysis]:
        """What makes the analysis of the whole picture, once: files are made outside the page's own thread."""
        image = self.picture.image
        regions = cached.regions(image.sha256, image) if chosen.snap and self.working is image else None

        @cache
        def make() -> Analysis:
            return interpret(
                image,
                self.class_maps,
                Ontology.load()[chosen.synset],
                self.info,
                kind=cast(MapKind, chosen.map.lower()),
                fit=self.fit,
                threshold="auto" if chosen.threshold is None else chosen.threshold,
                snap=chosen.snap,
                regions=regions,
            )

        return make


@st.fragment
def draw(
    result: Result | None,
    picture: Picture,
    plans: tuple[PlannedScale, ...],
    progress: Callable[[], None] | None,
) -> None:
    """Draw the results; from here on nothing runs the network."""
    with panels.guarded("Drawing results"):
        _settle_synset(result, picture)
        _header(result)
        image = picture.image
        left, right = st.columns(2, gap="small")
        with right, st.container(horizontal=True, vertical_alignment="center", key="view-row"):
            st.segmented_control(
                "View",
                selection.VIEWS,
                default=selection.VIEWS[0],
                key="view",
                required=True,
                bind="query-params",
                label_visibility="collapsed",
            )
            with st.popover("Display", icon=":material/palette:"):
                _display()
        chosen = current(picture, plans)
        look = look_of(chosen)
        with left:
            with st.container(horizontal=True, vertical_alignment="center", key="name-row"):
                panels.note(f"{image.name}, {image.width} × {image.height}")
            size = panels.shown_size(image, *_LARGE)
            panels.write(
                panels.figure(cached.photo(image.sha256, *size, image), f"The picture: {image.name}")
            )
        if result is None:
            with right:
                st.skeleton(height=max(120, round(520 * image.height / image.width)))
            if progress is not None:
                progress()
            _scale_row(None, chosen, look, picture, plans)
            publish(chosen)
            return
        analysis = result.analysis(chosen)
        with right:
            _large(result, analysis, chosen, look)
        _legend(analysis, chosen)
        if progress is not None:
            progress()
        elif result.complete:
            taken = sum(m.seconds for m in result.class_maps.values())
            panels.note(
                f"{len(result.class_maps)} scale{'s' if len(result.class_maps) > 1 else ''} in "
                f"{panels.seconds(taken)}, {result.info.title} on {result.info.engine}"
                + (", random weights" if result.info.weights == "random" else "")
            )
        _scale_row(analysis, chosen, look, picture, plans)
        tabs = st.tabs(selection.TABS, key="tab", on_change="rerun", bind="query-params")
        for tab, draw_tab in zip(tabs, (_maps, _mask, _inspect, _take), strict=True):
            if tab.open:
                with tab:
                    draw_tab(result, analysis, chosen, look)
        publish(current(picture, plans))


# What is chosen


def current(picture: Picture, plans: tuple[PlannedScale, ...]) -> Selection:
    """The widgets' values as one record."""
    state = st.session_state
    plain = selection.default()
    scales = tuple(plan.requested for plan in plans) or plain.scales
    weights = tuple(float(state.get(f"weight-{scale}", 1.0)) for scale in scales)
    bound = {name: state[name] for name in _BOUND if state.get(name) is not None}
    return Selection(
        **{
            **vars(plain),
            **bound,
            "picture": picture.address,
            "synset": state["synset"],
            "scales": scales,
            "weights": () if all(w == 1 for w in weights) else weights,
            "threshold": state.get("threshold"),
        }
    )


_BOUND = tuple(name for name in vars(Selection()) if name not in selection.BY_HAND)


def publish(chosen: Selection) -> None:
    """Write what is not bound to a widget into the address."""
    state = st.session_state
    wanted = selection.write(chosen)
    if not state.get("synset-chosen"):
        wanted.pop("synset", None)
    if not chosen.picture:
        wanted.pop("picture", None)
    for name in selection.BY_HAND:
        if name in wanted and st.query_params.get(name) != wanted[name]:
            st.query_params[name] = wanted[name]
        elif name not in wanted and name in st.query_params:
            del st.query_params[name]


def look_of(chosen: Selection) -> Look:
    """How maps are coloured."""
    return Look(
        chosen.colours,
        chosen.opacity,
        chosen.cells == "Smooth",
        "centres" if chosen.place == "Centres" else "even",
    )


def choose(wnid: str) -> None:
    """Ask for a synset."""
    st.session_state["synset"] = wnid
    st.session_state["synset-chosen"] = True
    st.session_state["threshold"] = None


def _settle_synset(result: Result | None, picture: Picture) -> None:
    """Begin a new picture with what is in it; what the user chose stays while it is seen there too."""
    state = st.session_state
    sha256 = picture.image.sha256
    if result is None or state.get("synset-settled") == sha256:
        return
    first = "synset-settled" not in state
    state["synset-settled"] = sha256
    synsets = cached.ontology()
    if state["synset-chosen"] and (first or _peak(result, state["synset"]) >= _LOW_PEAK):
        return
    findings = _findings(result)
    state["threshold"] = state["threshold"] if first else None
    state["synset-chosen"] = False
    if picture.word is not None:
        state["synset"] = synsets.collapse(synsets.find(picture.word).wnid)
    elif findings:
        state["synset"] = findings[0].wnid


def _peak(result: Result, wnid: str) -> float:
    return result.analysis(Selection(synset=wnid, snap=False)).arithmetic.peak


def _findings(result: Result) -> Any:
    return cached.findings(result.key, result.done, dict(result.class_maps))


# Parts of the page, from above


def _header(result: Result | None) -> None:
    synsets = cached.ontology()
    panels.pick_synset("synset", choose)
    wnid = st.session_state["synset"]
    panels.hierarchy("explore", wnid, choose)
    synset = synsets[wnid]
    gloss = synset.gloss.split("; ")[0]
    others = ", ".join(synset.words[1:4])
    panels.note(f"{gloss}{f' ({others})' if others else ''}. {wnid}")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="chips-explore"):
        if result is None:
            st.markdown(":small[:gray[What is in it? Looking …]]", width="content")
            return
        st.markdown(
            ":small[:gray[In this picture]]",
            width="content",
            help="The strongest classes, each by itself where the network is sure of it and by its everyday kind "
            "(dog, cat, vehicle) where it is torn between that kind's classes. The number is the peak of the mean "
            "over the scales, 1 at the most.",
        )
        for finding in _findings(result):
            st.button(
                f"{panels.escape_markdown(synsets.label(finding.wnid))} :small[{finding.peak:.2f}]",
                key=f"chip-{finding.wnid}",
                on_click=choose,
                args=(finding.wnid,),
                type="primary" if finding.wnid == wnid else "secondary",
            )


def _display() -> None:
    st.segmented_control(
        "Map", selection.MAPS, default="Probability", key="map", required=True, bind="query-params",
        help="Probability: the softmax summed over the synset's classes. Evidence: the positive part of its "
        "largest logit, not squeezed by the competition of other classes.",
    )  # fmt: skip
    st.segmented_control(
        "Range", selection.RANGES, default="Fixed", key="range", required=True, bind="query-params",
        help="Fixed: colours mean the same on every map and every picture. Shared: up to the highest of these "
        "maps. Per map: each from its own lowest to its own highest.",
    )  # fmt: skip
    st.selectbox("Colours", render.COLOUR_MAPS, key="colours", bind="query-params",
        help="Viridis, cividis and magma are even and safe for colour-blind eyes. Jet is neither.")  # fmt: skip
    st.slider("Opacity", 0.0, 1.0, 0.6, 0.05, key="opacity", bind="query-params")
    st.segmented_control(
        "Cells", selection.CELLS, default="Smooth", key="cells", required=True, bind="query-params"
    )
    st.segmented_control(
        "Where cells lie", selection.PLACES, default="Centres", key="place", required=True, bind="query-params",
        help="Centres: each cell at the centre of what it looks at. Even: spread evenly over the picture, as the "
        "notebook does, up to half a cell off.",
    )  # fmt: skip
    st.segmented_control(
        "Scale cards", selection.CARDS, default="Overlay", key="cards", required=True, bind="query-params"
    )


def _span(analysis: Analysis, chosen: Selection) -> tuple[float, float] | None:
    """The range of the colours, None where each map has its own."""
    if chosen.range == "Per map":
        return None
    if chosen.range == "Shared":
        maps = [*analysis.heatmaps.values(), analysis.arithmetic, analysis.geometric]
        return 0.0, max(1e-6, *(heatmap.peak for heatmap in maps))
    return 0.0, 1.0 if analysis.kind == "probability" else _EVIDENCE_TOP


def _own_span(heatmap: Heatmap, span: tuple[float, float] | None) -> tuple[float, float]:
    return span if span is not None else (float(heatmap.values.min()), max(heatmap.peak, 1e-6))


def _large(result: Result, analysis: Analysis, chosen: Selection, look: Look) -> None:
    image = analysis.image
    size = panels.shown_size(result.picture.image, *_LARGE)
    name = cached.ontology().label(chosen.synset)
    lossless = False
    if chosen.view in ("Fine", "Mean"):
        photo = cached.photo(image.sha256, *size, result.picture.image)
        if chosen.view == "Mean":
            span = _own_span(analysis.arithmetic, _span(analysis, chosen))
            pixels = panels.paint(photo, analysis.arithmetic, size, span, look)
            lossless = not look.smooth
        else:
            pixels = panels.paint(photo, Heatmap(analysis.fine, analysis.kind), size, (0.0, 1.0), look)
    else:
        pixels = _outlined(analysis, size, veil=chosen.view == "Mask")
    about = f"{chosen.view} of {name}: peak {panels.number(analysis.arithmetic.peak)}"
    ids, names = inspector.top_classes(result.class_maps, analysis.arithmetic.cells)
    cells = analysis.arithmetic.cells if look.placement == "centres" else None
    rows, columns = analysis.arithmetic.grid
    picked = inspector.picked(rows, columns)
    pointer.pointer_map(
        panels.data_of(pixels, lossless),
        about,
        analysis.arithmetic.values,
        ids,
        names,
        pointer.edges(cells.y if cells else None, rows),
        pointer.edges(cells.x if cells else None, columns),
        picked,
        key="pointer",
        on_pick=inspector.pick,
    )


def _outlined(analysis: Analysis, size: tuple[int, int], veil: bool) -> NDArray[np.uint8]:
    """The region on the photo, drawn at the working size and shown at another."""
    photo = analysis.image.pixels
    line = max(2, round(max(photo.shape[:2]) / 240))
    drawn = render.draw_mask(photo, analysis.mask) if veil else photo
    drawn = render.draw_contours(drawn, contours_of(analysis.mask), width=line)
    if not veil:
        drawn = render.draw_boxes(drawn, analysis.boxes, width=line)
    return cached.resized(drawn, size)


def _legend(analysis: Analysis, chosen: Selection) -> None:
    peak = analysis.arithmetic.peak
    note = ""
    if analysis.kind == "probability" and peak < _LOW_PEAK:
        note = f"The peak is only {peak:.2f}: the network hardly sees this here."
    if chosen.view == "Fine":
        basis = "evidence completed along the picture's regions" if chosen.snap else _LABELS[analysis.kind]
        label = f"fine map: {basis}, stretched from its lowest to its highest"
        panels.write(panels.legend((0.0, 1.0), chosen.colours, label, note))
        return
    if chosen.view == "Mean":
        span = _span(analysis, chosen)
        how = {"Fixed": "fixed", "Shared": "shared by these maps", "Per map": "each map's own"}[chosen.range]
        panels.write(panels.legend(span, chosen.colours, f"{_LABELS[analysis.kind]}, {how} range", note))
        return
    share = float(analysis.mask.mean())
    count = len(analysis.boxes)
    text = f"threshold {analysis.threshold:.2f}, {share:.0%} of the picture, {count} region{'' if count == 1 else 's'}"
    panels.write(
        f'<div class="fcn-legend"><span class="fcn-muted">{text}</span><span class="fcn-warn">{note}</span></div>'
    )


def _scale_row(
    analysis: Analysis | None,
    chosen: Selection,
    look: Look,
    picture: Picture,
    plans: tuple[PlannedScale, ...],
) -> None:
    """Every scale, plus its neighbour, equals the mean."""
    image = picture.image
    size = panels.shown_size(image, *_CARD)
    photo = cached.photo(image.sha256, *size, image) if chosen.cards == "Overlay" else None
    span = _span(analysis, chosen) if analysis is not None else None
    name = cached.ontology().label(chosen.synset)
    keys = [str(plan.requested) for plan in plans] or list(analysis.heatmaps if analysis else ())
    items = []
    for key in keys:
        heatmap = analysis.heatmaps.get(key) if analysis is not None else None
        if analysis is None or heatmap is None:
            items.append(Card(_times(key), ("waiting", ""), None, f"{key}: not yet computed"))
            continue
        class_map = analysis.class_maps[key]
        rows, columns = heatmap.grid
        lines = (f"{rows} × {columns} cells, {panels.seconds(class_map.seconds)}", _peaks(heatmap, span))
        pixels = panels.paint(photo, heatmap, size, _own_span(heatmap, span), look)
        row, column = heatmap.peak_cell
        alt = f"{name} at {_times(key)}: peak {panels.number(heatmap.peak)} in row {row}, column {column}"
        items.append(Card(_times(key), lines, pixels, alt))
    for title, mean in (("Arithmetic", "arithmetic"), ("Geometric", "geometric")):
        if analysis is None:
            items.append(Card(title, ("waiting", ""), None, f"{title} mean: not yet computed"))
            continue
        heatmap = getattr(analysis, mean)
        pixels = panels.paint(photo, heatmap, size, _own_span(heatmap, span), look)
        lines = (f"mean of {len(analysis.heatmaps)}", _peaks(heatmap, span))
        items.append(
            Card(title, lines, pixels, f"{title} mean of {name}: peak {panels.number(heatmap.peak)}")
        )
    signs = [*["+"] * (len(keys) - 1), "=", ""]
    panels.cards(items, signs, size, lossless=not look.smooth)


def _times(key: str) -> str:
    return key.replace("x", " × ")


def _peaks(heatmap: Heatmap, span: tuple[float, float] | None) -> str:
    if span is None:
        return f"{panels.number(float(heatmap.values.min()))} to {panels.number(heatmap.peak)}"
    return f"peak {panels.number(heatmap.peak)}"


# The tabs


def _maps(result: Result, analysis: Analysis, chosen: Selection, look: Look) -> None:
    image = result.picture.image
    size = panels.shown_size(image, *_MEAN)
    photo = cached.photo(image.sha256, *size, image) if chosen.cards == "Overlay" else None
    span = _span(analysis, chosen)
    name = cached.ontology().label(chosen.synset)
    how = {"Fixed": "fixed range", "Shared": "shared range", "Per map": "its own range"}[chosen.range]

    def show(heatmap: Heatmap, title: str, about: str, over: tuple[float, float] | None = None) -> None:
        range_ = over if over is not None else _own_span(heatmap, span)
        pixels = panels.paint(photo, heatmap, size, range_, look)
        caption = f"{title}: {about}, peak {panels.number(heatmap.peak)}, mean {panels.number(heatmap.mean)}"
        picture = panels.figure(pixels, f"{title} of {name}: {about}", caption, not look.smooth)
        panels.write(
            picture + panels.legend(range_, look.colours, how if over is None else "0 to 0.5 or its peak")
        )

    left, right = st.columns(2)
    with left:
        show(analysis.arithmetic, "Arithmetic mean", "high where any scale is")
    with right:
        show(analysis.geometric, "Geometric mean", "high where all scales are")
    left, right = st.columns(2)
    with left:
        live_place = st.container()
        st.slider(
            "Live mean: from geometric (0) to arithmetic (1)", 0.0, 1.0, 1.0, 0.05, key="power", bind="query-params",
            help="The power mean of the scales.",
        )  # fmt: skip
    with right:
        apart = spread(tuple(analysis.heatmaps.values()))
        show(apart, "Disagreement of the scales", "their standard deviation", (0.0, max(0.5, apart.peak)))
        columns = st.columns(min(len(analysis.heatmaps), 4))
        weights = []
        for index, key in enumerate(analysis.heatmaps):
            about = "Weight of this scale in the live mean. 0 leaves it out." if index == 0 else None
            with columns[index % len(columns)]:
                weights.append(
                    st.slider(
                        _times(key),
                        0.0,
                        selection.MAX_WEIGHT,
                        1.0,
                        0.25,
                        key=f"weight-{key}",
                        persist_state="session",
                        help=about,
                    )
                )
    with live_place:
        if any(weights):
            power = float(st.session_state["power"])
            live = combine(tuple(analysis.heatmaps.values()), power, weights)
            show(live, "Live mean", f"power {power:g}")
        else:
            panels.note("Every weight is 0, so nothing is left to average. Give one scale a weight.")


def _mask(result: Result, analysis: Analysis, chosen: Selection, _: Look) -> None:
    image = result.picture.image
    left, right = st.columns([3, 2])
    with right:
        st.toggle(
            "Follow the picture's regions", True, key="snap", bind="query-params",
            help="Averages the evidence over regions of like colour, so that the mask ends where the object does.",
        )  # fmt: skip
        suggested = suggest_threshold(analysis.fine)
        cut = suggested if chosen.threshold is None else chosen.threshold
        slider = st.session_state.get("threshold-shown", "")
        if chosen.threshold is None or slider not in st.session_state:
            slider = f"threshold-{chosen.synset}-{cut:.2f}-{st.session_state.get('threshold-serial', 0)}"
            st.session_state["threshold-shown"] = slider
            st.session_state[slider] = round(cut, 2)
        st.slider("Threshold", 0.0, 1.0, step=0.01, key=slider, on_change=_set_threshold, args=(slider,))
        panels.write(
            f'<div class="fcn-mark"><span style="left:{suggested:.1%}">▲ suggested {suggested:.2f}</span></div>'
        )
        st.button(
            "Use the suggested threshold",
            on_click=_suggest,
            disabled=chosen.threshold is None,
            icon=":material/auto_fix_high:",
        )
        factor = image.width / analysis.image.width
        boxes = [
            (
                str(i + 1),
                f"{round(b.x0 * factor)}, {round(b.y0 * factor)}",
                f"{round((b.x1 - b.x0) * factor)} × {round((b.y1 - b.y0) * factor)}",
                f"{b.area / analysis.mask.size:.1%}",
                f"{b.peak:.2f}",
            )
            for i, b in enumerate(analysis.boxes[:8])
        ]
        panels.write(panels.table(("", "left, top", "size", "area", "peak"), boxes))
        if len(analysis.boxes) > 8:
            panels.note(f"and {len(analysis.boxes) - 8} smaller regions")
        panels.note(f"The mask covers {analysis.mask.mean():.1%} of the picture.")
        if factor != 1:
            panels.note("Measured on a smaller copy; files are made from the whole picture.")
    with left:
        size = panels.shown_size(image, 680, 600)
        line = max(2, round(max(analysis.image.pixels.shape[:2]) / 240))
        drawn = render.draw_mask(analysis.image.pixels, analysis.mask)
        drawn = render.draw_contours(drawn, contours_of(analysis.mask), width=line)
        drawn = render.draw_boxes(drawn, analysis.boxes, width=line)
        name = cached.ontology().label(chosen.synset)
        alt = f"Mask of {name} at threshold {analysis.threshold:.2f} with {len(analysis.boxes)} boxes"
        panels.write(panels.figure(cached.resized(drawn, size), alt))


def _set_threshold(slider: str) -> None:
    if st.session_state["threshold-shown"] == slider:  # not one that is gone from the page by now
        st.session_state["threshold"] = st.session_state[slider]


def _suggest() -> None:
    st.session_state["threshold"] = None
    st.session_state["threshold-serial"] = st.session_state.get("threshold-serial", 0) + 1  # a new widget


def _inspect(result: Result, analysis: Analysis, chosen: Selection, look: Look) -> None:
    inspector.draw(result.class_maps, analysis, result.picture.image, chosen.synset, look)


def _take(result: Result, analysis: Analysis, chosen: Selection, look: Look) -> None:
    takeaway.draw(result.whole(chosen), analysis, result.picture, look)
