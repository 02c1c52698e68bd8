"""The main area of Explore: synset, picture and map, the row of scales, and the tabs below."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.explore import export_tab, header, inspect_tab, large_map, maps_tab, mask_tab, scale_row
from app.state import selection, session
from app.state.pictures import Picture
from app.state.queue.jobs import Job
from app.state.selection import Selection
from app.state.view import View
from app.ui import display, figures, notices
from fcn_core.images.scales import PlannedScale
from fcn_core.pipeline import Analysis

_SIZE = (640, 560)


@st.fragment
def draw(
    job: Job | None,
    picture: Picture,
    plans: tuple[PlannedScale, ...],
    progress: Callable[[], None] | None,
) -> None:
    """Draw the results; nothing here runs the network.

    Streamlit runs this again by itself when one of its widgets changes, so it reads the selection anew.

    Parameters
    ----------
    job : Job or None
        Whose class maps to show; None before the first is there.
    picture : Picture
        The picture they are of.
    plans : tuple of PlannedScale
        All scales that are asked for; empty: those of the job.
    progress : callable or None
        Draws how far the job is, while it is not finished; None: what is missing does not come.
    """
    with notices.guarded("Drawing results"):
        view = View.of(job, picture)
        if job is not None and view is None:  # its class maps were evicted: ask for them again
            st.rerun()
        header.adapt_synset(view, picture)
        chosen = session.selection()
        session.publish(chosen)
        header.draw(chosen, view, looking=progress is not None)
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
                display.draw()
        size = figures.shown_size(picture, *_SIZE)
        with left:
            with st.container(horizontal=True, vertical_alignment="center", key="name-row"):
                notices.note(picture.description)
            st.html(figures.figure(display.photo(picture, size), f"The picture: {picture.name}"))
        if view is None:
            if progress is not None:  # otherwise nothing comes: it failed, was refused or stopped
                with right:
                    st.skeleton(height=max(120, round(520 * picture.height / picture.width)))
                progress()
                scale_row.draw(chosen, None, picture, plans)
            return
        analysis = view.analysis(chosen)
        with right:
            large_map.draw(chosen, view, analysis, size)
        large_map.draw_legend(chosen, analysis)
        large_map.draw_trace(analysis)
        if progress is not None:
            progress()
        elif view.complete:
            _summary(view)
        scale_row.draw(chosen, analysis, picture, plans if progress is not None else ())
        _tabs(chosen, view, analysis)


def _summary(view: View) -> None:
    seconds, info = sum(m.seconds for m in view.class_maps.values()), view.info
    notices.note(
        f"{len(view.class_maps)} scale{'s' if len(view.class_maps) > 1 else ''} in "
        f"{figures.seconds(seconds)}, {info.title} on {info.engine}"
        + (", random weights" if info.weights == "random" else "")
    )


def _tabs(chosen: Selection, view: View, analysis: Analysis) -> None:
    tabs = st.tabs(selection.TABS, key="tab", on_change="rerun", bind="query-params")
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
