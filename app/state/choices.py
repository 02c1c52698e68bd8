"""A page's choices, its address and its widgets, which always agree.

The frozen record of a page (:class:`app.state.selection.Selection`, :class:`app.state.comparison.Comparison`) is the
only truth:

- It is read from the address when a session starts, when a link leads to the page, and when the user goes back or
  forward in the browser's history (:meth:`Choices.arrive`).
- Widgets show it and change it, whether they are drawn in this run or not (:meth:`Choices.widget`); so does the
  program (:meth:`Choices.choose`).
- After that the page writes the whole address (:meth:`Choices.publish`). A changed address is a new entry of the
  browser's history, by Streamlit; `ENTRY_PER_GESTURE` in `app/ui/page_scripts.py` merges those that no user caused.

Nothing else writes the address, and no widget is bound to it: a bound widget that is not drawn would lose its
parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import streamlit as st

from app import streamlit_patches
from app.state.address import Record, forms

_OWN: Any = object()


def enter(page: str) -> None:
    """Note that a run is one of this page; call it before the page runs."""
    before, visit = st.session_state.get("visit", ("", 0))
    if before != page:
        st.session_state["visit"] = page, visit + 1


@dataclass(eq=False)
class Choices(Generic[Record]):
    """The choices of one page in one session.

    Attributes
    ----------
    now : record
    read, write : callable
        From and to the parameters of an address.
    prefix : str
        Of the widgets' keys.
    visit : int
        The visit of the page in which it ran last; 0 if it has not run.
    serials : dict
        How often each widget was replaced by a new one.
    known : dict
        What each widget showed or sent last, by its key.
    """

    now: Record
    read: Callable[[Mapping[str, str]], tuple[Record, tuple[str, ...]]]
    write: Callable[[Record], dict[str, str]]
    prefix: str = ""
    visit: int = 0
    serials: dict[str, int] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    def arrive(self, carry: Callable[[bool], None] | None = None) -> tuple[str, ...] | None:
        """Read the address if it was not written by this page; call it at the top of a run.

        A browser may send the address of some moments ago, so an address alone is no sign that it changed.

        Parameters
        ----------
        carry : callable, optional
            Called when the user comes from another page and the address has no parameters; with whether it is the
            first visit.

        Returns
        -------
        tuple of str or None
            Invalid parameters of the address; None if it was not read.
        """
        _, visit = st.session_state.get("visit", ("", 1))
        first, arrived = not self.visit, visit != self.visit
        self.visit = visit
        query = st.query_params.to_dict()
        back = streamlit_patches.is_history_navigation()
        if arrived and not query and not back and carry is not None:
            carry(first)
        if not (back or (arrived and query)):
            return None
        self.now, ignored = self.read(query)
        return ignored

    def choose(self, **changes: Any) -> None:
        """Change fields of the record; widgets that are drawn later show the new values."""
        self.now = replace(self.now, **changes)

    def widget(
        self,
        name: str,
        shown: Any = _OWN,
        part: str = "",
        choose: Callable[[Any], None] | None = None,
        *,
        initial: str = "value",
    ) -> dict[str, Any]:
        """Return the arguments by which a widget shows a field and changes it.

        ``st.slider("Opacity", 0.0, 1.0, **choices.widget("opacity"))``

        A widget whose value was changed otherwise is replaced by a new one, with another key: a value of the old one
        that is still on its way from the browser is ignored. Streamlit forgets widgets that are not drawn; drawn
        again, they get their value from the record. A browser may still send the value of a forgotten widget, and
        Streamlit takes it for a change: it is none if it is the value that the widget showed.

        Parameters
        ----------
        name : str
            The field; the widget's key begins with it.
        shown : object, optional
            What the widget shows; the field by default.
        part : str, optional
            Distinguishes the widgets of a field that has several.
        choose : callable, optional
            Called with the widget's new value; by default the field becomes that value.
        initial : str
            Parameter of the widget for its first value, "" if it must not be given. A browser that has lost a widget
            falls back to that value, and sends it.
        """
        state, form = st.session_state, forms(type(self.now)).get(name)
        which = self.prefix + (f"{name}-{part}" if part else name)
        value = getattr(self.now, name) if shown is _OWN else shown
        plain = form is not None and not part

        def text(value: Any) -> Any:
            return form.write(value) if form is not None and plain else value

        key = self._key(which)
        if key in state and text(state[key]) != text(value):
            del state[key]
            self.known.pop(key, None)
            self.serials[which] = self.serials.get(which, 0) + 1
            key = self._key(which)
        if key not in state:
            state[key] = value
        self.known[key] = text(value)

        def changed(asked: str) -> None:
            if asked != self._key(which):  # a widget that was replaced meanwhile
                return
            new = state[asked]
            if text(new) == self.known.get(asked):  # of a widget that was forgotten meanwhile
                return
            self.known[asked] = text(new)
            if choose is not None:
                choose(new)
            elif form is not None:
                self.choose(**{name: form.read(form.write(new))})  # as it will be read from the address

        arguments = {"key": key, "on_change": changed, "args": (key,)}
        return {**arguments, initial: value} if initial else arguments

    def publish(self) -> None:
        """Write the address, unless it already means the same."""
        query = st.query_params.to_dict()
        if self.read(query)[0] != self.now:
            st.query_params.from_dict(self.write(self.now))

    def _key(self, which: str) -> str:
        serial = self.serials.get(which, 0)
        return f"{which}-{serial}" if serial else which
