"""The tab "Export": files of an analysis, made when they are asked for; the network does not run again."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.state.picture_files import EVICTED
from app.state.selection import Selection
from app.state.view import View
from app.ui import notices
from app.ui.display import look_of
from app.ui.figures import Look
from fcn_core import render
from fcn_core.export import files, shells
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.pipeline import Analysis


def draw(chosen: Selection, view: View, shown: Analysis) -> None:
    """Draw the buttons, and the commands that make the same files.

    Parameters
    ----------
    chosen : Selection
    view : View
    shown : Analysis
        The analysis on the page, for the commands; files are made from the whole picture.
    """
    make, picture, look = view.whole_analysis(chosen), view.picture, look_of(chosen)
    stem = f"{files.file_stem(picture.name)}-{files.file_stem(shown.synset.words[0])}"
    if not picture.file.is_there:
        notices.problem(EVICTED)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**All in one**")
        _button(
            "All files",
            lambda: files.zip_all(make(), picture.data),
            f"{stem}.zip",
            "application/zip",
            primary=True,
        )
        st.markdown("**Pictures**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = (
                "Overlay with boxes",
                "Mask",
                "Figure",
                "Fine map",
                *shown.heatmaps,
                "Arithmetic mean",
                "Geometric mean",
            )
            which = str(st.selectbox("Picture as PNG", names, key="png", label_visibility="collapsed"))
            _button(
                "PNG",
                lambda: picture_png(make(), which, look),
                f"{stem}-{files.file_stem(which)}.png",
                "image/png",
            )
            _button(
                "The picture", lambda: picture.data, shells.harmless(picture.name), "application/octet-stream"
            )
        st.markdown("**Numbers**")
        with st.container(horizontal=True):
            _button("Maps, NPZ", lambda: files.maps_npz(make()), f"{stem}-maps.npz", "application/zip")
            _button(
                "Manifest, JSON",
                lambda: files.manifest_json(make()),
                f"{stem}-manifest.json",
                "application/json",
            )
            _button("Boxes, COCO", lambda: files.coco_json(make()), f"{stem}-coco.json", "application/json")
        st.markdown("**Documents**")
        with st.container(horizontal=True):
            _button(
                "Report, HTML", lambda: files.html_report(make(), look.colours), f"{stem}.html", "text/html"
            )
            _button(
                "Notebook",
                lambda: files.notebook(make(), picture.data),
                f"{stem}.ipynb",
                "application/x-ipynb+json",
            )
    with right:
        st.markdown("**The same in a terminal**")
        st.code(files.command_line(shown), language="bash", wrap_lines=True)
        if files.rename_note(shown):
            notices.note(files.rename_note(shown))
        st.markdown("**The same in Python**")
        st.code(files.python_snippet(shown), language="python", wrap_lines=True)
        st.markdown("**Share this page**")
        notices.note(
            "The address of this page contains all your choices: copy it from the browser."
            if picture.address
            else "The address of this page contains all your choices except the picture, which stays in this session."
        )


def picture_png(analysis: Analysis, which: str, look: Look) -> bytes:
    """Return one picture of the analysis at the photo's size, as PNG."""
    if which == "Overlay with boxes":
        return files.overlay_png(analysis, look.colours, look.opacity)
    if which == "Mask":
        return files.mask_png(analysis)
    if which == "Figure":
        return files.figure_png(analysis, look.colours)
    maps = {**analysis.heatmaps, "Arithmetic mean": analysis.arithmetic, "Geometric mean": analysis.geometric}
    heatmap = maps.get(which, Heatmap(analysis.fine, analysis.kind))
    image = analysis.image
    placement = look.placement if heatmap.cells is not None else "even"
    values = place(heatmap, image.height, image.width, placement, look.smooth)
    top = 1.0 if analysis.kind == "probability" or which == "Fine map" else max(heatmap.peak, 1e-6)
    colours = render.colourise(values, 0.0, top, look.colours)
    return render.encode(render.overlay(image.pixels, colours, look.opacity), "png")


def _button(label: str, make: Callable[[], bytes], file_name: str, mime: str, primary: bool = False) -> None:
    st.download_button(
        label,
        make,
        file_name,
        mime,
        key=f"export-{label}",
        on_click="ignore",
        icon=":material/download:",
        type="primary" if primary else "secondary",
    )
