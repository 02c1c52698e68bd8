"""Read the slides, and find the way through them.

``slides.md`` stands beside the steps and opens as they do; ``goal`` is said on the page of the notes, and so is the
text above the first slide. Each slide begins with ``## `` and its heading. Below it stand

    [[slide NAME]]         its name, the same in all languages
    [[step NAME]]          the step of the lesson that it belongs to
    [[minutes NUMBER]]     how long it takes on the long path
    [[short NUMBER]]       how long on the short path; a slide without this is not on it
    [[beside]]             text to the left of the figures, not above them
    ...                    what the screen shows, with the marks of a step: see :mod:`app.lesson.text`
    [[reveal]]             what stands below this is shown when the presenter goes on
    [[notes]]              what to say
    [[mistake]]            what students usually get wrong here, and the answer to it

Figures that follow each other stand side by side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from app.lesson.choices import PATHS
from app.lesson.text import FOLDER, Block, Figure, Question, blocks_of, mark_of, opened

FILE = "slides.md"
_LONG, _SHORT = PATHS


@dataclass(frozen=True)
class Slide:
    """One screen.

    Attributes
    ----------
    number : int
        Its place in the whole deck, counted from 1.
    step : str
        Name of the step that it belongs to.
    minutes, short : int
        How long it takes on the long and on the short path; 0 if it is not on that path.
    beside : bool
        Whether the text stands to the left of the figures.
    blocks, hidden : tuple of Block
        What the screen shows at first, and what is revealed.
    notes, mistake : str
        Markdown for the speaker.
    """

    number: int
    name: str
    title: str
    step: str
    minutes: int
    short: int
    beside: bool
    blocks: tuple[Block, ...]
    hidden: tuple[Block, ...]
    notes: str
    mistake: str

    @property
    def question(self) -> str:
        """Name in the address of what is revealed; "" if nothing is."""
        asks = self.hidden or any(isinstance(block, Question) for block in self.blocks)
        return f"slide.{self.name}" if asks else ""

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of all its figures."""
        return tuple(block.name for block in self.blocks + self.hidden if isinstance(block, Figure))

    def minutes_on(self, path: str) -> int:
        """Return how long it takes on a path, 0 if it is not on it."""
        return self.minutes if path == _LONG else self.short


@dataclass(frozen=True)
class Position:
    """Where a presenter is: a slide, before or after its answer is revealed."""

    slide: int
    revealed: bool = False


@dataclass(frozen=True)
class Deck:
    """All slides of a language.

    Attributes
    ----------
    title, short, goal, intro : str
        Of the page with the speaker notes.
    """

    title: str
    short: str
    goal: str
    intro: str
    slides: tuple[Slide, ...]

    def at(self, number: int) -> Slide:
        """Return a slide by its number; the last one if there are not so many."""
        return self.slides[min(max(number, 1), len(self.slides)) - 1]

    def on(self, path: str) -> tuple[Slide, ...]:
        """Return the slides of a path."""
        return tuple(slide for slide in self.slides if slide.minutes_on(path))

    def of_step(self, step: str, path: str) -> Slide:
        """Return the slide at which to begin from a step: the first one of that step, or of one after it."""
        steps = [slide.step for slide in self.slides]
        if step not in steps:
            return self.slides[0]
        later = self.slides[steps.index(step) :]
        return next((slide for slide in later if slide.minutes_on(path)), self.slides[-1])

    def positions(self, path: str) -> tuple[Position, ...]:
        """Return all positions of a path in order: a slide with an answer has two."""
        return tuple(
            Position(slide.number, revealed)
            for slide in self.on(path)
            for revealed in ((False, True) if slide.question else (False,))
        )

    def before(self, slide: Slide, path: str) -> int:
        """Return the minutes of a path before a slide."""
        return sum(each.minutes_on(path) for each in self.slides[: slide.number - 1])


@cache
def read_deck(language: str) -> Deck:
    """Read the slides of a language."""
    return parse_deck((FOLDER / language / FILE).read_text(encoding="utf-8"))


def parse_deck(source: str) -> Deck:
    """Read slides.

    Raises
    ------
    ValueError
        A slide is not complete, or a mark is unknown; the message quotes it.
    """
    keys, body = opened(source)
    intro, *parts = re.split(r"^## ", body, flags=re.MULTILINE)
    slides = tuple(_slide(number, part) for number, part in enumerate(parts, start=1))
    return Deck(keys["title"], keys["short"], keys["goal"], intro.strip(), slides)


def _slide(number: int, part: str) -> Slide:
    title, *lines = part.splitlines()
    about: dict[str, str] = {}
    parts: dict[str, list[str]] = {"screen": []}
    now = "screen"
    for line in lines:
        mark, name = mark_of(line)
        if mark in ("slide", "step", "minutes", "short", "beside"):
            about[mark] = name
        elif mark in ("reveal", "notes", "mistake"):
            now = mark
            parts[now] = []
        else:
            parts[now].append(line)
    missing = [mark for mark in ("slide", "step", "minutes") if not about.get(mark)]
    missing += [mark for mark in ("notes", "mistake") if not "".join(parts.get(mark, ())).strip()]
    if missing:
        raise ValueError(
            f"Expected [[{missing[0]}]] with what belongs to it. Received a slide {title!r} without."
        )
    return Slide(
        number=number,
        name=about["slide"],
        title=title.strip(),
        step=about["step"],
        minutes=int(about["minutes"]),
        short=int(about.get("short", 0)),
        beside="beside" in about,
        blocks=blocks_of(parts["screen"]),
        hidden=blocks_of(parts.get("reveal", ())),
        notes="\n".join(parts["notes"]).strip(),
        mistake="\n".join(parts["mistake"]).strip(),
    )
