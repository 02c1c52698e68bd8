"""The answer of Explore in Chromium: what is found, outlined and named, at once and on a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle
from tests.browser.explore import (
    COFFEE,
    WHAT,
    Visit,
    asks,
    changed,
    found,
    large,
    named,
    source_of,
    steps,
    tab,
    upload,
    where,
)

pytestmark = pytest.mark.browser


def test_the_first_paint_is_the_answer(visit: Visit) -> None:
    page = visit(wait=False)
    large(page).locator(".names button").wait_for()
    asks(page, WHAT)
    assert named(page) == ["German shepherd"]
    expect(found(page)).to_have_text(re.compile("German shepherd sure"))
    settle(page)
    photo, beside = large(page).bounding_box(), found(page).first.bounding_box()
    assert beside["x"] > photo["x"] + photo["width"], "the findings stand beside the photograph"
    assert photo["y"] + photo["height"] < 900, "all of it on the first screen"
    expect(page.locator(".fcn-card")).to_have_count(0)
    without = page.evaluate(
        "[...document.querySelectorAll('img')].filter(i => !i.hasAttribute('alt')).length"
    )
    assert without == 0
    the_answer_is_on_the_first_screen_of_a_phone(page)


def test_ones_own_photo_is_answered_and_one_thing_can_be_asked_for(visit: Visit) -> None:
    page = visit("/?scales=200x320,400x640&how=true")
    before = source_of(page)
    upload(page, COFFEE)
    changed(page, source_of, before)
    expect(page.locator(".st-key-about-picture")).to_contain_text("600 × 400")
    asks(page, WHAT)
    assert "coffee" in named(page)
    found(page).filter(has_text="coffee").first.click()
    asks(page, where("coffee"))
    settle(page)
    assert named(page) == ["coffee"]
    expect(found(page).filter(has_text="coffee").first).to_be_checked()
    found(page).filter(has_text="coffee").first.click()
    asks(page, WHAT)
    settle(page)
    broader = steps(page).first
    word = broader.inner_text().strip()
    broader.click()
    asks(page, where(word))
    upload(page, {"name": "bad.png", "mimeType": "image/png", "buffer": COFFEE.read_bytes()[:500]})
    page.get_by_role("alert").filter(has_text="bad.png was not opened").wait_for()
    settle(page)
    expect(page.locator(".st-key-about-picture")).to_contain_text("600 × 400")  # the good one is still there
    asks(page, where(word))


def test_a_name_on_the_photo_asks_for_that_thing_and_its_map_can_be_drawn_aside(visit: Visit) -> None:
    page = visit("/?picture=astronaut&scales=200x320,400x640,800x1280")
    assert len(named(page)) >= 2
    large(page).locator(".names button", has_text="person").click()
    asks(page, where("person"))
    settle(page)
    assert named(page) == ["person"]
    expect(page).to_have_url(re.compile("synset=person"))
    view = page.locator("[class*=st-key-view]")
    view.get_by_role("radio", name="Heatmap").click()
    settle(page)
    over, slider = large(page).locator("img.over"), page.locator(".st-key-stage input[type=range]")
    expect(slider).to_be_visible()
    assert over.evaluate("image => image.style.clipPath") == ""
    slider.press("Home")
    assert "100%" in over.evaluate("image => image.style.clipPath")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    assert "60%" in over.evaluate("image => image.style.clipPath")
    assert slider.get_attribute("aria-valuetext") == "40 % of the width shows the map"
    view.get_by_role("radio", name="Outline").click()
    large(page).locator(".names button").wait_for()
    expect(slider).to_be_hidden()


def the_answer_is_on_the_first_screen_of_a_phone(page: Any) -> None:
    """And two taps lead to that of one's own photo."""
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    own, photo, first = (
        each.bounding_box()
        for each in (page.locator(".st-key-own-photo button"), large(page), found(page).first)
    )
    assert own["y"] + own["height"] <= photo["y"] and photo["width"] > 330
    assert photo["y"] + photo["height"] < first["y"], "one under the other"
    assert first["y"] + first["height"] < 844, "what is found is on the first screen, too"
    with page.expect_file_chooser():  # two taps to an answer: this one, and the photo
        page.locator(".st-key-own-photo button").click()


def test_on_a_phone_nothing_scrolls_sideways_but_rows_of_pictures(visit: Visit) -> None:
    page = visit("/?how=true&scales=200x320,400x640", width=390, height=844)
    wide = (
        "[document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth]"
    )
    for name in ("", "Mask", "Inspect", "Export"):
        if name:
            tab(page, name)
        for width, height in ((390, 844), (844, 390)):
            page.set_viewport_size({"width": width, "height": height})
            settle(page)
            photo, panel = large(page).bounding_box(), page.locator(".st-key-panel").bounding_box()
            assert photo["height"] < height, "a lying phone shows the whole photo"
            assert panel["x"] - photo["x"] - photo["width"] < width / 4, "and the panel near it"
            assert max(page.evaluate(wide)) <= width, name
