"""The lesson in Chromium: every step, slider and answer, the handout."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.lesson.text import APPENDIX, CheckBlock, Lesson, Question, read_lesson
from tests.browser.lesson import settle

pytestmark = pytest.mark.browser

LESSONS = read_lesson("en")


Visit = Callable[..., Page]


def _open(visit: Visit, width: int = 1280, **query: str) -> Page:
    """Go to an address of the lesson and wait until all figures are drawn."""
    page = visit("/learn?" + "&".join(f"{k}={v}" for k, v in query.items()), width, wait=False)
    expect(page.locator(".st-key-lesson-end")).to_be_attached()
    settle(page)
    return page


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_step_by_its_address(visit: Visit, lesson: Lesson) -> None:
    page = _open(visit, step=lesson.name)
    expect(page.locator(".st-key-lesson h1")).to_contain_text(lesson.title)
    sliders = page.locator(".st-key-lesson").get_by_role("slider")
    for k in range(sliders.count()):
        before = sliders.nth(k).input_value()
        sliders.nth(k).focus()
        at_its_end = sliders.nth(k).evaluate("slider => slider.value === slider.max")
        page.keyboard.press("ArrowLeft" if at_its_end else "ArrowRight")
        settle(page, rest=0)
        expect(sliders.nth(k)).not_to_have_value(before)
    toggles = page.locator(".st-key-lesson [data-testid=stCheckbox]")
    for k in range(toggles.count()):
        toggles.nth(k).locator("label").first.click()
        settle(page, rest=0)
        expect(toggles.nth(k).get_by_role("switch")).to_be_checked()
    for n, block in enumerate(lesson.blocks):
        if isinstance(block, Question) and not block.depends:
            asked = page.locator(f".st-key-question-{lesson.name}-{n}")
            asked.locator("[role=radiogroup] label").nth(block.right).click()
            expect(asked.get_by_text("Correct.")).to_be_visible()
    settle(page)
    for block in lesson.blocks:
        if isinstance(block, CheckBlock) and block.name != "proof":
            expect(page.locator(f".st-key-check-{block.name}")).to_contain_text("Check passed.")
    formulas = page.locator(".st-key-lesson .katex").count()
    assert formulas or lesson.name in ("4", APPENDIX)
    expect(page.locator(".st-key-lesson .katex-error")).to_have_count(0)
    pictures = page.locator(".st-key-lesson img:not(.thumb, [role=application] img)")
    for k in range(pictures.count()):
        assert pictures.nth(k).get_attribute("alt")
        assert pictures.nth(k).evaluate("async i => { await i.decode(); return i.naturalWidth }") > 0
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 1280


def test_a_walk_through_all_steps_in_french_with_another_picture(visit: Visit) -> None:
    lessons = read_lesson("fr")
    page = _open(visit, step="1", lang="fr", picture="cow")
    for n, lesson in enumerate(lessons):
        expect(page.locator(".st-key-lesson h1")).to_contain_text(lesson.title)
        settle(page)
        for block in lesson.blocks:
            check = page.locator(f".st-key-check-{block.name}") if isinstance(block, CheckBlock) else None
            if check is not None and block.name not in ("proof", "shape", "cells"):  # these wait for a button
                expect(check).to_contain_text("Vérification réussie.")
        query = parse_qs(urlsplit(page.url).query)
        assert (query["lang"], query["picture"]) == (["fr"], ["cow"])
        if n + 1 < len(lessons):
            page.locator(".st-key-lesson-way button").last.click()


def test_next_and_previous_change_the_address_and_start_at_the_top(visit: Visit) -> None:
    page = _open(visit, step="2")
    page.locator(".st-key-lesson-way button").nth(1).click()
    expect(page.locator(".st-key-lesson h1")).to_contain_text(LESSONS[2].title)
    expect(page).to_have_url(re.compile("step=3"))
    settle(page)
    expect(page.locator(".st-key-lesson h1")).to_be_in_viewport()
    page.locator(".st-key-lesson-way button").nth(0).click()
    expect(page.locator(".st-key-lesson h1")).to_contain_text(LESSONS[1].title)


def test_a_phone_shows_a_step_without_scrolling_sideways(visit: Visit) -> None:
    for step in ("1", "3", "4", "8", "9"):
        page = _open(visit, 390, step=step)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


def test_the_glossary_has_an_address_for_every_term(visit: Visit) -> None:
    page = visit("/learn?step=glossary#softmax", wait=False)
    expect(page.locator("#softmax")).to_be_visible()
