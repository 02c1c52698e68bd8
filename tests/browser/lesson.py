"""The lesson in the browser: waiting for a step or a slide."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser import conftest


def settle(page: Page, rest: int = 250) -> None:
    """Wait until it is complete for `rest` milliseconds, without a message that something went wrong."""
    conftest.settle(page, rest)
    expect(page.locator("[data-testid=stException], [data-testid=stAlert]")).to_have_count(0)
