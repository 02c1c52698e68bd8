"""Take the screenshots of README and documentation from the running app.

Run: python scripts/take_screenshots.py [FOLDER]   (default: docs/screenshots; needs Playwright and Chromium)
"""

import contextlib
import io
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# name, address, width, height, colour scheme, and what is scrolled to the top
SHOTS = (
    ("explore", "/", 1280, 800, "light", ""),
    ("heatmap-dark", "/?picture=cow&view=Heatmap", 1280, 860, "dark", ""),
    ("how", "/?how=true&synset=dog", 1280, 1700, "light", ""),
    ("compare", "/compare?picture=horses&compare=Synsets&synset=horse&other=cattle", 1280, 1250, "light", ""),
    ("phone", "/?picture=hens", 390, 844, "light", ""),
    ("landscape", "/?picture=horses", 844, 390, "dark", ""),
    ("learn", "/learn?step=2", 1280, 900, "light", ".st-key-figure-cell_by_cell"),
    ("slide", "/learn?present=1&slide=13", 1280, 720, "light", ""),
)
READY = """() => document.querySelector('.st-key-stage, .st-key-compare-stage-1, .fcn-figure img,'
        + ' .st-key-lesson-end, .st-key-slide-deck')
    && !document.querySelector('.st-key-progress, .fcn-wait, .lesson-wait, [data-testid="stSkeleton"]')
    && document.querySelector('[data-testid="stApp"]').getAttribute('data-test-script-state') === 'notRunning'"""


def main(folder: Path) -> None:
    """Start the app, visit the pages, write one WebP each."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed.")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT)  # noqa: S603
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):  # noqa: S310
                break
            time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            for name, path, width, height, scheme, part in SHOTS:
                viewport = {"width": width, "height": height}
                context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
                page = context.new_page()
                page.goto(address + path)
                page.wait_for_function(READY, timeout=180_000)
                page.wait_for_timeout(1500)  # fonts and the last images
                page.wait_for_function(READY, timeout=180_000)
                if part:
                    page.locator(part).evaluate(
                        "element => { element.style.scrollMargin = '5rem'; element.scrollIntoView() }"
                    )
                shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                shot.save(folder / f"{name}.webp", quality=88)
                print(folder / f"{name}.webp")
                context.close()
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots")
