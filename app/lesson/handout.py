"""The lesson as one page for paper: the same text, the figures as they are, formulas as drawings, no network."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape

from app.lesson.text import Block, Figure, Formula, Lesson, Proof, Prose, Question, Snippet, parts_of
from fcn_core.system.folders import give_matplotlib_a_place

_STYLE = """
@page { size: A4; margin: 2cm; }
body { font: 11pt/1.55 Georgia, "Times New Roman", serif; color: #1c1f24; background: #fff; max-width: 42rem;
  margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3, h4 { font-family: system-ui, sans-serif; line-height: 1.25; break-after: avoid; }
section { break-before: page; }
.goal, figcaption, .caption, caption { color: #555; font-size: .9em; }
.formula { text-align: center; margin: 1.2em 0; }
.formula svg { max-width: 100%; height: auto; }
.m svg { vertical-align: middle; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2em 0 .3em; break-inside: avoid; overflow-x: auto; }
.figures figure { margin: 0; flex: 1 1 8rem; }
.figures img, .figures svg { width: 100%; height: auto; display: block; max-height: 11cm; }
table { border-collapse: collapse; font: .85em system-ui, sans-serif; font-variant-numeric: tabular-nums; }
td, th { border-bottom: 1px solid #ddd; padding: .2em .6em; text-align: left; }
.bars { flex: 1 1 14rem; } .bars .bar { width: 40%; } .bars i { display: block; height: .7em; background: #8a94a6; }
.question, .check { border: 1px solid #ccc; border-radius: 6px; padding: .6em 1em; margin: 1.2em 0;
  break-inside: avoid; }
.question ol { list-style: upper-alpha; }
pre { background: #f5f5f3; padding: .7em 1em; font-size: 8.5pt; line-height: 1.4; white-space: pre-wrap;
  border-radius: 4px; }
code { font-size: .92em; }
"""


def handout(parts: Sequence[tuple[Lesson, Sequence[Block]]], computed_with: str) -> str:
    """Give self-contained HTML of the lesson.

    Parameters
    ----------
    parts : sequence of (Lesson, blocks)
        Every step with its blocks as drawn, see `frame.draw`.
    computed_with : str
        What ran the network and what did the rest, with versions.
    """
    answers: list[str] = []
    body = "".join(_step(lesson, blocks, answers) for lesson, blocks in parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Where does the network see it? A lesson</title>'
        f"<style>{_STYLE}</style></head><body><h1>Where does the network see it?</h1>"
        f'<p class="goal">A lesson in {len(parts)} steps. When this page was made, '
        f"{escape(computed_with)}.</p>{body}<section><h2>Answers</h2>{''.join(answers)}</section></body></html>"
    )


def _step(lesson: Lesson, blocks: Sequence[Block], answers: list[str]) -> str:
    inner = "".join(_block(block, lesson.number, answers) for block in blocks)
    return (
        f"<section><h2>{lesson.number}&ensp;{escape(lesson.title)}</h2>"
        f'<p class="goal"><em>{escape(lesson.goal)}</em></p>{inner}</section>'
    )


def _block(block: Block, number: int, answers: list[str]) -> str:
    match block:
        case Prose(text):
            return markdown(text)
        case Formula(latex):
            return f'<div class="formula">{formula(latex)}</div>'
        case Figure(html, caption):
            return f'<div class="figures">{html}</div><div class="caption">{markdown(caption)}</div>'
        case Snippet(name, _, code):
            return f'<p class="caption">{escape(name)}</p><pre>{escape(code)}</pre>'
        case Proof(word, claim):
            return f'<div class="check">{markdown(f"**{word}** {claim}")}</div>'
        case Question(text, choices, right, answer):
            listed = "".join(f"<li>{inline(choice)}</li>" for choice in choices)
            answers.append(f"<h3>Step {number}: {chr(65 + right)}</h3>{markdown(answer)}")
            return (
                f'<div class="question"><strong>Predict first</strong>{markdown(text)}<ol>{listed}</ol></div>'
            )
        case _:
            return ""


def markdown(text: str) -> str:
    """Turn the lesson's kind of Markdown into HTML: headings, paragraphs, lists, emphasis, code, formulas."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip()):
        heading = re.fullmatch(r"(#{2,4}) (.+)", part)
        if heading:
            level = len(heading[1]) + 1
            found.append(f"<h{level}>{inline(heading[2])}</h{level}>")
        elif part.startswith("- "):
            items = re.split(r"\n?^- ", part, flags=re.MULTILINE)[1:]
            found.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
        elif part:
            found.append(f"<p>{inline(part)}</p>")
    return "".join(found)


def inline(text: str) -> str:
    """Turn emphasis, code and formulas within a line into HTML."""
    pieces = re.split(r"(`[^`]+`|\$[^$]+\$)", text)
    found = []
    for piece in pieces:
        if piece.startswith("`") and len(piece) > 1:
            found.append(f"<code>{escape(piece[1:-1])}</code>")
        elif piece.startswith("$") and len(piece) > 1:
            found.append(f'<span class="m">{formula(piece[1:-1], 11)}</span>')
        else:
            safe = escape(piece, quote=False)
            safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe, flags=re.DOTALL)
            found.append(re.sub(r"\*(.+?)\*", r"<em>\1</em>", safe, flags=re.DOTALL))
    return "".join(found)


def formula(latex: str, points: float = 13) -> str:
    """Draw a formula as SVG, its LaTeX as the words for those who cannot see it."""
    give_matplotlib_a_place()
    from matplotlib import mathtext, rc_context
    from matplotlib.font_manager import FontProperties

    found = []
    for row in parts_of(latex):
        buffer = io.BytesIO()
        with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "lesson"}):
            mathtext.math_to_image(
                f"${_plain(row)}$", buffer, FontProperties(size=points), dpi=72, format="svg"
            )
        drawn = buffer.getvalue().decode()
        drawn = drawn[drawn.index("<svg") :]
        found.append(re.sub("<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL))
    said = escape(latex.strip())
    return f'<span role="img" aria-label="{said}" title="{said}">{"&emsp;".join(found)}</span>'


def _plain(latex: str) -> str:
    """Leave out what matplotlib's formulas do not know: braces with words below, sizes of brackets."""
    latex = re.sub(r"\\underbrace\{(.*?)\}_\{\\text\{.*?\}\}", r"\1", latex)
    latex = re.sub(r"\\(Big|big)\b", "", latex)
    latex = re.sub(r"\\text\{(.*?)\}", lambda m: r"\mathrm{" + m[1].replace(" ", r"\ ") + "}", latex)
    return re.sub(r"\\!", "", latex).strip()
