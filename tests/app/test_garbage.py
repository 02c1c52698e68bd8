"""Garbage is collected in one thread, and only if objects were made."""

from __future__ import annotations

import gc
import weakref

import pytest

from app.state import garbage


class Ring:
    """An object that refers to itself, as pages and their pictures do."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture
def _no_automatic_collection() -> object:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_automatic_collection")
def test_new_garbage_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    left = weakref.ref(Ring())
    assert left() is not None
    garbage.collect_if_new(-1)
    assert left() is None


def test_nothing_is_collected_if_no_object_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    monkeypatch.setattr(garbage.gc, "collect", lambda: collected.append(1))
    counts = iter([4, 4, 4, 5, 6])
    monkeypatch.setattr(garbage.gc, "get_stats", lambda: [{"collections": next(counts)}])
    assert (garbage.collect_if_new(4), collected) == (4, []), "the count is the same"
    assert (garbage.collect_if_new(3), collected) == (5, [1])


def test_start_freezes_what_exists(fresh_python: object) -> None:
    child = fresh_python(  # type: ignore[operator]
        "import gc, threading; from app.state import garbage; garbage.start();"
        "print(gc.get_freeze_count() > 1000, [t.daemon for t in threading.enumerate() if t.name == 'garbage'])"
    )
    assert child.stdout.split("\n")[0] == "True [True]"
