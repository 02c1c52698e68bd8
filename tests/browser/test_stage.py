"""The large picture of Explore and what stands around it, in Chromium, at every size of screen."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle
from tests.browser.explore import COFFEE, WHAT, Visit, asks, changed, found, large, named, source_of, upload

pytestmark = pytest.mark.browser

_OVERLAPS = """figure => {
    const boxes = [...figure.querySelectorAll(".names button")].map(each => each.getBoundingClientRect())
    const covers = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
    const all = figure.getBoundingClientRect()
    const outside = boxes.filter(box => box.left < all.left || box.right > all.right || box.top < all.top ||
        box.bottom > all.bottom)
    return [outside.length, boxes.filter((box, i) => boxes.some((other, j) => j > i && covers(box, other))).length]
}"""

# Largest difference in a channel between the photo and what lies over it, at 32 x 32 pixels.
_DIFFERENCE = """figure => {
    const canvas = document.createElement("canvas"), side = 32
    canvas.width = canvas.height = side
    const context = canvas.getContext("2d"), read = image => {
        context.drawImage(image, 0, 0, side, side)
        return context.getImageData(0, 0, side, side).data
    }
    const [photo, over] = [...figure.querySelectorAll("img")].map(read)
    return Math.max(...[...photo].map((value, i) => Math.abs(value - over[i])))
}"""

# As if names were long and high, so that they have to make way for each other.
_LARGER = """figure => {
    for (const name of figure.querySelectorAll(".names button")) {
        name.textContent = "German short-haired pointer"
        name.style.height = 0.35 * figure.clientHeight + "px"
    }
    figure._arrange()
}"""


def own_photo(page: Any) -> Any:
    return page.locator(".st-key-own-photo").get_by_role("button", name="Use your photo", exact=True)


def test_names_stay_in_the_picture_and_apart(visit: Visit) -> None:
    page = visit("/?picture=astronaut&scales=200x320,400x640,800x1280", width=1400)
    assert len(named(page)) >= 2
    for is_larger in (False, True):
        for width in (1280, 390, 280):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_function(
                "width => innerWidth === width && document.querySelector('.fcn-question').clientWidth < width",
                arg=width,
            )
            settle(page)
            if is_larger:
                large(page).evaluate(_LARGER)
            assert large(page).evaluate(_OVERLAPS) == [0, 0], f"{width} wide, larger: {is_larger}"


def test_ones_own_photo_can_be_changed_for_another(visit: Visit) -> None:
    page = visit("/?scales=200x320", width=390, height=844)
    box = own_photo(page).bounding_box()
    before = source_of(page)
    upload(page, COFFEE)
    changed(page, source_of, before)
    after = own_photo(page).bounding_box()
    assert (after["x"], after["y"]) == pytest.approx((box["x"], box["y"]), abs=2)
    assert after["width"] == pytest.approx(box["width"], abs=4)
    with page.expect_file_chooser():
        own_photo(page).click()


def test_what_is_absent_leaves_the_photo_plain_until_it_is_asked_for_and_everything_comes_back(
    visit: Visit,
) -> None:
    page = visit("/?synset=missile&view=Heatmap&scales=200x320")
    assert large(page).get_attribute("aria-label").startswith("The photo: no missile is marked on it")
    assert large(page).evaluate(_DIFFERENCE) < 3, "two JPEG files of one photo"
    plain = source_of(page)
    page.get_by_text("Mark what looks most like it").click()
    changed(page, source_of, plain)
    assert large(page).get_attribute("aria-label").startswith("Heatmap of missile")
    assert large(page).evaluate(_DIFFERENCE) > 30
    page.get_by_role("button", name="Show everything").click()
    asks(page, WHAT)
    settle(page)
    assert "missile" not in named(page)
    expect(page.get_by_role("button", name="Show everything")).to_have_count(0)
    expect(found(page).first).to_be_visible()
