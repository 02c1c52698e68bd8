"""The Models page: an export is chosen and stopped by keyboard, and the menu of a phone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import settle
from tests.browser.explore import Visit
from tests.browser.test_flows import Hand

pytestmark = pytest.mark.browser


def test_an_export_is_chosen_watched_and_stopped_by_keyboard_and_a_phone_has_a_menu(visit: Visit) -> None:
    page = visit("/models", wait=False)
    settle(page)
    hand, row = Hand(page, "keyboard"), page.locator(".st-key-model-efficientnet-lite0")
    hand.press(row.get_by_role("button", name="Export"))
    choice = page.get_by_role("radio", name="OpenVINO")
    choice.focus()
    page.keyboard.press("Space")
    expect(choice).to_be_checked()
    settle(page)
    hand.press(page.get_by_role("button", name="Export EfficientNet-Lite0"))
    expect(row.get_by_role("progressbar")).to_be_visible()
    expect(row).to_contain_text("Writing the network as OpenVINO")
    hand.press(row.get_by_role("button", name="Cancel"))
    expect(row.get_by_role("progressbar")).to_have_count(0)
    expect(row.get_by_role("button", name="Export")).to_be_visible()

    page.set_viewport_size({"width": 390, "height": 844})  # where another menu leads from page to page
    menu = page.get_by_test_id("stSidebar")
    expect(menu.get_by_text("Models")).to_be_hidden()  # nor does the Tab key go through it
    hand.press(page.get_by_role("button", name="Expand sidebar"))
    expect(menu.get_by_role("link", name="Models")).to_be_in_viewport()
    hand.press(menu.get_by_role("link", name="Many"))
    expect(page).to_have_url(re.compile("/many$"))
    settle(page)
