"""The search of Explore in Chromium: any word, and the way along the hierarchy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle
from tests.browser.explore import (
    WHAT,
    Visit,
    asks,
    picker,
    step,
    where,
)
from tests.waiting import PATIENCE

pytestmark = pytest.mark.browser


def look_for(page: Any, word: str) -> None:
    picker(page).click()
    page.wait_for_function(
        """() => {
            const field = document.activeElement
            return field.selectionEnd - field.selectionStart === field.value.length
        }""",
        timeout=1000 * PATIENCE,
    )
    page.keyboard.type(word)  # replaces the word that the field shows
    page.keyboard.press("Enter")


def test_a_word_nobody_knows_changes_nothing_and_others_are_widened_and_narrowed(visit: Visit) -> None:
    page = visit("/?how=true&scales=200x320")
    expect(picker(page)).to_have_value("")
    look_for(page, "qqxzzv")
    page.get_by_role("status").get_by_text("qqxzzv is no word that it knows.").wait_for()
    settle(page)
    asks(page, WHAT)
    look_for(page, "women")
    page.get_by_role("status").get_by_text("The network never learned woman. Nearest: person.").wait_for()
    page.keyboard.press("Tab")  # the cross that clears the field
    near = page.locator("[class*='st-key-synset-sense-']").get_by_role("button", name="person")
    near.press("Enter")
    asks(page, where("person"))
    expect(near).to_be_focused()

    look_for(page, "hunting dogs")
    asks(page, where("hunting dog"))
    expect(picker(page)).to_have_value("hunting dog")
    expect(picker(page)).to_be_focused()
    expect(page).to_have_url(re.compile("synset="))
    step(page, "dog").click()
    asks(page, where("dog"))
    expect(picker(page)).to_have_value("dog")
    expect(page).to_have_url(re.compile("synset=dog"))
    settle(page)
    step(page, "working dog").click()
    asks(page, where("working dog"))


def test_the_field_shows_the_synset_of_the_map_after_a_visit_to_another_page(visit: Visit) -> None:
    page = visit("/?scales=200x320&synset=dog&how=true")
    expect(picker(page)).to_have_value("dog")
    for away in ("Models", "Compare", "Learn"):
        page.get_by_role("link", name=away).first.click()
        page.wait_for_url(re.compile(away.lower()))
        settle(page)
        page.get_by_role("link", name="Explore").first.click()
        expect(page.locator(".st-key-crumbs-explore strong"), away).to_have_text("dog")
        asks(page, where("dog"))
        expect(picker(page), away).to_have_value("dog")
        settle(page)
