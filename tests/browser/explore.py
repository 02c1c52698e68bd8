"""The page Explore in Chromium: how tests read it and what they press."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from app.state.samples import SAMPLES
from tests.browser.conftest import settle
from tests.waiting import PATIENCE

Visit = Callable[..., Any]
COFFEE = SAMPLES["coffee"].path


def picker(page: Any) -> Any:
    return page.locator('[class*="st-key-synset-pick"] input').first


def asks(page: Any, question: str) -> None:
    """Wait until the page asks a question."""
    expect(page.locator("h1")).to_have_text(question)


def where(thing: str) -> str:
    return f"Where is the {thing} in this photo?"


WHAT = "What is in this photo, and where?"


def found(page: Any) -> Any:
    """The buttons of what is found."""
    return page.locator("[class*='st-key-seen'] [role=radio]")


def step(page: Any, label: str) -> Any:
    return page.locator(".st-key-crumbs-explore").get_by_role("button", name=label, exact=True).first


def steps(page: Any) -> Any:
    """The synsets above the chosen one, broadest first."""
    return page.locator("[class*='st-key-explore-step-'] button")


def large(page: Any) -> Any:
    """The large picture."""
    return page.locator(".st-key-stage figure")


def source_of(page: Any) -> str:
    """What the large picture shows: its parts."""
    return str(
        large(page).evaluate(
            """figure => [...figure.querySelectorAll("img")].map(image => image.src).join() +
                [...figure.querySelectorAll("path.line")].map(path => path.getAttribute("d")).join()"""
        )
    )


def named(page: Any) -> list[str]:
    """The names that stand beside outlines on the large picture."""
    return [str(name) for name in large(page).locator(".names button").all_inner_texts()]


def changed(page: Any, read: Callable[[Any], Any], before: Any) -> None:
    """Wait until something is not as before."""
    polls = int(1000 * PATIENCE / 50)
    while read(page) == before:
        assert (polls := polls - 1), "nothing changed"
        page.wait_for_timeout(50)  # which lets the page's events come in
    settle(page)


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settle(page)


def upload(page: Any, path: Path | dict[str, Any]) -> None:
    page.locator('input[type="file"]').first.set_input_files(path)
