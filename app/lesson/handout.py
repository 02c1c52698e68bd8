"""The lesson as one HTML file to print: text, figures, formulas and code, without a network."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template
from markdown_it import MarkdownIt

from app.lesson.frame import charts_style, right_answer
from app.lesson.language import translated_to
from app.lesson.text import Block, Figure, Lesson, Prose, Question, fill, parts_of
from fcn_core.system.folders import give_matplotlib_a_place

_FORMULA = re.compile(r"\$([^$]+)\$")


@dataclass(frozen=True)
class Asked:
    """A question of the lesson with the learner's numbers."""

    text: str
    answers: tuple[str, ...]
    right: int


def handout(
    language: str,
    text: Lesson,
    figures: Mapping[str, str],
    values: Mapping[str, str],
    asked: Sequence[Asked],
    computed_with: str,
) -> str:
    """Return self-contained HTML of the handout, which prints on four pages.

    Parameters
    ----------
    language : str
    text : Lesson
        Of the handout, see :func:`app.lesson.text.read_handout`.
    figures : mapping of str to str
        HTML by name.
    values : mapping of str to str
        Live values.
    asked : sequence of Asked
        Questions for the last page.
    computed_with : str
        The software that computed the numbers, with versions.
    """
    return _template().render(
        lesson=text, blocks=[_filled(block, values) for block in text.blocks], figures=figures, asked=asked,
        computed_with=computed_with, charts=charts_style(), lang=language, _=partial(translated_to, language),
    )  # fmt: skip


def questions(lessons: Iterable[Lesson], values: Mapping[str, str]) -> list[Asked]:
    """Return the questions of all steps with the learner's numbers."""
    found = []
    for lesson in lessons:
        for block in lesson.blocks:
            if isinstance(block, Question):
                answers = tuple(fill(choice, values) for choice in block.choices)
                found.append(Asked(fill(block.text, values), answers, right_answer(block, answers, values)))
    return found


def _filled(block: Block, values: Mapping[str, str]) -> Block:
    match block:
        case Prose(text):
            return Prose(fill(text, values))
        case Figure(name, caption):
            return Figure(name, fill(caption, values))
        case _:
            return block


@cache
def _template() -> Template:
    folder = Path(__file__).parent
    jinja = Environment(loader=FileSystemLoader(folder), autoescape=True)
    jinja.filters.update(
        kind=lambda block: type(block).__name__,
        markdown=markdown,
        inline=inline,
        formula=formula,
    )
    return jinja.get_template("handout.html")


def markdown(text: str) -> str:
    """Return HTML of Markdown with formulas between ``$``; headings become one level lower."""
    tokens = _parser().parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1:]) + 1}"
    return str(_parser().renderer.render(tokens, _parser().options, {}))


def inline(text: str) -> str:
    """Return HTML of a line of Markdown, without a paragraph around it."""
    return str(_parser().renderInline(text))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    parser.inline.ruler.before("escape", "formula", _read_formula)
    parser.add_render_rule("formula", _draw_formula)
    return parser


def _read_formula(state: Any, silent: bool) -> bool:
    found = _FORMULA.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("formula", "", 0).content = found[1]
    state.pos = found.end()
    return True


def _draw_formula(_: Any, tokens: Sequence[Any], index: int, *__: Any) -> str:
    return f'<span class="m">{formula(tokens[index].content, 11)}</span>'


def formula(latex: str, points: float = 13) -> str:
    """Draw a formula as SVG, with its LaTeX as the description for screen readers."""
    give_matplotlib_a_place()
    from matplotlib import mathtext, rc_context
    from matplotlib.font_manager import FontProperties

    found = []
    for row in parts_of(latex):
        buffer = io.BytesIO()
        with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "lesson"}):
            mathtext.math_to_image(
                f"${_supported(row)}$", buffer, FontProperties(size=points), dpi=72, format="svg"
            )
        drawn = buffer.getvalue().decode()
        drawn = drawn[drawn.index("<svg") :]
        found.append(re.sub("<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL))
    text = escape(latex.strip())
    return f'<span role="img" aria-label="{text}" title="{text}">{"&emsp;".join(found)}</span>'


def _supported(latex: str) -> str:
    """Remove or replace what matplotlib's formulas do not support: braces with text below, sizes of brackets."""
    latex = re.sub(r"\\underbrace\{(.*?)\}_\{\\text\{.*?\}\}", r"\1", latex)
    latex = re.sub(r"\\(Big|big)\b", "", latex)
    latex = re.sub(r"\\text\{(.*?)\}", lambda m: r"\mathrm{" + m[1].replace(" ", r"\ ") + "}", latex)
    return re.sub(r"\\!", "", latex).strip()
