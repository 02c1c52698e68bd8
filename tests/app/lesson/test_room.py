"""A class predicts together, without a browser: whoever asks, and participants in sessions of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.lesson.text import Question, read_lesson
from app.state import caches, rooms
from fcn_core.networks.zoo import find_weights, model_spec
from tests.app.lesson.page import html_of, opened, settled, texts
from tests.waiting import Clock

pytestmark = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)

ORDER = next(
    block
    for lesson in read_lesson("en")
    for block in lesson.blocks
    if isinstance(block, Question) and block.name == "order"
)


@pytest.fixture(autouse=True)
def _no_rooms() -> Iterator[None]:
    caches.rooms.clear()
    yield
    caches.rooms.clear()


def _press(app: AppTest, key: str) -> AppTest:
    app.button(key).click()
    return settled(app)


def _keys(app: AppTest) -> set[str]:
    return {str(each.key) for each in app.button}


@pytest.fixture
def teacher() -> AppTest:
    return _press(opened(step="room"), "lesson-open-room")


def _code(teacher: AppTest) -> str:
    (code,) = teacher.session_state["lesson_state"].room_keys
    assert code in teacher.query_params["room"]
    return str(code)


def _progress(app: AppTest) -> list[str]:
    return [str(each.proto.text) for each in app.get("progress")]


def test_a_class_votes_and_sees_the_answer(teacher: AppTest) -> None:
    first, second = opened(room=_code(teacher)), opened(room=_code(teacher))
    assert "first question" in first.info[0].value
    _press(teacher, "lesson-ask-order")
    for student, choice in ((first, ORDER.right), (second, 0)):
        settled(student)
        assert any(ORDER.text in text for text in texts(student))
        student.radio[0].set_value(choice)
        settled(student)
        assert any("Your vote counts" in text for text in texts(student))
        assert _progress(student) == [], "participants see counts with the answer only"
        assert not any(ORDER.answer in text for text in texts(student))
    assert ["· **1** (50%)" in text for text in _progress(settled(teacher))] == [True, False, True]
    second.radio[0].set_value(ORDER.right)
    settled(second)
    assert [f"· **{n}**" in text for n, text in zip((0, 0, 2), _progress(settled(teacher)), strict=True)] == (
        [True] * 3
    )
    _press(teacher, "lesson-reveal")
    assert any("Correct." in text for text in texts(settled(first)))
    assert any(ORDER.answer in text for text in texts(first))
    assert ["check_circle" in text for text in _progress(first)] == [False, False, True]
    assert not first.radio


def test_the_counts_can_be_hidden_until_the_answer(teacher: AppTest) -> None:
    _press(teacher, "lesson-ask-order")
    assert len(_progress(teacher)) == 3
    assert _progress(_press(teacher, "lesson-counts")) == []
    assert any("0 votes" in text for text in texts(teacher))
    assert len(_progress(_press(teacher, "lesson-reveal"))) == 3


def test_a_question_is_asked_from_its_step_with_its_values(teacher: AppTest) -> None:
    student = opened(room=_code(teacher), lang="fr")
    assert "lesson-ask-noise" not in _keys(teacher), "its choices come from a figure"
    _press(teacher, "lesson-go-contents-4")
    _press(teacher, "lesson-ask-noise")
    assert "lesson-reveal" in _keys(teacher)
    assert "(1, 7, 10, 1000)" in settled(student).radio[0].options
    assert "lesson-reveal" not in _keys(student)
    student.radio[0].set_value(0)
    settled(student)
    assert any("**1 vote**" in text for text in texts(settled(teacher)))


def _key_of(teacher: AppTest) -> str:
    return str(teacher.session_state["lesson_state"].room_keys[_code(teacher)])


def _go(app: AppTest, **chosen: Any) -> AppTest:
    """Choose as widgets would; return the page before its figures are complete."""
    app.session_state["lesson_state"].choices.choose(**chosen)
    app.query_params.clear()
    return app.run()


def test_a_question_is_asked_when_its_values_are_there_and_again_with_another_picture(
    teacher: AppTest,
) -> None:
    _go(teacher, picture="cow", step="9")
    assert 'class="lesson-wait"' in html_of(teacher)
    assert teacher.button("lesson-ask-there").disabled
    assert any("still running" in text for text in texts(teacher))
    settled(teacher)
    assert not teacher.button("lesson-ask-there").disabled
    assert not any("still running" in text for text in texts(teacher))
    _press(teacher, "lesson-ask-there")
    assert "lesson-reveal" in _keys(teacher)
    assert "lesson-ask-there" not in _keys(teacher)
    settled(_go(teacher, picture="dog"))
    assert "lesson-reveal" not in _keys(teacher)
    _press(teacher, "lesson-ask-there")
    assert "lesson-reveal" in _keys(teacher)


def test_any_open_page_of_the_lesson_keeps_the_room(
    teacher: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    every: dict[str, float] = {}
    fragment = st.fragment

    def recorded(**given: Any) -> Any:
        def wrap(function: Any) -> Any:
            every[function.__name__] = given["run_every"]
            return fragment(**given)(function)

        return wrap

    monkeypatch.setattr(st, "fragment", recorded)
    code, clock = _code(teacher), Clock()
    monkeypatch.setattr(caches.rooms(), "_clock", lambda: clock.now)
    clock.now = caches.rooms()._rooms[code].used
    for step in ("2", "glossary", "exercises"):
        every.clear()
        clock.now += rooms.EMPTY_AFTER - 1
        _go(teacher, step=step)
        assert every["stay"] <= rooms.IDLE_AFTER / 2, step
        clock.now += rooms.EMPTY_AFTER - 1
        teacher.run()
        assert caches.rooms().exists(code), step


def test_the_notes_in_a_window_of_their_own_do_not_lead_into_the_room(teacher: AppTest) -> None:
    code = _code(teacher)
    settled(_go(teacher, present=True, notes=True, slide=3))
    assert "room" in teacher.query_params
    (link,) = re.findall(r'href="(learn[^"]*step=notes[^"]*)"', html_of(teacher))
    assert code not in link
    settled(_go(teacher, present=False, notes=False, step="notes"))
    links = re.findall(r"\(learn\?[^)]*\)", " ".join(texts(teacher)))
    assert len(links) > 10
    assert not any(code in each for each in links)


def test_rooms_know_a_session_by_different_tokens(teacher: AppTest) -> None:
    first = _code(teacher)
    student = opened(room=first)
    _press(teacher, "lesson-ask-order")
    settled(student).radio[0].set_value(0)
    settled(student)
    second, key = caches.rooms().open("another")
    view = caches.rooms().look(first, key=_key_of(teacher))
    assert view is not None and view.asked is not None
    caches.rooms().ask(second, key, view.asked)
    settled(_go(student, room=second, step="room")).radio[0].set_value(0)
    settled(student)
    voters = [set(room.votes["order"][1]) for room in caches.rooms()._rooms.values()]
    assert [len(each) for each in voters] == [1, 1]
    assert not voters[0] & voters[1]


def test_votes_are_forgotten_when_asked_again(teacher: AppTest) -> None:
    student = opened(room=_code(teacher))
    _press(teacher, "lesson-ask-order")
    settled(student).radio[0].set_value(0)
    settled(student)
    _press(teacher, "lesson-votes-again")
    assert settled(student).radio[0].value is None
    assert any("0 votes" in text for text in texts(settled(teacher)))


def test_a_room_is_closed_for_all(teacher: AppTest) -> None:
    code = _code(teacher)
    student = opened(room=code)
    _press(teacher, "lesson-close-room")
    assert len(caches.rooms()) == 0
    assert "room" not in teacher.query_params
    assert f"The room {code} is closed" in settled(student).info[0].value


def test_the_key_controls_from_another_device_and_leaves_the_address(teacher: AppTest) -> None:
    code = _code(teacher)
    key = teacher.session_state["lesson_state"].room_keys[code]
    assert any(key in each.value for each in teacher.code)
    other = opened(room=code, step="room", room_key=key)
    assert "lesson-ask-order" in _keys(other)
    assert "room_key" not in other.query_params
    thief = opened(room=code, step="room", room_key=key[:-1])
    assert not any(each.startswith("lesson-ask-") for each in _keys(thief))
    assert "room_key" not in thief.query_params


def test_a_code_can_be_typed(teacher: AppTest) -> None:
    app = opened(step="room")
    app.text_input("lesson-code").set_value(" 12345 ")
    app.button("lesson-enter").click()
    app.run()
    assert "a code has five letters" in app.error[0].value
    app.text_input("lesson-code").set_value(_code(teacher).lower())
    app.button("lesson-enter").click()
    assert "first question" in settled(app).info[0].value


def test_one_session_opens_few_rooms() -> None:
    app = opened(step="room")
    for _ in range(rooms.MOST_OWN):
        _press(app, "lesson-open-room")
        app.query_params.clear()
        app.session_state["lesson_state"].choices.choose(room="", step="room")
        settled(app)
    app.button("lesson-open-room").click()
    app.run()
    assert "Close one of your rooms first" in app.error[0].value
    assert len(caches.rooms()) == rooms.MOST_OWN


def test_rooms_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    code, key = caches.rooms().open("before")
    monkeypatch.setenv("FCN_ALLOW_ROOMS", "0")
    app = opened()
    assert "lesson-go-contents-room" not in _keys(app)
    for query in ({"step": "room"}, {"room": code}, {"room": code, "room_key": key}):
        app = opened(**query)
        assert "FCN_ALLOW_ROOMS is 0" in app.info[0].value
        assert not {"lesson-open-room", "lesson-ask-order"} & _keys(app)


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_all_questions_that_can_be_asked_are_filled_in(lang: str) -> None:
    app: Any = _press(opened(step="room", lang=lang), "lesson-open-room")
    assert sum(key.startswith("lesson-ask-") for key in _keys(app)) >= 5
    assert [text for text in texts(app) if "{{" in text or "…}" in text] == []
