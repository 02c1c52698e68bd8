"""Compare as its users meet it: a place in one half is framed in the other, by mouse, by keyboard and by finger."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle
from tests.browser.explore import Visit

pytestmark = pytest.mark.browser

SYNSETS = "/compare?compare=Synsets&synset=dog&other=cat&scales=200x320"
FIRST, SECOND, DIFFERENCE = ".st-key-compare-stage-0", ".st-key-compare-stage-1", ".st-key-compare-difference"


def figure(page: Any, where: str) -> Any:
    return page.locator(f"{where} figure")


def frames(page: Any, *where: str) -> list[list[float] | None]:
    """Where each picture frames a cell, as shares of its sides; None where it frames none."""
    return [
        figure(page, each).evaluate(
            """figure => {
                const box = figure.querySelector(".cell"), all = figure.getBoundingClientRect()
                if (getComputedStyle(box).display === "none") return null
                const at = box.getBoundingClientRect()
                return [(at.x - all.x) / all.width, (at.y - all.y) / all.height].map(share => +share.toFixed(2))
            }"""
        )
        for each in where
    ]


def said(page: Any, where: str) -> Any:
    return figure(page, where).locator(".tip")


def together(page: Any) -> list[float]:
    """All three pictures frame one place, and say what they find there; return that place."""
    expect(said(page, FIRST)).to_have_text(re.compile(r"^[01]\.\d{3}  dog$"))
    expect(said(page, SECOND)).to_have_text(re.compile(r"^[01]\.\d{3}  cat$"))
    expect(said(page, DIFFERENCE)).to_have_text(
        re.compile(r"^\d+\.\d+  times more (dog|cat)$|^no difference$")
    )
    first, second, difference = frames(page, FIRST, SECOND, DIFFERENCE)
    assert first is not None and first == second == difference
    return first


def test_mouse_and_arrow_keys_frame_a_place_in_all_pictures(visit: Visit) -> None:
    page = visit(SYNSETS)
    for width, view in ((1280, "Outline"), (1280, "Heatmap"), (390, "Heatmap"), (390, "Outline")):
        page.set_viewport_size({"width": width, "height": 900})
        choice = page.get_by_role("radio", name=view)
        if not choice.is_checked():
            choice.click()
        expect(choice).to_be_checked()
        settle(page)
        expect(page).to_have_url(re.compile("view=Heatmap$" if view == "Heatmap" else r"^(?!.*view=Heatmap)"))
        the_mouse_frames_a_place(page)
        if view == "Outline":
            arrow_keys_walk(page)


def the_mouse_frames_a_place(page: Any) -> None:
    """In one picture after the other, and nowhere when the mouse has left them."""
    places = []
    for where, x, y in ((FIRST, 0.8, 0.3), (SECOND, 0.2, 0.6), (DIFFERENCE, 0.5, 0.9)):
        target = figure(page, where)
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        at = together(page)
        assert abs(at[0] - x) < 0.15 and abs(at[1] - y) < 0.2
        places.append(tuple(at))
    assert len(set(places)) == 3
    page.mouse.move(2, 2)
    expect(said(page, FIRST)).to_be_hidden()
    assert frames(page, FIRST, SECOND, DIFFERENCE) == [None, None, None]


def arrow_keys_walk(page: Any) -> None:
    """From cell to cell, in one picture after the other, until the focus leaves them."""
    for where in (FIRST, SECOND):
        figure(page, where).focus()
        for key in ["ArrowLeft"] * 10 + ["ArrowUp"] * 7:  # from the cell where the mouse was last
            page.keyboard.press(key)
        start = together(page)
        page.keyboard.press("ArrowRight")
        right = together(page)
        page.keyboard.press("ArrowDown")
        below = together(page)
        assert start[0] < right[0] == below[0] and start[1] == right[1] < below[1]
        page.keyboard.press("Enter")  # chooses nothing here
        assert together(page) == below
    settle(page)
    assert page.evaluate("document.activeElement.closest('.st-key-compare-stage-1') !== null"), "focus stays"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(said(page, FIRST)).to_be_hidden()


def test_a_finger_frames_a_place_and_it_stays(phone: Any, address: str) -> None:
    phone.goto(address + SYNSETS)
    settle(phone)
    places = []
    for where in (FIRST, SECOND):
        figure(phone, where).tap(position={"x": 60, "y": 100 if where == FIRST else 180})
        places.append(together(phone))
    assert places[0] != places[1]


def test_a_choice_changes_the_page_and_its_address(visit: Visit) -> None:
    page = visit(SYNSETS)
    assert page.url.endswith(SYNSETS), "an address is obeyed, and stays"
    expect(page.locator("[class*='st-key-compare-synset-pick'] input").first).to_have_value("dog")
    expect(page.locator("h1")).to_have_text("Dog or cat: where, and how much?")
    page.get_by_role("radio", name="Heatmap").click()
    page.get_by_text("arithmetic mean of probability").wait_for()
    page.get_by_role("radio", name="Models").click()
    expect(page.locator("h1")).to_have_text("Where is the dog, and do two networks agree?")
    settle(page)
    expect(page).to_have_url(re.compile(r"view=Heatmap"))
    page.get_by_role("radio", name="Pictures").click()
    page.get_by_text("Side by side").wait_for()
    settle(page)
    page.reload()
    settle(page)
    expect(page.get_by_role("radio", name="Heatmap")).to_be_checked()
    expect(page.locator("h1")).to_have_text("Where is the dog in these two photos?")
    two_pictures_frame_no_place_together(page)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        wide = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        assert wide[0] == width >= wide[1], "nothing makes the page scroll sideways"


def two_pictures_frame_no_place_together(page: Any) -> None:
    """Nor has their difference a picture."""
    expect(page.locator("[class*='st-key-compare-stage'] figure")).to_have_count(2)
    figure(page, FIRST).focus()
    page.keyboard.press("ArrowLeft")
    expect(said(page, FIRST)).to_be_visible()
    expect(said(page, SECOND)).to_be_hidden()
    expect(page.locator(DIFFERENCE)).to_have_count(0)
