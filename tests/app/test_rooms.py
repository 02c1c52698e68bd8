"""Rooms: one vote a participant, bounds, expiry, and who may do what."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.state import rooms
from app.state.rooms import LETTERS, Asked, Rooms, read_code
from fcn_core.errors import FcnError
from tests.waiting import Clock

FIRST = Asked("order", "Which changes?", ("one", "both", "none"), 1, "Both.")
SECOND = Asked("size", "How large?", ("small", "large"), 0, "Small.")


class Class:
    """A room with whoever asks."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.rooms = Rooms(lambda: self.clock.now)
        self.code, self.key = self.rooms.open("teacher")

    def turn(self) -> int:
        view = self.rooms.look(self.code)
        return view.turn if view else 0

    def vote(self, voter: str, choice: int) -> bool:
        return self.rooms.vote(self.code, voter, self.turn(), choice)

    def counts(self) -> tuple[int, ...]:
        view = self.rooms.look(self.code, key=self.key)
        assert view is not None
        return view.counts


@pytest.fixture
def room() -> Class:
    made = Class()
    made.rooms.ask(made.code, made.key, FIRST)
    return made


def test_two_participants_vote_and_one_changes_their_mind(room: Class) -> None:
    assert room.vote("anna", 0)
    assert room.vote("ben", 1)
    assert room.counts() == (1, 1, 0)
    assert room.vote("anna", 1)
    assert room.counts() == (0, 2, 0)
    seen = room.rooms.look(room.code, "anna")
    assert seen is not None
    assert (seen.own, seen.votes) == (1, 2)


def test_participants_see_counts_only_with_the_answer(room: Class) -> None:
    room.vote("anna", 0)

    def seen() -> tuple[int, ...]:
        view = room.rooms.look(room.code, "anna")
        assert view is not None
        return view.counts

    assert seen() == ()
    assert room.counts() == (1, 0, 0)
    room.rooms.show(room.code, room.key, counts=True)
    assert seen() == ()
    room.rooms.show(room.code, room.key, answer=True)
    assert seen() == (1, 0, 0)
    room.rooms.show(room.code, room.key, answer=False)
    assert seen() == ()


def test_whoever_asks_can_hide_the_counts_from_their_page(room: Class) -> None:
    def hidden() -> bool:
        view = room.rooms.look(room.code, key=room.key)
        assert view is not None
        return view.hidden

    assert not hidden()
    room.rooms.show(room.code, room.key, counts=False)
    assert hidden()
    room.rooms.ask(room.code, room.key, SECOND)
    assert hidden(), "for all questions"


@pytest.mark.parametrize("choice", [3, -1])
def test_a_vote_for_what_is_not_asked_does_not_count(room: Class, choice: int) -> None:
    assert not room.vote("anna", choice)
    assert room.counts() == (0, 0, 0)


def test_after_the_answer_no_vote_counts(room: Class) -> None:
    room.vote("anna", 0)
    room.rooms.show(room.code, room.key, answer=True)
    assert not room.vote("anna", 1)
    assert not room.vote("ben", 1)
    assert room.counts() == (1, 0, 0)


def test_votes_on_a_question_stay_when_it_is_asked_again(room: Class) -> None:
    room.vote("anna", 0)
    room.rooms.show(room.code, room.key, answer=True)
    room.rooms.ask(room.code, room.key, SECOND)
    view = room.rooms.look(room.code, "anna")
    assert view is not None
    assert (view.own, view.revealed, room.counts()) == (None, False, (0, 0))
    room.rooms.ask(room.code, room.key, FIRST)
    assert room.counts() == (1, 0, 0)
    room.rooms.clear(room.code, room.key)
    assert room.counts() == (0, 0, 0)


@pytest.mark.parametrize("change", ["ask another", "ask again", "clear"])
def test_a_vote_of_another_turn_does_not_count(room: Class, change: str) -> None:
    seen = room.turn()
    if change == "clear":
        room.rooms.clear(room.code, room.key)
    else:
        room.rooms.ask(room.code, room.key, SECOND if change == "ask another" else replace(FIRST, text="?"))
    assert not room.rooms.vote(room.code, "anna", seen, 0)
    assert not any(room.counts())


@pytest.mark.parametrize(
    "other", [{"text": "?"}, {"choices": ("1", "2", "3")}, {"right": 0}, {"answer": "!"}], ids=str
)
@pytest.mark.parametrize("between", [True, False])
def test_votes_on_a_question_that_changed_are_dropped(
    room: Class, other: dict[str, Any], between: bool
) -> None:
    room.vote("anna", 2)
    if between:
        room.rooms.ask(room.code, room.key, SECOND)
    room.rooms.ask(room.code, room.key, replace(FIRST, **other))
    assert room.counts() == (0, 0, 0)


def test_votes_on_other_answers_are_dropped(room: Class) -> None:
    room.vote("anna", 2)
    room.rooms.ask(room.code, room.key, Asked("order", "With another picture?", ("7", "8"), 1, ""))
    assert room.counts() == (0, 0)


@pytest.mark.parametrize("key", ["", "wrong", "é"])
def test_only_the_key_controls_a_room(room: Class, key: str) -> None:
    assert not room.rooms.controls(room.code, key)
    for refused in (
        lambda: room.rooms.ask(room.code, key, SECOND),
        lambda: room.rooms.show(room.code, key, answer=True),
        lambda: room.rooms.clear(room.code, key),
    ):
        with pytest.raises(FcnError, match=r"Open a new one\."):
            refused()
    room.rooms.close(room.code, key)
    assert room.rooms.exists(room.code)
    room.rooms.close(room.code, room.key)
    assert not room.rooms.exists(room.code)
    assert room.rooms.look(room.code) is None
    assert not room.vote("anna", 0)


def test_a_room_expires_when_nobody_uses_it(room: Class) -> None:
    room.vote("anna", 0)
    room.clock.now += rooms.UNUSED_AFTER - 1
    room.vote("anna", 1)
    room.clock.now += rooms.UNUSED_AFTER - 1
    assert room.counts() == (0, 1, 0)
    room.clock.now += rooms.UNUSED_AFTER + 1
    assert not room.rooms.exists(room.code)
    assert len(room.rooms) == 0


def test_a_participant_who_only_looks_does_not_keep_a_room(room: Class) -> None:
    room.vote("anna", 0)
    room.clock.now += rooms.UNUSED_AFTER - 1
    assert room.rooms.look(room.code, "anna") is not None
    room.clock.now += 2
    assert room.rooms.look(room.code, "anna") is None


def test_a_room_without_votes_expires_soon_after_its_page_is_closed() -> None:
    room = Class()
    for _ in range(5):
        room.clock.now += rooms.EMPTY_AFTER - 1
        assert room.rooms.look(room.code, key=room.key) is not None
    room.clock.now += rooms.EMPTY_AFTER + 1
    assert not room.rooms.exists(room.code)


def test_a_page_has_few_rooms_and_so_has_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_ROOMS", 5)
    room = Class()
    room.rooms.open("teacher")
    with pytest.raises(FcnError, match="at most 2 rooms of one page"):
        room.rooms.open("teacher")
    for n in range(3):
        room.rooms.open(f"session {n}")
    with pytest.raises(FcnError, match="at most 5 rooms on this server"):
        room.rooms.open("another")
    room.rooms.close(room.code, room.key)
    room.rooms.open("another")
    room.clock.now += rooms.EMPTY_AFTER + 1
    room.rooms.open("later")
    assert len(room.rooms) == 1


def test_a_full_server_closes_the_room_that_was_left_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_ROOMS", 4)
    voted = Class()
    voted.rooms.ask(voted.code, voted.key, FIRST)
    assert voted.vote("anna", 0)
    clock, made = voted.clock, voted.rooms
    clock.now += 1
    kept, key = made.open("kept")
    oldest, _ = made.open("oldest")
    clock.now += 1
    younger, _ = made.open("younger")
    with pytest.raises(FcnError, match="at most 4 rooms on this server"):
        made.open("too early")
    clock.now += rooms.IDLE_AFTER
    made.look(kept, key=key)
    made.look(oldest, "a participant")
    new = made.open("new")[0]
    assert [made.exists(code) for code in (voted.code, kept, oldest, younger, new)] == [
        True,
        True,
        False,
        True,
        True,
    ]
    made.open("newer")
    assert not made.exists(younger)
    with pytest.raises(FcnError, match="at most 4 rooms on this server"):
        made.open("no idle room is left")


def test_the_count_of_votes_follows_all_changes(room: Class) -> None:
    def count() -> int:
        return room.rooms._rooms[room.code].count

    assert [room.vote("anna", 0), room.vote("anna", 1), room.vote("ben", 1)] == [True] * 3
    assert count() == 2
    room.rooms.ask(room.code, room.key, SECOND)
    room.vote("anna", 1)
    assert count() == 3
    room.rooms.clear(room.code, room.key)
    assert count() == 2
    room.rooms.ask(room.code, room.key, replace(FIRST, text="?"))
    assert count() == 0


def test_rooms_are_swept_once_a_second(room: Class) -> None:
    class Counted(dict[str, Any]):
        walks = 0

        def items(self) -> Any:
            self.walks += 1
            return super().items()

    room.rooms._rooms = counted = Counted(room.rooms._rooms)
    for _ in range(50):
        room.counts()
    assert counted.walks == 0
    room.clock.now += 1
    for _ in range(50):
        room.counts()
    assert counted.walks == 1


def test_votes_are_bounded(room: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_VOTERS", 3)
    for voter in "abc":
        assert room.vote(voter, 0)
    with pytest.raises(FcnError, match="at most 3 votes on a question"):
        room.vote("d", 0)
    assert room.vote("a", 1), "a change is no vote more"
    assert room.counts() == (2, 1, 0)
    monkeypatch.setattr(rooms, "MOST_VOTES", 4)
    code, key = room.rooms.open("other")
    room.rooms.ask(code, key, SECOND)
    assert room.rooms.vote(code, "a", 1, 0)
    with pytest.raises(FcnError, match="in all rooms"):
        room.rooms.vote(code, "b", 1, 0)
    room.rooms.close(room.code, room.key)
    assert room.rooms.vote(code, "b", 1, 0)


@pytest.mark.parametrize("right", [-1, 3])
def test_a_question_without_its_right_choice_is_not_asked(room: Class, right: int) -> None:
    with pytest.raises(FcnError, match="right choice is not known yet"):
        room.rooms.ask(room.code, room.key, replace(FIRST, name="later", right=right))
    view = room.rooms.look(room.code)
    assert view is not None
    assert view.asked == FIRST


def test_questions_are_bounded(room: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_QUESTIONS", 2)
    room.rooms.ask(room.code, room.key, SECOND)
    with pytest.raises(FcnError, match="at most 2 questions"):
        room.rooms.ask(room.code, room.key, Asked("third", "?", ("a",), 0, ""))
    room.rooms.ask(room.code, room.key, FIRST)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_votes_from_many_threads_are_all_counted(room: Class) -> None:
    def votes(voter: int) -> None:
        for choice in (0, 1, 2, voter % 3):
            room.vote(str(voter), choice)
            room.rooms.look(room.code, str(voter))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(votes, range(300)))
    assert room.counts() == (100, 100, 100)


@pytest.mark.usefixtures("restless")
def test_rooms_from_many_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made, new_code = Rooms(), rooms._new_code

    def slowly() -> str:
        time.sleep(1e-4)  # others take their turn between the look at the bounds and the new room
        return new_code()

    monkeypatch.setattr(rooms, "_new_code", slowly)

    def opens(n: int) -> bool:
        try:
            made.open(str(n % 150))
        except FcnError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        opened = sum(pool.map(opens, range(600)))
    assert opened == len(made) == rooms.MOST_ROOMS


def test_codes_are_easy_to_read_and_differ() -> None:
    made = Rooms()
    codes = {made.open(str(n))[0] for n in range(rooms.MOST_ROOMS)}
    assert len(codes) == rooms.MOST_ROOMS
    assert all(read_code(code) == code == read_code(f" {code.lower()} ") for code in codes)
    assert not set(LETTERS) & set("IOBSZ01258")


@pytest.mark.parametrize("text", ["", "KXQ", "KXQPAA", "KXQP1", "KXQPO", "ÀXQPA", "<b>AA", "KX QP"])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_code(text)
