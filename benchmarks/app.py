"""The running app in Chromium: cold start, memory of all its processes, interaction, many users.

    python -m benchmarks.app [--resnet50]
    python -m benchmarks.app --users
    python -m benchmarks.app --many [--photos N]

Each measurement starts ``streamlit run`` anew. Times are from the start of the process, or of an action, to a page that
waits for nothing; memory is the resident memory of the server and its children, read 20 times a second. ``--resnet50``
measures the notebook's model too, with random weights in a file of Keras' own layout. ``--many`` measures the memory of
the page Many alone: eight users drop N photos each at once, small ones and then those of a camera.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.clicks import interaction
from benchmarks.served import BROWSER_FLAGS, NOTEBOOK, ROOT, ready, server
from benchmarks.session import Session, Tally, picture

USERS = 8
_PATIENCE = 1_800_000  # milliseconds


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
            page.goto(f"{app.url}/?picture=coffee&model={model}&scales={NOTEBOOK}&how=true")
            seconds = ready(page) - begun
            shown = page.locator(".fcn-card img").count()
            page.close()
            if shown < 4:
                raise SystemExit(f"{model}: only {shown} of 4 scales came with {budget} MB")
            return app.peak, seconds


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
        uploader = page.locator('[data-testid="stFileUploader"] input')
        uploader.wait_for(state="attached")
        crowd = Crowd(int(app.url.rpartition(":")[2]))
        others = threading.Thread(target=crowd.run)
        others.start()
        crowd.at_once.wait()
        time.sleep(0.3)
        asked = time.time()
        uploader.set_input_files(ROOT / "docs" / "screenshots" / "phone.webp")
        page.get_by_text("of other analyses").wait_for(timeout=60_000)
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


def many_photos(
    browser: Any, cache: Path, budget: int, count: int, megapixels: float
) -> tuple[str, str, str]:
    """A row of the table: eight users of the page Many, who drop photos of this size at once."""
    side = int((megapixels * 1e6 / 1.5) ** 0.5)
    photos = [
        {
            "name": f"{number}.jpg",
            "mimeType": "image/jpeg",  # as a camera's; as PNG, 21 MB each
            "buffer": picture(side, side * 3 // 2, number, "JPEG"),
        }
        for number in range(count)
    ]
    with server(FCN_CACHE_DIR=str(cache), FCN_MEMORY_MB=str(budget)) as app:
        pages = [browser.new_page() for _ in range(USERS)]
        for page in pages:
            page.goto(f"{app.url}/many")
            page.locator("input[type=file]").wait_for(state="attached", timeout=_PATIENCE)
        for page in pages:
            page.locator("input[type=file]").set_input_files(photos, timeout=_PATIENCE)
        for page in pages:
            page.locator("[class*=st-key-many-open-]").nth(count - 1).wait_for(timeout=_PATIENCE)
            page.close()
    what = f"page Many, {USERS} users with {count} photos of {megapixels:g} megapixels"
    return what, f"{app.peak:.0f} MB", f"{budget} MB"


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
        "import app.explore.results, app.explore.running, app.explore.export_tab\n"
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
    parser.add_argument("--users", action="store_true", help="measure this alone")
    parser.add_argument("--many", action="store_true", help="measure this alone")
    parser.add_argument("--photos", type=int, default=4, help="of a user of --many")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    rows: list[tuple[str, str, str]] = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS) as browser,
        tempfile.TemporaryDirectory() as prepared,
    ):
        cache = Path(prepared)
        if options.users:
            print(*(" ".join(row) for row in many_users(browser, cache, 450)), sep="\n")
            return
        if options.many:
            for megapixels in (0.3, 12.0):
                print(*many_photos(browser, cache, 690, options.photos, megapixels), flush=True)
            return
        rows.append(("import of the app", f"{import_seconds():.2f} s", "1 s"))
        (first,) = cold_start(browser, cache, 1)
        rows.append(("first page, model never prepared", f"{first:.1f} s", "25 s"))
        environment = {**os.environ, "FCN_CACHE_DIR": prepared}
        command = [sys.executable, "-m", "fcn_core", "models", "--prepare", "efficientnet-lite2"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        later = statistics.median(cold_start(browser, cache, 5))
        rows.append(("first page, model prepared", f"{later:.1f} s", "3 s"))
        for name, (asked, pixels, peer) in interaction(browser).items():
            rows.append((f"{name}: server, to pixels, peer", f"{asked:.0f}, {pixels:.0f}, {peer:.0f} ms", ""))
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
