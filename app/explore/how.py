"""The part "How does it work?" of Explore: the scales, their maps and means, and everything that can be set."""

from __future__ import annotations

import streamlit as st

from app.explore import export_tab, inspect_tab, maps_tab, mask_tab, network_inputs, scale_row
from app.state import selection, session
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.view import View
from app.ui import display, figures, notices, synset_picker
from fcn_core.images.scales import NOTEBOOK_SCALES, PlannedScale
from fcn_core.pipeline import Analysis
from fcn_core.system.installed import is_installed

_INTRODUCTION = (
    "The network answers for one small patch of the photo at a time: which of its {} classes is there? It reads the "
    "photo at several sizes. A small one shows it whole things, a large one their details. For each size the answers "
    "make a map; the mean of the maps shows where the thing is."
)


def draw(
    chosen: Selection,
    view: View | None,
    picture: Picture,
    analysis: Analysis | None,
    plans: tuple[PlannedScale, ...],
) -> None:
    """Draw the part, and its content if it is open.

    Parameters
    ----------
    chosen : Selection
    view : View or None
        None before the first scale is computed.
    picture : Picture
    analysis : Analysis or None
        Of the view.
    plans : tuple of PlannedScale
        All scales that are asked for; empty: those of the analysis.
    """
    part = st.expander(
        "How does it work?", icon=":material/school:", **session.explore().choices.widget("how", initial="")
    )
    if not part.open:
        return
    with part:
        notices.note(_INTRODUCTION.format(len(chosen.ontology.classes)))
        st.html('<h3 class="fcn-small-head">What is looked for</h3>')
        left, right = st.columns([3, 2], gap="medium")
        with left:
            _synset(chosen)
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            st.button(
                "Notebook view",
                on_click=_notebook_view,
                icon=":material/menu_book:",
                help="Everything as in the course notebook: four scales, the photo stretched to each, cells spread "
                "evenly, both means at 50 × 80 cells.",
            )
            with st.popover("Colours", icon=":material/palette:"):
                display.draw()
        st.html('<h3 class="fcn-small-head">How it is computed</h3>')
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.popover("Scales and model", icon=":material/tune:"):
                network_inputs.draw(chosen, picture)
            notices.note("One map for each size at which the network reads the photo.")
        if analysis is not None:
            _about_taught(chosen, analysis)
        scale_row.draw(chosen, analysis, picture, plans)
        if view is None or analysis is None:
            return
        if view.complete:
            summary(chosen, view)
        _tabs(chosen, view, analysis)


def _synset(chosen: Selection) -> None:
    """Draw the synset's place in the hierarchy, and what it means."""
    notices.note("Words from the broadest to the narrowest. Press one to look for it.")
    synset_picker.hierarchy("explore", chosen.ontology, chosen.synset, session.choose_synset)
    synset = chosen.ontology[chosen.synset]
    others = ", ".join(synset.words[1:4])
    meaning = " ".join(filter(None, (synset.gloss.split("; ")[0], others and f"({others})")))
    notices.note(f"{meaning}. {chosen.synset}" if meaning else chosen.synset)


def _about_taught(chosen: Selection, analysis: Analysis) -> None:
    """Say that a synset is found by more than its classes, which the maps of the scales do not show."""
    if not analysis.is_taught:
        return
    name, kinds = chosen.ontology[chosen.synset].name, len(analysis.class_ids)
    notices.note(
        f"Of the network's classes only {kinds} are kinds of {name}. So the answer above weighs what all classes say "
        "together; the maps of the scales show only those few classes."
    )


def _notebook_view() -> None:
    """Set everything as in the course notebook."""
    session.explore().choices.choose(
        scales=NOTEBOOK_SCALES,
        weights=(),
        power=1.0,
        fit="Exact",
        map="Probability",
        place="Even",
        cells="Blocks",
        range="Per map",
        tab="Maps",
    )


def summary(chosen: Selection, view: View) -> None:
    """Say how long the network took, which it was, and if another engine runs it than the one that should."""
    seconds, info = sum(m.seconds for m in view.class_maps.values()), view.info
    notices.note(
        f"{len(view.class_maps)} scale{'s' if len(view.class_maps) > 1 else ''} in "
        f"{figures.seconds(seconds)}, {info.title} on {info.engine}"
        + (", random weights" if info.weights == "random" else "")
    )
    if chosen.model_key.engine == "auto" and info.engine == "tensorflow" and is_installed("openvino"):
        notices.note(
            "OpenVINO cannot run this model here, so TensorFlow does, more slowly. The log says why."
        )


def _tabs(chosen: Selection, view: View, analysis: Analysis) -> None:
    tabs = st.tabs(selection.TABS, **session.explore().choices.widget("tab", initial=""))
    for tab, name in zip(tabs, selection.TABS, strict=True):
        if not tab.open:
            continue
        with tab:
            match name:
                case "Maps":
                    maps_tab.draw(chosen, analysis, view.picture)
                case "Mask":
                    mask_tab.draw(chosen, analysis, view.picture)
                case "Inspect":
                    inspect_tab.draw(chosen, view, analysis)
                case _:
                    export_tab.draw(chosen, view, analysis)
