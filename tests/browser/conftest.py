"""One running app and one Chromium for the tests of the pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

# Debian's headless shell first: without the windows of a browser, a page takes half of the processor's time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = (
    f"the pages in a browser: none of {', '.join(NAMES)} is on the PATH. Install Chromium (Debian: apt install "
    "chromium) or Google Chrome; with FCN_REQUIRE_BROWSER=1 these tests fail without"
)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before the app is started, and always at this line, so that the summary folds all skips into one."""
    if "chromium_browser" in getattr(item, "fixturenames", ()) and CHROMIUM is None:
        if os.environ.get("FCN_REQUIRE_BROWSER") == "1":
            pytest.fail("Chromium is not installed, and FCN_REQUIRE_BROWSER=1", pytrace=False)
        pytest.skip(MISSING)


@pytest.fixture(scope="session")
def _hold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hold") / "held"


@pytest.fixture
def hold(_hold: Path) -> Iterator[Path]:
    """While this file exists, the app's analyses wait in the middle of a scale."""
    yield _hold
    _hold.unlink(missing_ok=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def serve(port: int, log: Path, hold: Path) -> subprocess.Popen[bytes]:
    """Start the app and wait until it answers."""
    command = [sys.executable, "-m", "tests.browser.held", str(hold)]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    with log.open("ab") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    def answers() -> bool:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        health = f"http://127.0.0.1:{port}/_stcore/health"
        with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=PATIENCE):
            return True
        return False

    try:
        wait_until(answers, lambda: log.read_text(encoding="utf-8"), pause=0.1)
    except BaseException:
        server.kill()
        raise
    return server


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, lite2: Any, _hold: Path) -> Iterator[str]:
    """The address of the running app (`lite2`: its graph is prepared)."""
    port, log = free_port(), tmp_path_factory.mktemp("app") / "log"
    server = serve(port, log, _hold)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Any]:
    """The system's Chromium, per module: while Playwright runs, no other test can run an event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS)) as browser,
    ):
        yield browser


# A page asks for a run with a message that begins with this field of Streamlit's BackMsg (rerun_script, 11).
_NOTES = """(() => {
    const send = WebSocket.prototype.send
    WebSocket.prototype.send = function (data) {
        if (data[0] === 0x5a) window._asked = performance.now()
        return send.call(this, data)
    }
    new MutationObserver(() => { window._ran = performance.now() })
        .observe(document, { subtree: true, attributeFilter: ["data-test-script-state"] })
})()"""


def a_context(browser: Any, **options: Any) -> Any:
    """Return a browser context that waits patiently and notes what `settle` waits for."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE)
    context.add_init_script(_NOTES)
    return context


@pytest.fixture(scope="module")
def context(chromium_browser: Any) -> Iterator[Any]:
    """A browser context that all pages share, so that scripts are loaded once."""
    context = a_context(chromium_browser, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture(scope="module")
def tabs() -> list[Any]:
    """Tabs that no test uses: a page loads in half the time where one was before, as its scripts are compiled."""
    return []


@pytest.fixture
def visit(address: str, context: Any, tabs: list[Any]) -> Iterator[Callable[..., Any]]:
    """Open pages of the app, each in its own session, and check at the end that their scripts had no errors."""
    pages, faults = [], []

    def noted(error: Any) -> None:
        faults.append(str(error))

    def listened(said: Any) -> None:
        if is_forbidden(said.text):
            faults.append(said.text)

    def open_page(path: str = "/", width: int = 1280, height: int = 900, wait: bool = True) -> Any:
        page = tabs.pop() if tabs else context.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.on("pageerror", noted)
        page.on("console", listened)
        page.goto(address + path if path.startswith("/") else path)
        if wait:
            settle(page)
        return page

    yield open_page
    for page in pages:
        page.remove_listener("pageerror", noted)
        page.remove_listener("console", listened)
        leave(page, address)
        tabs.append(page)
    assert not faults


@pytest.fixture(scope="module")
def phone(chromium_browser: Any) -> Iterator[Any]:
    """A tab of a browser that is touched."""
    options = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 844}}
    context = a_context(chromium_browser, **options)
    yield context.new_page()
    context.close()


def leave(page: Any, address: str) -> None:
    """End the session of a page, and whatever a test did to its tab."""
    page.unroute_all(behavior="ignoreErrors")
    page.evaluate("sessionStorage.clear()")
    page.emulate_media(color_scheme="null")
    page.mouse.move(0, 0)
    page.goto(f"{address}/_stcore/health")  # of the same origin, so that it stays in the same process


def is_forbidden(said: str) -> bool:
    """Return whether a console message reports a violation of the Content-Security-Policy."""
    return "Content Security Policy" in said


def settle(page: Any, rest: int = 250) -> None:
    """Wait until the script has ended and all figures and pictures are there, for `rest` milliseconds."""
    from playwright.sync_api import TimeoutError as WaitedTooLong

    try:
        page.wait_for_function(_IS_SETTLED, arg=rest, timeout=1000 * PATIENCE, polling=50)
    except WaitedTooLong:
        pytest.fail(f"the page is not complete: {page.evaluate(_LACKS)}")


_LACKS = """() => {
    const app = document.querySelector("[data-testid=stApp]"), lacks = []
    const state = app?.getAttribute("data-test-script-state")
    if (state !== "notRunning") lacks.push(`the script: ${state}`)
    const unanswered = window._asked > window._ran && performance.now() - window._asked < 5000
    if (unanswered) lacks.push("the run that was asked for")
    if (!document.querySelector(".fcn-card, .fcn-figure, .st-key-lesson-end, .st-key-slide-deck, h1:not(.fcn-hidden)"))
        lacks.push(`no content: ${app?.innerText}`)
    for (const each of document.querySelectorAll(
        ".st-key-progress, .fcn-wait, .lesson-wait, [data-testid=stSkeleton]"
    )) lacks.push(`waits: ${each.className}: ${each.innerText}`)
    for (const image of document.images) if (!image.complete) lacks.push(`a picture: ${image.alt}`)
    return lacks.join("; ")
}"""

_IS_SETTLED = f"""rest => {{
    const lacks = {_LACKS}
    if (lacks()) {{ window._since = 0; return false }}
    window._since = window._since || performance.now()
    return performance.now() - window._since >= rest
}}"""
