"""Many page: up to fifty pictures at once, one or several synsets or whatever is there, and a table of the answers."""

from __future__ import annotations

import html

import streamlit as st

from app.many import choices, downloads, table
from app.state import caches, many, session
from app.state.many import ManyPage
from app.ui import notices, spoken
from fcn_core.errors import FcnError
from fcn_core.networks.zoo import model_spec

_POLL = 0.3  # seconds


def page() -> None:
    """Read the choices, draw the widgets and the table, and look at what waits."""
    remembered = many.many()
    with notices.guarded("Opening a photo of the table"):  # its file may have been deleted; the table stays
        _open(remembered)
    remembered.choices.now = many.kept(remembered.choices.now)
    visit = remembered.choices.visit
    ignored = remembered.choices.arrive(_carry)
    if ignored is not None or remembered.choices.visit != visit:
        choices.forget_word()
    notices.ignored_parameters(ignored or ())
    remembered.choices.publish()
    choices.take_files(remembered)
    many.begin(remembered)
    asked = remembered.choices.now
    st.html(f'<h1 class="fcn-question">{html.escape(choices.question(asked))}</h1>')
    left, right = st.columns([3, 2], gap="medium")
    with left:
        choices.draw_uploader(remembered)
    with right:
        choices.draw_synsets(remembered)
    if remembered.entries:
        with st.container(key="many-results"):
            _results(remembered)
    scales = ", ".join(f"{scale.height} × {scale.width}" for scale in asked.scales)
    notices.note(
        f"{model_spec(asked.model).title}; scales {scales}; fit {asked.fit.lower()}; {asked.map.lower()}. Explore has "
        "the widgets for them."
    )
    if remembered.waiting and not remembered.stopped:
        st.fragment(_watch, run_every=_POLL)(remembered, remembered.done, [True])


def _carry(_first: bool) -> None:
    """Take over the model and the scales of Explore, if it was visited."""
    record = many.many().choices
    if session.explore().choices.visit:
        record.now = many.carried(record.now, session.selection())


def _results(remembered: ManyPage) -> None:
    finished = [entry for entry in remembered.entries.values() if entry.finished]
    if not remembered.waiting:
        found = sum(bool(entry.found) for entry in finished)
        spoken.announce(f"All {len(finished)} photos are looked at; something was found in {found}.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="many-actions"):
        downloads.draw(finished, "imagenet" if remembered.choices.now.ontology.is_imagenet else "own")
        choices.draw_end(remembered)
        if remembered.stopped and remembered.waiting:
            st.button(
                "Go on", key="many-resume", on_click=_resume, args=(remembered,), icon=":material/play_arrow:"
            )
    choices.draw_table_choices(remembered)
    table.draw(remembered)


def _watch(remembered: ManyPage, drawn: int, first: list[bool]) -> None:
    """Look at the next pictures; draw the page again when more are finished than are `drawn`.

    `first` is emptied in the run of the page: if that were interrupted, what it no longer draws would stay.
    """
    is_first = bool(first)
    first.clear()
    if not remembered.stopped:
        many.advance(remembered)
    done, count = remembered.done, len(remembered.entries)
    if not is_first and (remembered.stopped or done != drawn):
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="progress"):
        st.progress(done / max(count, 1), f"{done} of {count} photos")
        st.button("Stop", key="many-stop", on_click=_stop, args=(remembered,), icon=":material/stop:")


def _stop(remembered: ManyPage) -> None:
    remembered.stopped = True
    many.leave()


def _resume(remembered: ManyPage) -> None:
    remembered.stopped = False


def _open(remembered: ManyPage) -> None:
    """Open a picture of the table on Explore, with the question that was asked here."""
    entry = remembered.entries.get(remembered.opening)
    remembered.opening = ""
    if entry is None:
        return
    picture = caches.read_upload(entry.id, entry.name, entry.file)
    session.open_picture(picture, remembered.choices.now.selection)
    st.switch_page("app/pages/explore.py")


try:
    page()
except FcnError as error:
    notices.problem(str(error))
