"""Every choice is in the address: opened again, it gives the identical page, whatever was chosen and how."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app import streamlit_patches
from app.state import comparison, selection
from app.state.comparison import Comparison
from app.state.selection import Selection
from fcn_core.images.scales import Scale
from fcn_core.networks.zoo import MODELS
from fcn_core.render.colours import COLOUR_MAPS
from tests.app.compare_page import compared, opened_compare
from tests.app.explore_page import (
    CAT,
    DOG,
    ESPRESSO,
    address,
    go,
    opened,
    opened_at,
    settled,
    settled_until,
    stages,
    text,
)

SMALL, LARGER = Scale(200, 320), Scale(300, 480)
SCALES = [(SMALL,), (LARGER,), (SMALL, LARGER), (Scale(320, 200), LARGER)]
PICTURES = ["cat", "coffee", "rocket"]
SYNSETS = ["", CAT, DOG, ESPRESSO]
HUNDREDTHS = [n / 100 for n in range(101)]

#: Values of each choice on Explore.
VALUES: dict[str, list[Any]] = {
    "picture": [*PICTURES, "", "https://example.org/a b.jpg?x=1&y=ü#z"],
    "synset": SYNSETS,
    "scales": [*SCALES, ()],
    "model": list(MODELS),
    "stride": list(selection.STRIDES),
    "fit": list(selection.FITS),
    "map": list(selection.MAPS),
    "view": list(selection.VIEWS),
    "heatmap": list(selection.HEATMAPS),
    "how": [True, False],
    "range": list(selection.RANGES),
    "colours": list(COLOUR_MAPS),
    "opacity": HUNDREDTHS,
    "cells": list(selection.CELLS),
    "place": list(selection.PLACES),
    "cards": list(selection.CARDS),
    "power": HUNDREDTHS,
    "weights": [(), (0.5,), (0.0, 2.0), (1.0, 0.25)],
    "snap": [True, False],
    "trace": [True, False],
    "threshold": [None, *HUNDREDTHS],
    "tab": list(selection.TABS),
    "row": [None, 0, 2, 40_000],
    "column": [None, 0, 3, 7],
}
#: What a test can draw: pictures that are here, models that are prepared.
DRAWN = VALUES | {
    "picture": PICTURES,
    "scales": SCALES,
    "model": ["efficientnet-lite2", "efficientnet-lite0"],
    "stride": ["32"],
}
#: Values of each choice on Compare.
COMPARED: dict[str, list[Any]] = {
    **{
        name: DRAWN[name]
        for name in ("synset", "model", "picture", "scales", "fit", "map", "colours", "trace")
    },
    "compare": list(comparison.WHAT),
    "view": list(comparison.VIEWS),
    "other": SYNSETS,
    "other_model": DRAWN["model"],
    "other_picture": PICTURES,
}


def whole_cell(chosen: Selection) -> Selection:
    """A cell has a row and a column."""
    return (
        chosen
        if chosen.row is not None and chosen.column is not None
        else replace(chosen, row=None, column=None)
    )


def any_of(record: type, values: dict[str, list[Any]]) -> st.SearchStrategy[Any]:
    return st.builds(record, **{name: st.sampled_from(each) for name, each in values.items()})


def test_every_choice_has_values() -> None:
    assert set(VALUES) == {field.name for field in fields(Selection)}
    assert set(COMPARED) == {field.name for field in fields(Comparison)}


@settings(max_examples=300, derandomize=True, deadline=None)
@given(any_of(Selection, VALUES).map(whole_cell))
def test_a_selection_survives_its_address(chosen: Selection) -> None:
    assert selection.read(selection.write(chosen)) == (chosen, ())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(any_of(Comparison, COMPARED))
def test_a_comparison_survives_its_address(chosen: Comparison) -> None:
    assert comparison.read(comparison.write(chosen)) == (chosen, ())


def drawn(page: AppTest) -> dict[str, Any]:
    """The values of all widgets on a page, without the serial numbers of their keys."""
    kinds = (
        page.segmented_control, page.pills, page.selectbox, page.slider, page.toggle, page.checkbox,
        page.number_input, page.text_input,
    )  # fmt: skip
    return {re.sub(r"-\d+$", "", each.key): each.value for kind in kinds for each in kind}


def complete(page: AppTest) -> AppTest:
    settled_until(page, lambda: is_measured(page))
    return page


def is_measured(page: AppTest) -> bool:
    return "Measuring" not in text(page)


def completely_opened(**query: str) -> AppTest:
    page = opened_at(**query)
    return page if is_measured(page) else complete(page)


def seen(page: AppTest) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    return drawn(page), text(page), stages(page)


def chosen_on(page: AppTest) -> Selection:
    chosen: Selection = page.session_state["explore"].choices.now
    return chosen


def same_when_opened_again(page: AppTest) -> None:
    again = completely_opened(**address(page))
    assert chosen_on(again) == chosen_on(page)
    assert seen(again) == seen(page), address(page)


def selections(count: int) -> list[Selection]:
    return [whole_cell(Selection(**each)) for each in mixed(DRAWN, count, random.Random(16))]


def mixed(values: dict[str, list[Any]], count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Mix values at random, each of them in some of the mixtures if there are no more than mixtures."""
    columns = {name: chance.sample(each, len(each)) * count for name, each in values.items()}
    rows = {name: chance.sample(column[:count], count) for name, column in columns.items()}
    return [{name: column[n] for name, column in rows.items()} for n in range(count)]


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("chosen", selections(6), ids=lambda chosen: chosen.tab)
def test_an_address_gives_the_identical_page(chosen: Selection) -> None:
    page = completely_opened(**selection.write(chosen))
    assert not page.exception and not page.toast
    assert chosen_on(page) == chosen
    assert address(page) == selection.write(chosen)
    for name, value in drawn(page).items():
        if name in vars(chosen) and name not in ("threshold", "row", "column"):
            assert value == getattr(chosen, name), name
        if name == "threshold" and chosen.threshold is not None:
            assert value == chosen.threshold
    same_when_opened_again(page)


#: How each widget is changed; those of None are no choice about the page.
CHANGES: dict[str, Any] = {
    "picture": "coffee",
    "synset-pick": "dog",
    "scale-200x320": True,
    "scale-300x480": None,  # the last scale stays
    "scale-400x640": True,
    "scale-800x1280": None,  # slow
    "scale-1600x2560": None,
    "model": "efficientnet-lite0",
    "stride": None,  # slow
    "fit": "Exact",
    "map": "Evidence",
    "view": "Heatmap",
    "heatmap": "Mean",
    "range": "Per map",
    "colours": "magma",
    "opacity": 0.15,
    "cells": "Blocks",
    "place": "Even",
    "cards": "Plain",
    "power": 0.35,
    "weight-300x480": 0.5,
    "weight-200x320": 0.25,
    "weight-400x640": 0.0,
    "snap": False,
    "trace": True,
    "threshold": 0.27,
    "row": 2,
    "column": 3,
    "seen": None,  # what is found depends on the picture
    "seen-less": None,
    "link": None,
    "new-scale": None,
    "png": None,
}


def widget(page: AppTest, name: str) -> Any:
    kinds = (page.segmented_control, page.pills, page.selectbox, page.slider, page.toggle, page.checkbox)
    everything = [each for kind in (*kinds, page.number_input, page.text_input) for each in kind]
    return next((each for each in everything if re.sub(r"-\d+$", "", each.key) == name), None)


@pytest.fixture(scope="module")
def everywhere(prepared_app: None) -> set[str]:
    """The widgets of the first tab, which stand beside the others, too."""
    return set(drawn(opened(scales="300x480")))


@pytest.mark.parametrize("tab", selection.TABS)
def test_each_change_is_in_the_address_and_stays(tab: str, everywhere: set[str]) -> None:
    """The address says each change at once; opened again with all changes together, it gives the identical page."""
    page = complete(opened(tab=tab, scales="300x480"))
    assert set(drawn(page)) <= set(CHANGES)
    for name, value in CHANGES.items():
        control = widget(page, name)
        if value is None or control is None or (name in everywhere and tab != selection.TABS[0]):
            continue
        before = chosen_on(page)
        control.set_value(value)
        complete(page)
        assert chosen_on(page) != before, name
        assert drawn(page)[name] == value, "the widget keeps what was chosen"
        assert selection.read(address(page)) == (chosen_on(page), ()), name
    same_when_opened_again(page)
    before, at = seen(page), address(page)
    for other in ("compare", "explore"):
        go(page, other)
    assert (seen(complete(page)), address(page)) == (before, at), "another page was visited"


def comparisons(count: int) -> list[Comparison]:
    return [Comparison(**each) for each in mixed(COMPARED, count, random.Random(17))]


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("chosen", comparisons(4), ids=lambda chosen: chosen.compare)
def test_an_address_of_compare_gives_the_identical_page(chosen: Comparison) -> None:
    page = opened_compare(**comparison.write(chosen))
    assert page.session_state["compare"].choices.now == chosen
    assert address(page) == comparison.write(chosen)
    again = opened_compare(**address(page))
    assert seen(again) == seen(page)


COMPARE_CHANGES: dict[str, dict[str, Any]] = {
    "Models": {
        "compare-model": "efficientnet-lite0",
        "compare-other_model": "efficientnet-lite2",
        "compare-view": "Heatmap",
    },
    "Pictures": {"compare-picture": "rocket", "compare-other_picture": "cat", "compare-view": "Heatmap"},
    "Synsets": {
        "compare-synset-pick": "coffee",
        "compare-other-pick": "cat",
        "compare-trace": True,
        "compare-view": "Heatmap",
        "compare-picture": "rocket",
    },
}


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize("what", comparison.WHAT)
def test_each_change_on_compare_is_in_the_address_and_stays(what: str) -> None:
    page = opened_compare(scales="200x320", compare="Models" if what != "Models" else "Synsets")
    widget(page, "compare-compare").set_value(what)
    compared(page)
    for name, value in COMPARE_CHANGES[what].items():
        widget(page, name).set_value(value)
        compared(page)
        assert drawn(page)[name] == value
        assert comparison.read(address(page)) == (page.session_state["compare"].choices.now, ()), name
    assert seen(opened_compare(**address(page))) == seen(page)
    before, at = seen(page), address(page)
    for other in ("models", "compare"):
        go(page, other)
    assert (seen(compared(page)), address(page)) == (before, at), "another page was visited"


@pytest.mark.usefixtures("prepared_app")
def test_compare_opens_with_what_explore_shows() -> None:
    shown = {"scales": "200x320", "fit": "Exact", "map": "Evidence", "colours": "magma"}
    page = go(
        complete(opened(picture="coffee", synset="dog", model="efficientnet-lite0", **shown)), "compare"
    )
    assert address(page) == shown | {
        "picture": "coffee",
        "synset": "dog",
        "model": "efficientnet-lite0",
        "other_picture": "dog",
    }
    assert "Scales 200 × 320; fit exact; evidence; colours magma." in text(page)
    go(page, "explore")
    widget(page, "fit").set_value("Aspect")
    complete(page)
    assert "fit" not in address(go(page, "compare")), "also later"


@pytest.fixture
def went_back(monkeypatch: pytest.MonkeyPatch) -> Callable[[AppTest, dict[str, str], bool], AppTest]:
    """Run a page with another address, as the browser does after Back, or with one of some moments ago."""

    def run(page: AppTest, query: dict[str, str], back: bool) -> AppTest:
        monkeypatch.setattr(streamlit_patches, "is_history_navigation", lambda: back)
        page.query_params.clear()
        for name, value in query.items():
            page.query_params[name] = value
        page.run()
        monkeypatch.setattr(streamlit_patches, "is_history_navigation", lambda: False)
        return page

    return run


@pytest.mark.usefixtures("prepared_app")
def test_back_and_forward_give_the_page_of_that_address(went_back: Any) -> None:
    page = complete(opened(scales="200x320", tab="Mask"))
    pages = [(address(page), seen(page))]
    for name, value in (("threshold", 0.3), ("picture", "coffee"), ("synset-pick", "dog")):
        widget(page, name).set_value(value)
        complete(page)
        pages.append((address(page), seen(page)))
    for query, before in (*reversed(pages[:-1]), *pages[1:]):
        complete(went_back(page, query, back=True))
        assert (address(page), seen(page)) == (query, before)


@pytest.mark.usefixtures("prepared_app")
def test_an_address_of_some_moments_ago_changes_nothing(went_back: Any) -> None:
    page = opened(scales="200x320")
    widget(page, "fit").set_value("Exact")
    before = seen(settled(page))
    settled(went_back(page, {"how": "true", "scales": "200x320"}, back=False))
    assert seen(page) == before
    assert address(page)["fit"] == "Exact"


@pytest.mark.usefixtures("prepared_app")
def test_a_link_from_another_page_is_followed() -> None:
    page = go(opened(scales="200x320"), "models")
    page.query_params["picture"] = "coffee"
    page.switch_page("app/pages/explore.py")
    assert chosen_on(settled(page)) == replace(selection.default(), picture="coffee")
