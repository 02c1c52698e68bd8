"""The handout is one complete HTML file."""

from __future__ import annotations

import re

import pytest

from app.lesson.handout import formula, handout, inline, markdown
from app.lesson.text import CheckBlock, Code, Figure, Formula, Lesson, Prose, Question, Snippet, read_lesson

LESSONS = read_lesson("en")


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


def test_every_formula_can_be_drawn() -> None:
    for each in LESSONS:
        for block in each.blocks:
            if isinstance(block, Formula):
                drawn = formula(block.latex)
                assert "<svg" in drawn
                assert "aria-label" in drawn


def test_the_handout_loads_nothing() -> None:
    html = handout(
        [(each, [b for b in each.blocks if not isinstance(b, Figure | Code)]) for each in LESSONS], "NumPy 2"
    )
    assert html.count("<section>") == len(LESSONS) + 1
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", html) == []
    assert "<script" not in html
    for each in LESSONS:
        assert each.title in html
        for block in each.blocks:
            if isinstance(block, Question):
                assert markdown(block.answer) in html


def test_every_kind_of_block_is_in_the_handout() -> None:
    blocks = [
        Prose("Some *prose*."),
        Formula("a + b"),
        Figure('<svg id="drawn"></svg>', "A <caption>."),
        Snippet("Before", "", "a < b"),
        CheckBlock("Check passed.", "The **claim**."),
        Question("why", "Why & how?", ("this", "that"), 1, "Because."),
    ]
    html = handout([(Lesson("3", "Title & more", "short", "Goal", ()), blocks)], "NumPy 2")
    for part in (
        "<em>prose</em>",
        'aria-label="a + b"',
        '<svg id="drawn"></svg>',
        "A &lt;caption&gt;.",
        "<pre>a &lt; b</pre>",
        "<strong>Check passed.</strong> The <strong>claim</strong>.",
        "<li>this</li><li>that</li>",
        "<h3>short: B</h3>",
        "Title &amp; more",
        "Why &amp; how?",
        "A lesson in 1 steps. When this page was made, NumPy 2.",
    ):
        assert part in html, part
