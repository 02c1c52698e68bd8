"""Accessibility in Chromium: axe-core's rules for WCAG 2.2 AA, and what it cannot tell: names, headings, focus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

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
# Where a page was looked at in the same theme and at the same width before, though not in both together.
COLOURS = {
    **OPTIONS,
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "rules": {},
}
WAYS = (("light", 1280), ("dark", 390))
MORE_WAYS = (("dark", 1280), ("light", 390))
# Nothing that only passes: no fading, and nothing pale because a run is going on.
STILL = (
    "*, *::before, *::after { transition: none !important; animation: none !important }"
    "[data-stale], summary, [role=tablist], [role=tab] { opacity: 1 !important }"
)

Act = Callable[[Page], None]


def press(role: Any, name: str) -> Act:
    """Press a control, in an open page."""
    return lambda page: page.get_by_role(role, name=name, exact=True).click()


def ask(word: str) -> Act:
    """Ask for a word."""

    def asked(page: Page) -> None:
        page.get_by_role("searchbox").first.fill(word)
        page.keyboard.press("Enter")

    return asked


@dataclass(frozen=True)
class Place:
    """A page, the states that it comes to, each by an act in the one before, and whether both themes need both widths.

    Pages are looked at in both themes and at both widths; their parts once in each theme and once at each width.
    """

    address: str
    states: dict[str, Act | None]
    is_whole: bool = False


PLACES = [
    Place("/?picture=astronaut", {"explore": None, "nothing found": ask("missile")}, is_whole=True),
    Place(
        "/?picture=coffee&view=Heatmap&scales=200x320,400x640&how=true",
        {"maps": None, **{name.lower(): press("tab", name) for name in ("Mask", "Inspect", "Export")}},
    ),
    Place(
        "/compare?compare=Models",
        {
            "compare models": None,
            "compare pictures": press("radio", "Pictures"),
            "compare synsets": press("radio", "Synsets"),
        },
        is_whole=True,
    ),
    Place("/learn?step=all", {"lesson": None}),
    Place("/learn?step=3", {"step": None}, is_whole=True),
    Place("/learn?step=3&present=1", {"present": None}),
    Place("/learn?step=glossary", {"glossary": None}),
    Place("/models", {"models": None}, is_whole=True),
    Place("/many?synsets=dog,cat", {"many": None}, is_whole=True),
]  # fmt: skip


def unfold(page: Page) -> None:
    """Open all that is folded."""
    page.locator("details:not([open]) > summary").evaluate_all("folds => folds.forEach(fold => fold.click())")
    settle(page)


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


def violations(page: Page, options: dict[str, Any] = OPTIONS) -> Iterator[str]:
    """What axe-core objects to, a line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    for rule in page.evaluate("options => axe.run(options)", options)["violations"]:
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


# What axe-core requires are 24 pixels; on a touch screen buttons and fields have 44, if no larger target is beside.
SMALL = """() => [...document.querySelectorAll("main button, main [role=tab], main [role=radio], main summary, " +
    "main input:is([type=text], [type=search], [type=number]), [data-testid=stExpandSidebarButton]")]
    .filter(each => each.checkVisibility() && !each.matches(".stTooltipIcon *, [aria-label^=Fullscreen]"))
    .map(each => [each.ariaLabel || each.innerText, each.getBoundingClientRect().height])
    .filter(([, high]) => high < 43.5)"""


@pytest.mark.parametrize("place", PLACES, ids=lambda place: next(iter(place.states)))
def test_axe_finds_nothing(visit: Visit, place: Place) -> None:
    page = visit(place.address, wait=False)
    page.add_style_tag(content=STILL)
    settle(page)
    found: list[str] = []
    for state, act in place.states.items():
        if act is not None:
            act(page)
            page.mouse.move(0, 0)
            settle(page)
        unfold(page)
        for theme, width in (*WAYS, *(MORE_WAYS if place.is_whole else ())):
            look(page, theme, width)
            options = OPTIONS if (theme, width) in WAYS else COLOURS
            at = [*violations(page, options), *page.evaluate(PALE)]
            found += [f"{state}, {theme} {width}: {each}" for each in at]
        found += [f"{state}, by finger: {each}" for each in small(page)]
        found += [f"{state}: {each}" for each in misread(page, headings=_HEADINGS.get(state, 1))]
    assert not found, "\n".join(found)


def small(page: Page) -> list[str]:
    """What a finger would miss, on a touch screen as wide as the page is now."""
    screen = page.context.new_cdp_session(page)
    screen.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.wait_for_function("() => matchMedia('(pointer: coarse)').matches", timeout=1000 * PATIENCE)
    found: list[str] = page.evaluate(SMALL)
    screen.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    screen.detach()
    return found


_HEADINGS = {"lesson": len(read_lesson("en")) + 1}


def misread(page: Page, headings: int) -> Iterator[str]:
    """What a screen reader would say that is wrong, a line each."""
    spoken = page.locator("body").aria_snapshot()
    for line in re.findall(r"""^.*"[^"\n]*(?:\*\*|:[a-z]+\[|:material/)[^"\n]*".*$""", spoken, re.MULTILINE):
        if not line.lstrip().startswith("- code:"):
            yield f"a name is Markdown: {line}"
    for name in re.findall(r'slider "(.+) \1"', spoken):
        yield f"a name is read twice: {name}"
    if (found := spoken.count("[level=1]")) != headings:
        yield f"{found} headings of level 1, not {headings}"


@dataclass(frozen=True)
class Press:
    """A control, a key, and what has the focus after the run that follows: itself, or another by its name.

    `first` names a button to press before, behind which the control is.
    """

    name: str
    control: str
    key: str = "Enter"
    then: str = ""
    first: str = ""


PRESSES = {
    "/?picture=coffee&scales=200x320,400x640&how=true": [
        Press("a tab", "[role=tab] >> nth=0", "ArrowRight", "Mask"),
        Press("a view", "[class*=st-key-view] [role=radio] >> nth=1", " "),
        Press("what is found", ".st-key-seen [role=radio] >> nth=0", " "),
        Press("a broader synset", "[class*=st-key-explore-step] button >> nth=0", then="button"),
        Press("a sample", "[class*=st-key-picture] [role=radio] >> nth=2", " "),
        Press("a scale", ".st-key-scale-400x640 input", " ", first="Scales and model"),
    ],
    "/models": [
        Press("another page", "[data-testid=stTopNav] a >> nth=1"),
        Press("what is compared", ".st-key-compare-compare [role=radio] >> nth=0", " "),
    ],
    "/learn?step=1": [
        Press("the next step", ".st-key-lesson-way button >> nth=-1", then="main"),
        Press("a step in the contents", ".st-key-lesson-link-6 button"),
        Press("a switch", ".st-key-lesson [role=switch] >> nth=0", " "),
        Press("present mode", ".st-key-lesson-present button:visible", then="main"),
    ],
}  # fmt: skip
NAME = "(element => element.getAttribute('aria-label') || element.innerText.trim().split('\\n')[0])"


@pytest.mark.parametrize("start", PRESSES)
def test_the_focus_stays(visit: Visit, start: str) -> None:
    page = visit(start, wait=False)
    settle(page, rest=1500)  # parts of the page that look again, once a second, have seen that all is there
    page.evaluate("""() => new MutationObserver(() => { window.ran = true }).observe(
        document.querySelector("[data-testid=stApp]"), { attributeFilter: ["data-test-script-state"] })""")
    for each in PRESSES[start]:
        if each.first:
            page.get_by_role("button", name=each.first).click()
        control = page.locator(each.control).first
        name = control.evaluate(NAME)
        page.evaluate("window.ran = false")
        control.press(each.key)  # with the focus, in one step: a page that is drawn anew may replace it
        page.wait_for_function("() => window.ran", timeout=1000 * PATIENCE)
        settle(page)
        page.wait_for_function(  # a page that was drawn anew gets the focus back some moments later
            f"name => [document.activeElement.localName, {NAME}(document.activeElement)].includes(name)",
            arg=each.then or name,
            timeout=1000 * PATIENCE,
        )


RING_THAT_IS_CUT = """() => {
    let control = document.activeElement
    if (control === document.body) return null
    while (control.shadowRoot?.activeElement) control = control.shadowRoot.activeElement
    const above = element => element.parentElement ?? element.getRootNode().host
    const box = control.getBoundingClientRect(), style = getComputedStyle(control)
    const out = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset)
    const sides = ({ top, right, bottom, left }, by = 0) => [left - by, top - by, -right - by, -bottom - by]
    // A field shows the focus by its frame, a slider and a switch by what is drawn in place of the browser's.
    const cut = control.localName === "input" ? [] : sides(box, out)
    for (let around = above(control); cut.length && around !== document.body; around = above(around)) {
        if (getComputedStyle(around).overflow === "visible") continue
        const room = sides(around.getBoundingClientRect())
        if (cut.some((side, n) => side < room[n] - .5)) return [control.outerHTML.slice(0, 200), style.outline, out]
    }
    const ringless = style.outlineStyle === "none" && style.boxShadow === "none"
    return ringless && cut.length ? [control.outerHTML.slice(0, 200), "no ring"] : []
}"""


@pytest.mark.parametrize("start", ["/?how=true&scales=200x320", "/compare", "/learn?step=1"])
def test_the_ring_around_what_has_the_focus_is_seen_whole(visit: Visit, start: str) -> None:
    page = visit(start, width=390, wait=not start.startswith("/learn"))
    if start.startswith("/learn"):
        expect(page.locator(".st-key-lesson-end")).to_be_attached()
    settle(page)
    seen = 0
    while True:
        page.keyboard.press("Tab")
        if (cut := page.evaluate(RING_THAT_IS_CUT)) is None:  # the end of the page
            break
        assert cut == []
        seen += 1
    assert seen > 10


def test_a_tab_that_is_disabled_for_a_moment_gets_the_focus_back(visit: Visit) -> None:
    """As Streamlit does with tabs, in the middle of a run that lasts."""
    page = visit("/?picture=coffee&scales=200x320&how=true")
    tab = page.locator("[role=tab]").first
    tab.press("Home")
    settle(page)
    lost = tab.evaluate("""tab => {
        tab.setAttribute("aria-disabled", true)
        tab.removeAttribute("tabindex")
        const lost = document.activeElement === document.body
        tab.tabIndex = 0
        tab.removeAttribute("aria-disabled")
        return lost
    }""")
    assert lost
    expect(tab).to_be_focused()


def test_what_one_leaves_is_left(visit: Visit) -> None:
    page = visit("/?picture=coffee&scales=200x320")
    button = page.locator("main button:visible").first
    button.focus()
    button.evaluate("button => button.blur()")
    page.evaluate("document.querySelector('[data-testid=stApp]').append(document.createElement('i'))")
    page.wait_for_timeout(300)  # longer than the page waits before it mends
    assert page.evaluate("document.activeElement === document.body")


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


def test_who_opens_the_menu_of_a_narrow_page_with_the_keyboard_is_in_it(visit: Visit) -> None:
    page = visit("/?picture=coffee&scales=200x320", width=390)
    menu, way_in = page.get_by_test_id("stSidebar"), page.get_by_role("button", name="Expand sidebar")
    way_in.press("Enter")
    expect(menu.get_by_role("button", name="Collapse sidebar")).to_be_focused()
    page.keyboard.press("Tab")
    expect(menu.get_by_role("link", name="Explore")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(way_in).to_be_focused()
