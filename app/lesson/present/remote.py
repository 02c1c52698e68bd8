"""What the presenter presses: keys, buttons, and the progress mark; the browser's part is `remote.js`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.lesson.choices import Learner
from app.lesson.language import current
from app.lesson.language import translated as _
from app.lesson.present.deck import Deck, Position, Slide, read_deck
from app.lesson.session import lesson_state


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


# Modules are loaded once per process, so the files are, too.
_component = st.components.v2.component(
    "fcn_remote", html=_beside(".html"), css=_beside(".css"), js=_beside(".js")
)


def draw(deck: Deck, slide: Slide, learner: Learner) -> None:
    """Draw the presenter's remote; draw it after the slide, because it tells the browser that the slide is complete."""
    positions = deck.positions(learner.path)
    place, places = place_on(deck, slide, learner.path)
    _component(
        key="lesson-remote",
        data=[  # a list: see app/ui/stage.py
            {
                "positions": [[each.slide, each.revealed] for each in positions],
                "at": index_of(positions, Position(slide.number, is_revealed(learner, slide))),
                "place": place,
                "places": places,
                "count": f"{place} / {places}",
                "notes": learner.notes,
                "words": _words(),
                "help": _help(),
            }
        ],
        on_wish_change=_obey,
    )


def place_on(deck: Deck, slide: Slide, path: str) -> tuple[int, int]:
    """Return the place of a slide on a path, counted from 1, and the number of slides of that path."""
    numbers = [each.number for each in deck.on(path)]
    return max(1, sum(number <= slide.number for number in numbers)), len(numbers)


def index_of(positions: tuple[Position, ...], here: Position) -> float:
    """Return the index of a position; between two of them for a slide that is not on the path."""
    if here in positions:
        return positions.index(here)
    return sum(each.slide < here.slide for each in positions) - 0.5


def is_revealed(learner: Learner, slide: Slide) -> bool:
    """Whether the answer of a slide is shown."""
    return bool(slide.question) and slide.question in learner.shown


def begin(step: str) -> None:
    """Begin to present, with the slide that belongs to a step."""
    record = lesson_state().choices
    slide = read_deck(current()).of_step(step, record.now.path)
    _move(Position(slide.number))
    record.choose(present=True)


def _obey() -> None:
    """Do what the browser asks; a browser may send a wish again that was obeyed before."""
    record, wish = lesson_state(), st.session_state["lesson-remote"].wish
    match wish:
        case [*_rest, int(time)] if time > record.wished:
            record.wished = time
        case _:
            return
    match wish:
        case ["go", int(number), bool(revealed), _]:
            _move(Position(number, revealed))
        case ["notes", _]:
            record.choices.choose(notes=not record.choices.now.notes)
        case ["leave", _]:
            leave()
        case _:
            pass


def _move(to: Position) -> None:
    record = lesson_state().choices
    slide = read_deck(current()).at(to.slide)
    shown = (*_shown_in_steps(record.now), *([slide.question] if to.revealed and slide.question else []))
    record.choose(slide=slide.number, shown=shown)


def leave() -> None:
    """End to present, and return to the step of the slide."""
    record = lesson_state().choices
    step = read_deck(current()).at(record.now.slide).step
    record.choose(present=False, notes=False, step=step, slide=1, shown=_shown_in_steps(record.now))


def _shown_in_steps(now: Learner) -> tuple[str, ...]:
    """Return the questions of the steps whose answer is shown, without those of slides."""
    return tuple(name for name in now.shown if not name.startswith("slide."))


def _words() -> dict[str, str]:
    return {
        "previous": _("Previous slide"),
        "next": _("Next slide"),
        "notes": _("Speaker notes"),
        "full": _("Full screen"),
        "help": _("Keys"),
        "leave": _("Leave present mode"),
        "progress": _("Slide"),
        "keys": _("Keys"),
    }


def _help() -> list[tuple[str, str]]:
    return [
        (_("→, Page Down, space"), _("next slide or answer")),
        (_("←, Page Up, Shift + space"), _("previous slide")),
        (_("Home, End"), _("first and last slide")),
        ("N", _("speaker notes")),
        ("F", _("full screen")),
        ("?", _("these keys")),
        ("Esc", _("leave")),
    ]
