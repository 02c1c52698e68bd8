"""What a user waits for on Explore, in Chromium: a pressed chip, another view, a word, one's own photograph.

    python -m benchmarks.clicks [--turns 7]

The photograph has 12 megapixels and four things in it, put together from samples. Beside each time stands that of a
peer in the same turn, since other programs change both: for a click, the run of a page that has one button and one
picture; for a photograph, the same work by the library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.state.samples import SAMPLES
from benchmarks.served import BROWSER_FLAGS, Server, ready, server

_THINGS = ("dog", "coffee", "duck", "sheep")
_SIDES = 4000, 3000
# What the large picture shows: its parts, once they can be seen; and the names beside its outlines.
_LOOKS = """() => {
    const found = []
    const walk = root => {
        for (const e of root.querySelectorAll('*')) {
            if (e.tagName === 'IMG' && e.src) found.push(e.complete ? e.src.length + e.src.slice(-64) : 'loading')
            if (e.tagName === 'path' && e.classList.contains('line')) found.push(e.getAttribute('d'))
            if (e.shadowRoot) walk(e.shadowRoot)
        }
    }
    const stage = document.querySelector('.st-key-stage, [data-testid="stImage"]')
    if (stage) walk(stage)
    return found.includes('loading') ? '' : found.join()
}"""
_CHANGED = f"old => {{ const now = ({_LOOKS})(); return now !== '' && now !== old }}"
_OUTLINED = f"old => {{ const now = ({_LOOKS})(); return now.includes('M') && !old.some(path => now.includes(path)) }}"
_PEER = """
import numpy as np, streamlit as st
st.session_state.setdefault("turn", 0)
if st.button("Next"):
    st.session_state["turn"] += 1
pixels = np.random.default_rng(st.session_state["turn"]).integers(0, 255, (520, 700, 3), np.uint8)
st.image(pixels, output_format="JPEG")
"""


class Wire:
    """Stands between a browser and the app, and notes when a question began and when the last of the answer came.

    A browser notes neither: it is busy with drawing the first of an answer when the last of it comes.
    """

    def __init__(self, port: int) -> None:
        self._port, self._began, self._ended = port, 0.0, 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            browser, _ = self._listener.accept()
            app = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._carry, args=(browser, app, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(app, browser, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answer: bool) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(2**20):
                target.sendall(data)
                if answer:
                    self._ended = time.perf_counter()
                else:
                    self._began = self._began or time.perf_counter()

    def clear(self) -> None:
        """Forget what was."""
        self._began = 0.0

    @property
    def milliseconds(self) -> float:
        """From the first question since to the last answer."""
        return (self._ended - self._began) * 1000


@contextlib.contextmanager
def peer_page() -> Iterator[str]:
    """The address of a page with one button, which changes one picture."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        script = Path(folder) / "peer.py"
        script.write_text(_PEER, encoding="utf-8")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
        command = [sys.executable, "-m", "streamlit", "run", str(script), *options]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def photograph(seed: int) -> bytes:
    """A JPEG of 12 megapixels with four things in it: another file for every seed, other outlines for the next."""
    width, height = _SIDES
    whole = Image.new("RGB", _SIDES)
    for index, name in enumerate(_THINGS, seed):
        path = SAMPLES[name].path
        assert path is not None
        part = Image.open(path).convert("RGB").resize((width // 2, height // 2))
        whole.paste(part, (index % 2 * width // 2, index // 2 % 2 * height // 2))
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    whole.paste(Image.fromarray(noise), (0, 0))
    file = io.BytesIO()
    whole.save(file, "JPEG", quality=88)
    return file.getvalue()


def alone(data: bytes) -> float:
    """Seconds that the library takes from the file to the masks of what it finds."""
    import fcn_core as fcn

    model = fcn.load_model()
    start = time.perf_counter()
    image = fcn.read_image(data)
    class_maps = fcn.compute_class_maps(image, model, fcn.NOTEBOOK_SCALES[:3])
    for found in fcn.findings(class_maps)[:4]:
        fcn.interpret(image, class_maps, found.synset, model.info).at_working_size.mask.any()
    return time.perf_counter() - start


class Page:
    """The app's page, and what it does for one action."""

    def __init__(self, browser: Any, app: Server, address: str = "/") -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self._wire = Wire(int(app.url.rpartition(":")[2]))
        self.page.goto(self._wire.url + address)
        ready(self.page)
        self.page.wait_for_timeout(3000)  # the model is loaded and warm

    def timed(self, act: Any, until: str = _CHANGED, old: Any = None) -> tuple[float, float]:
        """Milliseconds of the server, and until what is shown has changed."""
        before = self.page.evaluate(_LOOKS) if old is None else old
        self._wire.clear()
        start = time.perf_counter()
        act()
        self.page.wait_for_function(until, arg=before, polling="raf", timeout=60_000)
        pixels = (time.perf_counter() - start) * 1000
        ready(self.page)
        self.page.wait_for_timeout(300)
        return self._wire.milliseconds, pixels

    def send(self, seed: int) -> tuple[float, float]:
        """Send an own photograph; milliseconds until its outlines are shown, and of the library alone."""
        data = photograph(seed)
        paths = self.page.evaluate(_LOOKS).split(",")
        old = [each for each in paths if each.startswith("M")] or ["none"]
        file = {"name": f"own-{seed}.jpg", "mimeType": "image/jpeg", "buffer": data}
        chooser = self.page.locator('[data-testid="stFileUploader"] input').first
        _, pixels = self.timed(lambda: chooser.set_input_files(file), _OUTLINED, old)
        return pixels, alone(data) * 1000


def interaction(browser: Any, turns: int = 7) -> dict[str, tuple[float, float, float]]:
    """Medians in milliseconds: of the server, until what is shown has changed, and of the peer until then."""
    times: dict[str, list[tuple[float, float, float]]] = {}
    with server() as app, peer_page() as address:
        alone(photograph(0))  # the peer is warm, too
        page = Page(browser, app)
        other = browser.new_page()
        for _ in range(100):
            with contextlib.suppress(Exception):
                other.goto(address)
                break
            time.sleep(0.2)
        button = other.get_by_role("button", name="Next")
        button.wait_for()

        def peer() -> float:
            before, start = other.evaluate(_LOOKS), time.perf_counter()
            button.click()
            other.wait_for_function(_CHANGED, arg=before, polling="raf", timeout=60_000)
            took = (time.perf_counter() - start) * 1000
            other.wait_for_timeout(200)
            return took

        def note(name: str, act: Any) -> None:
            server_ms, pixels = page.timed(act)
            times.setdefault(name, []).append((server_ms, pixels, peer()))

        for turn in range(turns):
            pixels, library = page.send(turn + 1)
            times.setdefault("photograph", []).append((float("nan"), pixels, library))
        chips = page.page.locator("[class*='st-key-seen'] [role=radio]")
        for turn in range(turns):
            note("chip", chips.nth(turn % 2).click)
        views = page.page.locator("[class*='st-key-view'] button")
        for _, view in zip(range(turns), itertools.cycle(("Heatmap", "Outline", "Photo")), strict=False):
            note("view", views.filter(has_text=view).click)
        views.filter(has_text="Heatmap").click()
        ready(page.page)
        chips.nth(2).click()  # pressed again, the first would show everything, with the same heatmap
        ready(page.page)
        for turn in range(turns):
            note("chip, heatmap", chips.nth(turn % 3).click)
        field = page.page.locator('[class*="st-key-synset-pick"] input')
        for turn in range(turns):
            field.first.fill(("animal", "bird", "cup")[turn % 3])
            note("word", lambda: field.first.press("Enter"))
        page.page.close()
        other.close()
    return {name: _medians(values[1:] or values) for name, values in times.items()}


def _medians(values: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    server_ms, pixels, peer = (statistics.median(column) for column in zip(*values, strict=True))
    return server_ms, pixels, peer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS) as browser,
    ):
        print(f"{'what':<16}{'server ms':>10}{'to pixels ms':>14}{'peer ms':>9}{'to peer':>9}   load")
        for name, (server_ms, pixels, peer) in interaction(browser, options.turns).items():
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
            print(
                f"{name:<16}{server_ms:>10.0f}{pixels:>14.0f}{peer:>9.0f}{pixels / peer:>9.2f}   {load:.1f}"
            )


if __name__ == "__main__":
    main()
