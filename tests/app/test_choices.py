"""Widgets show the record and change it; what an old widget still sends is ignored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.state import choices, selection
from app.state.choices import Choices
from app.state.selection import Selection


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of a session, in which widgets keep their values."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr(choices, "st", SimpleNamespace(session_state=kept))
    return kept


@pytest.fixture
def page() -> Choices[Selection]:
    return Choices(selection.default(), selection.read, selection.write)


def send(state: dict[str, Any], widget: dict[str, Any], value: Any) -> None:
    """The browser sends a widget's value."""
    state[widget["key"]] = value
    widget["on_change"](*widget["args"])


CASES = [("fit", "Exact", "Aspect"), ("opacity", 0.25, 0.85), ("snap", False, True), ("row", 3, None)]


@pytest.mark.parametrize(("name", "value", "plain"), CASES)
def test_a_widget_changes_its_field_and_stays(
    state: dict[str, Any], page: Choices[Selection], name: str, value: Any, plain: Any
) -> None:
    widget = page.widget(name)
    assert state[widget["key"]] == plain
    send(state, widget, value)
    assert getattr(page.now, name) == value
    assert page.widget(name)["key"] == widget["key"] == name


@pytest.mark.parametrize(("name", "value", "plain"), CASES)
def test_a_changed_field_replaces_its_widget_and_the_old_one_is_ignored(
    state: dict[str, Any], page: Choices[Selection], name: str, value: Any, plain: Any
) -> None:
    old = page.widget(name)
    page.choose(**{name: value})
    new = page.widget(name)
    assert new["key"] != old["key"] and state[new["key"]] == value
    old["on_change"](*old["args"])  # Streamlit has no value of it any more
    assert getattr(page.now, name) == value
    send(state, old, plain)
    assert getattr(page.now, name) == value
    send(state, new, plain if plain is not None else 4)
    assert getattr(page.now, name) != value


def test_a_value_that_streamlit_forgot_or_kept_from_before_is_replaced(
    state: dict[str, Any], page: Choices[Selection]
) -> None:
    send(state, page.widget("snap"), False)
    state["snap"] = True  # what it showed at first
    assert state[page.widget("snap")["key"]] is False
    state.clear()
    assert state[page.widget("snap")["key"]] is False


@pytest.mark.parametrize(("name", "value", "plain"), CASES[:3])
def test_what_a_browser_sends_of_a_forgotten_widget_is_no_choice(
    state: dict[str, Any], page: Choices[Selection], name: str, value: Any, plain: Any
) -> None:
    shown = page.widget("threshold", 0.47)  # the suggestion: no threshold is chosen
    widget = page.widget(name)
    state.clear()  # they are not drawn
    send(state, shown, 0.47)
    send(state, widget, plain)
    assert page.now == selection.default()
    send(state, widget, value)  # moved, and back again, before it is drawn
    assert getattr(page.now, name) == value
    send(state, widget, plain)
    assert page.now == selection.default()


def test_a_number_is_as_it_will_be_read_from_the_address(
    state: dict[str, Any], page: Choices[Selection]
) -> None:
    widget = page.widget("opacity")
    send(state, widget, 0.1 + 0.05)  # 0.15000000000000002
    assert page.now.opacity == 0.15
    assert selection.read(selection.write(page.now))[0] == page.now
    assert page.widget("opacity")["key"] == widget["key"], "the slider is not replaced while it is moved"


def test_a_field_of_several_widgets_is_changed_by_what_each_one_means(
    state: dict[str, Any], page: Choices[Selection]
) -> None:
    seen: list[Any] = []
    widget = page.widget("scale", True, "200x320", seen.append)
    assert widget["key"] == "scale-200x320" and state[widget["key"]] is True
    send(state, widget, False)
    assert seen == [False]
