"""The large photograph: alone, with outlines and their names, or below a map that responds to the pointer.

Streamlit can neither outline things on a picture nor let the user click on a map over one, so this is the only custom
component. It receives plain data and shows it as text and as paths; it never executes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.ui.figures import uri
from fcn_core import render
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.render import Colour

#: One colour for each thing that is outlined, from the palette of Okabe and Ito (2008): distinguishable with every kind
#: of colour blindness.
OUTLINE_COLOURS: tuple[Colour, ...] = ((240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 180, 130))
#: Of what the user asks for and the program did not find by itself.
ASKED_COLOUR: Colour = (255, 255, 255)

Polygons = tuple[NDArray[np.float64], ...]


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


# Modules are loaded once per process, so the files are, too.
_component = st.components.v2.component(
    "fcn_stage", html=_beside(".html"), css=_beside(".css"), js=_beside(".js")
)


@dataclass(frozen=True)
class Outline:
    """A thing that is outlined on the photograph.

    Attributes
    ----------
    wnid : str
    name : str
        Written beside it.
    colour : (int, int, int)
    polygons : tuple of (n, 2) float ndarray
        (x, y) from 0 to 1 of the photograph's width and height.
    """

    wnid: str
    name: str
    colour: Colour
    polygons: Polygons


@dataclass(frozen=True)
class CellMap:
    """The cells of a map, which respond to the pointer.

    Attributes
    ----------
    values : (h, w) ndarray
        Shown under the pointer.
    classes : (h, w) int ndarray or None
        Index into `names` of the class with the highest probability; None names no classes.
    names : list of str
        Without classes, what the value is of; two of them: of positive and of negative values.
    cells : CellGrid or None
        Where the cells look; None divides the picture evenly.
    picked : (row, column) or None
        The cell to frame.
    group : str
        Pictures of one group frame the same place together, and cannot be picked in; "" is for one alone.
    name : str
        With classes, what the value is of.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.intp] | None
    names: list[str]
    cells: CellGrid | None
    picked: tuple[int, int] | None = None
    group: str = ""
    name: str = ""


@dataclass(frozen=True)
class Stage:
    """What the large picture shows.

    Attributes
    ----------
    photo : (H, W, 3) uint8 ndarray
    alt : str
        What it shows, for screen readers.
    over : (H, W, 3) uint8 ndarray or None
        The photograph with a map blended over it.
    aside : bool
        Whether the user can draw that map aside.
    lossless : bool
        Whether to send it as PNG, so that cells keep sharp edges.
    outlines : tuple of Outline
        Drawn on the photograph, which is dimmed elsewhere.
    map : CellMap or None
        Cells that respond to the pointer.
    """

    photo: NDArray[np.uint8]
    alt: str
    over: NDArray[np.uint8] | None = None
    aside: bool = True
    lossless: bool = False
    outlines: tuple[Outline, ...] = ()
    map: CellMap | None = None


def draw(
    shown: Stage,
    key: str,
    on_pick: Callable[[], None] | None = None,
    on_choose: Callable[[], None] | None = None,
) -> None:
    """Show the large picture.

    Parameters
    ----------
    shown : Stage
    key : str
        ``st.session_state[key].cell`` is the [row, column] clicked last, ``.chosen`` the wnid of a name that was
        clicked in this run.
    on_pick, on_choose : callable, optional
        Called when a cell, and when a name, is clicked.
    """
    height, width = shown.photo.shape[:2]
    _component(
        key=key,
        data=[  # a list: in a mapping, Streamlit would import pandas and pyarrow (80 MB) to look for tables
            {
                "photo": uri(shown.photo),
                "over": uri(shown.over, shown.lossless) if shown.over is not None else None,
                "aside": shown.aside and shown.over is not None,
                "choosable": on_choose is not None,
                "pickable": on_pick is not None,
                "height": height,
                "width": width,
                "alt": shown.alt,
                "shapes": _shapes(shown.outlines, width, height),
                **_cells(shown.map),
            }
        ],
        on_cell_change=on_pick or _nothing,
        on_chosen_change=on_choose or _nothing,
    )


def _nothing() -> None:
    """Do nothing."""


def _cells(shown: CellMap | None) -> dict[str, object]:
    if shown is None:
        return {"values": [], "ys": [], "xs": [], "picked": None, "group": ""}
    peak = float(np.abs(shown.values).max())
    rows, columns = shown.values.shape
    return {
        "values": np.rint(shown.values * 1000).astype(int).ravel().tolist(),
        "name": shown.name,
        "digits": 3 if peak <= 1 else 2 if peak <= 100 else 1,
        "classes": shown.classes.ravel().tolist() if shown.classes is not None else None,
        "names": shown.names,
        "ys": (shown.cells.y if shown.cells else CellAxis.even(rows)).edges(),
        "xs": (shown.cells.x if shown.cells else CellAxis.even(columns)).edges(),
        "picked": list(shown.picked) if shown.picked is not None else None,
        "group": shown.group,
    }


def _shapes(outlines: Sequence[Outline], width: int, height: int) -> list[dict[str, object]]:
    """Return outlines as SVG paths, each with its highest point, above which its name stands."""
    shapes: list[dict[str, object]] = []
    for outline in outlines:
        if not outline.polygons:
            continue
        points = outline.polygons[0]
        x, y = points[points[:, 1].argmin()].tolist()
        shapes.append(
            {
                "id": outline.wnid,
                "name": outline.name,
                "colour": css(outline.colour),
                "ink": css(render.ink_on(outline.colour)),
                "path": "".join(_path(polygon, width, height) for polygon in outline.polygons),
                "x": round(x, 4),
                "y": round(y, 4),
            }
        )
    return shapes


def _path(polygon: NDArray[np.float64], width: int, height: int) -> str:
    points = np.rint(polygon * (width, height) * 10) / 10
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points.tolist()) + "Z"


def css(colour: Colour) -> str:
    """Return a colour as CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
