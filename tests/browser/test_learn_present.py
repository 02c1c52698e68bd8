"""The slides in Chromium: every slide by keys in both languages, what the last row can read, notes, help, addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from app.lesson.choices import PATHS
from app.lesson.present.deck import read_deck
from app.lesson.text import LANGUAGES
from tests.browser.lesson import settle
from tests.waiting import PATIENCE

pytestmark = pytest.mark.browser

LONG, SHORT = PATHS
DECK = read_deck("en")
LEAST = 18  # pixels: the smallest letters on a slide of 1280 × 720
COUNT = ".count"
ENLARGED = ("what", "order", "softmax", "mask")  # looked at on a large screen, too

Visit = Callable[..., Page]

# What lies outside the window, what scrolls, and letters that are too small: those of the page, of the remote, whose
# elements are in a shadow tree, and of drawings, which are pictures; of charts only those drawn as SVG.
FAULTS = """(least) => {
    const found = [], clipped = (e) => e.closest(".fcn-hidden, .fcn-voice, .katex-mathml, [hidden], .st-key-ask-again")
    const read = (root) => {
        for (const each of root.querySelectorAll("*")) {
            if (each.shadowRoot) read(each.shadowRoot)
            const parts = [...each.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data)
            const text = parts.join("").replace(/\\u200b/g, "").trim()
            if (!text || clipped(each) || ["STYLE", "SCRIPT"].includes(each.tagName)) continue
            const box = each.getBoundingClientRect()
            if (!each.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || !box.width) continue
            const size = parseFloat(getComputedStyle(each).fontSize)
            if (size < least) found.push(`${size} px: ${text}`)
            if (box.right > innerWidth + 1 || box.bottom > innerHeight + 1 || box.left < -1 || box.top < -1)
                found.push(`outside: ${text}`)
            const room = each.closest(".st-key-slide-room")?.getBoundingClientRect()
            if (room && (box.bottom > room.bottom + 2 || box.top < room.top - 2)) found.push(`cut off: ${text}`)
        }
    }
    read(document)
    for (const picture of document.querySelectorAll(".st-key-slide-room img")) {
        const box = picture.getBoundingClientRect()
        const room = picture.closest(".st-key-slide-room").getBoundingClientRect()
        if (box.bottom > room.bottom + 2 || box.right > innerWidth + 1) found.push(`cut off: ${picture.alt}`)
        if (box.height < 100) found.push(`small: ${picture.alt} ${box.width} × ${box.height}`)
        if (!picture.src.startsWith("data:image/svg")) continue
        const [kind, data] = picture.src.split(/,(.*)/s)
        const source = kind.endsWith("base64")
            ? new TextDecoder().decode(Uint8Array.from(atob(data), (c) => c.charCodeAt(0))) : decodeURIComponent(data)
        const drawn = new DOMParser().parseFromString(source, "image/svg+xml").documentElement
        const [, , wide, high] = drawn.getAttribute("viewBox").split(" ").map(Number)
        const scale = Math.min(box.width / wide, box.height / high)
        for (const text of drawn.querySelectorAll("text")) {
            const size = text.getAttribute("font-size") * scale
            if (size < least) found.push(`${size} px in a drawing: ${text.textContent}`)
        }
    }
    for (const chart of document.querySelectorAll(".st-key-slide-room :is(canvas, svg.marks)")) {
        const wide = chart.getBoundingClientRect()
        const room = chart.closest(".stColumn, .st-key-slide-room").getBoundingClientRect()
        if (wide.right > room.right + 2 || wide.right > innerWidth) found.push(`cut off: a chart, ${wide.width}`)
    }
    for (const each of document.querySelectorAll("html, body, .stApp, .stMain, [class*=st-key-slide]")) {
        const scrolls = ["auto", "scroll"].includes(getComputedStyle(each).overflowY)
        const page = ["HTML", "BODY"].includes(each.tagName)
        if ((scrolls || page) && each.scrollHeight > each.clientHeight + 1) found.push(`scrolls: ${each.className}`)
    }
    for (const part of ["stHeader", "stSidebar", "stToolbar"])
        if (document.querySelector(`[data-testid=${part}]`)?.checkVisibility()) found.push(`visible: ${part}`)
    return found
}"""


def _open(visit: Visit, height: int = 720, width: int = 1280, **query: str) -> Page:
    page = visit("/learn?" + "&".join(f"{k}={v}" for k, v in query.items()), width, height, wait=False)
    expect(_heading(page)).to_be_visible()
    settle(page)
    return page


def _heading(page: Page) -> Locator:
    return page.locator(".st-key-slide-deck h1")


def _is_at(page: Page, number: int, path: str = LONG) -> None:
    numbers = [slide.number for slide in DECK.on(path)]
    expect(page.locator(COUNT)).to_have_text(f"{numbers.index(number) + 1} / {len(numbers)}")
    settle(page, rest=0)


def _query(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slide_can_be_read_from_the_last_row(visit: Visit, language: str) -> None:
    page = _open(visit, present="1", lang=language)
    positions, faults = DECK.positions(LONG), []
    for n, position in enumerate(positions):
        _is_at(page, position.slide)
        settle(page)
        name = DECK.at(position.slide).name
        expect(_heading(page)).to_be_in_viewport()
        expect(_heading(page)).to_have_count(1)
        progress = page.get_by_role("progressbar").first
        expect(progress).to_have_attribute("aria-valuenow", str(position.slide))
        expect(page.locator(".katex-error")).to_have_count(0)
        faults += [f"{name}: {each}" for each in page.evaluate(FAULTS, LEAST)]
        shown = page.locator("[class*=st-key-slide-choice-right]").count() > 0
        asks = page.locator(".st-key-slide-choices").count() > 0
        assert shown == (asks and position.revealed)
        if language == "en" and name in ENLARGED and not position.revealed:
            faults += [f"{name}, enlarged: {each}" for each in _enlarged(page)]
        if n + 1 < len(positions):
            page.keyboard.press("PageDown")
            if positions[n + 1].revealed:
                page.wait_for_url(re.compile("shown=slide"))
    assert faults == []
    page.keyboard.press("PageDown")
    _is_at(page, len(DECK.slides))


def _enlarged(page: Page) -> list[str]:
    """Look at the slide on a large screen, which enlarges everything; letters are measured before."""
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.wait_for_function(
        """() => {
            const deck = document.querySelector(".st-key-slide-deck")
            return deck.getBoundingClientRect().width / deck.offsetWidth === 1.5
        }""",
        timeout=1000 * PATIENCE,
    )
    settle(page)
    faults: list[str] = page.evaluate(FAULTS, LEAST)
    page.set_viewport_size({"width": 1280, "height": 720})
    settle(page)
    return faults


def test_keys_are_listed_and_turn_the_slides_and_back_returns(visit: Visit) -> None:
    page = _open(visit, present="1")
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keys")
    expect(listed).to_be_visible()
    assert page.evaluate(FAULTS, LEAST) == []
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    _is_at(page, 1)
    for forwards, back in (
        ("End", "Home"),
        ("ArrowRight", "ArrowLeft"),
        ("PageDown", "PageUp"),
        ("Space", "Shift+Space"),
    ):
        page.keyboard.press(forwards)
        _is_at(page, len(DECK.slides) if forwards == "End" else 2)
        page.keyboard.press(back)
        _is_at(page, 1)
    for _ in range(4):  # none of them is lost where many follow each other
        page.keyboard.press("ArrowRight")
    _is_at(page, DECK.positions(LONG)[4].slide)
    page.keyboard.press("Home")
    _is_at(page, 1)
    for number in (2, 3):
        page.keyboard.press("ArrowRight")
        _is_at(page, number)
    page.go_back()
    _is_at(page, 2)
    page.keyboard.press("ArrowRight")
    _is_at(page, 3)


def test_an_answer_is_revealed_by_the_next_key_and_hidden_by_the_one_before(visit: Visit) -> None:
    slide = next(slide for slide in DECK.slides if slide.name == "cells")
    page = _open(visit, present="1", slide=str(slide.number))
    right = page.locator("[class*=st-key-slide-choice-right]")
    expect(right).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(right).to_have_count(1)
    _is_at(page, slide.number)
    page.keyboard.press("ArrowRight")
    _is_at(page, slide.number + 1)
    assert "shown" not in _query(page)
    page.keyboard.press("ArrowLeft")
    _is_at(page, slide.number)
    expect(right).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(right).to_have_count(0)


def test_a_slider_keeps_its_arrow_keys(visit: Visit) -> None:
    slide = next(slide for slide in DECK.slides if slide.name == "means")
    page = _open(visit, present="1", slide=str(slide.number))
    slider = page.locator(".st-key-slide-figure-power").get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("0.75")
    expect(page.locator(".st-key-slide-room")).to_contain_text("0.75")
    _is_at(page, slide.number)
    slider.focus()
    page.keyboard.press("PageDown")
    _is_at(page, slide.number + 1)
    page.keyboard.press("PageUp")
    _is_at(page, slide.number)
    expect(page.locator(".st-key-slide-figure-power").get_by_role("slider")).to_have_value("0.75")


def test_notes_lie_over_the_slide_and_the_short_path_leaves_slides_out(visit: Visit) -> None:
    numbers = [slide.number for slide in DECK.on(SHORT)]
    here, following = next(pair for pair in pairwise(numbers) if pair[0] > 1 and pair[1] > pair[0] + 1)
    page = _open(visit, present="1", slide=str(here - 1))
    notes = page.locator(".st-key-slide-notes p")
    expect(notes).to_have_count(0)
    page.keyboard.press("n")
    expect(notes.first).to_be_visible()
    settle(page)
    assert page.evaluate(FAULTS, LEAST) == []
    page.keyboard.press("ArrowRight")
    _is_at(page, here)
    expect(notes.first).to_be_visible()
    own = page.get_by_role("link", name="All notes in a window of their own")
    assert "step=notes" in str(own.get_attribute("href"))
    page.locator(".st-key-slide-notes-head").get_by_text("20 minutes").click()
    _is_at(page, here, SHORT)
    assert _query(page)["path"] == SHORT
    page.locator(".st-key-slide-deck").get_by_role("button", name="Next slide").click()
    _is_at(page, following, SHORT)
    page.keyboard.press("n")
    expect(notes).to_have_count(0)


def test_the_figure_of_cells_keeps_its_arrow_keys_and_a_field_its_letters(visit: Visit) -> None:
    walk = next(slide.number for slide in DECK.slides if "cell_by_cell" in slide.figures)
    page = _open(visit, present="1", slide=str(walk))
    photo = page.get_by_role("application")
    place = page.locator(".st-key-slide-room .where")
    before = place.inner_text()
    photo.press("ArrowLeft")
    expect(place).not_to_have_text(before)
    _is_at(page, walk)
    photo.press("PageDown")
    _is_at(page, walk + 1)
    assert DECK.at(walk + 1).name == "order"
    field = page.locator("[class*=st-key-lesson-toy] input").first
    field.focus()
    for key in ("ArrowLeft", "Home", "n", "f", "Space"):
        page.keyboard.press(key)
    _is_at(page, walk + 1)
    assert "notes" not in _query(page)
    page.keyboard.press("PageDown")
    _is_at(page, walk + 2)


def test_presenting_begins_and_ends_at_the_step(visit: Visit) -> None:
    page = visit("/learn?step=6", wait=False)
    page.locator(".st-key-lesson-present button:visible").click()
    first = DECK.of_step("6", LONG)
    _is_at(page, first.number)
    expect(_heading(page)).to_have_text(first.title)
    page.keyboard.press("PageUp")
    _is_at(page, first.number - 1)
    page.keyboard.press("Escape")
    expect(page.locator("[data-testid=stSidebar]")).to_be_visible()
    expect(page.locator(".st-key-slide-deck")).to_have_count(0)
    assert _query(page)["step"] == DECK.at(first.number - 1).step
    page.keyboard.press("ArrowRight")
    settle(page)
    assert "present" not in _query(page)


def test_fingers_turn_the_slides_on_a_phone(phone: Page, address: str) -> None:
    phone.goto(f"{address}/learn?present=1")
    expect(_heading(phone)).to_be_visible()
    phone.get_by_role("button", name="Next slide").tap()
    _is_at(phone, 2)
    assert phone.evaluate("document.querySelector('.st-key-slide-deck').scrollWidth") <= 390 / 0.6 + 1


def test_the_notes_lead_to_their_slides(visit: Visit) -> None:
    page = visit(f"/learn?step=notes&path={SHORT}", wait=False)
    last = DECK.on(SHORT)[-1]
    link = page.locator(f".st-key-prose-notes-{last.name}").get_by_role("link", name="Show this slide")
    address = str(link.get_attribute("href"))
    assert f"slide={last.number}" in address
    page = _open(visit, **dict(part.split("=") for part in address.split("?")[1].split("&")))
    _is_at(page, last.number, SHORT)


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1920, 1080)])
def test_lines_end_where_they_should_on_a_slide_of_any_size(visit: Visit, width: int, height: int) -> None:
    slide = next(slide for slide in DECK.slides if "cell_by_cell" in slide.figures)
    page = _open(visit, height, width, present="1", slide=str(slide.number))
    figure = page.locator(".st-key-slide-deck .flow")
    gaps = figure.evaluate("""flow => {
        const box = each => each.getBoundingClientRect()
        const patch = box(flow.querySelector(".photo .mark"))
        const marks = [...flow.querySelectorAll(".rows .mark")].map(box)
        return [...flow.querySelectorAll(".beam")].map(box)
            .flatMap((beam, k) => [beam.left - patch.right, beam.right - marks[k].left].map(Math.abs))
    }""")
    assert gaps
    assert max(gaps) < 2
