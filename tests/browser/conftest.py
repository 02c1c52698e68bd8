"""One running app and one Chromium for the tests of the pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, lite2: Any) -> Iterator[str]:
    """Where the app runs (`lite2`: its graph is prepared)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log"
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/_stcore/health", timeout=5):  # noqa: S310
                break
            assert server.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(20)
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Any]:
    """The system's Chromium; tests are skipped where there is none, unless it is required."""
    if CHROMIUM is None:
        if os.environ.get("FCN_REQUIRE_BROWSER") == "1":
            pytest.fail("Chromium is not installed, and FCN_REQUIRE_BROWSER=1")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS)) as browser,
    ):
        yield browser


@pytest.fixture
def visit(address: str, chromium_browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages of the app, each in a session of its own; no page may report an error of its scripts."""
    contexts, faults = [], []

    def open_page(path: str = "/", width: int = 1280, height: int = 900, wait: bool = True) -> Any:
        context = chromium_browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(45_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address + path if path.startswith("/") else path)
        if wait:
            settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


def settle(page: Any) -> None:
    """Wait until nothing runs and nothing is missing."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]')
            const done = () => app && app.getAttribute('data-test-script-state') === 'notRunning'
                && document.querySelector('.fcn-card, .fcn-figure, h1')
                && !document.querySelector('.st-key-progress, .fcn-wait, [data-testid="stSkeleton"]')
            if (!done()) { window._since = 0; return false }
            window._since = window._since || performance.now()
            return performance.now() - window._since > 250
        }""",
        timeout=90_000,
        polling=50,
    )
