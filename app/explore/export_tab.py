"""The tab "Export": files of an analysis, made when they are asked for; the network does not run again."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable

import streamlit as st

from app.state.picture_files import EVICTED
from app.state.pictures import Picture
from app.state.selection import Selection
from app.state.shared_queue import memory_for_a_file
from app.state.view import View
from app.ui import figures, notices
from app.ui.display import look_of, marked_map
from app.ui.figures import Look
from fcn_core import render
from fcn_core.export import files, shells
from fcn_core.maps.region import contours_of
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
    stem = _stem(picture, shown)
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
                "Outlines",
                "Heatmap with boxes",
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


def draw_download(chosen: Selection, view: View, shown: Analysis) -> None:
    """Draw the button with the files that most people want."""
    make, picture, look = view.whole_analysis(chosen), view.picture, look_of(chosen)
    stem = _stem(picture, shown)
    with st.popover("Download", icon=":material/download:"):
        if not picture.file.is_there:
            notices.problem(EVICTED)
        _button(
            "Outlines", lambda: picture_png(make(), "Outlines", look), f"{stem}-outlines.png", "image/png"
        )
        _button("Heatmap", lambda: picture_png(make(), "Fine map", look), f"{stem}-heatmap.png", "image/png")
        _button(
            "Mask (white on black)",
            lambda: picture_png(make(), "Mask", look),
            f"{stem}-mask.png",
            "image/png",
        )
        _button("Everything", lambda: files.zip_all(make(), picture.data), f"{stem}.zip", "application/zip")
        notices.note('More files, and the command that makes them: "How does it work?", Export.')


def draw_share(view: View) -> None:
    """Draw the button with the page's address."""
    with st.popover("Share", icon=":material/share:"):
        query = urllib.parse.urlencode(st.query_params.to_dict())
        here = urllib.parse.urlsplit(st.context.url or "")
        st.code(
            here._replace(path=here.path or "/", query=query, fragment="").geturl(),
            language=None,
            wrap_lines=True,
        )
        notices.note(_about_address(view))


def _about_address(view: View) -> str:
    if view.picture.address:
        return "This address opens the same page."
    return "This address has all your choices, but not your photo, which stays in this session."


def _stem(picture: Picture, shown: Analysis) -> str:
    return f"{files.file_stem(picture.name)}-{files.file_stem(shown.synset.name)}"


def picture_png(analysis: Analysis, which: str, look: Look) -> bytes:
    """Return one picture of the analysis at the photo's size, as PNG."""
    if which == "Heatmap with boxes":
        return files.overlay_png(analysis, look.colours, look.opacity)
    if which == "Mask":
        return files.mask_png(analysis)
    if which == "Figure":
        return files.figure_png(analysis, look.colours)
    image = analysis.image
    if which == "Outlines":
        drawn = render.draw_mask(image.pixels, analysis.mask) if analysis.marked else image.pixels
        return render.encode(render.draw_contours(drawn, contours_of(analysis.mask)), "png")
    maps = {**analysis.heatmaps, "Arithmetic mean": analysis.arithmetic, "Geometric mean": analysis.geometric}
    heatmap = maps.get(which) or marked_map(analysis)
    top = 1.0 if analysis.kind == "probability" or which == "Fine map" else max(heatmap.peak, 1e-6)
    size = image.height, image.width
    return render.encode(figures.paint(image.pixels, heatmap, size, (0.0, top), look), "png")


def _button(label: str, make: Callable[[], bytes], file_name: str, mime: str, primary: bool = False) -> None:
    st.download_button(
        label,
        memory_for_a_file()(make),  # around each call
        file_name,
        mime,
        key=f"export-{label}",
        on_click="ignore",
        icon=":material/download:",
        type="primary" if primary else "secondary",
    )
