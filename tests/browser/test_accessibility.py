"""Accessibility in Chromium: axe-core's rules for WCAG 2.2 AA, and what it cannot tell: names, headings, focus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from app.lesson.text import read_lesson
from tests.browser.conftest import settle
from tests.waiting import PATIENCE

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {
    "runOnly": {"type": "tag", "values": TAGS},
    "rules": {"target-size": {"enabled": True}},  # of WCAG 2.2, and off by default
    "resultTypes": ["violations"],
    "preload": False,  # it would fetch style sheets again
}
WAYS = tuple((theme, width) for theme in ("light", "dark") for width in (1280, 390))
# Nothing that only passes: no fading, and nothing pale because a run is going on.
STILL = (
    "*, *::before, *::after { transition: none !important; animation: none !important }"
    "[data-stale], summary, [role=tablist], [role=tab] { opacity: 1 !important }"
)


@dataclass(frozen=True)
class Place:
    """A page, what to press there first (a tab by its name), and how to look at it.

    Pages are looked at in both themes and at both widths; their parts once in each theme and once at each width.
    """

    name: str
    address: str
    tab: str = ""
    ways: tuple[tuple[str, int], ...] = (WAYS[0], WAYS[3])


PLACES = [
    Place("explore", "/?picture=astronaut", ways=WAYS),
    Place("heatmap", "/?picture=coffee&view=Heatmap"),
    Place("nothing found", "/?picture=coffee&synset=n02121620"),
    *(
        Place(name.lower(), "/?scales=200x320,400x640&how=true", name)
        for name in ("Maps", "Mask", "Inspect", "Export")
    ),
    *(
        Place(f"compare {what.lower()}", f"/compare?compare={what}", ways=WAYS)
        for what in ("Models", "Pictures", "Synsets")
    ),
    Place("lesson", "/learn?step=all"),
    Place("step", "/learn?step=3", ways=WAYS),
    Place("glossary", "/learn?step=glossary"),
    Place("present", "/learn?step=3&present=1"),
    Place("models", "/models", ways=WAYS),
    Place("many", "/many?synsets=dog,cat", ways=WAYS),
]  # fmt: skip


def opened(visit: Visit, place: Place) -> Page:
    """Go there, and open all that is folded."""
    page = visit(place.address, wait=False)
    page.add_style_tag(content=STILL)
    settle(page)
    if place.tab:
        page.get_by_role("tab", name=place.tab).click()
        settle(page)
    page.locator("details:not([open]) > summary").evaluate_all("folds => folds.forEach(fold => fold.click())")
    settle(page)
    return page


def look(page: Page, theme: Any, width: int) -> None:
    """Show the page in a theme, at a width."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(
        """([theme, width]) => innerWidth === width
            && getComputedStyle(document.querySelector(".stApp")).colorScheme === theme""",
        arg=[theme, width],
        timeout=1000 * PATIENCE,
    )
    settle(page)


def violations(page: Page) -> Iterator[str]:
    """What axe-core objects to, a line each."""
    for rule in Axe().run(page, options=OPTIONS).response["violations"]:
        for node in rule["nodes"]:
            yield f"{rule['id']}: {node['html'][:200]} {node['failureSummary'].splitlines()[-1].strip()}"


# axe-core leaves code out, because the button that copies it is drawn above it.
PALE = """() => {
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255)
            .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const below = (element) => {
        const colour = getComputedStyle(element).backgroundColor
        return /, 0\\)$/.test(colour) ? below(element.parentElement) : colour
    }
    return [...document.querySelectorAll(".stCode span")].filter((each) => each.checkVisibility()).map((each) => {
        const colours = [getComputedStyle(each).color, below(each)], both = colours.map(light)
        return [(Math.max(...both) + 0.05) / (Math.min(...both) + 0.05), each.className, ...colours]
    }).filter(([contrast]) => contrast < 4.5).map(String)
}"""


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_axe_finds_nothing(visit: Visit, place: Place) -> None:
    page = opened(visit, place)
    found = []
    for theme, width in place.ways:
        look(page, theme, width)
        found += [f"{theme} {width}: {each}" for each in [*violations(page), *page.evaluate(PALE)]]
    assert not found, "\n".join(found)

    spoken = page.locator("body").aria_snapshot()
    raw = re.findall(r"""^.*"[^"\n]*(?:\*\*|:[a-z]+\[|:material/)[^"\n]*".*$""", spoken, re.MULTILINE)
    assert not [line for line in raw if not line.lstrip().startswith("- code:")], "a name is Markdown"
    assert not re.findall(r'slider "(.+) \1"', spoken), "a name is read twice"
    assert spoken.count("[level=1]") == (len(read_lesson("en")) + 1 if place.name == "lesson" else 1)


@dataclass(frozen=True)
class Press:
    """A control, a key, and what has the focus after the run that follows: itself, or another by its name.

    `first` names a button to press before, behind which the control is.
    """

    name: str
    address: str
    control: str
    key: str = "Enter"
    then: str = ""
    first: str = ""


PRESSES = [
    Press("what is found", "/?picture=coffee", ".st-key-seen [role=radio] >> nth=0", " "),
    Press("a view", "/?picture=coffee", "[class*=st-key-view] [role=radio] >> nth=1", " "),
    Press("a sample", "/?scales=200x320", "[class*=st-key-picture] [role=radio] >> nth=2", " "),
    Press(
        "a broader synset",
        "/?synset=n02121620&scales=200x320&how=true",
        "[class*=st-key-explore-step] button >> nth=0",
        then="button",
    ),
    Press(
        "a scale",
        "/?scales=200x320,400x640&how=true",
        ".st-key-scale-400x640 input",
        " ",
        first="Scales and model",
    ),
    Press("a tab", "/?scales=200x320&how=true", "[role=tab] >> nth=0", "ArrowRight", "Mask"),
    Press("what is compared", "/compare", ".st-key-compare-compare [role=radio] >> nth=0", " "),
    Press("a step in the contents", "/learn?step=1", ".st-key-lesson-link-4 button"),
    Press("the next step", "/learn?step=1", ".st-key-lesson-way button >> nth=-1", then="main"),
    Press("a switch", "/learn?step=6", ".st-key-lesson [role=switch] >> nth=0", " "),
    Press("present mode", "/learn?step=6", ".st-key-lesson-present button:visible", then="main"),
    Press("another page", "/models", "[data-testid=stTopNav] a >> nth=1"),
]  # fmt: skip
NAME = "(element => element.getAttribute('aria-label') || element.innerText.trim().split('\\n')[0])"


@pytest.mark.parametrize("press", PRESSES, ids=lambda press: press.name)
def test_the_focus_stays(visit: Visit, press: Press) -> None:
    page = visit(press.address, wait=False)
    settle(page)
    if press.first:
        page.get_by_role("button", name=press.first).click()
    control = page.locator(press.control).first
    name = control.evaluate(NAME)
    page.evaluate("""() => new MutationObserver(() => { window.ran = true }).observe(
        document.querySelector("[data-testid=stApp]"), { attributeFilter: ["data-test-script-state"] })""")
    control.press(press.key)  # with the focus, in one step: a page that is drawn anew may replace it
    page.wait_for_function("() => window.ran", timeout=1000 * PATIENCE)
    settle(page)
    at = page.evaluate(f"[document.activeElement.localName, {NAME}(document.activeElement)]")
    assert (press.then or name) in at


def test_a_change_is_said_in_an_element_that_stays(visit: Visit) -> None:
    page = visit("/compare?compare=Synsets")
    voice = page.locator(".fcn-voice")
    said = str(voice.text_content())
    assert "found" in said
    voice.evaluate("element => { window.voice = element }")
    page.get_by_role("searchbox").first.fill("rocket")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "said => document.querySelector('.fcn-voice').textContent !== said", arg=said, timeout=1000 * PATIENCE
    )
    assert "No missile found" in str(voice.text_content())
    assert page.evaluate("window.voice.isConnected && window.voice.getAttribute('role') === 'status'")


@pytest.mark.parametrize(
    "path",
    ["/?picture=coffee&scales=200x320", "/?how=true&scales=200x320", "/compare", "/learn?step=6", "/models"],
)
def test_fingers_find_what_they_touch(phone: Page, address: str, path: str) -> None:
    """What axe-core requires are 24 pixels; on a touch screen buttons have 44."""
    phone.goto(address + path)
    settle(phone)
    small = phone.evaluate(
        """notOurs => [...document.querySelectorAll("main button, main [role=tab], main [role=radio]")]
            .filter(each => each.checkVisibility() && !each.matches(notOurs))
            .map(each => [each.innerText, each.getBoundingClientRect().height]).filter(([, high]) => high < 43.5)""",
        # beside or above a larger target
        ".stTooltipIcon *, [aria-label=Open], [aria-label^=Fullscreen], [aria-label^=Clear]",
    )
    assert not small
