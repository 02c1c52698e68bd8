"""What is asked of the pictures, and which of them: the widgets at the top of the page Many."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from app.state import many, picture_files
from app.state.many import MOST_PICTURES, MOST_SYNSETS, Asked, Entry, ManyPage
from app.streamlit_patches import DeletedFile
from app.ui import notices, page_scripts, synset_picker
from fcn_core.images.limits import Limits


def question(asked: Asked) -> str:
    """Return the question that the page answers."""
    if not asked.synsets:
        return "What is in these photos?"
    names = [asked.ontology[wnid].name for wnid in asked.synsets]
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"In which of these photos is there {listed}?"


def draw_synsets(page: ManyPage) -> None:
    """Draw the field for a word, and the words that are asked for."""
    asked = page.choices.now
    st.session_state["many-synset"] = ""
    synset_picker.pick_synset("many-synset", asked.ontology, _add, "Look for")
    if not asked.synsets:
        notices.note(
            "Without a word, the page says what is in each photo. Several words are looked for at once."
        )
        return
    with st.container(horizontal=True, gap="xsmall", key="many-asked"):
        for wnid in asked.synsets:
            name = notices.escape_markdown(asked.ontology[wnid].name)
            st.button(
                name, key=f"many-drop-{wnid}", on_click=_drop, args=(wnid,), icon=":material/close:",
                help=f"No longer look for {name}",
            )  # fmt: skip


def forget_word() -> None:
    """Empty the field, and what is said of the word in it, where the address asks something else."""
    synset_picker.forget("many-synset")


def _add(wnid: str) -> None:
    choices = many.many().choices
    synsets = tuple(dict.fromkeys((*choices.now.synsets, wnid)))[-MOST_SYNSETS:]
    choices.choose(synsets=synsets)


def _drop(wnid: str) -> None:
    choices = many.many().choices
    choices.choose(synsets=tuple(each for each in choices.now.synsets if each != wnid))


def take_files(page: ManyPage) -> None:
    """Take the files that have arrived into the table."""
    files = st.session_state.get(_key(page)) or []
    for each in files:
        if isinstance(each, DeletedFile):
            if each.file_id not in page.entries and each.file_id not in page.gone:
                page.gone |= {each.file_id}
                page.lost += 1
        elif each.file_id in page.entries or each.file_id in page.gone:
            continue
        elif len(page.entries) >= MOST_PICTURES:
            page.gone |= {each.file_id}
            page.too_many += 1
            picture_files.uploaded(each).delete()
        else:
            page.entries[each.file_id] = Entry(each.file_id, each.name, picture_files.uploaded(each))


def _key(page: ManyPage) -> str:
    return f"upload-many-{page.uploader}"


def draw_uploader(page: ManyPage) -> None:
    """Draw where photos are dropped, and what did not get in."""
    with st.container(key="many-photos"):
        st.file_uploader(
            f"Your photos, up to {MOST_PICTURES}", accept_multiple_files=True, key=_key(page),
            help="They stay in the memory of the server, for this session only.",
        )  # fmt: skip
        scripts = page_scripts.element(page_scripts.PICTURES_FIRST) + page_scripts.element(
            page_scripts.DROP_AND_PASTE
        )
        st.html(scripts + notices.undelivered(Limits.from_env()), unsafe_allow_javascript=True)
    if page.too_many:
        notices.problem(
            f"Expected at most {MOST_PICTURES} photos. Received {page.too_many} more, which are left out. Remove all, "
            "and drop the others."
        )
    if page.lost:
        notices.problem(
            f"{page.lost} photo{'s were' if page.lost > 1 else ' was'} deleted before anybody could look: the server "
            f"keeps {picture_files.FileLimits.from_settings().stored >> 20} MB of photos of all its users. Drop fewer "
            "at a time."
        )


def draw_table_choices(page: ManyPage) -> None:
    """Draw how the table is filtered and sorted."""
    widget, asked = page.choices.widget, page.choices.now
    if "many-filters" not in st.session_state:
        st.session_state["many-filters"] = (asked.find, asked.kind, asked.order) != ("", "All", "As added")
    with st.container(key="many-fold"):  # on a narrow screen only, where the widgets would hide the photos
        st.toggle("Filter and sort", key="many-filters")
    with st.container(horizontal=True, vertical_alignment="top", gap="medium", key="many-table-choices"):
        st.text_input(
            "Filter", placeholder="Name of a file or a thing", width=240, **widget("find"),
        )  # fmt: skip
        st.segmented_control("Show", many.KINDS, required=True, **widget("kind", initial="default"))
        st.selectbox("Sort by", many.ORDERS, many.ORDERS.index(asked.order), width=150,
                     **widget("order", initial=""))  # fmt: skip


def remove(page: ManyPage, entry: Entry) -> None:
    """Remove a picture from the table."""
    page.entries.pop(entry.id, None)
    page.gone |= {entry.id}
    entry.file.delete()


def draw_end(page: ManyPage) -> None:
    """Draw the button that removes everything."""
    st.button("Remove all", key="many-clear", on_click=partial(_clear, page), icon=":material/delete:")


def _clear(page: ManyPage) -> None:
    page.clear()
    page.choices.now = replace(page.choices.now, find="", kind="All", order="As added")
