"""The handout in Chromium: four pages, complete, without a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.lesson.text import UNKNOWN, Figure, Prose, read_handout
from tests.browser.lesson import settle

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("language", "picture"), [("en", "dog"), ("fr", "hens")])
def test_the_handout_prints_on_four_pages_and_needs_no_network(
    visit: Callable[..., Page], tmp_path: Path, language: str, picture: str
) -> None:
    page = visit(f"/learn?step=all&lang={language}&picture={picture}", wait=False)
    expect(page.locator(".st-key-lesson-end")).to_be_attached()
    settle(page)
    button = page.locator(".st-key-lesson [data-testid=stDownloadButton] button")
    expect(button).to_be_enabled()
    with page.expect_download() as download:
        button.click()
    path = tmp_path / "lesson.html"
    download.value.save_as(path)
    html = path.read_text(encoding="utf-8")
    assert "{{" not in html and UNKNOWN not in html
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.lang") == language
    text = read_handout(language)
    expect(page.get_by_role("heading", name=text.title)).to_be_visible()
    headings = [
        line for b in text.blocks if isinstance(b, Prose) for line in b.text.splitlines() if line[:3] == "## "
    ]
    assert page.locator("h3").count() == len(headings)
    for block in text.blocks:
        if isinstance(block, Figure):
            drawn = page.locator(f".figures[data-figure={block.name}]")
            assert drawn.evaluate("figure => figure.children.length && figure.clientHeight > 40"), block.name
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth || !i.alt).length") == 0
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 4
