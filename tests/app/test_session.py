"""What a session remembers: the list of its keys is complete, and choices survive addresses and page changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from app.state import selection, session
from app.state.selection import Selection, write
from app.state.session import STATE, WIDGETS
from fcn_core.images.scales import Scale
from tests.app.explore_page import CAT, DOG, address, field, go, group, number_input, opened, settled, text
from tests.places import ROOT

# The list of keys

# Keys of these are for styling: they hold no value.
_LAYOUT = {"container", "popover", "expander", "form", "empty", "columns"}
_METHODS = {"get", "pop", "setdefault"}


def pattern(node: ast.expr) -> str | None:
    """The key as a pattern; None if it is known only at run time."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
        return "".join(map(str, parts))
    return None


def is_state(node: ast.expr) -> bool:
    return ast.unparse(node) in ("st.session_state", "state")


def keys_in(tree: ast.AST) -> Iterator[str]:
    """Keys of the session's state and of widgets in a module."""
    for node in ast.walk(tree):
        found: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and is_state(node.value):
            found = [node.slice]
        elif isinstance(node, ast.Compare) and is_state(node.comparators[0]):
            found = [node.left]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _METHODS and is_state(node.func.value):
                found = node.args[:1]
            elif node.func.attr == "update" and is_state(node.func.value):
                found = [key for arg in node.args if isinstance(arg, ast.Dict) for key in arg.keys if key]
            elif node.func.attr not in _LAYOUT:
                found = [named.value for named in node.keywords if named.arg == "key"]
        for each in found:
            choices = (each.body, each.orelse) if isinstance(each, ast.IfExp) else (each,)
            yield from (key for key in map(pattern, choices) if key is not None)


def is_listed(key: str) -> bool:
    return any(fnmatchcase(key, listed) for listed in (*STATE, *WIDGETS))


MODULES = sorted([*ROOT.glob("app/**/*.py"), ROOT / "streamlit_app.py"])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_key_in_the_program_is_listed(path: Path) -> None:
    keys = set(keys_in(ast.parse(path.read_text(encoding="utf-8"))))
    assert {key for key in keys if not is_listed(key)} == set()


def test_every_listed_key_is_in_the_program() -> None:
    drawn = [key for f in fields(Selection) for key in (f.name, f"{f.name}-*")]  # by `Choices.widget`
    drawn += ["link", "link-*", "scale-*", "weight-*", "compare-*", "seen", "seen-*"]
    used = {key for path in MODULES for key in keys_in(ast.parse(path.read_text(encoding="utf-8")))}
    used |= {"upload", "camera", "synset-pick-*", *drawn}  # made at run time
    unused = [
        listed
        for listed in (*STATE, *WIDGETS)
        if not any(fnmatchcase(key, listed) or fnmatchcase(listed, key) for key in used)
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("code", "keys"),
    [
        ("st.session_state['a']", {"a"}),
        ("state.get('b')", {"b"}),
        ("'c' in state", {"c"}),
        ("st.slider('x', key=f'd-{number}')", {"d-*"}),
        ("state.update({'e': 1})", {"e"}),
        ("st.container(key='f')", set()),
        ("state[name]", set()),
    ],
)
def test_keys_are_found_in_a_module(code: str, keys: set[str]) -> None:
    assert set(keys_in(ast.parse(code))) == keys


@pytest.mark.usefixtures("prepared_app")
def test_every_key_of_a_session_is_listed() -> None:
    page = opened(scales="200x320")
    for tab in selection.TABS:
        page = opened(scales="200x320", tab=tab)
        keys = set(page.session_state._state.filtered_state)
        assert {key for key in keys if not is_listed(key)} == set()
    for name in ("compare", "models", "learn"):
        go(page, name)
        assert {key for key in page.session_state._state.filtered_state if not is_listed(key)} == set()


# Addresses

OTHER: dict[str, Any] = {
    "picture": "coffee",
    "synset": DOG,
    "scales": (Scale(200, 320), Scale(300, 480)),
    "model": "efficientnet-lite0",
    "stride": "16",
    "fit": "Exact",
    "map": "Evidence",
    "view": "Photo",
    "heatmap": "Mean",
    "how": True,
    "range": "Shared",
    "colours": "magma",
    "opacity": 0.25,
    "cells": "Blocks",
    "place": "Even",
    "cards": "Plain",
    "power": 0.35,
    "weights": (0.5,),
    "snap": False,
    "trace": True,
    "threshold": 0.3,
    "tab": "Inspect",
    "row": 2,
    "column": 3,
}
FIRST = (Scale(200, 320),)  # one small scale, so that tests are quick


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """The selections that pages read."""
    seen: list[Selection] = []
    made = session.selection
    monkeypatch.setattr(session, "selection", lambda: seen.append(made()) or seen[-1])
    return seen


def selected(**changes: Any) -> Selection:
    return replace(selection.default(), **{"scales": FIRST, "synset": CAT, "how": True, **changes})


def test_every_choice_has_a_case() -> None:
    assert set(OTHER) == {field.name for field in fields(Selection)}
    assert all(value != getattr(Selection(), name) for name, value in OTHER.items())


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("tab", ["Maps", "Mask"])
@pytest.mark.parametrize("name", [name for name in OTHER if name not in ("tab", "row", "column", "how")])
def test_a_choice_is_obeyed_from_the_first_run_on(name: str, tab: str, read: list[Selection]) -> None:
    """Also by those parts of the page that are drawn before its widget, or without it."""
    prepared = {"model": "efficientnet-lite0"} if name == "stride" else {}  # other tests need that graph, too
    asked = selected(**{**prepared, name: OTHER[name], "tab": tab})
    page = opened(**write(asked))
    assert not page.error
    assert set(read) == {asked}
    assert selection.read(address(page)) == (asked, ())


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("cell", [None, (2, 3)])
def test_a_chosen_cell_is_obeyed_and_no_cell_stays_no_cell(
    cell: tuple[int, int] | None, read: list[Selection]
) -> None:
    row, column = cell or (None, None)
    page = opened(**write(selected(tab="Inspect", row=row, column=column)))
    assert {(each.row, each.column) for each in read} == {(row, column)}
    assert ("row" in page.query_params, "column" in page.query_params) == (cell is not None,) * 2
    number_input(page, "Row").set_value(4)
    settled(page)
    assert (read[-1].row, address(page)["row"]) == (4, "4")


@pytest.mark.usefixtures("prepared_app")
def test_a_threshold_in_the_address_is_shown_and_can_be_changed() -> None:
    page = opened(tab="Mask", threshold="0.3", scales="200x320")
    slider = next(s for s in page.slider if s.key == "threshold")
    assert slider.value == 0.3
    slider.set_value(0.6)
    settled(page)
    assert address(page)["threshold"] == "0.6"
    assert next(s for s in page.slider if s.key == slider.key).value == 0.6


@pytest.mark.usefixtures("prepared_app")
def test_an_old_address_opens_the_export_tab() -> None:
    page = opened(tab="Take it away", scales="200x320")
    assert "The same in a terminal" in [m.value.strip("*") for m in page.markdown]
    assert not page.exception and not page.toast
    group(page, "fit").set_value("Exact")
    settled(page)
    assert address(page)["tab"] == "Export"


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("away", ["compare", "models"])
def test_a_visit_to_another_page_changes_nothing(away: str, read: list[Selection]) -> None:
    asked = selected(**{**OTHER, "weights": (0.5, 2.0)})
    page = opened(**write(asked))
    assert field(page, "synset").value == "dog"
    go(page, away)
    go(page, "explore")
    settled(page)
    assert read[-1] == asked
    assert field(page, "synset").value == "dog", "the picker shows what the map shows"
    assert group(page, "map").value == "Evidence"


@pytest.mark.usefixtures("prepared_app")
def test_compare_keeps_its_synset_when_another_page_is_visited() -> None:
    page = go(opened(scales="200x320"), "compare")
    field(page, "compare-synset").set_value("dogs").run()
    assert field(page, "compare-synset").value == "dog"
    go(page, "explore")
    go(page, "compare")
    assert (field(page, "compare-synset").value, page.session_state["compare-synset"]) == ("dog", DOG)


@pytest.mark.usefixtures("prepared_app")
def test_switching_tabs_keeps_the_choices_of_the_tab_that_is_closed(read: list[Selection]) -> None:
    page = opened(tab="Mask", snap="false", scales="200x320", power="0.5", view="Heatmap")
    assert "how surely this part" not in text(page)
    group(page, "view").set_value("Photo")
    settled(page)
    assert (read[-1].snap, read[-1].power) == (False, 0.5)
    assert (address(page)["snap"], address(page)["power"]) == ("false", "0.5")
