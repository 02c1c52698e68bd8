"""Which job runs its next scale.

The turn goes to the session that was served least, counting the scale that would run next: least attained service, in
operating systems called foreground-background scheduling (Nuyens and Wierman, "The Foreground-Background queue: A
survey", Performance Evaluation 65, 2008). So a user with a small picture waits for one scale of others, not for all
that they have asked for. The service of a session is halved every minute, as in the decay-usage schedulers of Unix.

Five more rules:

- Jobs with similar counts take turns: of them, the one that has waited longest runs first.
- Large scales get a share, however many small ones come: after small ones have overtaken the scale that has waited
  longest for three times its duration, it runs. It never runs directly after another scale of its size, so a user who
  comes while a large scale runs does not wait for a second one.
- Loading a model counts as work of the scale that needs it. For three times the duration of a load, similar jobs whose
  model is loaded run first.
- The class maps of jobs between their turns take a bounded amount of memory: a job starts only if its own fit beside
  them. Of jobs that exceed the bound, one at a time is under way.
- The app's own jobs run while no user's job waits.

Work is counted in seconds: measured ones for past turns, expected ones from pixels and model for future turns.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

_HALF_LIFE = 60.0  # seconds
_SIMILAR = 1.5  # times the smallest count
_OVERTAKING = 3.0  # times the duration of the overtaken scale
_STAYING = 3.0  # times the duration of a load
_GUESS = 1.0  # seconds for a megapixel and for a load, before one was measured

_Job = TypeVar("_Job", bound=Hashable)
_Model = TypeVar("_Model", bound=Hashable)


@dataclass(frozen=True)
class Waiting(Generic[_Job, _Model]):
    """A job that waits for its next turn.

    Attributes
    ----------
    sessions : frozenset of str
        Who asked for it; empty for the app itself.
    seconds : tuple of float
        Expected durations of its remaining turns, the next one first.
    since : int
        When it began to wait, as an increasing number.
    reserved : float
        Bytes of class maps that it will have between its turns.
    begun : bool
        Whether it has had a turn.
    """

    job: _Job
    sessions: frozenset[str]
    model: _Model
    seconds: tuple[float, ...]
    since: int
    reserved: float = 0.0
    begun: bool = False


@dataclass(frozen=True)
class Turn(Generic[_Job, _Model]):
    """One turn of a job.

    Attributes
    ----------
    waiting : Waiting
        The job as it was chosen.
    overtakes : bool
        Whether it is a small scale that runs before a large one that has waited longer.
    started : float
        Time in seconds.
    """

    waiting: Waiting[_Job, _Model]
    overtakes: bool
    started: float


class Schedule(Generic[_Job, _Model]):
    """Records who was served, and chooses who is next. It reads no clock: times are arguments.

    Parameters
    ----------
    capacity : int
        How many models stay loaded.
    most_reserved : float
        Bytes of class maps that jobs may have between their turns.
    """

    def __init__(self, capacity: int = 1, most_reserved: float = float("inf")) -> None:
        self._capacity, self._most_reserved = capacity, most_reserved
        self._served: dict[str, tuple[float, float]] = {}  # session -> seconds, and the time of counting
        self._overtaken = 0.0  # seconds for which small scales have overtaken the one that has waited longest
        self._staying = 0.0  # seconds for which loaded models still go first
        self._measured: dict[_Model, tuple[float, float]] = {}  # seconds, megapixels
        self._loads: dict[_Model, float] = {}

    def served(self, session: str, now: float) -> float:
        """Return the recent service of a session, in seconds."""
        seconds, when = self._served.get(session, (0.0, now))
        return seconds * math.exp2((when - now) / _HALF_LIFE)

    def expect(self, model: _Model, megapixels: float) -> float:
        """Return the expected duration of a pass, in seconds."""
        seconds, pixels = self._measured.get(model, (_GUESS, 1.0))
        return seconds / pixels * megapixels

    def learn(self, model: _Model, megapixels: float, seconds: float) -> None:
        """Add the measured duration of a pass to the model's average, in which large passes weigh most."""
        before = self._measured.get(model, (0.0, 0.0))
        self._measured[model] = (before[0] / 2 + seconds, before[1] / 2 + megapixels)

    def cost(self, waiting: Waiting[_Job, _Model], loaded: Iterable[_Model]) -> float:
        """Return the expected duration of a job's next turn, including the load of its model, in seconds."""
        load = 0.0 if waiting.model in loaded else self._loads.get(waiting.model, _GUESS)
        return waiting.seconds[0] + load

    def choose(
        self, all_waiting: Sequence[Waiting[_Job, _Model]], loaded: Sequence[_Model], now: float
    ) -> Turn[_Job, _Model]:
        """Choose the next turn.

        Parameters
        ----------
        all_waiting : sequence of Waiting
            At least one.
        loaded : sequence
            The loaded models, first the one that is evicted next.
        now : float
            Time in seconds.
        """
        fitting = self._fitting(all_waiting)
        asked = [w for w in fitting if w.sessions] or fitting
        counts = [
            min((self.served(s, now) for s in w.sessions), default=0.0) + self.cost(w, loaded) for w in asked
        ]
        bound = _SIMILAR * min(counts)
        similar = [w for w, served in zip(asked, counts, strict=True) if served <= bound]
        longest = min(asked, key=_since)
        due = self.cost(longest, loaded)
        if longest not in similar and self._overtaken >= _OVERTAKING * due:
            return Turn(longest, False, now)
        if self._staying > 0:
            similar = [w for w in similar if w.model in loaded] or similar
        chosen = min(similar, key=_since)
        # A job that waits because its session was served much needs no help: the service is forgotten soon.
        overtakes = longest not in similar and _SIMILAR * self.cost(chosen, loaded) < due
        return Turn(chosen, overtakes, now)

    def _fitting(self, all_waiting: Sequence[Waiting[_Job, _Model]]) -> list[Waiting[_Job, _Model]]:
        """Return the jobs that have begun, and those whose class maps fit into memory; at least one."""
        begun = [w.reserved for w in all_waiting if w.begun]
        left = self._most_reserved - sum(size for size in begun if size <= self._most_reserved)
        one_is_large = any(size > self._most_reserved for size in begun)
        return [
            w
            for w in all_waiting
            if w.begun or w.reserved <= left or (w.reserved > self._most_reserved and not one_is_large)
        ]

    def record(self, turn: Turn[_Job, _Model], seconds: float, load: float | None, now: float) -> None:
        """Record a finished turn.

        Parameters
        ----------
        turn : Turn
        seconds : float
            Its whole duration; the sessions that asked for it share it.
        load : float or None
            Seconds of it for loading the model; None if that was loaded.
        now : float
            Time in seconds.
        """
        sessions = turn.waiting.sessions
        for session in sessions:
            self._served[session] = (self.served(session, now) + seconds / len(sessions), now)
        self._overtaken = self._overtaken + seconds if turn.overtakes else 0.0
        if load is None:
            self._staying -= seconds
        else:
            self._loads[turn.waiting.model] = load
            self._staying = _STAYING * load
        for session in [s for s in self._served if self.served(s, now) < 0.01]:
            del self._served[session]

    def coming(
        self,
        all_waiting: Sequence[Waiting[_Job, _Model]],
        loaded: Sequence[_Model],
        now: float,
        running: Turn[_Job, _Model] | None = None,
    ) -> list[_Job]:
        """Forecast whose turns come, until each job has had one, if no job is added and all take what is expected.

        Parameters
        ----------
        all_waiting, loaded, now
            As for :meth:`choose`.
        running : Turn, optional
            The turn under way; it is the first one.
        """
        ahead = self._copy()
        left, models, turns = list(all_waiting), list(loaded), list[_Job]()
        since = max([w.since for w in left] + ([running.waiting.since] if running else []), default=0)
        unplaced = {w.job for w in left}
        while unplaced:
            if running is not None:
                turn, running = running, None
            else:
                turn = ahead.choose(left, models, now)
                left.remove(turn.waiting)
                unplaced.discard(turn.waiting.job)
            turns.append(turn.waiting.job)
            waiting, so_far = turn.waiting, now - turn.started
            seconds, load = ahead.cost(waiting, models), None
            if waiting.model not in models:
                load = seconds - waiting.seconds[0]
                models = [*models, waiting.model][-self._capacity :]
            now += max(0.0, seconds - so_far)
            ahead.record(turn, max(seconds, so_far), load, now)
            since += 1
            if waiting.seconds[1:]:
                left.append(replace(waiting, seconds=waiting.seconds[1:], since=since, begun=True))
        return turns

    def _copy(self) -> Schedule[_Job, _Model]:
        other = copy.copy(self)
        other._served, other._loads = dict(self._served), dict(self._loads)
        return other


def _since(waiting: Waiting[_Job, _Model]) -> int:
    return waiting.since
