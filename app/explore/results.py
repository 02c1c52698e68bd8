"""The main area of Explore: what comes out. Synset, pictures, the row of scales, and the tabs below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.explore import export_tab, inputs, inspector
from app.state import cached, selection
from app.state.pictures import Picture
from app.state.queue.jobs import Job, coarse_first
from app.state.selection import Selection
from app.ui import figures, notices, synset_picker
from app.ui.figures import Card, Look
from app.ui.pointer_map import PointerMap, pointer_map
from fcn_core import render
from fcn_core.engines.base import ModelInfo
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.findings import Finding
from fcn_core.maps.heatmap import ClassMap, Heatmap, MapKind, combine, spread
from fcn_core.maps.region import contours_of, suggest_threshold
from fcn_core.pipeline import Analysis, interpret
from fcn_core.synsets.ontology import Ontology

_LARGE, _MEAN, _CARD = (640, 560), (540, 420), (260, 260)
_EVIDENCE_TOP = (
    20.0  # of four samples' cells 2 % exceed it, of those at 200x320 a fifth: they have the last colour
)
_LABELS = {"probability": "probability", "evidence": "evidence in logits"}


@dataclass(frozen=True, eq=False)
class Result:
    """What a job has found of a picture, all that was asked for or the first of it.

    The job has the class maps, not the page: they may give way to those of others.
    """

    job: Job
    picture: Picture
    info: ModelInfo
    plans: tuple[PlannedScale, ...]

    @property
    def found(self) -> Found | None:
        """What is there now; None where the class maps have given way to others'."""
        class_maps = coarse_first(self.job.class_maps)
        return Found(self, class_maps) if class_maps else None


@dataclass(frozen=True, eq=False)
class Found:
    """Class maps of one picture and one model, while they are drawn."""

    result: Result
    class_maps: Mapping[str, ClassMap]

    @property
    def picture(self) -> Picture:
        """The picture they are of."""
        return self.result.picture

    @property
    def complete(self) -> bool:
        """Whether nothing more will come."""
        return len(self.class_maps) == len(self.result.plans)

    def maps(self, synset: str, kind: MapKind) -> Analysis:
        """The heatmaps of a synset."""
        return interpret(
            self.picture.working,
            self.class_maps,
            cached.ontology()[synset],
            self.result.info,
            kind=kind,
            fit=self.result.job.fit,
            ontology=cached.ontology(),
        )

    def analysis(self, chosen: Selection) -> Analysis:
        """The heatmaps and the region made of them, at the page's working size."""
        return cached.analysis(
            self.result.job.key,
            self.class_maps,
            chosen.synset,
            self.picture.working,
            self.result.info,
            kind=chosen.kind,
            fit=self.result.job.fit,
            snap=chosen.snap,
            threshold="auto" if chosen.threshold is None else chosen.threshold,
        )

    def whole(self, chosen: Selection) -> Callable[[], Analysis]:
        """What makes the analysis of the whole picture, once: files are made outside the page's own thread."""

        @cache
        def make() -> Analysis:
            return interpret(
                self.picture.whole(),
                self.class_maps,
                Ontology.load()[chosen.synset],
                self.result.info,
                kind=chosen.kind,
                fit=self.result.job.fit,
                threshold="auto" if chosen.threshold is None else chosen.threshold,
                snap=chosen.snap,
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
    with notices.guarded("Drawing results"):
        found = result.found if result is not None else None
        if result is not None and found is None:  # given way to others': ask for them anew
            st.rerun()
        _settle_synset(found, picture)
        _header(found)
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
                notices.note(picture.in_words)
            size = figures.shown_size(picture, *_LARGE)
            st.html(figures.figure(_photo(picture, size), f"The picture: {picture.name}"))
        if found is None:
            with right:
                st.skeleton(height=max(120, round(520 * picture.height / picture.width)))
            if progress is not None:
                progress()
            _scale_row(None, chosen, look, picture, plans)
            publish(chosen)
            return
        maps = found.maps(chosen.synset, chosen.kind)
        analysis = cache(partial(found.analysis, chosen))  # only what shows a region asks for it
        with right:
            _large(found, maps, analysis, chosen, look)
        _legend(maps, analysis, chosen)
        if progress is not None:
            progress()
        elif found.complete:
            taken, info = sum(m.seconds for m in found.class_maps.values()), found.result.info
            notices.note(
                f"{len(found.class_maps)} scale{'s' if len(found.class_maps) > 1 else ''} in "
                f"{figures.seconds(taken)}, {info.title} on {info.engine}"
                + (", random weights" if info.weights == "random" else "")
            )
        _scale_row(maps, chosen, look, picture, plans)
        tabs = st.tabs(selection.TABS, key="tab", on_change="rerun", bind="query-params")
        for tab, name in zip(tabs, selection.TABS, strict=True):
            if tab.open:
                with tab:
                    if name == "Maps":
                        _maps(found, maps, chosen, look)
                    elif name == "Mask":
                        _mask(found, analysis(), chosen)
                    elif name == "Inspect":
                        inspector.draw(found.class_maps, maps, picture.working, found.result.job.key.model)
                    else:
                        export_tab.draw(found.whole(chosen), analysis(), picture, look)
        publish(current(picture, plans))


def _photo(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    return cached.photo(picture.sha256, *size, picture.working)


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
            "picture": "" if inputs.is_gone() else picture.address,
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
    state = st.session_state
    state["synset"] = wnid
    state["synset-chosen"] = True
    state["threshold"] = None
    if "explore-picture" in state:
        state["synset-settled"] = (state["explore-picture"].sha256, True)


def _settle_synset(found: Found | None, picture: Picture) -> None:
    """Begin a new picture with what is in it; what the user chose stays while it is seen there too.

    What the first scales say is for the meantime: they are asked anew once all are there.
    """
    state = st.session_state
    before, final = state.get("synset-settled", ("", False))
    again = before == picture.sha256
    if found is None or (again and (final or not found.complete)):
        return
    if state["synset-chosen"]:
        if not before or again or _peak(found, state["synset"]) >= figures.LOW_PEAK:
            state["synset-settled"] = (picture.sha256, True)
            return
        if not found.complete:  # a finer scale may see it yet
            return
    state["synset-settled"] = (picture.sha256, found.complete)
    synsets = cached.ontology()
    findings = _findings(found)
    if before and not again:
        state["threshold"] = None
    state["synset-chosen"] = False
    if picture.word is not None:
        state["synset"] = synsets.collapse(synsets.find(picture.word).wnid)
    elif findings:
        state["synset"] = findings[0].wnid


def _peak(found: Found, wnid: str) -> float:
    return found.maps(wnid, "probability").arithmetic.peak


def _findings(found: Found) -> tuple[Finding, ...]:
    return cached.findings(found.result.job.key, cached.done(found.class_maps), found.class_maps)


# Parts of the page, from above


def _header(found: Found | None) -> None:
    synsets = cached.ontology()
    synset_picker.pick_synset("synset", choose)
    wnid = st.session_state["synset"]
    synset_picker.hierarchy("explore", wnid, choose)
    synset = synsets[wnid]
    gloss = synset.gloss.split("; ")[0]
    others = ", ".join(synset.words[1:4])
    notices.note(f"{gloss}{f' ({others})' if others else ''}. {wnid}")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="chips-explore"):
        if found is None:
            st.markdown(":small[:gray[What is in it? Looking …]]", width="content")
            return
        st.markdown(
            ":small[:gray[In this picture]]",
            width="content",
            help="The strongest classes, each by itself where the network is sure of it and by its everyday kind "
            "(dog, cat, vehicle) where it is torn between that kind's classes. The number is the peak of the mean "
            "over the scales, 1 at the most.",
        )
        for finding in _findings(found):
            st.button(
                f"{notices.escape_markdown(synsets.label(finding.wnid))} :small[{finding.peak:.2f}]",
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
        help="Centres: each cell at the centre of its receptive field. Even: spread evenly over the picture, as the "
        "notebook does, up to half a cell off.",
    )  # fmt: skip
    st.segmented_control(
        "Scale cards", selection.CARDS, default="Overlay", key="cards", required=True, bind="query-params"
    )


def _span(maps: Analysis, chosen: Selection) -> tuple[float, float] | None:
    """The range of the colours, None where each map has its own."""
    if chosen.range == "Per map":
        return None
    if chosen.range == "Shared":
        shown = [*maps.heatmaps.values(), maps.arithmetic, maps.geometric]
        return 0.0, max(1e-6, *(heatmap.peak for heatmap in shown))
    return 0.0, 1.0 if maps.kind == "probability" else _EVIDENCE_TOP


def _own_span(heatmap: Heatmap, span: tuple[float, float] | None) -> tuple[float, float]:
    return span if span is not None else (float(heatmap.values.min()), max(heatmap.peak, 1e-6))


def _large(
    found: Found, maps: Analysis, analysis: Callable[[], Analysis], chosen: Selection, look: Look
) -> None:
    picture = found.picture
    size = figures.shown_size(picture, *_LARGE)
    name = cached.ontology().label(chosen.synset)
    lossless = False
    if chosen.view == "Mean":
        span = _own_span(maps.arithmetic, _span(maps, chosen))
        pixels = figures.paint(_photo(picture, size), maps.arithmetic, size, span, look)
        lossless = not look.smooth
    elif chosen.view == "Fine":
        fine = Heatmap(analysis().fine, maps.kind)
        pixels = figures.paint(_photo(picture, size), fine, size, (0.0, 1.0), look)
    else:
        pixels = _outlined(analysis(), size, veil=chosen.view == "Mask", boxes=chosen.view != "Mask")
    about = f"{chosen.view} of {name}: peak {figures.number(maps.arithmetic.peak)}"
    ids, names = inspector.top_classes(found.class_maps, maps.arithmetic.cells)
    cells = maps.arithmetic.cells if look.placement == "centres" else None
    rows, columns = maps.arithmetic.grid
    picked = inspector.picked(rows, columns)
    shown = PointerMap(pixels, lossless, about, maps.arithmetic.values, ids, names, cells)
    pointer_map(shown, picked, key="pointer", on_pick=inspector.pick)


def _outlined(analysis: Analysis, size: tuple[int, int], *, veil: bool, boxes: bool) -> NDArray[np.uint8]:
    """The region on the photo, drawn at the working size and shown at another."""
    photo = analysis.image.pixels
    line = max(2, round(max(photo.shape[:2]) / 240))
    drawn = render.draw_mask(photo, analysis.mask) if veil else photo
    drawn = render.draw_contours(drawn, contours_of(analysis.mask), width=line)
    if boxes:
        drawn = render.draw_boxes(drawn, analysis.boxes, width=line)
    return cached.resized(drawn, size)


def _legend(maps: Analysis, analysis: Callable[[], Analysis], chosen: Selection) -> None:
    peak = maps.arithmetic.peak
    note = ""
    if maps.kind == "probability" and peak < figures.LOW_PEAK:
        note = f"The peak is only {peak:.2f}: the network hardly sees this here."
    if chosen.view == "Fine":
        basis = "probability and evidence, completed along regions" if chosen.snap else _LABELS[maps.kind]
        label = f"fine map: {basis}, stretched from its lowest to its highest"
        st.html(figures.legend((0.0, 1.0), chosen.colours, label, note))
        return
    if chosen.view == "Mean":
        span = _span(maps, chosen)
        how = {"Fixed": "fixed", "Shared": "shared by these maps", "Per map": "each map's own"}[chosen.range]
        st.html(figures.legend(span, chosen.colours, f"{_LABELS[maps.kind]}, {how} range", note))
        return
    region = analysis()
    share = float(region.mask.mean())
    count = len(region.boxes)
    text = f"threshold {region.threshold:.2f}, {share:.0%} of the picture, {count} region{'' if count == 1 else 's'}"
    st.html(
        f'<div class="fcn-legend"><span class="fcn-muted">{text}</span><span class="fcn-warn">{note}</span></div>'
    )


def _scale_row(
    maps: Analysis | None,
    chosen: Selection,
    look: Look,
    picture: Picture,
    plans: tuple[PlannedScale, ...],
) -> None:
    """The scales' sum over their number is the arithmetic mean, cell by cell; beside it the geometric one."""
    size = figures.shown_size(picture, *_CARD)
    photo = _photo(picture, size) if chosen.cards == "Overlay" else None
    span = _span(maps, chosen) if maps is not None else None
    name = cached.ontology().label(chosen.synset)
    keys = [str(plan.requested) for plan in plans] or list(maps.heatmaps if maps else ())
    items = []
    for key in keys:
        heatmap = maps.heatmaps.get(key) if maps is not None else None
        if maps is None or heatmap is None:
            items.append(Card(_times(key), ("waiting", ""), None, f"{key}: not yet computed"))
            continue
        class_map = maps.class_maps[key]
        rows, columns = heatmap.grid
        lines = (f"{rows} × {columns} cells, {figures.seconds(class_map.seconds)}", _peaks(heatmap, span))
        pixels = figures.paint(photo, heatmap, size, _own_span(heatmap, span), look)
        row, column = heatmap.peak_cell
        alt = f"{name} at {_times(key)}: peak {figures.number(heatmap.peak)} in row {row}, column {column}"
        items.append(Card(_times(key), lines, pixels, alt))
    for title, mean in (("Arithmetic", "arithmetic"), ("Geometric", "geometric")):
        if maps is None:
            items.append(Card(title, ("waiting", ""), None, f"{title} mean: not yet computed"))
            continue
        heatmap = getattr(maps, mean)
        pixels = figures.paint(photo, heatmap, size, _own_span(heatmap, span), look)
        many = len(maps.heatmaps)
        lines = (
            f"mean of {many}{', cell by cell' if many == len(keys) else ' so far'}",
            _peaks(heatmap, span),
        )
        items.append(
            Card(title, lines, pixels, f"{title} mean of {name}: peak {figures.number(heatmap.peak)}")
        )
    figures.cards(items, signs_of(len(keys)), size, lossless=not look.smooth)


def signs_of(count: int) -> tuple[str, ...]:
    """What stands before each card of a row of scales and their two means: together they are a true equation."""
    if count == 1:
        return "", "=", ""
    return "(", *["+"] * (count - 1), f") / {count} =", ""


def _times(key: str) -> str:
    return key.replace("x", " × ")


def _peaks(heatmap: Heatmap, span: tuple[float, float] | None) -> str:
    if span is None:
        return f"{figures.number(float(heatmap.values.min()))} to {figures.number(heatmap.peak)}"
    return f"peak {figures.number(heatmap.peak)}"


# The tabs


def _maps(found: Found, maps: Analysis, chosen: Selection, look: Look) -> None:
    size = figures.shown_size(found.picture, *_MEAN)
    photo = _photo(found.picture, size) if chosen.cards == "Overlay" else None
    span = _span(maps, chosen)
    name = cached.ontology().label(chosen.synset)
    how = {"Fixed": "fixed range", "Shared": "shared range", "Per map": "its own range"}[chosen.range]

    def show(heatmap: Heatmap, title: str, about: str, over: tuple[float, float] | None = None) -> None:
        range_ = over if over is not None else _own_span(heatmap, span)
        pixels = figures.paint(photo, heatmap, size, range_, look)
        caption = (
            f"{title}: {about}, peak {figures.number(heatmap.peak)}, mean {figures.number(heatmap.mean)}"
        )
        picture = figures.figure(pixels, f"{title} of {name}: {about}", caption, not look.smooth)
        st.html(
            picture + figures.legend(range_, look.colours, how if over is None else "0 to 0.5 or its peak")
        )

    left, right = st.columns(2)
    with left:
        show(maps.arithmetic, "Arithmetic mean", "every scale has its share")
    with right:
        show(maps.geometric, "Geometric mean", "high where all scales are")
    left, right = st.columns(2)
    with left:
        live_place = st.container()
        st.slider(
            "Live mean: from geometric (0) to arithmetic (1)", 0.0, 1.0, 1.0, 0.05, key="power", bind="query-params",
            help="The power mean of the scales.",
        )  # fmt: skip
    with right:
        apart = spread(tuple(maps.heatmaps.values()))
        show(apart, "Disagreement of the scales", "their standard deviation", (0.0, max(0.5, apart.peak)))
        columns = st.columns(min(len(maps.heatmaps), 4))
        weights = []
        for index, key in enumerate(maps.heatmaps):
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
            live = combine(tuple(maps.heatmaps.values()), power, weights)
            show(live, "Live mean", f"power {power:g}")
        else:
            notices.note("Every weight is 0, so nothing is left to average. Give one scale a weight.")


def _mask(found: Found, analysis: Analysis, chosen: Selection) -> None:
    left, right = st.columns([3, 2])
    with right:
        st.toggle(
            "Follow the picture's regions", True, key="snap", bind="query-params",
            help="Completes what probability and evidence are sure of, from region to region of the picture where they "
            "are alike in colour, in place and in what the network says, so that the mask ends where the object does.",
        )  # fmt: skip
        suggested = suggest_threshold(analysis.fine)
        cut = suggested if chosen.threshold is None else chosen.threshold
        slider = st.session_state.get("threshold-shown", "")
        if chosen.threshold is None or slider not in st.session_state:
            slider = f"threshold-{chosen.synset}-{cut:.2f}-{st.session_state.get('threshold-serial', 0)}"
            st.session_state["threshold-shown"] = slider
            st.session_state[slider] = round(cut, 2)
        st.slider("Threshold", 0.0, 1.0, step=0.01, key=slider, on_change=_set_threshold, args=(slider,))
        st.html(
            f'<div class="fcn-mark"><span style="left:{suggested:.1%}">▲ suggested {suggested:.2f}</span></div>'
        )
        st.button(
            "Use the suggested threshold",
            on_click=_suggest,
            disabled=chosen.threshold is None,
            icon=":material/auto_fix_high:",
        )
        factor = found.picture.original[1] / analysis.image.width
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
        st.html(figures.table(("", "left, top", "size", "area", "peak"), boxes))
        if len(analysis.boxes) > 8:
            notices.note(f"and {len(analysis.boxes) - 8} smaller regions")
        notices.note(f"The mask covers {analysis.mask.mean():.1%} of the picture.")
        if factor != 1:
            notices.note("Measured on a smaller copy; files are made from the whole picture.")
    with left:
        size = figures.shown_size(found.picture, 680, 600)
        drawn = _outlined(analysis, size, veil=True, boxes=True)
        name = cached.ontology().label(chosen.synset)
        alt = f"Mask of {name} at threshold {analysis.threshold:.2f} with {len(analysis.boxes)} boxes"
        st.html(figures.figure(drawn, alt))


def _set_threshold(slider: str) -> None:
    if st.session_state["threshold-shown"] == slider:  # not one that is gone from the page by now
        st.session_state["threshold"] = st.session_state[slider]


def _suggest() -> None:
    st.session_state["threshold"] = None
    st.session_state["threshold-serial"] = st.session_state.get("threshold-serial", 0) + 1  # a new widget
