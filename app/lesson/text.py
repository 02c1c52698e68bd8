"""Read the lesson's text: Markdown files with marks for figures, code, checks and questions.

A file opens with lines ``key: value`` between two ``---``. After that it is Markdown, with

    $$ ... $$                         a formula, on lines of its own
    [[figure NAME]]                   a figure; the lines "> ..." below it are its caption
    [[code fcn_core.module.name]]     the source of that function or class
    [[check NAME]]                    a check with its error; the lines "> ..." below it say what is compared
    [[question NAME]] ... [[answer]] ... [[end]]
                                      a question with "- [ ]" choices, "- [x]" the right one, and its answer; with
                                      [[answer VALUE]] the right one is the choice that equals this live value
    [[exercise NAME]] ... [[hint]] ... [[answer]] ... [[end]]
                                      an exercise: its title, a line "## ...", the statement, hints, and the explanation
    ```python before  or  ```python after
                                      code as it was, and as it is written today

``{{name}}`` stands for a live value. The files of each language are in a folder of their own, under the same names.
Teachers can edit or translate them without changing code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from fcn_core.system.assets import asset

FOLDER = asset("lesson")
LANGUAGES: Mapping[str, str] = {"en": "English", "fr": "Français"}
UNKNOWN = "…"
APPENDIX = "since-2020"
EXERCISES = "exercises"

_MARK = re.compile(r"\[\[(\w+)(?: ([\w.]+))?\]\]\s*")
_VALUE = re.compile(r"\{\{(\w+)\}\}")
_SNIPPET = re.compile(r"```python (before|after) ?(\w*)")
_CHOICE = re.compile(r"- \[([ x])\] (.*)")


@dataclass(frozen=True)
class Prose:
    """Markdown to show unchanged."""

    text: str


@dataclass(frozen=True)
class Formula:
    """LaTeX of a displayed formula."""

    latex: str


@dataclass(frozen=True)
class Figure:
    """A place for a figure, by name."""

    name: str
    caption: str


@dataclass(frozen=True)
class Code:
    """A place for the source of a function or class."""

    name: str


@dataclass(frozen=True)
class CheckBlock:
    """A place for a check, by name."""

    name: str
    claim: str


@dataclass(frozen=True)
class Question:
    """A question with choices, whose answer is revealed on request.

    Attributes
    ----------
    name : str
        Its name in the learner's address, the same in all languages.
    right : int
        The right choice, counted from 0; -1 if it depends on the picture.
    depends : str
        The live value that the right choice equals, if it depends on the picture.
    """

    name: str
    text: str
    choices: tuple[str, ...]
    right: int
    answer: str
    depends: str = ""


@dataclass(frozen=True)
class Task:
    """The text of an exercise; its inputs and right answers are in `app/lesson/exercises`."""

    name: str
    title: str
    text: str
    hints: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Snippet:
    """Lines of code as they were ("before") or are today ("after"); `needs` names a package they import."""

    when: str
    needs: str
    code: str


Block = Prose | Formula | Figure | Code | CheckBlock | Question | Task | Snippet


@dataclass(frozen=True)
class Lesson:
    """One step of the lesson.

    Attributes
    ----------
    name : str
        Number of the step, or the name of an appendix; its name in the address.
    """

    name: str
    title: str
    short: str
    goal: str
    blocks: tuple[Block, ...]

    @property
    def questions(self) -> tuple[str, ...]:
        """Names of its questions."""
        return tuple(block.name for block in self.blocks if isinstance(block, Question))


@cache
def read_lesson(language: str) -> tuple[Lesson, ...]:
    """Read all steps in the order of their file names, and the appendix."""
    folder = FOLDER / language
    paths = {path.name.partition("-")[0]: path for path in sorted(folder.glob("[0-9]*.md"))}
    paths[APPENDIX] = folder / f"{APPENDIX}.md"
    return tuple(parse(path.read_text(encoding="utf-8"), name) for name, path in paths.items())


@cache
def read_handout(language: str) -> Lesson:
    """Read the text of the handout."""
    return parse((FOLDER / language / "handout.md").read_text(encoding="utf-8"), "handout")


@cache
def read_exercises(language: str) -> Lesson:
    """Read the exercises."""
    return parse((FOLDER / language / f"{EXERCISES}.md").read_text(encoding="utf-8"), EXERCISES)


def parse(source: str, name: str = "1") -> Lesson:
    """Read one step.

    Raises
    ------
    ValueError
        A mark is unknown, or a question is incomplete; the message quotes the line.
    """
    keys, body = opened(source)
    return Lesson(name, keys["title"], keys["short"], keys["goal"], blocks_of(body.splitlines()))


def opened(source: str) -> tuple[dict[str, str], str]:
    """Split a file into the keys with which it opens, and the rest."""
    _, head, body = source.split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.strip().splitlines()), body


def mark_of(line: str) -> tuple[str, str]:
    """Return what a line marks and its name, as ``("figure", "grid")``; twice "" if it is no mark."""
    mark = _MARK.fullmatch(line)
    return (mark[1], mark[2] or "") if mark else ("", "")


def blocks_of(lines: Sequence[str]) -> tuple[Block, ...]:
    """Read lines of Markdown with marks.

    Raises
    ------
    ValueError
        A mark is unknown, or a question is incomplete; the message quotes the line.
    """
    lines = list(lines)
    blocks: list[Block] = []
    prose: list[str] = []

    def close() -> None:
        text = "\n".join(prose).strip()
        if text:
            blocks.append(Prose(text))
        prose.clear()

    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        mark = _MARK.fullmatch(line)
        if snippet := _SNIPPET.fullmatch(line):
            close()
            end = lines.index("```", i)
            blocks.append(Snippet(snippet[1], snippet[2], "\n".join(lines[i:end])))
            i = end + 1
        elif line.strip() == "$$":
            close()
            end = lines.index("$$", i)
            blocks.append(Formula("\n".join(lines[i:end])))
            i = end + 1
        elif mark is None:
            prose.append(line)
        elif mark[1] in ("figure", "check"):
            close()
            below: list[str] = []
            while i < len(lines) and lines[i].startswith(">"):
                below.append(lines[i][1:].strip())
                i += 1
            caption = " ".join(below)
            blocks.append((Figure if mark[1] == "figure" else CheckBlock)(mark[2], caption))
        elif mark[1] == "code":
            close()
            blocks.append(Code(mark[2]))
        elif mark[1] in ("question", "exercise"):
            close()
            end = lines.index("[[end]]", i)
            blocks.append((_question if mark[1] == "question" else _task)(mark[2] or "", lines[i:end]))
            i = end + 1
        else:
            raise ValueError(f"Expected figure, code, check, question or exercise. Received: {line!r}")
    close()
    return tuple(blocks)


def _question(name: str, lines: list[str]) -> Question:
    marks = [
        (n, mark[2] or "")
        for n, line in enumerate(lines)
        if (mark := _MARK.fullmatch(line)) and mark[1] == "answer"
    ]
    if not name or len(marks) != 1:
        raise ValueError(f"Expected a name and [[answer]] in the question {' '.join(lines).strip()[:60]!r}.")
    middle, depends = marks[0]
    choices = [found for line in lines[:middle] if (found := _CHOICE.fullmatch(line.strip()))]
    right = [n for n, choice in enumerate(choices) if choice[1] == "x"]
    if len(right) != (0 if depends else 1):
        raise ValueError(
            f"Expected one choice marked [x], or none and [[answer VALUE]]. Received {len(right)} in {lines[0]!r}."
        )
    text = "\n".join(line for line in lines[:middle] if not _CHOICE.fullmatch(line.strip()))
    return Question(
        name, text.strip(), tuple(c[2] for c in choices), right[0] if right else -1,
        "\n".join(lines[middle + 1 :]).strip(), depends,
    )  # fmt: skip


def _task(name: str, lines: list[str]) -> Task:
    parts, names = [list[str]()], [""]
    for line in lines:
        if (mark := _MARK.fullmatch(line)) and mark[1] in ("hint", "answer"):
            names.append(mark[1])
            parts.append([])
        else:
            parts[-1].append(line)
    texts = ["\n".join(part).strip() for part in parts]
    title, _, text = texts[0].partition("\n")
    if not name or not title.startswith("## ") or names[-1] != "answer" or names.count("answer") != 1:
        raise ValueError(
            f"Expected a name, a title and [[answer]] in the exercise {' '.join(lines).strip()[:60]!r}."
        )
    return Task(name, title.removeprefix("## "), text.strip(), tuple(texts[1:-1]), texts[-1])


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the names of live values by their values; unknown values show as an ellipsis."""
    return _VALUE.sub(lambda found: values.get(found[1], UNKNOWN), text)


def names_of(block: Block) -> frozenset[str]:
    """Return the names of the live values in a block."""
    match block:
        case Prose(text):
            texts: tuple[str, ...] = (text,)
        case Figure(_, caption) | CheckBlock(_, caption):
            texts = (caption,)
        case Question(_, text, choices, _, answer, depends):
            texts = (text, *choices, answer, f"{{{{{depends}}}}}" if depends else "")
        case Task(_, title, text, hints, answer):
            texts = (title, text, *hints, answer)
        case _:
            texts = ()
    return frozenset(name for text in texts for name in _VALUE.findall(text))


def parts_of(latex: str) -> list[str]:
    """Split a line of formulas at its wide spaces; on a narrow screen the parts wrap."""
    return [part.strip() for part in latex.replace("\n", " ").split(r"\qquad") if part.strip()]
