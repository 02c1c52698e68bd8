"""Drawing shared by the pages: style, pictures, heatmap cards, legends, the synset picker, messages."""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit import config

from app.state import caches
from app.state.queue.jobs import Source
from app.ui import page_scripts
from fcn_core import render
from fcn_core.errors import AmbiguousSynset, FcnError, UnknownSynset
from fcn_core.images.limits import Limits
from fcn_core.maps.heatmap import Heatmap, Placement, place

logger = logging.getLogger(__name__)
UInt8 = NDArray[np.uint8]

LOW_PEAK = 0.1
"""Peak of the mean probability below which a synset is hardly seen."""

# What the theme cannot say. Everything else is in .streamlit/config.toml.
_STYLE = """<style>
.stApp { font-variant-numeric: tabular-nums; }
.st-key-ask-again, .stElementContainer:has(> .stHtml > [data-occasion] + script:last-child) { display: none; }
.stMainBlockContainer { max-width: 1180px; padding-bottom: 4rem; }
.stApp :focus-visible { outline: 2px solid var(--st-primary-color, #0f766e); outline-offset: 2px; }
.fcn-figure { margin: 0; }
.fcn-figure img { display: block; width: 100%; height: auto; border-radius: .4rem; }
.fcn-figure figcaption { font-size: .85rem; opacity: .75; margin-top: .35rem; }
.fcn-sum { display: flex; align-items: stretch; gap: .5rem; overflow-x: auto; padding: .1rem .1rem .5rem;
  scrollbar-width: thin; }
.fcn-sum > .op { align-self: center; flex: none; white-space: nowrap; font-size: 1.15rem; opacity: .55;
  padding-bottom: 3.2rem; }
.fcn-card { flex: 1 1 0; min-width: 106px; max-width: 230px; margin: 0; }
.fcn-card .frame { width: 100%; border-radius: .35rem; overflow: hidden; background: rgba(128,128,128,.14); }
.fcn-card img { display: block; width: 100%; height: 100%; }
.fcn-card figcaption { font-size: .8rem; line-height: 1.35; margin-top: .35rem; min-height: 3.3rem; }
.fcn-card b { font-weight: 600; }
.fcn-card small, .fcn-muted { opacity: .7; font-size: inherit; }
.fcn-wait .frame { animation: fcn-breathe 1.6s ease-in-out infinite; }
@keyframes fcn-breathe { 50% { opacity: .45; } }
@media (prefers-reduced-motion: reduce) { .fcn-wait .frame { animation: none; } }
[class*="st-key-synset-pick"] [data-testid="stWidgetLabel"] p { font-size: 1.15rem; font-weight: 600; }
.fcn-warn { color: #b45309; font-weight: 600; }
@media (prefers-color-scheme: dark) { .fcn-warn { color: #f59e0b; } }
.fcn-legend { display: flex; align-items: center; gap: .6rem; font-size: .82rem; flex-wrap: wrap; }
.fcn-legend .bar { width: 150px; height: .65rem; border-radius: .2rem; outline: 1px solid rgba(128,128,128,.4); }
.fcn-legend .bar-block { display: flex; align-items: center; gap: .4rem; }
.fcn-note { font-size: .82rem; opacity: .75; margin: 0; }
.fcn-table { border-collapse: collapse; font-size: .85rem; width: 100%; }
.fcn-table th { text-align: left; font-weight: 600; opacity: .7; }
.fcn-table th, .fcn-table td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid rgba(128,128,128,.22); }
.fcn-table td.n, .fcn-table th.n { text-align: right; }
.fcn-bar { width: 45%; }
.fcn-bar span { display: inline-block; height: .6rem; background: currentColor; opacity: .5; border-radius: .15rem; }
.fcn-scroll { overflow-x: auto; }
.fcn-mark { position: relative; height: 1.3rem; font-size: .78rem; margin: -.6rem .5rem 0; }
.fcn-mark span { position: absolute; transform: translateX(-50%); white-space: nowrap; opacity: .8; }
[class*="st-key-crumbs"] button { min-height: 1.6rem; padding: 0 .15rem; }
[class*="st-key-crumbs"] > div { row-gap: 0; }
[class*="st-key-chips"] button { min-height: 2rem; padding: .1rem .7rem; border-radius: 1rem; }
.st-key-picture button { padding: .1rem .6rem .1rem .15rem; border-radius: .45rem; }
.st-key-picture button img { height: 2.3rem !important; max-height: none !important; border-radius: .35rem; }
.st-key-source button { padding-inline: .35rem; }
.st-key-name-row, .st-key-view-row { min-height: 2.7rem; }
.st-key-pointer { line-height: 0; }
.stElementContainer:has(.fcn-undelivered) { display: none; }
.fcn-undelivered { font-size: .85rem; line-height: 1.4; padding: .55rem .7rem; border-radius: .4rem;
  border-left: 3px solid #b45309; background: rgba(180,83,9,.1); }
.stApp:has([class*="st-key-upload"] [data-testid="stFileChip"][aria-invalid="true"]):not(:has(
  [class*="st-key-upload"] [data-testid="stFileChip"]:not([aria-invalid="true"])))
  .stElementContainer:has(.fcn-undelivered) { display: block; }
@media (max-width: 640px) { .fcn-card { flex: 0 0 132px; } .stMainBlockContainer { padding-inline: 1rem; }
  .st-key-name-row { min-height: 0; }
  [data-testid="stExpandSidebarButton"] { width: auto; gap: .3rem; padding-inline: .4rem; }
  [data-testid="stExpandSidebarButton"]::after { content: "Choices"; font-size: .85rem; }
  .stApp:has(.st-key-source) [data-testid="stExpandSidebarButton"]::after { content: "Photo, scales"; } }
</style>"""


def style() -> None:
    """Add what the theme cannot express; once a run, before anything is drawn."""
    st.html(_STYLE)
    st.button("Ask again", key="ask-again")
    st.html(page_scripts.element(page_scripts.ASK_AGAIN), unsafe_allow_javascript=True)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Show what a user can mend in words; log everything else and name it as a fault."""
    try:
        yield
    except FcnError as error:
        problem(str(error))
    except Exception as error:
        if type(error).__module__.startswith("streamlit"):  # reruns and stops travel as exceptions
            raise
        logger.exception("%s failed", what)
        problem(FAULT)


FAULT = "The program made a mistake. It was logged; your picture and choices are still here."


def problem(message: str) -> None:
    """Show a message that something did not work, as plain text."""
    st.error(escape_markdown(message), icon=":material/error:")


def gone() -> None:
    """Say that an uploaded picture is no longer there, and what stands in its place."""
    minutes = config.get_option("server.disconnectedSessionTTL") / 60
    st.warning(
        "Your picture is gone. It was kept in memory only, and the server was restarted, the page was reloaded, you "
        f"were away for more than {minutes:g} minutes, or its address was opened by somebody else. Please upload it "
        "again. Until then you see a sample.",
        icon=":material/hide_image:",
    )


def undelivered(limits: Limits) -> str:
    """HTML that says what to do when a file does not arrive.

    Streamlit has no words of ours for that: the page always holds them, and shows them while its uploader tells of an
    error and of no file that has arrived.
    """
    return (
        '<div class="fcn-undelivered" role="alert">The picture did not arrive. It may be larger than this server takes '
        f"({limits.max_bytes / 2**20:.4g} MB, or less where a proxy stands before it); the server may have no room for "
        "pictures at the moment: try again in a few minutes; or the connection was lost: reload the page and try "
        "again.</div>"
    )


def escape_markdown(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:" else c for c in text)


# Pictures


@dataclass(frozen=True)
class Look:
    """How maps are turned into colours: what the user chose under Display."""

    colours: str = "viridis"
    opacity: float = 0.6
    smooth: bool = True
    placement: Placement = "centres"


def shown_size(image: Source, width: int, most: int) -> tuple[int, int]:
    """Height and width at which a picture is sent: at most `width` wide and `most` high, its proportions kept."""
    factor = min(width / image.width, most / image.height)
    return max(1, round(image.height * factor)), max(1, round(image.width * factor))


def uri(pixels: UInt8, lossless: bool = False) -> str:
    """A picture as a data address: JPEG, or PNG where cells must keep their edges."""
    kind = "png" if lossless else "jpeg"
    data = base64.b64encode(render.encode(pixels, kind, 88)).decode()  # type: ignore[arg-type]
    return f"data:image/{kind};base64,{data}"


def paint(
    photo: UInt8 | None, heatmap: Heatmap, size: tuple[int, int], span: tuple[float, float], look: Look
) -> UInt8:
    """A heatmap's colours at a size (height, width), over the photo where one is given."""
    placement: Placement = look.placement if heatmap.cells is not None else "even"
    values = place(heatmap, *size, placement=placement, smooth=look.smooth)
    colours = render.colourise(values, *span, look.colours)
    return colours if photo is None else render.overlay(photo, colours, look.opacity)


def figure(pixels: UInt8, alt: str, caption: str = "", lossless: bool = False) -> str:
    """HTML of a picture that has its size before it is there. `caption` is plain text."""
    height, width = pixels.shape[:2]
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="fcn-figure"><img src="{uri(pixels, lossless)}" width="{width}" height="{height}" '
        f'alt="{html.escape(alt)}">{text}</figure>'
    )


@dataclass(frozen=True)
class Card:
    """A heatmap's card: its title, lines of small print, and its picture, or None while it is computed."""

    title: str
    lines: tuple[str, ...]
    pixels: UInt8 | None
    alt: str


def cards(items: Sequence[Card], signs: Sequence[str], shape: tuple[int, int], lossless: bool) -> None:
    """A row of equally large cards with a sign before each, which scrolls by itself where it is too wide."""
    parts = []
    for card, sign in zip(items, signs, strict=True):
        if sign:
            parts.append(f'<span class="op" aria-hidden="true">{html.escape(sign)}</span>')
        picture = (
            f'<img src="{uri(card.pixels, lossless)}" alt="{html.escape(card.alt)}">'
            if card.pixels is not None
            else ""
        )
        lines = "<br>".join(f"<small>{html.escape(line)}</small>" for line in card.lines)
        parts.append(
            f'<figure class="fcn-card{"" if card.pixels is not None else " fcn-wait"}">'
            f'<div class="frame" style="aspect-ratio:{shape[1]}/{shape[0]}">{picture}</div>'
            f"<figcaption><b>{html.escape(card.title)}</b><br>{lines}</figcaption></figure>"
        )
    st.html(f'<div class="fcn-sum" tabindex="0" role="group" aria-label="Scales">{"".join(parts)}</div>')


def legend(span: tuple[float, float] | None, cmap: str, label: str, note: str = "") -> str:
    """HTML of a colour bar with its ends; without `span` the ends are those of each map."""
    table = render.colour_table(cmap)[np.linspace(0, 255, 17).round().astype(int)]
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in table.tolist())
    low, high = ("lowest", "highest of each map") if span is None else (number(span[0]), number(span[1]))
    text = f'<span class="fcn-warn">{html.escape(note)}</span>' if note else ""
    return (
        f'<div class="fcn-legend"><span class="bar-block"><span>{low}</span>'
        f'<span class="bar" role="img" aria-label="Colour bar from {low} to {high}" '
        f'style="background:linear-gradient(to right,{stops})"></span><span>{high}</span></span>'
        f'<span class="fcn-muted">{html.escape(label)}</span>{text}</div>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML of a table; cells that are numbers stand to the right."""
    numeric = (
        [all(_numeric(row[i]) for row in rows) for i in range(len(head))] if rows else [False] * len(head)
    )

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if right else ''}>{html.escape(cell)}</{tag}>"
            for cell, right in zip(cells, numeric, strict=True)
        )

    top = f"<thead><tr>{line(head, 'th')}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="fcn-scroll"><table class="fcn-table">{top}<tbody>{body}</tbody></table></div>'


def _numeric(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in "-−≈"


def number(value: float) -> str:
    """A value in three digits at the most."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


# Synsets


def pick_synset(key: str, chosen: Callable[[str], None], label: str = "Where does the network see") -> None:
    """A searchable picker of synsets: ``st.session_state[key]`` holds the wnid.

    When that changes from elsewhere, the widget is a new one: a rerun that was under way in the browser with the
    old value cannot bring it back.

    Parameters
    ----------
    key : str
        Of the wnid; the widget's own is made from it.
    chosen : callable
        Called with the wnid the user picked, from the list or by writing.
    label : str
        What it is called.
    """
    choices = caches.synset_choices()
    synsets = caches.ontology()
    state = st.session_state
    shown, serial = state.get(f"{key}-shown", ("", 0))
    if shown != state[key] or f"{key}-pick-{serial}" not in state:  # or the page was left meanwhile
        serial += 1
        state[f"{key}-shown"] = (state[key], serial)
        state[f"{key}-pick-{serial}"] = state[key]
    widget = f"{key}-pick-{serial}"

    def changed() -> None:
        if state[f"{key}-shown"][1] != serial:
            return
        text = str(state[widget] or "")
        if text in choices:
            state[f"{key}-shown"] = (text, serial)
            chosen(text)
            return
        state[f"{key}-shown"] = ("", serial)  # what was written is replaced by what it means
        try:
            chosen(synsets.collapse(synsets.find(text).wnid))
        except AmbiguousSynset:
            state[f"{key}-asked"] = (text[:60], tuple(s.wnid for s in synsets.senses(text)))
        except UnknownSynset:
            state[f"{key}-asked"] = (text[:60], tuple(s.wnid for s in synsets.search(text, 5)))

    st.selectbox(
        label,
        list(choices),
        format_func=lambda wnid: choices.get(wnid, str(wnid)),
        key=widget,
        on_change=changed,
        accept_new_options=True,
        filter_mode="fuzzy",
        help=f"Type to search {len(choices)} distinct kinds of things: ImageNet's 1000 classes and what is above them. "
        "Any WordNet word or wnid (n02084071) may be written too. The number says how many classes are summed.",
    )
    asked = st.session_state.pop(f"{key}-asked", None)
    if asked is not None:
        text, wnids = asked
        which = "has several senses" if len(synsets.senses(text)) > 1 else "is not among the synsets"
        note(f"“{text}” {which}. " + ("Which one is meant?" if wnids else "Nothing is near it."))
        for wnid in wnids:
            gloss = synsets[wnid].gloss.split(";")[0]
            st.button(
                f"**{synsets.label(wnid)}** · {gloss}",
                key=f"{key}-sense-{wnid}",
                on_click=chosen,
                args=(synsets.collapse(wnid),),
                type="tertiary",
            )


def hierarchy(key: str, wnid: str, chosen: Callable[[str], None], most: int = 6) -> None:
    """The way down to a synset and its children: click to widen or to narrow."""
    synsets = caches.ontology()
    path = synsets.breadcrumb(wnid)
    children = synsets.visible_children(wnid)
    with st.container(horizontal=True, gap="xxsmall", vertical_alignment="center", key=f"crumbs-{key}"):
        shown = path[:-1] if len(path) <= 5 else (path[0], *path[-4:-1])
        for place_, step in enumerate(shown):
            if place_ == 1 and len(path) > 5:
                with st.popover("…", type="tertiary", help="All steps between"):
                    for hidden in path[1:-4]:
                        _step(key, hidden, chosen)
                st.markdown(":gray[›]", width="content")
            _step(key, step, chosen)
            st.markdown(":gray[›]", width="content")
        st.markdown(f"**{escape_markdown(synsets.label(path[-1]))}**", width="content")
        if children:
            st.markdown(":gray[›]", width="content")
        for child in children[:most]:
            _step(key, child, chosen)
        if len(children) > most:
            with st.popover(f"{len(children) - most} more", type="tertiary"):
                for child in children[most:]:
                    _step(key, child, chosen)


def _step(key: str, wnid: str, chosen: Callable[[str], None]) -> None:
    synsets = caches.ontology()
    count = synsets.count(wnid)
    st.button(
        escape_markdown(synsets.label(wnid)),
        key=f"{key}-step-{wnid}",
        type="tertiary",
        on_click=chosen,
        args=(wnid,),
        help=f"{count} class{'' if count == 1 else 'es'}",
    )


def note(text: str) -> None:
    """Small print, as plain text."""
    st.html(f'<p class="fcn-note">{html.escape(text)}</p>')


def write(markup: str) -> None:
    """Put HTML made by this module on the page."""
    st.html(markup)


def data_of(pixels: UInt8, lossless: bool) -> dict[str, Any]:
    """A picture and its size, for the map that answers to the pointer."""
    return {"src": uri(pixels, lossless), "height": pixels.shape[0], "width": pixels.shape[1]}
