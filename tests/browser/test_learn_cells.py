"""The figure of cells in Chromium: pointer and keyboard walk over it, and the server is not asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lesson import settle

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]


def _open(page: Page, address: str, **query: str) -> Locator:
    """Go to the step of the figure and wait until that is complete; return the figure."""
    page.goto(address + "/learn?" + "&".join(f"{k}={v}" for k, v in {"step": "2", **query}.items()))
    figure = page.locator(".st-key-figure-cell_by_cell")
    expect(figure.locator(".switch input")).to_be_enabled()
    settle(page)
    figure.evaluate("figure => figure.scrollIntoView({ block: 'start' })")
    return figure


def _number(text: str | None) -> int:
    """Read a number that is shown, in thousandths."""
    return round(1000 * float((text or "").replace("\N{MINUS SIGN}", "-").replace(",", ".")))


def _adds_up(figure: Locator) -> None:
    products = [_number(each) for each in figure.locator(".product").all_text_contents()]
    rest, bias, logit = (_number(each) for each in figure.locator(".rest dd").all_text_contents())
    assert sum(products) + rest + bias == logit == _number(figure.locator(".logits .span b").text_content())
    *parts, total = (_number(each) for each in figure.locator(".sum dd").all_text_contents())
    assert sum(parts) == total == _number(figure.locator(".heat .span b").text_content())


def test_the_figure_answers_in_the_browser(visit: Visit, address: str) -> None:
    page = visit("/_stcore/health", wait=False)
    sent: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    figure = _open(page, address)
    assert sent, "the listener hears what the page sends"
    page.on("request", lambda request: sent.append(request.url))
    sent.clear()
    expect(figure.locator(".features h3")).to_have_text("Feature maps")
    assert "." in (figure.locator(".heat .span b").text_content() or "")
    _walks(figure)
    _chooses(page, figure)
    _takes_the_shade_away(figure)
    _draws_lines(figure)
    assert sent == [], "the server is asked nothing"
    _keeps_the_cell(page, figure)
    page.set_viewport_size({"width": 390, "height": 900})
    settle(page)
    _is_stacked(page, figure)


def _walks(figure: Locator) -> None:
    """Keys and pointer go from cell to cell."""
    photo, where = figure.locator(".photo"), figure.locator(".where")
    photo.focus()
    page = figure.page
    for key in ["Home"] + ["ArrowUp"] * 7:
        page.keyboard.press(key)
    expect(where).to_have_text("row 1, column 1")
    _adds_up(figure)
    for steps, (key, expected) in enumerate(
        [
            ("ArrowRight", "row 1, column 2"),
            ("ArrowDown", "row 2, column 2"),
            ("End", "row 2, column 10"),
            ("ArrowRight", "row 2, column 10"),
            ("ArrowLeft", "row 2, column 9"),
            ("ArrowUp", "row 1, column 9"),
            ("ArrowUp", "row 1, column 9"),
        ]
    ):
        page.keyboard.press(key)
        expect(where, f"step {steps}").to_have_text(expected)
        _adds_up(figure)
    expect(figure.get_by_role("status")).to_contain_text("Row 1, column 9.")
    for row, column in ((3, 4), (6, 0)):
        box = photo.bounding_box()
        assert box
        photo.click(position={"x": box["width"] * (column + 0.5) / 10, "y": box["height"] * (row + 0.5) / 7})
        expect(where).to_have_text(f"row {row + 1}, column {column + 1}")
        _adds_up(figure)
    figure.locator(".heat .cells").click(position={"x": 3, "y": 3})
    expect(where).to_have_text("row 1, column 1")


def _chooses(page: Page, figure: Locator) -> None:
    """Another class of the list is explained."""
    figure.locator(".list button").nth(2).focus()
    page.keyboard.press("Enter")
    chosen = figure.locator(".list button[aria-pressed=true]")
    expect(chosen).to_have_count(1)
    expect(chosen).to_be_focused()
    expect(figure.locator(".result dt")).to_contain_text(chosen.locator(".label").text_content() or "?")
    _adds_up(figure)


def _draws_lines(figure: Locator) -> None:
    """Lines link the patch with the same cell of every map."""
    ends = """root => {
        const flow = root.querySelector('.flow').getBoundingClientRect()
        const box = each => {
            const found = each.getBoundingClientRect()
            return { left: found.left - flow.left, right: found.right - flow.left,
                top: found.top - flow.top, bottom: found.bottom - flow.top }
        }
        const patch = box(root.querySelector('.photo .mark'))
        const marks = [...root.querySelectorAll('.rows .mark')].map(box)
        return [...root.querySelectorAll('.beam')].map((path, k) => {
            const [x, y, left, top, bottom] = path.getAttribute('d').match(/-?[\\d.]+/g).map(Number)
            return Math.max(...[x - patch.right, y - patch.top, left - marks[k].left, top - marks[k].top,
                bottom - marks[k].bottom].map(Math.abs))
        })
    }"""
    for key in ("End", "ArrowDown", "ArrowLeft"):
        figure.locator(".photo").press(key)
        distances = figure.locator(".root").evaluate(ends)
        assert len(distances) == 5
        assert max(distances) < 1.5


def _keeps_the_cell(page: Page, figure: Locator) -> None:
    """Another choice on the page, which the server answers, changes nothing in the figure."""
    figure.locator(".photo").press("Home")
    where = figure.locator(".where").text_content()
    figure.locator(".list button").nth(1).click()
    name = figure.locator(".result dt").text_content()
    page.locator(".st-key-lesson [data-testid=stCheckbox] label").first.click()
    settle(page)
    expect(page.locator(".st-key-lesson").get_by_role("switch").first).to_be_checked()
    expect(figure.locator(".where")).to_have_text(where or "?")
    expect(figure.locator(".result dt")).to_have_text(name or "?")


def _takes_the_shade_away(figure: Locator) -> None:
    expect(figure.locator(".veil")).to_be_visible()
    expect(figure.locator(".field")).to_contain_text("Half of what moves this cell")
    figure.get_by_role("checkbox").uncheck()
    expect(figure.locator(".veil")).to_be_hidden()
    figure.locator(".photo").press("ArrowRight")
    expect(figure.locator(".veil")).to_be_hidden()


def _is_stacked(page: Page, figure: Locator) -> None:
    """On a phone its parts are one below the other."""
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    tops = [
        (figure.locator(name).bounding_box() or {"y": 0})["y"] for name in (".seen", ".features", ".outcome")
    ]
    assert tops == sorted(tops) and len(set(tops)) == 3
    _adds_up(figure)


def test_a_phone_shows_it_in_french(visit: Visit, address: str) -> None:
    page = visit("/_stcore/health", 390, wait=False)
    figure = _open(page, address, lang="fr", picture="hens")
    _is_stacked(page, figure)
    assert "," in (figure.locator(".heat .span b").text_content() or "")
    expect(figure.locator(".features h3")).to_have_text("Cartes de caractéristiques")
