"""The page in Chromium, over TLS through nginx, below a base path."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import a_context, settle
from tests.deploy.conftest import Site, certificate, graphs, site  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.skipif(os.name == "nt", reason="nginx as on Debian")]


@pytest.fixture
def page(site: Site, chromium_browser: Browser) -> Iterator[Page]:  # noqa: F811
    """A page without script errors and failed requests."""
    faults: list[str] = []
    context = a_context(chromium_browser, ignore_https_errors=True)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("response", lambda answer: faults.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()
    assert not faults


def test_a_picture_is_uploaded_and_answered(site: Site, page: Page, coffee: np.ndarray) -> None:  # noqa: F811
    stream = io.BytesIO()
    larger = np.asarray(Image.fromarray(coffee).resize((1620, 1080))).astype(int)
    grainy = larger + np.random.default_rng(7).integers(-9, 10, larger.shape)
    Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
    assert len(stream.getvalue()) > 3 * 2**20, "more than nginx keeps in memory by default"
    page.goto(f"https://localhost:{site.port}{site.base}/")
    settle(page)
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    with page.expect_response(lambda answer: "/_stcore/upload_file/" in answer.url) as uploaded:
        page.locator('input[type="file"]').first.set_input_files(file)
    assert uploaded.value.status == 204
    expect(page.locator(".st-key-about-picture")).to_contain_text("1620 × 1080")
    settle(page)
    expect(page.locator("body")).to_contain_text("drink sure")
    assert '"PUT /fcn/_stcore/upload_file/-" 204' in site.access_log
    assert site.error_log == ""
