"""A class predicts together: the page of whoever asks, the page of the participants, and the counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from html import escape
from urllib.parse import urlencode

import streamlit as st

from app.lesson.language import current, percent
from app.lesson.language import translated as _
from app.lesson.session import learner, lesson_state
from app.lesson.text import Question
from app.state import caches
from app.state.rooms import Asked, View, read_code
from app.state.session import session_id
from app.ui import notices, spoken
from fcn_core import settings
from fcn_core.errors import FcnError

ROOM = "room"
"""The name of this part of the page in the address."""

_EVERY = 2.0  # seconds between two looks at a room
_KEPT_EVERY = 30.0  # seconds between two signs of life of whoever asks, on any part of the lesson

_STYLE = """
<style>
.lesson-room { text-align: center; padding: .5rem 0 1rem; }
.lesson-room-code { font-size: clamp(3rem, 12vw, 7rem); font-weight: 700; letter-spacing: .18em; line-height: 1.15;
  margin-right: -.18em; font-family: ui-monospace, monospace; }
.lesson-room-address { font-size: clamp(1.1rem, 3.2vw, 2.1rem); overflow-wrap: anywhere; }
.st-key-lesson [class*="st-key-room-votes"] [data-testid="stProgress"] p { font-size: 1rem; }
.st-key-lesson .st-key-room-student [role=radiogroup] { gap: .6rem; }
.st-key-lesson .st-key-room-student [role=radiogroup] label { min-height: 44px; align-items: center; }
</style>
"""


def allowed() -> bool:
    """Whether the pages may open rooms."""
    return settings.ALLOW_ROOMS.value()


def arrive(read: bool) -> None:
    """Take the key of a room out of the address, and lead a participant to the room; call it at the top of a run.

    Parameters
    ----------
    read : bool
        Whether the address was read in this run.
    """
    now, record = learner(), lesson_state().choices
    if now.room_key:
        if caches.rooms().controls(now.room, now.room_key):
            lesson_state().room_keys[now.room] = now.room_key
        record.choose(room_key="")
    if read and now.room and not asks():
        record.choose(step=ROOM)


def keep() -> None:
    """Keep the rooms of this session while a page of the lesson is open; call it where the page does not change."""
    if not lesson_state().room_keys:
        return

    @st.fragment(run_every=_KEPT_EVERY)
    def stay() -> None:
        for code, key in lesson_state().room_keys.items():
            caches.rooms().look(code, key=key)

    stay()


def asks() -> bool:
    """Whether this session asks in the room of its address."""
    code = learner().room
    return bool(code) and allowed() and caches.rooms().controls(code, lesson_state().room_keys.get(code, ""))


def _key() -> str:
    return lesson_state().room_keys.get(learner().room, "")


def page(questions: Mapping[str, Sequence[Question]]) -> None:
    """Draw the room, or its door.

    Parameters
    ----------
    questions : mapping
        For each step, by its label, the questions that can be asked from here, with their values filled in.
    """
    st.html(_STYLE)
    st.title(_("Predict together"), anchor="room")
    code = learner().room
    if not allowed():
        st.info(_("This server has no rooms: FCN_ALLOW_ROOMS is 0."), icon=":material/info:")
    elif asks():
        _teacher(code, questions)
    elif code and caches.rooms().exists(code):
        _participant(code)
    else:
        if code:
            st.info(_("The room {code} is closed.", code=code), icon=":material/info:")
        _door()


def _door() -> None:
    with st.container(key="prose-room"):
        st.markdown(
            _(
                "Ask your class the questions of the lesson, and see live how many chose which answer. Nobody needs an "
                "account. The room keeps counts only, in the memory of the server, and forgets them when you close it, "
                "or three hours after the last vote and after you left the lesson. Without votes, ten minutes are "
                "enough, or fewer if the server is full."
            )
        )
    with st.container(border=True):
        st.button(
            _("Open a room"), key="lesson-open-room", type="primary", icon=":material/groups:", on_click=_open
        )
        st.caption(_("For whoever asks: you get a code for the class."))
    with st.container(border=True, horizontal=True, vertical_alignment="bottom"):
        st.text_input(_("Code of a room"), key="lesson-code", max_chars=12, autocomplete="off", width=200)
        st.button(_("Enter"), key="lesson-enter", icon=":material/login:", on_click=_enter)


def _open() -> None:
    state = lesson_state()
    try:
        code, key = caches.rooms().open(session_id())
    except FcnError as error:
        state.problem = str(error)
        return
    state.room_keys[code] = key
    state.choices.choose(room=code, step=ROOM)


def _enter() -> None:
    typed = str(st.session_state.get("lesson-code", ""))
    try:
        code = read_code(typed)
    except ValueError:
        lesson_state().problem = _("This is no code of a room: a code has five letters.")
        return
    lesson_state().choices.choose(room=code, step=ROOM)


# --- Whoever asks -----------------------------------------------------------------------------------------------


def _teacher(code: str, questions: Mapping[str, Sequence[Question]]) -> None:
    st.html(
        f'<div class="lesson-room"><div class="lesson-room-code">{code}</div>'
        f'<div class="lesson-room-address">{escape(address(code))}</div></div>'
    )
    view = caches.rooms().look(code, key=_key())
    if view is not None and view.asked is not None:
        with st.container(border=True, key="room-question"):
            st.markdown(view.asked.text)
            draw_counts(view.asked)
            if view.revealed:
                st.markdown(view.asked.answer)
    asked = view.asked if view is not None else None
    st.header(_("Ask a question"), anchor=False)
    st.caption(
        _("Those that depend on a figure are asked from their step, with the button below the question.")
    )
    for step, listed in questions.items():
        for question in listed:
            with st.container(horizontal=True, vertical_alignment="center", key=f"room-ask-{question.name}"):
                same = _as_asked(question) == asked
                st.button(
                    _("Ask"), key=f"lesson-ask-{question.name}", disabled=same,
                    on_click=_ask, args=(question,),
                )  # fmt: skip
                mark = ":primary[:material/arrow_forward:] " if same else ""
                st.markdown(f"{mark}**{step}** · {_first_line(question.text)}")
    st.divider()
    st.caption(
        _("Keep this page open: after a reload, only the address for another device controls the room.")
    )
    with st.container(horizontal=True):
        with st.popover(_("Control it from another device"), icon=":material/key:"):
            st.markdown(_("Whoever has this address controls the room. Do not show it to the class."))
            st.code(address(code, _key()), language=None, wrap_lines=True)
        with st.popover(_("Close the room"), icon=":material/close:"):
            st.markdown(_("This forgets all votes."))
            st.button(_("Close it now"), key="lesson-close-room", on_click=_close, args=(code,))


def address(code: str, key: str = "") -> str:
    """Return the address of a room for participants; with its key, for whoever asks."""
    query = {"room": code} | ({"lang": current()} if current() != "en" else {})
    query |= {"room_key": key, "step": ROOM} if key else {}
    return f"{st.context.url or '/learn'}?{urlencode(query)}"


def _first_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 110 else f"{line[:109].rsplit(' ', 1)[0]} …"


def _close(code: str) -> None:
    state = lesson_state()
    caches.rooms().close(code, state.room_keys.pop(code, ""))
    state.choices.choose(room="")


def _as_asked(question: Question) -> Asked:
    return Asked(question.name, question.text, question.choices, question.right, question.answer)


def _ask(question: Question) -> None:
    _do(lambda: caches.rooms().ask(learner().room, _key(), _as_asked(question)))


def _show(*, counts: bool | None = None, answer: bool | None = None) -> None:
    _do(lambda: caches.rooms().show(learner().room, _key(), counts=counts, answer=answer))


def _clear() -> None:
    _do(lambda: caches.rooms().clear(learner().room, _key()))


def _do(change: Callable[[], None]) -> None:
    try:
        change()
    except FcnError as error:
        lesson_state().problem = str(error)


def under(question: Question, complete: bool) -> None:
    """Draw below a question of the lesson what whoever asks needs: a button that asks the class, or the counts.

    Parameters
    ----------
    question : Question
        With its values filled in.
    complete : bool
        Whether all its values are known; until then the class cannot be asked.
    """
    if not asks():
        return
    if _is_asked(_as_asked(question)):
        draw_counts(_as_asked(question))
        return
    ready = complete and question.right >= 0
    with st.container(horizontal=True, vertical_alignment="center", key=f"room-under-{question.name}"):
        st.button(
            _("Ask the class"), key=f"lesson-ask-{question.name}", icon=":material/groups:",
            disabled=not ready, on_click=_ask, args=(question,),
        )  # fmt: skip
        if not ready:
            st.caption(_("The network is still running."))


def _is_asked(asked: Asked) -> bool:
    view = caches.rooms().look(learner().room, key=_key())
    return view is not None and view.asked == asked


def draw_counts(asked: Asked) -> None:
    """Draw live how many chose which answer, with what whoever asks can do.

    Nothing is drawn if this session asks nothing now, or another question.
    """
    if not asks() or not _is_asked(asked):
        return
    code, key = learner().room, _key()
    first = caches.rooms().look(code, key=key)
    if first is None:
        return

    @st.fragment(run_every=_EVERY)
    def follow() -> None:
        view = caches.rooms().look(code, key=key)
        if view is None or (view.turn, view.revealed, view.hidden) != (
            first.turn,
            first.revealed,
            first.hidden,
        ):
            st.rerun()  # the room was closed, or another device controls it, too
        votes = _("{count} votes", count=view.votes) if view.votes != 1 else _("1 vote")
        st.markdown(f":material/groups: **{votes}**")
        if not view.hidden or view.revealed:
            _bars(view)

    with st.container(key=f"room-votes-{asked.name}"):
        follow()
    with st.container(horizontal=True, key="room-controls"):
        st.button(
            _("Hide the right answer") if first.revealed else _("Reveal the answer"), key="lesson-reveal",
            icon=":material/visibility:", type="secondary" if first.revealed else "primary",
            on_click=_show, kwargs={"answer": not first.revealed},
        )  # fmt: skip
        st.button(
            _("Show the counts") if first.hidden else _("Hide the counts"), key="lesson-counts",
            icon=":material/bar_chart:", disabled=first.revealed, on_click=_show, kwargs={"counts": first.hidden},
        )  # fmt: skip
        st.button(_("Vote again"), key="lesson-votes-again", icon=":material/restart_alt:", on_click=_clear)


def _bars(view: View) -> None:
    """Draw a bar for each answer; once it is revealed, the right one is marked."""
    if view.asked is None:
        return
    for n, (choice, count) in enumerate(zip(view.asked.choices, view.counts, strict=True)):
        share = count / view.votes if view.votes else 0.0
        mark = ":green[:material/check_circle:] " if view.revealed and n == view.asked.right else ""
        st.progress(share, f"{mark}{choice} · **{count}** ({percent(share)})")


# --- Participants -----------------------------------------------------------------------------------------------


def _participant(code: str) -> None:
    st.caption(_("Room {code}", code=code))

    @st.fragment(run_every=_EVERY)
    def follow() -> None:
        view = caches.rooms().look(code, voter(code))
        if view is None:
            st.rerun()  # the room was closed, and the page says so
        if view.asked is None:
            st.info(_("Wait for the first question."), icon=":material/hourglass_empty:")
        else:
            _question(code, view, view.asked)
        if lesson_state().problem:
            notices.problem(lesson_state().problem)
            lesson_state().problem = ""

    with st.container(border=True, key="room-student"):
        follow()
    st.caption(_("Nobody sees who chose what: the room counts the votes only."))


def voter(code: str) -> str:
    """Return the token by which a room knows this session; no two rooms know the same one."""
    return sha256(f"{lesson_state().voter} {code}".encode()).hexdigest()


def _question(code: str, view: View, asked: Asked) -> None:
    st.markdown(asked.text)
    if not view.revealed:
        st.radio(
            _("Your prediction"), range(len(asked.choices)), view.own, format_func=asked.choices.__getitem__,
            label_visibility="collapsed", key=f"lesson-vote-{code}-{view.turn}",
            on_change=_vote, args=(view.turn, code),
        )  # fmt: skip
        chosen = _("Your vote counts. You can change it until the answer is shown.")
        st.caption(_("Choose an answer.") if view.own is None else f":green[:material/check:] {chosen}")
        spoken.announce(_("Choose an answer.") if view.own is None else chosen)
        return
    said = _("The answer: {answer}", answer=asked.choices[asked.right])
    if view.own == asked.right:
        said = _("Correct.")
        st.markdown(f":green[:material/check: **{said}**]")
    else:
        st.markdown(f":primary[:material/arrow_forward: **{asked.choices[asked.right]}**]")
    spoken.announce(said)
    _bars(view)
    st.markdown(asked.answer)


def _vote(turn: int, code: str) -> None:
    chosen = st.session_state.get(f"lesson-vote-{code}-{turn}")
    if chosen is None:
        return
    try:
        caches.rooms().vote(code, voter(code), turn, chosen)
    except FcnError as error:
        lesson_state().problem = str(error)
