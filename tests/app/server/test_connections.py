"""Connections that nothing moves on give way, and honest ones stay."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from app.server import connections
from app.server.connections import Connections


class Loop:
    """Calls what is due when a test says so."""

    def __init__(self) -> None:
        self.now, self.due = 0.0, []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, call))

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [entry for entry in self.due if entry[0] <= end]:
            first = min(due, key=lambda entry: entry[0])
            self.due.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


class Fake:
    def __init__(self, loop: Loop, name: str) -> None:
        self._loop, self.name = loop, name
        self.open, self.waiting, self.unsent, self.progress = True, True, 0, 0

    def close(self) -> None:
        assert self.open, f"{self.name} was closed twice"
        self.open = False

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.later(seconds, call)


def many(number: int, guard: Connections, loop: Loop, **state: object) -> list[Fake]:
    made = []
    for i in range(number):
        fake = Fake(loop, f"{i}")
        guard.add(fake)
        for name, value in state.items():
            setattr(fake, name, value)
        made.append(fake)
    return made


def is_open(made: list[Fake]) -> list[bool]:
    return [fake.open for fake in made]


def test_of_those_that_wait_the_newest_stay() -> None:
    loop = Loop()
    made = many(10, Connections(waiting=4, most=100, patience=20), loop)
    assert is_open(made) == [False] * 6 + [True] * 4


def test_those_that_are_answered_stay() -> None:
    loop = Loop()
    guard = Connections(waiting=4, most=100, patience=20)
    answered = many(10, guard, loop, waiting=False)
    many(50, guard, loop)
    loop.pass_(1000)
    assert all(is_open(answered))


def test_beyond_the_most_first_those_that_wait_go_then_the_oldest() -> None:
    loop = Loop()
    guard = Connections(waiting=5, most=6, patience=20)
    answered = many(4, guard, loop, waiting=False)
    waiting = many(2, guard, loop)
    more = many(3, guard, loop, waiting=False)
    assert is_open(waiting) == [False, False]
    assert is_open(answered) == [False, True, True, True]
    assert all(is_open(more))


@pytest.mark.parametrize(
    ("state", "moves", "stays"),
    [
        ({"waiting": True}, False, False),
        ({"waiting": True}, True, True),  # another request came in the meantime
        ({"waiting": False}, False, True),  # an analysis takes its time
        ({"waiting": False, "unsent": 9}, False, False),  # an answer nobody reads
        ({"waiting": False, "unsent": 9}, True, True),  # one that is read slowly
    ],
)
def test_nobody_waits_for_a_client_that_does_nothing(
    state: dict[str, object], moves: bool, stays: bool
) -> None:
    loop = Loop()
    guard = Connections(waiting=5, most=10, patience=20)
    (fake,) = many(1, guard, loop, **state)
    for second in range(200):
        fake.progress = second if moves else 0
        loop.pass_(1)
    assert fake.open is stays


def test_what_was_closed_is_forgotten_and_nothing_is_called_for_nobody() -> None:
    loop = Loop()
    guard = Connections(waiting=500, most=1000, patience=20)
    for fake in many(300, guard, loop):
        fake.open = False
    assert len(loop.due) == 1, "one call for all, or each closed connection is held until its own"
    loop.pass_(20)
    assert guard._open == {}
    assert loop.due == []
    many(1, guard, loop)
    assert len(loop.due) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits of open files are POSIX's")
@pytest.mark.parametrize(
    ("soft", "hard", "refused", "found"),
    [
        (1024, 4096, False, 4096),
        (256, 256, False, 256),
        (100, 100, False, 100),
        (1024, "infinite", False, 65536),
        (256, "infinite", True, 256),  # as on macOS
        ("infinite", "infinite", False, 65536),
        (1048576, 1048576, False, 1048576),
    ],
)
def test_the_process_asks_for_the_files_it_may_have(
    monkeypatch: pytest.MonkeyPatch, soft: int | str, hard: int | str, refused: bool, found: int
) -> None:
    import resource

    infinite = resource.RLIM_INFINITY
    limits = tuple(infinite if value == "infinite" else value for value in (soft, hard))
    asked = []

    def ask(_: int, wanted: tuple[int, int]) -> None:
        asked.append(wanted)
        if refused:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", ask)
    assert connections.files() == found
    assert all(hard == limits[1] for _, hard in asked)


@pytest.mark.parametrize(
    ("memory", "files", "most"), [(450, 65536, 360), (100_000, 65536, 4096), (8000, 256, 64)]
)
def test_memory_and_files_say_how_many_there_may_be(
    monkeypatch: pytest.MonkeyPatch, memory: int, files: int, most: int
) -> None:
    monkeypatch.setenv("FCN_MEMORY_MB", str(memory))
    monkeypatch.setattr(connections, "files", lambda: files)
    watched = SimpleNamespace()
    monkeypatch.setattr(
        connections.streamlit_patches,
        "watch_connections",
        lambda found, longest: watched.__dict__.update(found=found, longest=longest),
    )
    connections.watch()
    guard = watched.found.__self__
    assert guard._most == most
    assert guard._may_wait == min(128, most)
    assert watched.longest == 100_000
