"""Choose a synset: a field for any word, what the network makes of that word, and buttons along the hierarchy."""

from __future__ import annotations

import html
from collections.abc import Callable

import streamlit as st

from app.ui import page_scripts
from app.ui.notices import escape_markdown
from fcn_core.synsets.labels import picker_labels
from fcn_core.synsets.ontology import Ontology

PLACEHOLDER = "any word"
HELP = (
    "Any word, singular or plural. The network learned {classes} kinds of things; with their groups, {synsets} can be "
    "looked for. For any other word it says what is nearest."
)
WNID_HELP = "A wnid such as n02084071 will do, too."


def pick_synset(
    key: str,
    synsets: Ontology,
    chosen: Callable[[str], None],
    label: str = "Look for",
    say: Callable[[str], str] = str,
) -> None:
    """Show a field for a word. ``st.session_state[key]`` is the chosen wnid, or "" before a choice.

    The field shows the word of that synset. Enter takes the best match of what is typed; where this is not the word
    itself, a line below says so, and buttons offer what else is meant or near.

    If other code changes the wnid, the field gets a new key, so that a rerun already sent by the browser cannot restore
    the old value. A word that is typed keeps the key, and with it the focus.

    Parameters
    ----------
    key : str
        Session key of the wnid; the widget's key is derived from it.
    synsets : Ontology
        The hierarchy to choose from.
    chosen : callable
        Called with the wnid that the user chose.
    label : str
        The widget's label.
    say : callable
        Gives the texts above in another language.
    """
    state = st.session_state
    shown, serial = state.get(f"{key}-shown", ("", 0))
    word = synsets[state[key]].name if state[key] else ""
    unknown = state.get(f"{key}-asked", ("", (), "", ""))[3]
    # Streamlit forgets a widget that is not drawn, or remembers its first value.
    if shown != state[key] or state.get(f"{key}-pick-{serial}") not in (word, unknown):
        serial += 1
        state[f"{key}-shown"] = (state[key], serial)
        state[f"{key}-pick-{serial}"] = word
    widget = f"{key}-pick-{serial}"

    def typed() -> None:
        if state[f"{key}-shown"][1] != serial:
            return
        text = str(state[widget] or "")
        state.pop(f"{key}-asked", None)
        if not text.strip():  # cleared, to type another word
            return
        meaning = synsets.look_up(text)
        if meaning.synset is not None:
            wnid = synsets.collapse(meaning.synset.wnid)
            state[f"{key}-shown"] = (wnid, serial)
            state[widget] = synsets[wnid].name
            chosen(wnid)
        others = dict.fromkeys(synsets.collapse(s.wnid) for s in meaning.others)
        state[f"{key}-asked"] = (meaning.line, tuple(others), state[key], state[widget])

    with st.container(gap="xsmall", key=f"look-{key}"):
        st.text_input(
            label,
            key=widget,
            type="search",
            placeholder=say(PLACEHOLDER),
            on_change=typed,
            help=say(HELP).format(classes=len(synsets.classes), synsets=len(synsets))
            + (f" {say(WNID_HELP)}" if synsets.is_imagenet else ""),
        )
        _answer(key, synsets, chosen)
        st.html(page_scripts.element(page_scripts.SELECT_WORD), unsafe_allow_javascript=True)


def forget(key: str) -> None:
    """Forget the word that was typed last, and what was said of it."""
    st.session_state.pop(f"{key}-asked", None)


def _answer(key: str, synsets: Ontology, chosen: Callable[[str], None]) -> None:
    """Draw what the last typed word means, and the synsets on offer, until another synset is chosen elsewhere."""
    state, choices = st.session_state, picker_labels(synsets)
    line, wnids, origin, _ = state.get(f"{key}-asked", ("", (), "", ""))
    if state[key] not in (origin, *wnids) or not all(wnid in choices for wnid in wnids):
        line, wnids = "", ()
        state.pop(f"{key}-asked", None)
    # Present before it says anything, so that screen readers read it when it does.
    st.html(f'<p class="fcn-note fcn-answer" role="status">{html.escape(line)}</p>')
    if wnids:
        with st.container(horizontal=True, gap="xsmall", key=f"chips-{key}-near"):
            for wnid in wnids:
                st.button(
                    escape_markdown(choices[wnid].rpartition(" · ")[0] or choices[wnid]),
                    key=f"{key}-sense-{wnid}",
                    on_click=chosen,
                    args=(wnid,),
                    icon=":material/check:"
                    if wnid == state[key]
                    else None,  # another type would lose the focus
                )


def hierarchy(key: str, synsets: Ontology, wnid: str, chosen: Callable[[str], None], most: int = 6) -> None:
    """Show the path from the top of the hierarchy to a synset, and its children, as buttons."""
    path = synsets.breadcrumb(wnid)
    children = synsets.visible_children(wnid)
    with st.container(horizontal=True, gap="xxsmall", vertical_alignment="center", key=f"crumbs-{key}"):
        shown = path[:-1] if len(path) <= 5 else (path[0], *path[-4:-1])
        for place_, step in enumerate(shown):
            if place_ == 1 and len(path) > 5:
                with st.popover("…", type="tertiary", help="All synsets between"):
                    for hidden in path[1:-4]:
                        _step(key, synsets, hidden, chosen)
                st.markdown(":gray[›]", width="content")
            _step(key, synsets, step, chosen)
            st.markdown(":gray[›]", width="content")
        st.markdown(f"**{escape_markdown(synsets[path[-1]].name)}**", width="content")
        if children:
            st.markdown(":gray[›]", width="content")
        for child in children[:most]:
            _step(key, synsets, child, chosen)
        if len(children) > most:
            with st.popover(f"{len(children) - most} more", type="tertiary"):
                for child in children[most:]:
                    _step(key, synsets, child, chosen)


def _step(key: str, synsets: Ontology, wnid: str, chosen: Callable[[str], None]) -> None:
    count = synsets.count(wnid)
    st.button(
        escape_markdown(synsets[wnid].name),
        key=f"{key}-step-{wnid}",
        type="tertiary",
        on_click=chosen,
        args=(wnid,),
        help=f"{count} class{'' if count == 1 else 'es'}",
    )
