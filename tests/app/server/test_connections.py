"""Idle connections are closed, and active ones stay."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from app.server import connections
from app.server.connections import Connections


class Loop:
    """An event loop whose time a test advances."""

    def __init__(self) -> None:
        self.now, self.due = 0.0, []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, call))

    def advance(self, seconds: float) -> None:
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
        self.open, self.idle, self.unsent, self.progress = True, True, 0, 0

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


def test_the_newest_idle_connections_stay() -> None:
    loop = Loop()
    made = many(10, Connections(most_idle=4, most=100, patience=20), loop)
    assert is_open(made) == [False] * 6 + [True] * 4


def test_connections_with_a_request_stay() -> None:
    loop = Loop()
    guard = Connections(most_idle=4, most=100, patience=20)
    answered = many(10, guard, loop, idle=False)
    many(50, guard, loop)
    loop.advance(1000)
    assert all(is_open(answered))


def test_beyond_the_maximum_idle_ones_are_closed_first_then_the_oldest() -> None:
    loop = Loop()
    guard = Connections(most_idle=5, most=6, patience=20)
    answered = many(4, guard, loop, idle=False)
    waiting = many(2, guard, loop)
    more = many(3, guard, loop, idle=False)
    assert is_open(waiting) == [False, False]
    assert is_open(answered) == [False, True, True, True]
    assert all(is_open(more))


@pytest.mark.parametrize(
    ("state", "moves", "stays"),
    [
        ({"idle": True}, False, False),
        ({"idle": True}, True, True),  # another request arrived
        ({"idle": False}, False, True),  # an analysis is running
        ({"idle": False, "unsent": 9}, False, False),  # a response nobody reads
        ({"idle": False, "unsent": 9}, True, True),  # a response read slowly
    ],
)
def test_a_connection_without_progress_is_closed(state: dict[str, object], moves: bool, stays: bool) -> None:
    loop = Loop()
    guard = Connections(most_idle=5, most=10, patience=20)
    (fake,) = many(1, guard, loop, **state)
    for second in range(200):
        fake.progress = second if moves else 0
        loop.advance(1)
    assert fake.open is stays


def test_closed_connections_are_forgotten_and_checks_stop() -> None:
    loop = Loop()
    guard = Connections(most_idle=500, most=1000, patience=20)
    for fake in many(300, guard, loop):
        fake.open = False
    assert len(loop.due) == 1, "one scheduled check for all connections"
    loop.advance(20)
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
def test_the_limit_of_open_files_is_raised(
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
    assert connections.most_files() == found
    assert all(hard == limits[1] for _, hard in asked)


@pytest.mark.parametrize(
    ("memory", "files", "most"), [(450, 65536, 360), (100_000, 65536, 4096), (8000, 256, 64)]
)
def test_the_maximum_follows_from_memory_and_files(
    monkeypatch: pytest.MonkeyPatch, memory: int, files: int, most: int
) -> None:
    monkeypatch.setenv("FCN_MEMORY_MB", str(memory))
    monkeypatch.setattr(connections, "most_files", lambda: files)
    watched = SimpleNamespace()
    monkeypatch.setattr(
        connections.streamlit_patches,
        "watch_connections",
        lambda found, longest: watched.__dict__.update(found=found, longest=longest),
    )
    connections.watch()
    guard = watched.found.__self__
    assert guard._most == most
    assert guard._most_idle == min(128, most)
    assert watched.longest == 100_000
