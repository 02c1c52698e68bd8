"""The running app in Chromium: cold start, memory of all its processes, interaction, many users.

    python -m benchmarks.app [--resnet50]

Each measurement starts ``streamlit run`` anew. Times are from the start of the process, or of an action, to a page that
waits for nothing; memory is the resident memory of the server and its children, read 20 times a second. ``--resnet50``
measures the notebook's model too, with random weights in a file of Keras' own layout.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.session import Session, Tally

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "200x320,400x640,800x1280,1600x2560"
USERS = 8
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
# Since when the page has waited for nothing: the state changes a little before what was drawn does.
_READY = """() => {
    const app = document.querySelector('[data-testid="stApp"]')
    const complete = app && app.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelectorAll('.fcn-card img').length >= 2
        && !document.querySelector('.st-key-progress, .fcn-wait, [data-testid="stSkeleton"]')
    window.since = complete ? window.since || Date.now() : 0
    return complete && Date.now() - window.since > 200 ? window.since : false
}"""


class Server:
    """The app as a process, and the memory of it and its children."""

    def __init__(self, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.started = time.time()
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
        environment = {**os.environ, "FCN_LOG": "json", **settings}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            server = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                self.peak = max(self.peak, self.memory(server))
                time.sleep(0.05)

    @staticmethod
    def memory(server: psutil.Process) -> float:
        """Megabytes of the server and its children now."""
        total = 0
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    def wait(self) -> None:
        """Until it answers."""
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5),  # noqa: S310
            ):
                return
            if self.process.poll() is not None:
                raise SystemExit("the app ended before it answered")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A server that is stopped afterwards."""
    made = Server(**settings)
    try:
        made.wait()
        yield made
    finally:
        made.stop()


def ready(page: Any) -> float:
    """Wait until nothing runs and nothing is missing; the time.time() when that began."""
    page.evaluate("window.since = 0")
    return float(page.wait_for_function(_READY, timeout=300_000, polling=20).json_value()) / 1000


def cold_start(browser: Any, cache: Path, runs: int) -> list[float]:
    """Seconds from the start of the process to a complete first page."""
    seconds = []
    for _ in range(runs):
        with server(FCN_CACHE_DIR=str(cache)) as app:
            page = browser.new_page()
            page.goto(app.url)
            seconds.append(ready(page) - app.started)
            page.close()
    return seconds


def whole_app(browser: Any, model: str, budget: int, **settings: str) -> tuple[float, float]:
    """Peak megabytes and seconds of preparing a model and showing the four notebook scales."""
    with tempfile.TemporaryDirectory() as cache:
        keys = {"FCN_CACHE_DIR": cache, "FCN_MEMORY_MB": str(budget), "FCN_MODEL": model, **settings}
        with server(**keys) as app:
            page = browser.new_page()
            begun = time.time()
            page.goto(f"{app.url}/?picture=coffee&model={model}&scales={NOTEBOOK}")
            seconds = ready(page) - begun
            shown = page.locator(".fcn-card img").count()
            page.close()
            if shown < 6:
                raise SystemExit(f"{model}: only {shown} of 4 scales and 2 means came with {budget} MB")
            return app.peak, seconds


# Pictures of the page, also those in components, once they can be seen.
_LOOKS = """() => {
    const found = []
    const walk = root => {
        for (const e of root.querySelectorAll('*')) {
            if (e.tagName === 'IMG') found.push(e.complete ? e.currentSrc.length + e.currentSrc.slice(-64) : 'loading')
            if (e.shadowRoot) walk(e.shadowRoot)
        }
    }
    walk(document)
    return found.includes('loading') ? '' : found.join()
}"""
_CHANGED = f"old => {{ const now = ({_LOOKS})(); return now !== '' && now !== old }}"


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


def interaction(browser: Any, cache: Path) -> dict[str, tuple[float, float]]:
    """Milliseconds that the server takes, and from an action to changed pixels, at the four notebook scales."""
    times: dict[str, list[tuple[float, float]]] = {}
    with server(FCN_CACHE_DIR=str(cache)) as app:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        wire = Wire(int(app.url.rpartition(":")[2]))
        page.goto(f"{wire.url}/?picture=coffee&scales={NOTEBOOK}")
        ready(page)
        page.wait_for_timeout(3000)

        def timed(name: str, act: Any) -> None:
            before = page.evaluate(_LOOKS)
            wire.clear()
            start = time.perf_counter()
            act()
            page.wait_for_function(_CHANGED, arg=before, polling="raf", timeout=30_000)
            pixels = (time.perf_counter() - start) * 1000
            ready(page)
            page.wait_for_timeout(400)
            times.setdefault(name, []).append((wire.milliseconds, pixels))

        def slide(label: str, key: str) -> Any:
            thumb = page.get_by_role("slider", name=label)
            thumb.focus()
            return lambda: page.keyboard.press(key)

        def tab(name: str) -> None:
            page.get_by_role("tab", name=name).click()
            ready(page)
            page.wait_for_timeout(400)

        chips = page.locator('[class*="st-key-chips"] button')  # its help, the chip shown first, others
        for turn in range(7):
            timed("synset", chips.nth(turn % 2 + 2).click)
        for turn in range(7):
            timed("view", page.locator(".st-key-view button", has_text=("Fine", "Mean")[turn % 2]).click)
        page.locator(".st-key-view button", has_text="Mean").click()
        tab("Maps")
        for turn in range(7):
            timed("mean", slide("Live mean", ("ArrowLeft", "ArrowRight")[turn % 2]))
        tab("Mask")
        for turn in range(7):
            timed("threshold", slide("Threshold", ("ArrowLeft", "ArrowRight")[turn % 2]))
        tab("Maps")
        page.get_by_role("button", name="Display").click()
        page.wait_for_timeout(500)
        for turn in range(7):
            timed("opacity", slide("Opacity", ("ArrowLeft", "ArrowRight")[turn % 2]))
        colours = page.locator(".st-key-colours input")
        for turn in range(7):
            colours.click()
            option = page.get_by_role("option", name=("magma", "cividis")[turn % 2])
            option.wait_for()
            timed("colour", option.click)
        page.close()
    return {
        name: (statistics.median(s for s, _ in values[1:]), statistics.median(p for _, p in values[1:]))
        for name, values in times.items()
    }


class Crowd:
    """Sessions without a browser that send pictures: eight browsers would take this machine from the server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.tally = Tally()
        self.alone = self.together = 0.0
        self.at_once = threading.Event()

    def run(self) -> None:
        """One sends eight pictures, one after the other, then eight one each."""
        try:
            asyncio.run(self._run())
        finally:
            self.at_once.set()  # whoever waits shall not wait for ever

    async def _run(self) -> None:
        sessions = [Session(self._port, random.Random(user), self.tally) for user in range(USERS)]
        for session in sessions:
            await session.open()
            await session.choose("Picture", "Upload")
        await self._send(sessions[0])
        self.alone = sum([await self._send(sessions[0]) for _ in range(USERS)])
        self.at_once.set()
        self.together = max(await asyncio.gather(*map(self._send, sessions)))
        for session in sessions:
            await session.close()

    @staticmethod
    async def _send(session: Session) -> float:
        begun = time.perf_counter()
        uploader = next(w for kind, w in session.widgets.values() if kind == "file_uploader")
        await session.upload(uploader, session.new_picture())
        while session.repeats or not session.finished.is_set():
            await asyncio.sleep(0.01)
        return time.perf_counter() - begun


def many_users(browser: Any, cache: Path, budget: int) -> list[tuple[str, str, str]]:
    """Rows of the table: eight send pictures at once, and a ninth comes with a browser."""
    with server(FCN_CACHE_DIR=str(cache), FCN_MEMORY_MB=str(budget)) as app:
        page = browser.new_page()
        page.goto(app.url)
        ready(page)
        page.locator(".st-key-source button", has_text="Upload").click()
        uploader = page.locator('[data-testid="stFileUploader"] input')
        uploader.wait_for(state="attached")
        crowd = Crowd(int(app.url.rpartition(":")[2]))
        others = threading.Thread(target=crowd.run)
        others.start()
        crowd.at_once.wait()
        time.sleep(0.3)
        asked = time.time()
        uploader.set_input_files(ROOT / "docs" / "screenshots" / "phone.webp")
        page.get_by_text("before this one").wait_for(timeout=60_000)
        place, asked = time.time() - asked, time.time()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped after").wait_for(timeout=60_000)
        stop = time.time() - asked
        others.join()
        page.close()
        if crowd.tally.errors:
            raise SystemExit("\n".join(crowd.tally.errors))
        return [
            (f"throughput of {USERS} users over one's", f"{crowd.alone / crowd.together:.2f}", "0.9"),
            ("ninth user: sees its place, has stopped", f"{place:.1f} s, {stop:.1f} s", ""),
            (
                f"whole app with {USERS + 1} users",
                f"{app.peak:.0f} MB",
                f"{budget} MB and {10 * (USERS + 1)}",
            ),
        ]


def keras_file(folder: Path) -> None:
    """Write ResNet50's weights file with random numbers, in a process of its own."""
    code = (
        "import sys, keras; from keras.src.legacy.saving import legacy_h5_format as f; import h5py\n"
        "from fcn_core.networks.zoo import MODELS, build_classifier\n"
        "m = build_classifier(MODELS['resnet50'], None)\n"
        "with h5py.File(sys.argv[1], 'w') as file: f.save_weights_to_hdf5_group(file, m)"
    )
    name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    environment = {**os.environ, "KERAS_BACKEND": "openvino"}
    subprocess.run([sys.executable, "-c", code, str(folder / name)], env=environment, check=True)


def import_seconds() -> float:
    """Seconds that importing the app's modules takes in a fresh process."""
    code = (
        "import time; t = time.perf_counter(); import streamlit; s = time.perf_counter()\n"
        "import app.explore.results, app.explore.inputs, app.explore.export_tab\n"
        "import app.state.caches, app.state.selection\n"
        "print(time.perf_counter() - t)"
    )
    command = [sys.executable, "-c", code]
    found = []
    for _ in range(5):
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(float(said.stdout))
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resnet50", action="store_true")
    parser.add_argument("--interaction", action="store_true", help="measure this alone")
    parser.add_argument("--users", action="store_true", help="measure this alone")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    rows: list[tuple[str, str, str]] = [("import of the app", f"{import_seconds():.2f} s", "1 s")]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=_FLAGS) as browser,
        tempfile.TemporaryDirectory() as prepared,
    ):
        cache = Path(prepared)
        if options.users:
            print(*(" ".join(row) for row in many_users(browser, cache, 450)), sep="\n")
            return
        if options.interaction:
            for name, (asked, pixels) in interaction(browser, cache).items():
                print(f"{name:<12} server {asked:4.0f} ms, to pixels {pixels:4.0f} ms")
            return
        (first,) = cold_start(browser, cache, 1)
        rows.append(("first page, model never prepared", f"{first:.1f} s", "25 s"))
        environment = {**os.environ, "FCN_CACHE_DIR": prepared}
        command = [sys.executable, "-m", "fcn_core", "models", "--prepare", "efficientnet-lite2"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        later = statistics.median(cold_start(browser, cache, 5))
        rows.append(("first page, model prepared", f"{later:.1f} s", "3 s"))
        for name, (asked, pixels) in interaction(browser, cache).items():
            rows.append((f"{name}: server, to pixels", f"{asked:.0f} ms, {pixels:.0f} ms", "150, 400 ms"))
        rows += many_users(browser, cache, 450)
        peak, seconds = whole_app(browser, "efficientnet-lite2", 450)
        rows.append(("whole app, EfficientNet-Lite2, 4 scales", f"{peak:.0f} MB, {seconds:.1f} s", "450 MB"))
        if options.resnet50:
            with tempfile.TemporaryDirectory() as weights:
                keras_file(Path(weights))
                peak, seconds = whole_app(browser, "resnet50", 690, FCN_WEIGHTS_DIR=weights)
            rows.append(("whole app, ResNet50, 4 scales", f"{peak:.0f} MB, {seconds:.1f} s", "690 MB"))
    print(f"{'what':<42} {'measured':>18}   goal")
    for what, measured, goal in rows:
        print(f"{what:<42} {measured:>18}   {goal}")


if __name__ == "__main__":
    main()
