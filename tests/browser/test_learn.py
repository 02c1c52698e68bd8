"""The lesson in Chromium: every step, slider and answer, the handout."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.lesson.language import translated_to
from app.lesson.text import APPENDIX, CheckBlock, Lesson, Question, read_lesson
from tests.browser.lesson import settle

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]


def _open(visit: Visit, width: int = 1280, **query: str) -> Page:
    """Go to an address of the lesson and wait until all figures are drawn."""
    page = visit("/learn?" + "&".join(f"{k}={v}" for k, v in query.items()), width, wait=False)
    expect(page.locator(".st-key-lesson-end")).to_be_attached()
    settle(page)
    return page


@pytest.mark.parametrize(("lang", "picture", "widths"), [("en", "dog", [1280]), ("fr", "cow", [1280, 390])])
def test_a_walk_through_all_steps(visit: Visit, lang: str, picture: str, widths: list[int]) -> None:
    page, lessons = _open(visit, step="1", lang=lang, picture=picture), read_lesson(lang)
    for n, lesson in enumerate(lessons):
        expect(page.locator(".st-key-lesson h1")).to_contain_text(lesson.title)
        expect(page).to_have_url(re.compile(f"step={lesson.name}(&|$)"))
        settle(page)
        expect(page.locator(".st-key-lesson h1")).to_be_in_viewport()
        _controls_answer(page)
        _questions_and_checks_answer(page, lesson, lang)
        formulas = page.locator(".st-key-lesson .katex").count()
        assert formulas or lesson.name in ("4", APPENDIX)
        expect(page.locator(".st-key-lesson .katex-error")).to_have_count(0)
        _pictures_are_whole(page)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            wide = page.evaluate("[innerWidth, document.querySelector('[data-testid=stMain]').scrollWidth]")
            assert wide[0] == width >= wide[1], lesson.name
        page.set_viewport_size({"width": 1280, "height": 900})
        query = parse_qs(urlsplit(page.url).query)
        assert (query.get("lang", ["en"]), query.get("picture", ["dog"])) == ([lang], [picture])
        if n + 1 < len(lessons):
            page.locator(".st-key-lesson-way button").last.click()
    page.locator(".st-key-lesson-way button").first.click()
    expect(page.locator(".st-key-lesson h1")).to_contain_text(lessons[-2].title)


def _controls_answer(page: Page) -> None:
    """Move each slider by one, and turn each switch on."""
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


def _questions_and_checks_answer(page: Page, lesson: Lesson, lang: str) -> None:
    """Choose each right answer, and wait until all checks have passed but that which waits for a button."""
    settle(page)
    for n, block in enumerate(lesson.blocks):
        if isinstance(block, Question) and not block.depends:
            asked = page.locator(f".st-key-question-{lesson.name}-{n}")
            asked.locator("[role=radiogroup] label").nth(block.right).click()
            expect(asked.get_by_text(translated_to(lang, "Correct."))).to_be_visible()
    settle(page)
    for block in lesson.blocks:
        if isinstance(block, CheckBlock) and block.name != "proof":
            expect(page.locator(f".st-key-check-{block.name}")).to_contain_text(
                translated_to(lang, "Check passed.")
            )


def _pictures_are_whole(page: Page) -> None:
    pictures = page.locator(".st-key-lesson img:not(.thumb, [role=application] img)")
    for k in range(pictures.count()):
        assert pictures.nth(k).get_attribute("alt")
        assert pictures.nth(k).evaluate("async i => { await i.decode(); return i.naturalWidth }") > 0


def test_a_phone_shows_a_step_without_scrolling_sideways(visit: Visit) -> None:
    page = _open(visit, 390, step="3")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


def test_the_glossary_has_an_address_for_every_term(visit: Visit) -> None:
    page = visit("/learn?step=glossary#softmax", wait=False)
    expect(page.locator("#softmax")).to_be_visible()
