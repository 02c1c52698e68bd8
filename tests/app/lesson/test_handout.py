"""The handout is one complete HTML file."""

from __future__ import annotations

import re

import pytest

from app.lesson.handout import Asked, formula, handout, inline, markdown, questions
from app.lesson.text import LANGUAGES, Figure, Formula, Lesson, Prose, Question, read_handout, read_lesson


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("## One", "<h3>One</h3>\n"),
        ("#### Four", "<h5>Four</h5>\n"),
        ("two **three** *four*", "<p>two <strong>three</strong> <em>four</em></p>\n"),
        ("`a<b`", "<p><code>a&lt;b</code></p>\n"),
        ("`$x$`", "<p><code>$x$</code></p>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("5 $ and no more", "<p>5 $ and no more</p>\n"),
    ],
)
def test_markdown_becomes_html(source: str, html: str) -> None:
    assert markdown(source) == html


@pytest.mark.parametrize("source", ["let $x_i^2$ be", "**$x_i^2$**", "- $x_i^2$"])
def test_formulas_within_a_line_are_drawn(source: str) -> None:
    html = markdown(source)
    assert html.count('<span class="m"><span role="img" aria-label="x_i^2"') == 1
    assert "$" not in html
    assert "<em>" not in html


def test_a_line_has_no_paragraph() -> None:
    assert inline("<b> *c*") == "&lt;b&gt; <em>c</em>"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_formula_can_be_drawn(language: str) -> None:
    for each in (*read_lesson(language), read_handout(language)):
        for block in each.blocks:
            if isinstance(block, Formula):
                drawn = formula(block.latex)
                assert "<svg" in drawn
                assert "aria-label" in drawn


def test_the_handout_loads_nothing() -> None:
    html = handout("en", read_handout("en"), {}, {}, [], "NumPy 2")
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", html) == []
    assert "<script" not in html


def test_every_kind_of_block_is_in_the_handout() -> None:
    blocks = (
        Prose("Some *prose* of {{name}}."),
        Formula("a + b"),
        Figure("drawn", "A <caption> of {{name}}."),
    )
    asked = [Asked("Why & how?", ("this", "that"), 1), Asked("Who?", ("a", "b", "c"), 2)]
    html = handout(
        "en", Lesson("handout", "Title & more", "short", "Goal", blocks), {"drawn": '<svg id="drawn"></svg>'},
        {"name": "Chelsea"}, asked, "NumPy 2",
    )  # fmt: skip
    for part in (
        "<em>prose</em> of Chelsea",
        'aria-label="a + b"',
        '<svg id="drawn"></svg>',
        "A &lt;caption&gt; of Chelsea.",
        "<li>this</li><li>that</li>",
        "1&nbsp;B&ensp;2&nbsp;C</p>",
        "Title &amp; more",
        "Why &amp; how?",
        "When this page was made, NumPy 2.",
    ):
        assert part in html, part


def test_the_right_answer_may_be_that_of_the_picture() -> None:
    depends = Question("scales", "Which?", ("{{first}}", "{{last}}"), -1, "Because.", "best")
    asked = questions(
        [Lesson("6", "T", "s", "g", (depends,))], {"first": "200", "last": "1600", "best": "1600"}
    )
    assert asked == [Asked("Which?", ("200", "1600"), 1)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_figures_of_the_handout_are_those_of_the_lesson(language: str) -> None:
    lessons = read_lesson(language)
    names = {block.name for each in lessons for block in each.blocks if isinstance(block, Figure)}
    used = [block.name for block in read_handout(language).blocks if isinstance(block, Figure)]
    assert set(used) <= names and len(used) == len(set(used))
