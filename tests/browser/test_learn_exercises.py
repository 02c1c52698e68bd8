"""The exercises in Chromium: type, check, take a hint, hand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.lesson.exercises.score import read
from tests.browser.lesson import settle

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]


def test_an_exercise_is_solved_and_handed_in(visit: Visit, tmp_path: Path) -> None:
    page = visit("/learn?step=exercises", wait=False)
    exercise = page.locator(".st-key-exercise-lines")
    exercise.get_by_role("textbox").fill("C, F")
    exercise.get_by_role("button", name="Check").click()
    expect(exercise.get_by_text("but line F, which makes it")).to_be_visible()
    exercise.get_by_role("button", name="Hint 1 of 2").press("Enter")
    expect(exercise.get_by_text("Worth 3 points")).to_be_visible()
    exercise.get_by_role("textbox").fill("F, C, E, A, D")
    exercise.get_by_role("button", name="Check").click()
    expect(exercise.get_by_text("Solved: 3 of 4 points")).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    page.get_by_role("textbox", name="Your name").fill("Zoë")
    page.get_by_role("textbox", name="Your name").press("Enter")
    button = page.get_by_role("button", name="Download the score")
    expect(button).to_be_enabled()
    settle(page)  # a new run replaces the file
    assert "typed=" in page.url and "Zo" not in page.url
    with page.expect_download() as download:
        button.click()
    path = tmp_path / "exercises.json"
    download.value.save_as(path)
    score = read(path.read_bytes(), path.name)
    assert score.unchanged
    assert (score.row["name"], score.row["points"], score.row["lines"]) == ("Zoë", 3, 3)
    assert json.loads(path.read_text(encoding="utf-8"))["exercises"][2]["answers"] == {
        "order": "F, C, E, A, D"
    }


def test_the_exercises_fit_on_a_phone(phone: Page, address: str) -> None:
    page = phone
    page.goto(f"{address}/learn?step=exercises&lang=fr&typed=heat.synset:n04524313&helped=heat.1,gaps.2")
    expect(page.locator(".st-key-exercise-heat img")).to_be_visible()
    expect(page.locator(".st-key-exercise-resized")).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
