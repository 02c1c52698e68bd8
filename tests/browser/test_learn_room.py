"""A class in Chromium: whoever asks at a desk, two participants on phones, each in a browser of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.lesson.text import Question, read_lesson
from tests.browser.conftest import a_context, is_forbidden

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]

ORDER = next(
    block
    for lesson in read_lesson("en")
    for block in lesson.blocks
    if isinstance(block, Question) and block.name == "order"
)


@pytest.fixture
def phones(chromium_browser: Any, address: str) -> Iterator[Callable[..., Page]]:
    """Open pages on phones, each with cookies of its own."""
    contexts, faults = [], []

    def opened(path: str, scheme: str = "light") -> Page:
        context = a_context(
            chromium_browser,
            has_touch=True,
            is_mobile=True,
            viewport={"width": 390, "height": 844},
            color_scheme=scheme,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if is_forbidden(said.text) else None)
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def _whole(page: Page) -> None:
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


def test_two_phones_vote_and_the_page_of_the_teacher_counts(
    visit: Visit, phones: Callable[..., Page], address: str
) -> None:
    teacher = visit("/learn?step=room", wait=False)
    teacher.get_by_role("button", name="Open a room").click()
    code = teacher.locator(".lesson-room-code").inner_text()
    expect(teacher.locator(".lesson-room-address")).to_have_text(f"{address}/learn?room={code}")

    students = [phones(f"/learn?room={code}", scheme) for scheme in ("light", "dark")]
    for student in students:
        expect(student.get_by_text("Wait for the first question.")).to_be_visible()
    teacher.locator(".st-key-room-ask-order").get_by_role("button", name="Ask").click()

    for student, choice in zip(students, (ORDER.right, 0), strict=True):
        answers = student.locator(".st-key-room-student [role=radiogroup] label")
        expect(answers).to_have_count(3)
        assert answers.first.bounding_box()["height"] >= 44  # type: ignore[index]
        answers.nth(choice).tap()
        expect(student.locator(".st-key-room-student").get_by_text("Your vote counts")).to_be_visible()
        expect(student.get_by_role("progressbar")).to_have_count(0)
        _whole(student)
    expect(teacher.get_by_text("2 votes")).to_be_visible()
    students[1].locator(".st-key-room-student [role=radiogroup] label").nth(1).tap()
    bars = teacher.locator("[class*=st-key-room-votes] [data-testid=stProgress]")
    expect(bars.nth(0)).to_contain_text("· 0")
    expect(bars.nth(1)).to_contain_text("· 1 (50%)")
    expect(teacher.get_by_text("2 votes")).to_be_visible()

    teacher.get_by_role("button", name="Reveal the answer").press("Enter")
    expect(students[0].locator(".st-key-room-student").get_by_text("Correct.")).to_be_visible()
    for student in students:
        expect(student.locator(".st-key-room-student [data-testid=stProgress]")).to_have_count(3)
        expect(student.get_by_text(ORDER.answer)).to_be_visible()
        _whole(student)

    teacher.get_by_role("button", name="Close the room").click()
    teacher.get_by_role("button", name="Close it now").click()
    expect(teacher.get_by_role("button", name="Open a room")).to_be_visible()
    for student in students:
        expect(student.get_by_text(f"The room {code} is closed.")).to_be_visible()
