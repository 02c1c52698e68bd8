"""The table of the page Many: a picture a row, with what was found in it."""

from __future__ import annotations

import base64
import html
from functools import partial

import streamlit as st

from app.many import choices
from app.state.many import Asked, Entry, ManyPage, shown
from app.ui import notices
from app.ui.wording import certainty
from fcn_core.batch.rows import Row

_HEAD = ("Photo", "What", "Area", "Box: left, top, width × height")
_NAMED = 4  # things in a row


def draw(page: ManyPage) -> None:
    """Draw the rows that the filter leaves, sorted."""
    entries = shown(page)
    if not entries:
        notices.note("No photo is like that. Change the filter.")
        return
    cells = "".join(f"<span>{name}</span>" for name in _HEAD)
    st.html(f'<div class="fcn-many fcn-many-head" aria-hidden="true">{cells}</div>')
    for entry in entries:
        _row(page, entry)


def _row(page: ManyPage, entry: Entry) -> None:
    with st.container(key=f"many-row-{entry.id}", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(_figures(entry, page.choices.now), width="stretch")
        with st.container(horizontal=True, gap="xsmall", width=132, horizontal_alignment="right"):
            if entry.rows:
                st.button(
                    "Open", key=f"many-open-{entry.id}", on_click=partial(_open, page, entry.id),
                    help="On the page Explore",
                )  # fmt: skip
            st.button(
                "", key=f"many-remove-{entry.id}", on_click=choices.remove, args=(page, entry), type="tertiary",
                icon=":material/close:", help=f"Remove {notices.escape_markdown(entry.name)}",
            )  # fmt: skip


def _open(page: ManyPage, id_: str) -> None:
    page.opening = id_


def _figures(entry: Entry, asked: Asked) -> str:
    name = f"<h2>{html.escape(entry.name)}</h2>"
    if not entry.rows:
        why = f"<p>{html.escape(entry.error)}</p>" if entry.error else '<p class="fcn-muted">waiting</p>'
        return f'<div class="fcn-many">{_frame("")}<div class="what wide">{name}{why}</div></div>'
    picture = f'<img src="data:image/webp;base64,{base64.b64encode(entry.thumbnail).decode()}" alt="">'
    lines = [_line(row, asked) for row in (entry.rows if asked.synsets else entry.found[:_NAMED])]
    if not asked.synsets and not lines:
        lines = ['<span class="fcn-muted">nothing that it is sure of</span>']
    first = next(iter(entry.found), None)
    what = "".join(f"<p>{line}</p>" for line in lines)
    return (
        f'<div class="fcn-many">{_frame(picture)}<div class="what">{name}{what}</div>'
        f'<div class="area">{_area(first)}</div><div class="place">{_place(first)}</div></div>'
    )


def _frame(picture: str) -> str:
    return f'<div class="frame">{picture}</div>'


def _line(row: Row, asked: Asked) -> str:
    name = html.escape(row["synset"])
    if not row["present"]:
        return f'<span class="fcn-muted">no {name} ({row["presence"]:.0%})</span>'
    share, said = f"{row['presence']:.0%}", certainty(row["presence"], asked.ontology)
    return f"<b>{name}</b> {said if said == share else f'{said} ({share})'}"


def _area(row: Row | None) -> str:
    if row is None or not row["boxes"]:
        return ""
    return f"{row['area'] / (row['width'] * row['height']):.0%} of the photo"


def _place(row: Row | None) -> str:
    if row is None or not row["boxes"]:
        return ""
    box = row["boxes"][0]
    more = f", and {len(row['boxes']) - 1} more" if len(row["boxes"]) > 1 else ""
    return f"{box['x0']}, {box['y0']}, {box['x1'] - box['x0']} × {box['y1'] - box['y0']}{more}"
