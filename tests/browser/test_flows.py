"""Visits by mouse, by finger and by keyboard: every way through Explore and Compare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import a_context, is_forbidden, settle
from tests.browser.explore import COFFEE, WHAT, asks, changed, found, large, named, picker, source_of, where

pytestmark = pytest.mark.browser
HANDS = [("mouse", 1280), ("finger", 390), ("keyboard", 1280)]
_MOST_STOPS = 150  # of the Tab key on the way to a control


@dataclass(frozen=True)
class Hand:
    """How a visitor presses things: "mouse", "finger" or "keyboard"."""

    page: Any
    kind: str

    def press(self, target: Any) -> None:
        """Press a button, a link or a choice."""
        if self.kind == "mouse":
            target.click()
        elif self.kind == "finger":
            target.tap()
        else:
            self.walk_to(target)
            is_choice = target.get_attribute("role") == "radio" or target.get_attribute("type") == "radio"
            self.page.keyboard.press("Space" if is_choice else "Enter")

    def open_tab(self, name: str) -> None:
        """Open a tab: a tap is a scroll if the page moves below the finger, so that a visitor taps again."""
        tab, tries = self.page.get_by_role("tab", name=name), 3
        while tab.get_attribute("aria-selected") != "true" and (tries := tries - 1) >= 0:
            self.press(tab)
            settle(self.page)

    def walk_to(self, target: Any) -> None:
        """Move the focus by Tab, and among the choices of one group by arrow keys, as far as it is needed."""
        target.wait_for(state="attached")
        step = """e => {
            const at = document.activeElement
            if (e === at) return ""
            if (!e.closest("[role=radiogroup], [role=tablist]")?.contains(at)) return "Tab"
            return at.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING ? "ArrowRight" : "ArrowLeft"
        }"""
        stops = _MOST_STOPS
        while key := target.evaluate(step):
            assert (stops := stops - 1), f"{target} is not on the way of the Tab key"
            self.page.keyboard.press(key)

    def type(self, field: Any, word: str) -> None:
        """Replace the text of a field."""
        if self.kind == "keyboard":
            self.walk_to(field)
        else:
            self.press(field)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(word)
        self.page.keyboard.press("Enter")

    def open_file(self, button: Any) -> None:
        """Choose one's own photo."""
        with self.page.expect_file_chooser() as chooser:
            self.press(button)
        chooser.value.set_files(COFFEE)


@pytest.fixture(params=HANDS, ids=lambda hand: hand[0])
def hand(chromium_browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Hand]:
    """A visitor on the first page."""
    kind, width = request.param
    touch = {"has_touch": True, "is_mobile": width < 600} if kind == "finger" else {}
    context = a_context(
        chromium_browser, viewport={"width": width, "height": 900}, accept_downloads=True, **touch
    )
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if is_forbidden(said.text) else None)
    page.goto(address + "/?scales=200x320,400x640")
    settle(page)
    yield Hand(page, kind)
    context.close()
    assert not faults


def view(page: Any, name: str) -> Any:
    return page.locator("[class*=st-key-view]").get_by_role("radio", name=name)


def button(page: Any, name: str | re.Pattern[str]) -> Any:
    return page.get_by_role("button", name=name).locator("visible=true").first


def test_from_the_first_answer_to_ones_own_and_how_it_works_and_compare(hand: Hand) -> None:
    ones_own_and_back(hand)
    how_it_works(hand)
    compare(hand)


def ones_own_and_back(hand: Hand) -> None:
    """From the first answer to one's own photo, to one thing, to a word, to files, and back in the history."""
    page = hand.page
    asks(page, WHAT)
    assert named(page) == ["German shepherd"]

    before = source_of(page)  # one's own photo
    hand.open_file(page.locator(".st-key-own-photo button"))
    changed(page, source_of, before)
    assert "coffee" in named(page)

    hand.press(found(page).filter(has_text="coffee").first)  # one thing
    asks(page, where("coffee"))
    settle(page)
    hand.press(button(page, "Show everything"))
    asks(page, WHAT)
    settle(page)

    hand.type(picker(page), "cups")  # any word
    asks(page, where("cup"))
    settle(page)

    hand.press(view(page, "Heatmap"))
    settle(page)
    expect(large(page).locator("img.over")).to_be_visible()
    hand.press(view(page, "Outline"))
    settle(page)

    hand.press(button(page, "Download"))
    with page.expect_download() as download:
        hand.press(button(page, "Mask (white on black)"))
    assert download.value.suggested_filename.endswith("mask.png")
    page.keyboard.press("Escape")
    hand.press(button(page, "Share"))
    expect(page.locator("[data-testid=stPopoverBody] code").last).to_contain_text("synset=cup")
    page.keyboard.press("Escape")

    page.go_back()  # a view is a choice
    settle(page)
    expect(view(page, "Heatmap")).to_be_checked()
    page.go_back()
    settle(page)
    expect(view(page, "Outline")).to_be_checked()


def how_it_works(hand: Hand) -> None:
    """Unfold how it works, open every tab, and ask for all scales."""
    page = hand.page
    hand.press(page.locator(".st-key-how summary").first)
    expect(page.get_by_role("tab", name="Maps")).to_be_visible()
    settle(page)
    for name in ("Mask", "Inspect", "Export"):
        hand.open_tab(name)
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    hand.press(button(page, re.compile("Notebook view")))
    expect(page).to_have_url(re.compile("1600x2560"))


def compare(hand: Hand) -> None:
    """Compare two pictures, then their heatmaps."""
    page = hand.page
    page.goto(re.sub(r"\?.*", "compare?scales=200x320", page.url))
    settle(page)
    hand.press(page.locator(".st-key-compare-compare").get_by_role("radio", name="Pictures"))
    settle(page)
    expect(page).to_have_url(re.compile("compare=Pictures"))
    hand.press(page.locator("[class*=st-key-compare-view]").get_by_role("radio", name="Heatmap"))
    settle(page)
    expect(page).to_have_url(re.compile("view=Heatmap"))
