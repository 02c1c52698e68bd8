"""Choose a synset: a searchable list, and buttons along the hierarchy."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.state import caches
from app.ui.notices import escape_markdown, note
from fcn_core.errors import AmbiguousSynset, UnknownSynset


def pick_synset(key: str, chosen: Callable[[str], None], label: str = "Where does the network see") -> None:
    """Show a searchable list of synsets. ``st.session_state[key]`` is the chosen wnid.

    If other code changes that wnid, the widget gets a new key, so that a rerun already sent by the browser cannot
    restore the old value.

    Parameters
    ----------
    key : str
        Session key of the wnid; the widget's key is derived from it.
    chosen : callable
        Called with the wnid that the user selected or typed.
    label : str
        The widget's label.
    """
    choices = caches.synset_choices()
    synsets = caches.ontology()
    state = st.session_state
    shown, serial = state.get(f"{key}-shown", ("", 0))
    # Streamlit forgets a widget that is not drawn, or remembers its first value.
    if shown != state[key] or state.get(f"{key}-pick-{serial}") != state[key]:
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
        state[f"{key}-shown"] = ("", serial)  # the typed text is replaced by the synset found
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
        help=f"Type to search {len(choices)} synsets: ImageNet's 1000 classes and all groups above them. You can also "
        "type any WordNet word or a wnid such as n02084071. The number is the count of classes that are summed.",
    )
    asked = st.session_state.pop(f"{key}-asked", None)
    if asked is not None:
        text, wnids = asked
        which = "has several senses" if len(synsets.senses(text)) > 1 else "is not among the synsets"
        note(f"“{text}” {which}. " + ("Which one do you mean?" if wnids else "There is no similar word."))
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
    """Show the path from the top of the hierarchy to a synset, and its children, as buttons."""
    synsets = caches.ontology()
    path = synsets.breadcrumb(wnid)
    children = synsets.visible_children(wnid)
    with st.container(horizontal=True, gap="xxsmall", vertical_alignment="center", key=f"crumbs-{key}"):
        shown = path[:-1] if len(path) <= 5 else (path[0], *path[-4:-1])
        for place_, step in enumerate(shown):
            if place_ == 1 and len(path) > 5:
                with st.popover("…", type="tertiary", help="All synsets between"):
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
