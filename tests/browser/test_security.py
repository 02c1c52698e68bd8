"""The promises of SECURITY.md about the page, tested in Chromium with the running app."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect

from app.state.selection import Selection
from tests.browser.conftest import a_context, is_forbidden, leave
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.browser

PAGES = ("/", "/compare", "/learn?step=all", "/models")
PARAMETERS = (*(each.name for each in fields(Selection)), "step", "present", "embed_options", "unknown")
PAYLOADS = (
    '<img src=x onerror="window.hacked=1">',
    '"><script>window.hacked=1</script><svg onload="window.hacked=1">',
    "[a](//evil.test)![b](//evil.test/b.png)",
    "javascript:window.hacked=1//",
    "$\\href{javascript:window.hacked=1}{x}$ :material/home: :red[x]",
)


@dataclass
class App:
    """The running app."""

    port: int
    log: Path
    folders: tuple[Path, ...]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: bytes = b"", port: int = 0, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def held(self) -> dict[str, Any]:
        return json.loads(self.ask("GET", "/", port=self.port + 1)[2])

    def events(self, start: int = 0) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_bytes()[start:].splitlines()]

    def files(self) -> dict[str, tuple[int, int]]:
        """Return every file in the app's folders, with size and time; other tests may prepare models meanwhile."""
        found = {}
        for folder in self.folders:
            for path in folder.rglob("*"):
                with contextlib.suppress(OSError):
                    if path.is_file() and not {"__pycache__", "graphs"} & {*path.parts}:
                        found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
        return found


def _free_ports() -> int:
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
    raise OSError("no two consecutive free ports")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, lite2: Any, chromium_browser: Browser) -> Iterator[App]:
    """The app as shipped, audited, with closed sessions dropped sooner (`lite2`: its graph is prepared)."""
    folder = tmp_path_factory.mktemp("app")
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    port = _free_ports()
    command = [sys.executable, "-m", "tests.browser.audited", str(folder / "audit"), str(port)]
    command += ["--server.disconnectedSessionTTL", "1"]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    app = App(port, folder / "audit", (home, temporary, Path(os.environ["FCN_CACHE_DIR"])))
    try:

        def answers() -> bool:
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
            with contextlib.suppress(OSError):
                return app.ask("GET", "/_stcore/health")[0] == 200
            return False

        wait_until(answers, (folder / "log").read_text, pause=0.1)
        yield app
    finally:
        server.terminate()
        server.wait(PATIENCE)
    said = (folder / "log").read_text(encoding="utf-8")
    assert "Traceback" not in said, said


@pytest.fixture
def visit(app: App, context: BrowserContext, tabs: list[Page]) -> Iterator[Callable[[str], Page]]:
    """Open pages, and check their requests, dialogs and policy violations at the end of the test."""
    pages: list[Page] = []
    asked: list[str] = []
    dialogs: list[str] = []
    forbidden: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    listeners: dict[Any, Callable[[Any], None]] = {
        "request": lambda request: asked.append(request.url),
        "dialog": dismiss,
        "console": lambda said: forbidden.append(said.text) if is_forbidden(said.text) else None,
        "websocket": lambda socket: asked.append(socket.url),
    }

    def open_page(path: str) -> Page:
        page = tabs.pop() if tabs else context.new_page()
        pages.append(page)
        for event, listener in listeners.items():
            page.on(event, listener)
        page.goto(app.origin + path)
        settle(page)
        return page

    yield open_page
    for page in pages:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        leave(page, app.origin)
        tabs.append(page)
    foreign = [
        url
        for url in asked
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).port != app.port
    ]
    assert not foreign, "requests to other hosts"
    assert not forbidden, "violations of the Content-Security-Policy"
    assert asked
    assert not dialogs


def settle(page: Page) -> None:
    """Wait until the script has run and nothing is computed any more."""
    page.wait_for_selector('[data-testid="stApp"]', timeout=1000 * PATIENCE)
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app.getAttribute('data-test-script-state') === 'notRunning'
                && !document.querySelector('[data-testid="stSkeleton"], [data-testid="stAppSkeleton"]');
        }""",
        timeout=1000 * PATIENCE,
    )


def assert_harmless(page: Page) -> None:
    """Check that user input appears in the page as text only."""
    assert page.evaluate("window.hacked") is None
    found = page.evaluate(
        """() => [...document.querySelectorAll('*')].flatMap(element => [
            ...element.getAttributeNames().filter(name => name.startsWith('on')),
            ...['href', 'src', 'action'].map(name => element.getAttribute(name) || '').filter(
                value => /^\\s*javascript:/i.test(value) || value.includes('evil.test') || value === 'x'),
        ])"""
    )
    assert found == []


def png(seed: int, side: int, **options: Any) -> bytes:
    """Return a picture of noise, which does not compress."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", **options)
    return file.getvalue()


def upload(page: Page, name: str, data: bytes) -> None:
    page.locator('input[type="file"]').first.set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": data}
    )
    settle(page)


# No requests to other hosts


@pytest.mark.parametrize("path", PAGES)
def test_pages_request_nothing_from_other_hosts(visit: Callable[[str], Page], path: str) -> None:
    page = visit(path)
    page.wait_for_timeout(500)
    assert page.locator('[data-testid="stException"]').count() == 0


def test_foreign_scripts_and_frames_are_blocked(app: App, chromium_browser: Browser) -> None:
    """Scripts added to the page, and the page in a frame of another site."""
    context = a_context(chromium_browser)
    page = context.new_page()
    page.goto(app.origin)
    settle(page)
    page.evaluate(
        """() => {
            window.refused = []
            document.addEventListener('securitypolicyviolation', (e) => window.refused.push(e.effectiveDirective))
            const script = document.createElement('script')
            script.textContent = 'window.hacked = 1'
            const image = document.createElement('img')
            image.setAttribute('onerror', 'window.hacked = 1')
            image.src = 'data:,'
            document.body.append(script, image)
        }"""
    )
    page.wait_for_function("window.refused.length >= 2")
    assert sorted(page.evaluate("window.refused")) == ["script-src-attr", "script-src-elem"]
    assert page.evaluate("window.hacked") is None
    page.goto("about:blank")
    page.set_content(f'<iframe src="{app.origin}"></iframe>')
    page.wait_for_timeout(500)
    assert page.frames[1].url.startswith("chrome-error:"), (
        "a page of another site shows the app inside its own"
    )
    context.close()


@pytest.mark.parametrize(
    "path", ["/", "/learn", "/nothing", "/_stcore/health", "/_stcore/nothing", "/readyz", "/static/nothing"]
)
def test_every_response_has_the_security_headers(app: App, path: str) -> None:
    _, headers, _ = app.ask("GET", path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == policy["default-src"] == "'self'"
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(policy["script-src"].split())


# User input stays text


@pytest.mark.parametrize("turn", [0, 2])
@pytest.mark.parametrize("path", ["/", "/compare", "/learn", "/models"])
def test_parameters_of_the_address_are_shown_as_text(
    visit: Callable[[str], Page], path: str, turn: int
) -> None:
    query = {name: PAYLOADS[(i + turn) % len(PAYLOADS)] for i, name in enumerate(PARAMETERS)}
    page = visit(f"{path}?{urlencode(query, quote_via=quote)}")
    assert_harmless(page)
    assert page.locator('[data-testid="stException"]').count() == 0


def test_file_names_and_metadata_are_shown_as_text(visit: Callable[[str], Page]) -> None:
    from PIL.PngImagePlugin import PngInfo

    page = visit("/")
    for payload in PAYLOADS[:3]:
        info = PngInfo()
        info.add_text("Title", payload)
        exif = Image.Exif()
        exif[0x010E] = payload
        upload(page, payload.replace("/", "∕") + ".png", png(1, 64, pnginfo=info, exif=exif))
        assert_harmless(page)
        assert page.locator('[data-testid="stException"]').count() == 0


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:{port}/", "http://[::1]/", 'http://a.test/<img src=x onerror="window.hacked=1">'],
)
def test_addresses_of_the_local_network_are_refused_with_a_message(
    app: App, visit: Callable[[str], Page], address: str
) -> None:
    start = app.log.stat().st_size
    page = visit(f"/?{urlencode({'picture': address.format(port=app.port)})}")
    words = page.get_by_text("public internet").or_(page.get_by_text("Expected"))
    expect(words.first).to_be_visible()
    assert_harmless(page)
    assert [e for e in app.events(start) if e[0] == "socket.connect" and str(app.port) in str(e)] == []


# Uploads


def test_uploads_stay_in_memory_and_are_removed_with_the_session(app: App, chromium_browser: Browser) -> None:
    context = a_context(chromium_browser)
    page = context.new_page()
    page.goto(app.origin)
    settle(page)
    wait_until(lambda: not app.held()["jobs"], app.held, pause=0.1)  # the model warms up behind the page
    start, files = app.log.stat().st_size, app.files()
    picture = png(7, 1100)
    assert len(picture) > 3 * 2**20, "larger than web servers keep in memory by default"
    upload(page, "very-private.png", picture)
    wait_until(lambda: "very-private.png" in app.held()["pictures"], app.held, pause=0.1)
    settle(page)
    assert app.held()["files"] == 1
    written = [
        e for e in app.events(start) if e[0] not in ("socket.connect", "socket.getaddrinfo", "mmap.__new__")
    ]
    assert written == [], "the app opened files for writing"
    assert app.files() == files
    context.close()
    wait_until(
        lambda: "very-private.png" not in (held := app.held())["pictures"] and not held["files"],
        app.held,
        pause=0.1,
    )
    assert app.files() == files
    assert "very-private" not in (app.log.parent / "log").read_text(encoding="utf-8")


def test_the_server_contacts_no_other_host(app: App, visit: Callable[[str], Page]) -> None:
    visit("/")
    outward = [
        event
        for event in app.events()
        if event[0] in ("socket.getaddrinfo", "socket.connect", "socket.sendto", "urllib.Request")
        and not any(inside in str(event) for inside in ("127.0.0.1", "localhost", "'::1'", "'a.test'", "'/"))
    ]
    assert outward == [], "except the hosts of links"


def test_an_upload_needs_the_session_and_its_token(app: App) -> None:
    for headers in ({}, {"X-Xsrftoken": "1"}, {"Origin": "http://evil.test"}):
        status, _, _ = app.ask("PUT", "/_stcore/upload_file/somebody/1", b"x", **headers)
        assert status in (400, 403)


def test_an_upload_beyond_the_limit_is_refused_before_it_is_read(app: App) -> None:
    _, headers, _ = app.ask("GET", "/_stcore/health")
    cookie = headers["set-cookie"].partition(";")[0]
    token = cookie.partition("=")[2]
    headers = {"X-Xsrftoken": token, "Cookie": cookie, "Content-Length": str(2**30)}
    status, _, _ = app.ask("PUT", "/_stcore/upload_file/somebody/1", **headers)
    assert status in (400, 413)


# The server


def test_cookies_and_cross_origin_requests(app: App) -> None:
    _, headers, _ = app.ask("GET", "/_stcore/health", Origin="http://evil.test")
    assert "SameSite=Lax" in headers["set-cookie"]
    assert "access-control-allow-origin" not in headers
    key = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    for origin, expected in (("http://evil.test", 403), (app.origin, 101)):
        with socket.create_connection(("127.0.0.1", app.port), timeout=PATIENCE) as raw:
            lines = [
                f"{k}: {v}" for k, v in {**key, "Host": f"127.0.0.1:{app.port}", "Origin": origin}.items()
            ]
            raw.sendall("\r\n".join(["GET /_stcore/stream HTTP/1.1", *lines, "", ""]).encode())
            assert raw.recv(64).split()[1] == str(expected).encode(), origin


@pytest.mark.parametrize(
    "path",
    ["/_stcore/agent/interact", "/_stcore/agent/mcp"],
)
def test_no_other_interface_controls_the_app(app: App, path: str) -> None:
    status, _, body = app.ask("POST", path, b"{}")
    assert status in (400, 403, 404, 405), body
    assert b"result" not in body


@pytest.mark.parametrize(
    "path",
    ["/../streamlit_app.py", "/..%2fstreamlit_app.py", "/app/static/../../streamlit_app.py", "/media/../../etc/passwd",
     "/static/..%5c..%5cstreamlit_app.py", "/component/../../../../etc/passwd", "/.git/config",
     "/.streamlit/config.toml"],
)  # fmt: skip
def test_no_file_of_the_server_is_handed_out(app: App, path: str) -> None:
    _, _, body = app.ask("GET", path)
    for secret in (b"set_page_config", b"root:", b"[core]", b"maxUploadSize"):
        assert secret not in body


def test_no_telemetry_and_no_details_of_errors() -> None:
    from streamlit import config

    for option, expected in (
        ("browser.gatherUsageStats", False),
        ("client.showErrorDetails", "none"),
        ("client.toolbarMode", "minimal"),
        ("server.enableXsrfProtection", True),
        ("server.enableCORS", True),
        ("server.enableStaticServing", False),
        ("server.enableAgentApi", False),
        ("server.maxUploadSize", 25),
    ):
        assert config.get_option(option) == expected, option
