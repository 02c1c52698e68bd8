"""Which job runs its next scale: no thread and no clock, all times are in the tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.state.queue.schedule import Schedule, Turn, Waiting

SMALL, MIDDLE, LARGE = (0.1, 0.3, 1.0), (4.0,), (15.0,) * 5


class Simulation:
    """A machine on which every turn takes its expected time."""

    def __init__(self, capacity: int = 1, most_reserved: float = float("inf")) -> None:
        self.schedule: Schedule[str, str] = Schedule(capacity, most_reserved)
        self.waiting: list[Waiting[str, str]] = []
        self.loaded = ["lite"]
        self.capacity = capacity
        self.now, self.number = 0.0, 0
        self.ran: list[str] = []

    def ask(
        self,
        name: str,
        seconds: tuple[float, ...],
        sessions: tuple[str, ...] | None = None,
        model: str = "lite",
        reserved: float = 0.0,
    ) -> None:
        self.number += 1
        whose = frozenset((name,) if sessions is None else sessions)
        self.waiting.append(Waiting(name, whose, model, seconds, self.number, reserved))

    def turn(self) -> str:
        turn = self.schedule.choose(self.waiting, self.loaded, self.now)
        chosen = turn.waiting
        seconds, load = self.schedule.cost(chosen, self.loaded), None
        if chosen.model not in self.loaded:
            load = seconds - chosen.seconds[0]
            self.loaded = [*self.loaded, chosen.model][-self.capacity :]
        self.now += seconds
        self.schedule.record(turn, seconds, load, self.now)
        self.waiting.remove(chosen)
        self.number += 1
        if chosen.seconds[1:]:
            self.waiting.append(replace(chosen, seconds=chosen.seconds[1:], since=self.number, begun=True))
        self.ran.append(chosen.job)
        return chosen.job

    def until_done(self, name: str) -> list[str]:
        """Return the turns of others until this job is done."""
        before: list[str] = []
        while any(w.job == name for w in self.waiting):
            job = self.turn()
            if job != name:
                before.append(job)
        return before


# name: (seconds of its scales, sessions, model); capital letters have large scales
ORDERS = [
    ("similar jobs take turns, scale by scale", [("a", SMALL), ("b", SMALL)], "a b a b a b"),
    ("small scales go first, whoever came first", [("A", LARGE[:2]), ("b", SMALL)], "b b b A A"),
    ("scales of similar size go by arrival", [("A", (15.0,)), ("B", (14.0,)), ("C", (16.0,))], "A B C"),
    ("a second job of a session gets no extra turns", [("a", (3.0, 3.0), "x"), ("b", (3.0, 3.0), "x"),
      ("c", (3.0, 3.0), "y")], "a c b a c b"),
    ("a shared job counts for its session with the least service", [("a", (4.0, 4.0), "x"), ("b", (4.0,), "xy"),
      ("c", (4.0,), "z")], "a b c a"),
    ("jobs of the app wait for all others", [("w", SMALL, ""), ("A", LARGE[:2])], "A A w w w"),
    ("jobs of a loaded model go first", [("a", (1.0, 1.0), "x", "lite"), ("b", (1.0, 1.0), "y", "resnet"),
      ("c", (1.0, 1.0), "z", "lite")], "a c b b a c"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "asked", "order"), ORDERS, ids=[what for what, *_ in ORDERS])
def test_turns_come_in_order(what: str, asked: list[tuple], order: str) -> None:  # type: ignore[type-arg]
    simulation = Simulation()
    for name, seconds, *more in asked:
        sessions = tuple(more[0]) if more else (name,)
        simulation.ask(name, seconds, sessions, *more[1:])
    while simulation.waiting:
        simulation.turn()
    assert " ".join(simulation.ran) == order


@pytest.mark.parametrize("crowd", [1, 3, 50])
@pytest.mark.parametrize("turns_before", [0, 1, 7, 60, 133])
def test_an_honest_user_waits_for_one_foreign_scale(crowd: int, turns_before: int) -> None:
    """Fifty sessions have asked for sixteen scales of 15 seconds each, of about one size."""
    simulation = Simulation()
    for number in range(crowd):
        simulation.ask(f"hostile {number}", tuple(15.0 - number / 50 - scale / 100 for scale in range(16)))
    for _ in range(min(turns_before, crowd * 16 - 2)):
        simulation.turn()
    chosen = simulation.turn()  # is under way when the honest user comes
    assert chosen.startswith("hostile")
    for visit in range(3):
        simulation.ask(f"honest {visit}", SMALL)
        assert simulation.until_done(f"honest {visit}") == [], "apart from the one under way"


def test_large_scales_get_a_share_beside_many_small_ones() -> None:
    simulation = Simulation()
    simulation.ask("large", LARGE)
    passed, longest, spent = 0.0, 0.0, 0.0
    for number in range(600):
        simulation.ask(f"small {number}", (1.0,))
        before = simulation.now
        if simulation.turn() == "large":
            passed, spent = 0.0, spent + simulation.now - before
        else:
            passed += simulation.now - before
        longest = max(longest, passed if any(w.job == "large" for w in simulation.waiting) else 0.0)
        if spent == sum(LARGE):
            break
    assert spent == sum(LARGE), "all of it ran"
    assert longest <= 3 * 15.0 + 4.0, "and a few that have waited longer"


def test_a_due_large_scale_runs_after_a_small_one() -> None:
    """Otherwise a user who comes while a large scale runs would wait for a second one."""
    simulation = Simulation()
    for number in range(4):
        simulation.ask(f"large {number}", LARGE)
    for number in range(300):
        simulation.ask(f"small {number}", (2.0,))
        simulation.turn()
    pairs = zip(simulation.ran, simulation.ran[1:], strict=False)
    assert sum(name.startswith("large") for name in simulation.ran) > 8
    assert not any(a.startswith("large") and b.startswith("large") for a, b in pairs)


def test_large_scales_of_new_sessions_make_no_other_large_one_due() -> None:
    simulation = Simulation()
    simulation.ask("served", LARGE)
    simulation.turn()
    for name in ("first", "second", "third"):
        simulation.ask(name, (15.0,))
        assert simulation.turn() == name
    simulation.ask("honest", SMALL)
    assert simulation.until_done("honest") == []


def test_service_is_forgotten() -> None:
    schedule: Schedule[str, str] = Schedule()
    first = Waiting("job", frozenset({"a", "b"}), "lite", (8.0,), 0)
    schedule.record(Turn(first, False, 92.0), 8.0, None, 100.0)
    assert [schedule.served(name, 100.0) for name in "abc"] == [4.0, 4.0, 0.0], "shared by the sessions"
    assert schedule.served("a", 160.0) == pytest.approx(2.0)
    other = Waiting("other", frozenset("c"), "lite", (1.0,), 1)
    schedule.record(Turn(other, False, 4999.0), 1.0, None, 5000.0)
    assert list(schedule._served) == ["c"], "no name is kept for ever"


def test_the_speed_of_a_model_is_learnt() -> None:
    schedule: Schedule[str, str] = Schedule()
    assert schedule.expect("lite", 2.0) == schedule.expect("resnet", 2.0)
    schedule.learn("lite", 0.1, 1.0)
    for _ in range(8):
        schedule.learn("lite", 10.0, 5.0)
    assert schedule.expect("lite", 2.0) == pytest.approx(1.0, rel=0.01)
    waiting = Waiting("job", frozenset("a"), "lite", (1.0,), 0)
    schedule.record(Turn(waiting, False, 0.0), 7.0, 6.0, 7.0)
    assert (schedule.cost(waiting, ["lite"]), schedule.cost(waiting, [])) == (1.0, 7.0)


@pytest.mark.parametrize("most_reserved", [float("inf"), 100.0])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("turns_before", [0, 5, 11, 17, 23])
def test_the_place_is_the_number_of_turns_before(
    turns_before: int, running: bool, most_reserved: float
) -> None:
    simulation = Simulation(most_reserved=most_reserved)
    for number in range(6):
        simulation.ask(
            f"large {number}", tuple(12.0 + number - scale for scale in range(3)), reserved=60.0 * number
        )
        simulation.ask(f"small {number}", (0.2 * number + 0.1, 1.0), model="lite" if number % 2 else "resnet")
        simulation.ask(f"shared {number}", (2.0, 3.0), (f"large {number}", "x"), reserved=20.0)
    simulation.ask("own", (1.0,), ())
    for _ in range(turns_before):
        simulation.turn()
    under_way = None
    left = list(simulation.waiting)
    if running:
        under_way = simulation.schedule.choose(left, simulation.loaded, simulation.now)
        left.remove(under_way.waiting)
    coming = simulation.schedule.coming(left, simulation.loaded, simulation.now, under_way)
    told = {w.job: coming.index(w.job) for w in left}
    turn = 0
    seen: dict[str, int] = {}
    while simulation.waiting:
        job = simulation.turn()
        if not (running and turn == 0):
            seen.setdefault(job, turn)
        turn += 1
    assert told == {job: seen[job] for job in told}
    assert len(set(told.values())) == len(told)


def test_the_place_includes_service_that_will_be_forgotten() -> None:
    simulation = Simulation()
    simulation.ask("served", (15.0, 1.0))
    simulation.turn()
    for number in range(4):
        simulation.ask(f"large {number}", (10.0,))
    told = simulation.schedule.coming(simulation.waiting, simulation.loaded, simulation.now).index("served")
    assert told == len(simulation.until_done("served")) == 1, "by then half of its service is forgotten"


def test_class_maps_of_waiting_jobs_are_bounded() -> None:
    simulation = Simulation(most_reserved=100.0)
    for number in range(8):
        simulation.ask(f"small {number}", (1.0, 1.0, 1.0), reserved=30.0)
        simulation.ask(f"large {number}", (1.0, 1.0, 1.0), reserved=400.0)
        simulation.ask(f"single {number}", (1.0,))
    while simulation.waiting:
        simulation.turn()
        begun = [w.reserved for w in simulation.waiting if w.begun]
        assert sum(size for size in begun if size <= 100) <= 100
        assert sum(size > 100 for size in begun) <= 1
    assert len(simulation.ran) == 8 * 7
