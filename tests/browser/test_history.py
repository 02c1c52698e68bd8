"""The browser's history: each choice is an entry, and each entry opens the page of its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


def at(page: Any, address: str) -> None:
    """Wait until the page has an address and is complete."""
    page.wait_for_url(lambda url: url.endswith(address))
    settle(page)


def threshold(page: Any) -> Any:
    """A replaced slider may still stand behind the new one."""
    return page.locator("[class*='st-key-threshold'] input[type=range]").first


def snap(page: Any) -> Any:
    return page.locator("[class*='st-key-snap'] input").first


def link(page: Any, name: str) -> None:
    page.get_by_role("link", name=name).click()


START = "/?synset=dog&scales=200x320&how=true&tab=Mask"
MOVED = "/?synset=dog&scales=200x320&how=true&threshold=0.3&tab=Mask"
OFF = "/?synset=dog&scales=200x320&how=true&snap=false&threshold=0.3&tab=Mask"
MAPS = "/?synset=dog&scales=200x320&how=true&snap=false&threshold=0.3"


def is_mask(page: Any, moved: bool, snaps: bool) -> None:
    """The tab Mask shows what its address says."""
    expect(snap(page)).to_be_checked(checked=snaps)
    if moved:
        expect(threshold(page)).to_have_value("0.3")
    else:
        expect(threshold(page)).not_to_have_value("0.3")


def test_choices_survive_a_reload_other_pages_and_the_history(visit: Visit) -> None:
    page = visit(MOVED)
    is_mask(page, moved=True, snaps=True)
    page.locator("[class*='st-key-snap'] label").click()
    at(page, OFF)
    page.get_by_role("tab", name="Maps").click()
    at(page, MAPS)
    page.get_by_role("tab", name="Mask").click()
    at(page, OFF)
    is_mask(page, moved=True, snaps=False)
    page.reload()
    settle(page)
    is_mask(page, moved=True, snaps=False)
    entries = page.evaluate("history.length")
    link(page, "Compare")
    at(page, "/compare?synset=dog&scales=200x320")
    page.get_by_role("radio", name="Synsets").click()
    at(page, "/compare?compare=Synsets&synset=dog&scales=200x320")
    link(page, "Explore")
    at(page, OFF)
    is_mask(page, moved=True, snaps=False)
    assert page.evaluate("history.length") == entries + 3, "no entry that nobody caused"
    places = [
        "/compare?compare=Synsets&synset=dog&scales=200x320",
        "/compare?synset=dog&scales=200x320",
        OFF,
        MAPS,
        OFF,
        MOVED,
    ]
    for move, way in ((page.go_back, places), (page.go_forward, [*reversed(places[:-1]), OFF])):
        for place in way:
            move()
            at(page, place)
            if "tab=Mask" in place:
                is_mask(page, moved=True, snaps="snap=false" not in place)
            if "compare?" in place:
                chosen = "Synsets" if "compare=" in place else "Models"
                expect(page.get_by_role("radio", name=chosen)).to_be_checked()


def test_the_threshold_moves_by_keyboard_and_back_returns_it(visit: Visit) -> None:
    page = visit(START)
    is_mask(page, moved=False, snaps=True)
    suggested = threshold(page).input_value()
    threshold(page).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/?*threshold=*")
    settle(page)
    page.reload()
    settle(page)
    expect(threshold(page)).not_to_have_value(suggested)
    page.go_back()
    at(page, START)
    expect(threshold(page)).to_have_value(suggested)
