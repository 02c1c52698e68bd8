"""The map that answers to the pointer: a small component that shows value, class and cell, and picks a cell.

Streamlit's charts cannot lie over a photo and be clicked, so this is the one place with JavaScript of our own.
It gets plain data and shows it as text; it never runs what it gets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

_HTML = """<figure tabindex="0" role="application"><img alt=""><div class="cell"></div><div class="picked"></div>
<div class="tip" role="status" aria-live="polite"></div></figure>"""

_CSS = """
figure { position: relative; margin: 0; border-radius: .4rem; overflow: hidden; cursor: crosshair; line-height: 0;
  background: rgba(128,128,128,.14); touch-action: manipulation; }
figure:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
img { width: 100%; height: 100%; display: block; }
.cell, .picked { position: absolute; box-sizing: border-box; display: none; pointer-events: none;
  border: 1px solid #fff; outline: 1px solid rgba(0,0,0,.75); }
.picked { border: 2px solid #fff; outline-width: 2px; }
.tip { position: absolute; display: none; pointer-events: none; max-width: 92%; padding: .25rem .5rem;
  border-radius: .3rem; background: rgba(15,18,20,.88); color: #fff; font: .8rem/1.35 var(--st-font);
  font-variant-numeric: tabular-nums; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
"""

_JS = """
export default function (component) {
  const { data: [data], parentElement, setStateValue } = component
  const figure = parentElement.querySelector("figure")
  const img = parentElement.querySelector("img")
  const cell = parentElement.querySelector(".cell")
  const picked = parentElement.querySelector(".picked")
  const tip = parentElement.querySelector(".tip")
  figure.style.aspectRatio = data.width + " / " + data.height
  if (img.src !== data.src) img.src = data.src
  img.alt = data.alt
  figure.setAttribute("aria-label", data.alt + ". Arrow keys walk over the cells, Enter picks one.")
  const rows = data.ys.length - 1, columns = data.xs.length - 1
  const find = (edges, at) => {
    let i = 0
    while (i < edges.length - 2 && at >= edges[i + 1]) i++
    return i
  }
  const frame = (box, r, c) => {
    box.style.display = "block"
    box.style.top = data.ys[r] * 100 + "%"
    box.style.left = data.xs[c] * 100 + "%"
    box.style.height = (data.ys[r + 1] - data.ys[r]) * 100 + "%"
    box.style.width = (data.xs[c + 1] - data.xs[c]) * 100 + "%"
  }
  const show = (r, c) => {
    figure._at = [r, c]
    frame(cell, r, c)
    const i = r * columns + c
    tip.textContent = (data.values[i] / 1000).toFixed(data.digits) + "  " + data.names[data.classes[i]] +
      "  (row " + r + ", column " + c + ")"
    tip.style.display = "block"
    const low = data.ys[r] > 0.8
    tip.style.top = low ? "auto" : "calc(" + data.ys[r + 1] * 100 + "% + 4px)"
    tip.style.bottom = low ? "calc(" + (1 - data.ys[r]) * 100 + "% + 4px)" : "auto"
    const right = data.xs[c] > 0.5
    tip.style.left = right ? "auto" : data.xs[c] * 100 + "%"
    tip.style.right = right ? (1 - data.xs[c + 1]) * 100 + "%" : "auto"
  }
  const hide = () => { cell.style.display = tip.style.display = "none" }
  const locate = event => {
    const box = figure.getBoundingClientRect()
    return [find(data.ys, (event.clientY - box.top) / box.height),
            find(data.xs, (event.clientX - box.left) / box.width)]
  }
  const pick = (r, c) => { frame(picked, r, c); setStateValue("cell", [r, c]) }
  // A pointer that rests while the page moves below it tells of a move by nothing: that undoes no arrow key.
  figure.onpointermove = event => { if (event.movementX || event.movementY || !figure._at) show(...locate(event)) }
  figure.onpointerleave = hide
  figure.onblur = hide
  figure.onclick = event => pick(...locate(event))
  figure.onkeydown = event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const [r, c] = figure._at || data.picked || [Math.floor(rows / 2), Math.floor(columns / 2)]
    if (step) {
      event.preventDefault()
      show(Math.min(Math.max(r + step[0], 0), rows - 1), Math.min(Math.max(c + step[1], 0), columns - 1))
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      pick(r, c)
    }
  }
  if (figure._at && (figure._at[0] >= rows || figure._at[1] >= columns)) { figure._at = null; hide() }
  if (data.picked && data.picked[0] < rows && data.picked[1] < columns) frame(picked, ...data.picked)
  else picked.style.display = "none"
}
"""

_component = st.components.v2.component("fcn_pointer_map", html=_HTML, css=_CSS, js=_JS)


def pointer_map(
    picture: dict[str, Any],
    alt: str,
    values: NDArray[np.float32],
    classes: NDArray[np.intp],
    names: list[str],
    ys: list[float],
    xs: list[float],
    picked: tuple[int, int] | None,
    key: str,
    on_pick: Callable[[], None],
) -> None:
    """Show a picture whose cells tell what they hold.

    Parameters
    ----------
    picture : dict
        From ``panels.data_of``.
    alt : str
        What is seen, for those who cannot see it.
    values : (h, w) ndarray
        Shown under the pointer.
    classes : (h, w) int ndarray
        Index into `names` of the class with the highest probability.
    names : list of str
    ys, xs : list of float
        From `edges`.
    picked : (row, column) or None
        The cell that is framed.
    key : str
        ``st.session_state[key].cell`` is the [row, column] clicked last.
    on_pick : callable
        Called when a cell is picked.
    """
    _component(
        key=key,
        data=[  # a list, as Streamlit loads pandas and pyarrow (80 MB) to look for tables in a mapping
            {
                **picture,
                "alt": alt,
                "values": np.rint(values * 1000).astype(int).ravel().tolist(),
                "digits": 3 if float(values.max()) <= 1 else 2,
                "classes": classes.ravel().tolist(),
                "names": names,
                "ys": ys,
                "xs": xs,
                "picked": list(picked) if picked is not None else None,
            }
        ],
        on_cell_change=on_pick,
    )
