"""What a learner waits for in Learn, in Chromium, and what a class costs the server.

    python -m benchmarks.lesson [--learners 3] [--budget 690]

Each learner has a browser session of its own, goes through all steps, answers each question and opens all steps on one
page; then the lecture is given twice. A step appears when its title is shown and nothing is waited for any more. Beside
it stands the time of a peer in the same run: a page that has one button and one picture.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.lesson.choices import PATHS
from app.lesson.present.deck import read_deck
from app.lesson.text import read_lesson
from benchmarks.clicks import peer_page
from benchmarks.served import BROWSER_FLAGS, Server, server

_PATIENCE = 60_000  # milliseconds
_COMPLETE = """([title, other]) => {
    const app = document.querySelector("[data-testid=stApp]")
    return app.getAttribute("data-test-script-state") === "notRunning"
        && [...document.querySelectorAll("h1")]
            .some(each => each.innerText.includes(title) && each.innerText !== other)
        && !document.querySelector(".lesson-wait, .fcn-wait, [data-testid=stSkeleton], [data-stale=true]")
        && [...document.images].every(each => each.complete)
}"""
# Milliseconds from a key to the second frame after it: then what the key changed is on the screen.
_WALKED = """async (photo, keys) => {
    const took = []
    const frame = () => new Promise(requestAnimationFrame)
    const shown = () => photo.getRootNode().querySelector(".where").textContent
    photo.focus()
    for (const key of keys) {
        await frame()
        const before = shown(), start = performance.now()
        photo.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }))
        if (shown() === before) throw new Error(`${key} led nowhere from ${before}`)
        await frame()
        await frame()
        took.push(performance.now() - start)
    }
    return took
}"""
_PICTURE = "() => document.querySelector('[data-testid=stImage] img')?.src || ''"
_CHANGED = f"old => {{ const now = ({_PICTURE})(); return now && now !== old }}"
_KEYS = ["Home", *["ArrowRight"] * 6, "ArrowUp", "ArrowUp", *["ArrowLeft"] * 5]


def complete(page: Any, title: str = "", other: str = "") -> None:
    """Wait until the page shows a heading with this title, other than that one, and all below it."""
    page.wait_for_function(_COMPLETE, arg=[title, other], polling="raf", timeout=_PATIENCE)


def timed(act: Callable[[], None], done: Callable[[], None]) -> float:
    """Milliseconds from an action until it is done."""
    start = time.perf_counter()
    act()
    done()
    return (time.perf_counter() - start) * 1000


class Passes:
    """Counts the analyses in the log of the app that ran a network."""

    def __init__(self, log: Path) -> None:
        self._log, self._before = log, 0

    def since(self) -> int:
        """How many there are since this was asked the last time."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        total = sum(not json.loads(line)["cache_hit"] for line in lines if '"cache_hit"' in line)
        self._before, new = total, total - self._before
        return new


@contextlib.contextmanager
def a_page(browser: Any, height: int = 900) -> Iterator[Any]:
    """A page in a context of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": height})
    yield context.new_page()
    context.close()


def learn(page: Any, app: Server) -> Iterator[tuple[str, float]]:
    """Go through all steps; each with the milliseconds until it appears."""
    steps = read_lesson("en")
    page.goto(f"{app.url}/learn?step={steps[-1].name}")
    complete(page, steps[-1].title)
    for step in steps:
        link = page.locator(f".st-key-lesson-link-{step.name} button")
        yield step.name, timed(link.click, functools.partial(complete, page, step.title))
        questions = page.locator("[class*=st-key-question-] [role=radiogroup]")
        for n in range(questions.count()):
            questions.nth(n).locator("label").first.click()
            page.wait_for_timeout(300)
            complete(page, step.title)
        photo = page.locator(".st-key-figure-cell_by_cell .photo")  # in a shadow tree
        if photo.count():
            for took in photo.evaluate(_WALKED, _KEYS):
                yield "cell", took
    page.goto(f"{app.url}/learn?step=all")
    complete(page, steps[-1].title)


def lecture(page: Any, app: Server) -> Iterator[float]:
    """Milliseconds until each slide appears."""
    deck = read_deck("en")
    positions = deck.positions(PATHS[0])
    page.goto(f"{app.url}/learn?present=1")
    complete(page)
    page.locator("[role=progressbar]").first.wait_for()
    for before, after in itertools.pairwise(positions):
        turn = functools.partial(page.keyboard.press, "PageDown")
        if before.slide == after.slide:
            turn()
            page.wait_for_url(lambda url: "shown=slide" in url, timeout=_PATIENCE)
            complete(page)
        else:
            heading = page.locator(".st-key-slide-deck h1").inner_text()
            yield timed(turn, functools.partial(complete, page, other=heading))
        page.wait_for_timeout(300)


def peer(page: Any, address: str, turns: int = 15) -> list[float]:
    """Milliseconds until the peer's picture has changed."""
    while True:
        with contextlib.suppress(Exception):
            page.goto(address)
            break
        time.sleep(0.2)
    button, times = page.get_by_role("button", name="Next"), []
    button.wait_for()

    def changed(old: str) -> None:
        page.wait_for_function(_CHANGED, arg=old, polling="raf", timeout=_PATIENCE)

    for _ in range(turns):
        changed("")
        old = page.evaluate(_PICTURE)
        times.append(timed(button.click, functools.partial(changed, old)))
        page.wait_for_timeout(300)
    return times


def measure(browser: Any, learners: int, budget: int) -> Iterator[tuple[str, str]]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder, peer_page() as address:
        log = Path(folder) / "log"
        with server(str(log), FCN_MEMORY_MB=str(budget)) as app:
            passes, steps, cells, costs = Passes(log), dict[str, list[float]](), list[float](), []
            for number in range(learners):
                with a_page(browser) as page:
                    for name, took in learn(page, app):
                        if name == "cell":
                            cells.append(took)
                        elif number:  # the first waits for the network
                            steps.setdefault(name, []).append(took)
                costs.append(passes.since())
            for _ in range(2):
                with a_page(browser, 720) as page:
                    slides = list(lecture(page, app))
                costs.append(passes.since())
            with a_page(browser) as page:
                beside = statistics.median(peer(page, address))
            typical = {name: statistics.median(times) for name, times in steps.items()}
            slowest = max(typical, key=lambda name: typical[name])
            middle = statistics.median(typical.values())
            yield (
                "a step appears, median",
                f"{middle:.0f} ms, {middle / beside:.1f} of the peer's {beside:.0f} ms",
            )
            yield f"the slowest, {slowest}", f"{typical[slowest]:.0f} ms"
            yield "each step", ", ".join(f"{name}: {took:.0f}" for name, took in typical.items())
            yield (
                "a slide appears, median",
                f"{statistics.median(slides):.0f} ms, at most {max(slides):.0f} ms",
            )
            yield (
                "a cell of the figure answers",
                f"{statistics.median(cells):.0f} ms, at most {max(cells):.0f} ms",
            )
            yield "analyses that ran a network, each learner, and two lectures", ", ".join(map(str, costs))
            yield "memory of the whole app", f"{app.peak:.0f} MB of {budget} MB"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learners", type=int, default=3)
    parser.add_argument("--budget", type=int, default=690, help="FCN_MEMORY_MB of the app")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))))
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS) as browser,
    ):
        for what, found in measure(browser, options.learners, options.budget):
            print(f"{what:<60}{found}")
        if hasattr(os, "getloadavg"):
            print(f"{'load':<60}{os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
