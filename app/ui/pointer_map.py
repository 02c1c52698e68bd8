"""A heatmap that responds to the pointer: it shows value, class and cell, and lets the user pick a cell.

Streamlit's charts cannot be laid over a photo and clicked, so this is the only custom component. It receives plain
data and shows it as text; it never executes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.ui.figures import uri
from fcn_core.networks.geometry import CellAxis, CellGrid


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


# Modules are loaded once per process, so the files are, too.
_component = st.components.v2.component(
    "fcn_pointer_map", html=_beside(".html"), css=_beside(".css"), js=_beside(".js")
)


@dataclass(frozen=True)
class PointerMap:
    """A picture and the values of its cells.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 ndarray
        The picture as shown.
    lossless : bool
        Whether to send it as PNG, so that cells keep sharp edges.
    alt : str
        What it shows, for screen readers.
    values : (h, w) ndarray
        Shown under the pointer.
    classes : (h, w) int ndarray
        Index into `names` of the class with the highest probability.
    names : list of str
    cells : CellGrid or None
        Where the cells look; None divides the picture evenly.
    """

    pixels: NDArray[np.uint8]
    lossless: bool
    alt: str
    values: NDArray[np.float32]
    classes: NDArray[np.intp]
    names: list[str]
    cells: CellGrid | None


def pointer_map(
    shown: PointerMap, picked: tuple[int, int] | None, key: str, on_pick: Callable[[], None]
) -> None:
    """Show a picture whose cells respond to the pointer.

    Parameters
    ----------
    shown : PointerMap
    picked : (row, column) or None
        The cell to frame.
    key : str
        ``st.session_state[key].cell`` is the [row, column] clicked last.
    on_pick : callable
        Called when a cell is picked.
    """
    height, width = shown.pixels.shape[:2]
    rows, columns = shown.values.shape
    _component(
        key=key,
        data=[  # a list: in a mapping, Streamlit would import pandas and pyarrow (80 MB) to look for tables
            {
                "src": uri(shown.pixels, shown.lossless),
                "height": height,
                "width": width,
                "alt": shown.alt,
                "values": np.rint(shown.values * 1000).astype(int).ravel().tolist(),
                "digits": 3 if float(shown.values.max()) <= 1 else 2,
                "classes": shown.classes.ravel().tolist(),
                "names": shown.names,
                "ys": (shown.cells.y if shown.cells else CellAxis.even(rows)).edges(),
                "xs": (shown.cells.x if shown.cells else CellAxis.even(columns)).edges(),
                "picked": list(picked) if picked is not None else None,
            }
        ],
        on_cell_change=on_pick,
    )
