"""The language of the lesson in Chromium: the browser's at first, then the learner's choice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.lesson import glossary
from app.lesson.text import read_lesson
from tests.browser.conftest import a_context

pytestmark = pytest.mark.browser

TITLE = {lang: read_lesson(lang)[2].title for lang in ("en", "fr")}


@pytest.fixture
def french(chromium_browser: Any) -> Iterator[Page]:
    """A tab of a browser that is set to French."""
    context = a_context(chromium_browser, locale="fr-FR", viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def _expect(page: Page, lang: str) -> None:
    expect(page.locator(".st-key-lesson h1")).to_contain_text(TITLE[lang])
    expect(page.locator("html")).to_have_attribute("lang", lang)


def test_a_french_browser_begins_in_french_and_can_change_to_english(french: Page, address: str) -> None:
    page = french
    page.goto(f"{address}/learn?step=3")
    _expect(page, "fr")
    expect(page).to_have_url(re.compile("lang=fr"))
    expect(page).to_have_title(re.compile("Où le réseau le voit-il"))
    page.get_by_role("link", name="Models").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("link", name="Learn").click()
    _expect(page, "fr")
    page.get_by_role("radio", name="English").click()
    _expect(page, "en")
    expect(page).to_have_url(re.compile("lang=en"))
    page.reload()  # a new session, in which the address has the last word
    _expect(page, "en")


def test_a_phone_shows_the_choice_of_language_and_a_term_keeps_its_anchor(visit: Any) -> None:
    page = visit("/learn?step=glossary#receptive-field", 390, wait=False)
    heading = page.locator(".st-key-lesson #receptive-field")
    expect(heading).to_contain_text(glossary.entries("en")["receptive-field"].name)
    choice = page.get_by_role("radio", name="Français")
    expect(choice).to_be_visible()
    choice.click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(heading).to_contain_text(glossary.entries("fr")["receptive-field"].name)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
