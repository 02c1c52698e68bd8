"""The page Many in Chromium: photos dropped together, a table, and one of them opened on Explore."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from app.state.samples import SAMPLES
from tests.browser.conftest import settle
from tests.browser.explore import Visit, asks
from tests.browser.test_accessibility import look, violations

pytestmark = pytest.mark.browser


def photos(page: Any) -> list[str]:
    return [str(name) for name in page.locator(".fcn-many h2").all_inner_texts()]


def test_photos_dropped_together_are_a_table_and_open_on_explore(visit: Visit) -> None:
    page = visit("/many?scales=200x320")
    files = [{"name": f"{n} {name}.jpg", "mimeType": "image/jpeg", "buffer": SAMPLES[name].path.read_bytes()}
             for n, name in enumerate(("coffee", "cat"))]  # fmt: skip
    page.locator("input[type=file]").set_input_files(
        [*files, {**files[0], "name": "bad.jpg", "buffer": b"no"}]
    )
    expect(page.locator("[class*=st-key-many-open-]")).to_have_count(2)
    settle(page)
    assert photos(page) == ["0 coffee.jpg", "1 cat.jpg", "bad.jpg"]
    for width in (390, 1280):
        look(page, "light", width)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
        assert not list(violations(page)), width

    page.locator('[class*="st-key-many-synset-pick"] input').fill(
        "cups"
    )  # another question, of the same photos
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("In which of these photos is there cup?")
    expect(page.locator(".fcn-many .what").first).to_contain_text("cup perhaps")
    expect(page.locator("[class*=st-key-many-open-]")).to_have_count(2)
    settle(page)
    expect(page.get_by_text("Filter and sort")).to_be_hidden()
    choose(page, "Not found", ["1 cat.jpg"])
    look(page, "light", 390)
    expect(page.get_by_role("radio", name="All", exact=True)).to_be_hidden()
    page.get_by_text("Filter and sort").click()
    choose(page, "All", ["0 coffee.jpg", "1 cat.jpg", "bad.jpg"])
    page.locator("[class*=st-key-many-open-] button >> visible=true").first.click()
    asks(page, "Where is the cup in this photo?")
    settle(page)
    expect(page.locator(".st-key-about-picture")).to_contain_text("0 coffee.jpg")
    page.go_back()  # they are still there
    expect(page.locator(".fcn-many h2")).to_have_text(["0 coffee.jpg", "1 cat.jpg", "bad.jpg"])
    settle(page)


def choose(page: Any, kind: str, shown: list[str]) -> None:
    """Show the photos of one kind."""
    page.get_by_role("radio", name=kind, exact=True).click()
    expect(page.locator(".fcn-many h2")).to_have_text(shown)
