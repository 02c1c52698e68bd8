"""The slides: their text in both languages, the ways through them, and every one of them drawn."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from app.lesson import choices
from app.lesson.choices import PATHS
from app.lesson.pictures import SHOWN
from app.lesson.present import remote
from app.lesson.present.deck import Position, Slide, parse_deck, read_deck
from app.lesson.present.figures import FIGURES, WHERE
from app.lesson.text import LANGUAGES, UNKNOWN, Formula, Question, fill, read_lesson
from fcn_core.networks.zoo import find_weights, model_spec
from tests.app.lesson.page import opened

DECK = read_deck("en")
LONG, SHORT = PATHS

SLIDE = """---
title: t
short: s
goal: g
---
Hello.

## A heading
[[slide one]]
[[step 1]]
[[minutes 2]]
Text.
[[reveal]]
[[figure grid]]
> Below.
[[notes]]
Say it.
[[mistake]]
"It is not so." It is.
"""


# The text


def test_a_slide_is_read_with_all_its_parts() -> None:
    deck = parse_deck(SLIDE)
    (slide,) = deck.slides
    assert (deck.title, deck.intro) == ("t", "Hello.")
    assert (slide.title, slide.name, slide.step, slide.minutes, slide.short) == (
        "A heading",
        "one",
        "1",
        2,
        0,
    )
    assert (slide.notes, slide.mistake, slide.beside) == ("Say it.", '"It is not so." It is.', False)
    assert slide.figures == ("grid",)
    assert slide.question == "slide.one"
    assert not parse_deck(SLIDE.replace("[[reveal]]\n", "")).slides[0].question


@pytest.mark.parametrize(
    "mark",
    [
        "[[slide one]]\n",
        "[[step 1]]\n",
        "[[minutes 2]]\n",
        "[[notes]]\nSay it.\n",
        '"It is not so." It is.\n',
    ],
)
def test_a_slide_that_is_not_complete_is_named(mark: str) -> None:
    with pytest.raises(ValueError, match=r"Expected \[\[.*'A heading'"):
        parse_deck(SLIDE.replace(mark, ""))


def test_an_unknown_mark_is_named() -> None:
    with pytest.raises(ValueError, match="Expected figure"):
        parse_deck(SLIDE.replace("Text.", "[[picture dog]]"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_minutes_of_each_path_add_up(language: str) -> None:
    deck = read_deck(language)
    for path in PATHS:
        assert sum(slide.minutes_on(path) for slide in deck.on(path)) == int(path)
        last = deck.on(path)[-1]
        assert deck.before(last, path) + last.minutes_on(path) == int(path)
    assert len(deck.on(LONG)) == len(deck.slides) > len(deck.on(SHORT)) > 5


def _skeleton(slide: Slide) -> object:
    """What must be the same in all languages."""
    blocks = tuple(type(block).__name__ for block in slide.blocks + slide.hidden)
    formulas = tuple(block.latex for block in slide.blocks if isinstance(block, Formula))
    questions = tuple((b.name, b.right, len(b.choices)) for b in slide.blocks if isinstance(b, Question))
    about = (slide.name, slide.step, slide.minutes, slide.short, slide.beside, slide.question)
    return about, slide.figures, blocks, formulas, questions


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_have_the_same_slides(language: str) -> None:
    assert [_skeleton(slide) for slide in read_deck(language).slides] == [_skeleton(s) for s in DECK.slides]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slide_has_one_idea_and_few_words(language: str) -> None:
    steps = [lesson.name for lesson in read_lesson(language)]
    names = [slide.name for slide in read_deck(language).slides]
    assert len(set(names)) == len(names)
    places = [steps.index(slide.step) for slide in read_deck(language).slides]
    assert places == sorted(places)
    for slide in read_deck(language).slides:
        assert set(slide.figures) <= FIGURES.keys()
        assert len(fill(slide.title, {})) <= 60, slide.title
        assert len(slide.figures) <= 2
        assert slide.figures or any(isinstance(block, Formula) for block in slide.blocks)
        assert 20 < len(slide.notes.split()) < 90, slide.name
        assert slide.mistake.startswith(('"', "«")), slide.name


def test_every_sample_has_its_question() -> None:
    assert WHERE.keys() == set(SHOWN.values())


# The way


def test_the_short_path_leaves_slides_out() -> None:
    on_long, on_short = DECK.positions(LONG), DECK.positions(SHORT)
    assert set(on_short) < set(on_long)
    asking = [slide.number for slide in DECK.slides if slide.question]
    assert [each.slide for each in on_long if each.revealed] == asking
    for path in PATHS:
        each = [(position.slide, position.revealed) for position in DECK.positions(path)]
        assert each == sorted(each)


def test_a_slide_that_is_not_on_the_path_lies_between_two_that_are() -> None:
    left_out = next(slide for slide in DECK.slides if not slide.short)
    positions = DECK.positions(SHORT)
    at = remote.index_of(positions, Position(left_out.number))
    assert positions[int(at)].slide < left_out.number < positions[int(at) + 1].slide
    assert at % 1 == 0.5
    place, places = remote.place_on(DECK, left_out, SHORT)
    assert DECK.on(SHORT)[place - 1].number < left_out.number < DECK.on(SHORT)[place].number
    assert places == len(DECK.on(SHORT))


@pytest.mark.parametrize("path", PATHS)
def test_presenting_begins_with_the_step(path: str) -> None:
    for step in {slide.step for slide in DECK.slides}:
        slide = DECK.of_step(step, path)
        assert int(slide.step) >= int(step)
        assert slide.minutes_on(path)
        assert all(int(s.step) < int(step) or not s.minutes_on(path) for s in DECK.slides[: slide.number - 1])
    assert DECK.of_step("glossary", path) == DECK.slides[0]


def test_a_number_that_is_too_high_is_the_last_slide() -> None:
    assert DECK.at(99) == DECK.slides[-1]
    assert choices.read({"slide": "0"})[1] == ("slide=0",)
    assert choices.read({"slide": "100"})[1] == ("slide=100",)
    assert choices.read({"path": "30"})[1] == ("path=30",)


def test_a_position_has_an_address() -> None:
    slide = next(slide for slide in DECK.slides if slide.question)
    now = replace(
        choices.plain(), present=True, slide=slide.number, shown=(slide.question,), path=SHORT, notes=True
    )
    assert choices.read(choices.write(now)) == (now, ())
    assert remote.is_revealed(now, slide)


# Drawn

weights = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)


def _said(app: AppTest) -> list[str]:
    return [each.value for each in (*app.title, *app.markdown, *app.caption, *app.subheader)]


@weights
@pytest.mark.parametrize(("picture", "language"), [("dog", "en"), ("cow", "fr")])
@pytest.mark.parametrize("slide", DECK.slides, ids=lambda slide: slide.name)
def test_a_slide_is_drawn(slide: Slide, picture: str, language: str) -> None:
    query = {"present": "1", "slide": str(slide.number), "picture": picture, "lang": language, "notes": "1"}
    app = opened(**query, **({"shown": slide.question} if slide.question else {}))
    assert len(app.title) == 1
    said = " ".join(_said(app))
    assert UNKNOWN not in said
    assert not re.search(r"\{\{|\[\[", said)
    if not slide.title.startswith("{{"):
        values = re.split(r"\{\{\w+\}\}", read_deck(language).at(slide.number).title)
        assert all(part in app.title[0].value for part in values)


@weights
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notes_are_a_page(path: str, language: str) -> None:
    app = opened(step="notes", path=path, lang=language)
    deck = read_deck(language)
    assert app.title[0].value == deck.title
    assert len(app.subheader) == len(deck.on(path))
    said = " ".join(_said(app))
    assert UNKNOWN not in said
    assert f"{len(deck.on(path))} " in said
    for slide in deck.on(path):
        assert f"slide={slide.number}" in said or slide.number == 1


@weights
def test_a_question_waits_for_the_room() -> None:
    slide = next(s for s in DECK.slides if any(isinstance(block, Question) for block in s.blocks))
    (question,) = [block for block in slide.blocks if isinstance(block, Question)]
    end = question.answer.rsplit(" ", 1)[1]
    before = " ".join(_said(opened(present="1", slide=str(slide.number))))
    after = " ".join(_said(opened(present="1", slide=str(slide.number), shown=slide.question)))
    assert end not in before
    assert "Raise your hands" in before
    assert end in after
