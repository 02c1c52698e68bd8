"""Whose scale runs next.

The turn goes to the session that was served least, the next scale counted in (least attained service, known from
operating systems as foreground-background scheduling: Nuyens and Wierman, "The Foreground-Background queue: A survey",
Performance Evaluation 65, 2008). Who comes with a small picture so waits for one scale of others, not for all that they
have asked for. What a session was served is forgotten by half every minute, as in the decay-usage schedulers of Unix.

Five rules go beside it:

- Those whose counts are alike take turns: of them the one goes first that has waited longest.
- Large scales get a share however many small ones come: once those have overtaken for three times the duration of the
  scale that has waited longest, it has its turn. That never follows right upon one of its own size, so that who comes
  while one runs waits for no second.
- Loading a model counts as work of the scale that needs it. For three times the duration of a load those that need none
  go first among those who are alike.
- Class maps of jobs that are begun and wait for their next turn take so much memory and no more: a job begins where its
  own fit beside those. Of jobs with larger ones one at a time is under way.
- What the app asks for itself runs while nobody waits.

Work is counted in seconds: those a turn took, and before it those that its pixels and its model let expect.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

_HALF_LIFE = 60.0  # seconds
_ALIKE = 1.5  # times the least
_OVERTAKING = 3.0  # times the duration of the scale that is overtaken
_STAYING = 3.0  # times the duration of a load
_GUESS = 1.0  # seconds a megapixel, and of a load, until one was measured

_Job = TypeVar("_Job", bound=Hashable)
_Model = TypeVar("_Model", bound=Hashable)


@dataclass(frozen=True)
class Waiting(Generic[_Job, _Model]):
    """A job that waits for its next turn.

    Attributes
    ----------
    sessions : frozenset of str
        Who asked for it; none: the app itself.
    seconds : tuple of float
        That its turns will take, the next one first.
    since : int
        When it began to wait, as a number that grows.
    holds : float
        Bytes of class maps that it will have between its turns.
    begun : bool
        Whether it has had a turn.
    """

    job: _Job
    sessions: frozenset[str]
    model: _Model
    seconds: tuple[float, ...]
    since: int
    holds: float = 0.0
    begun: bool = False


class Turns(Generic[_Job, _Model]):
    """What was served to whom, and the choice that follows from it. Times are given: it looks at no clock.

    Parameters
    ----------
    room : int
        How many models stay loaded.
    held : float
        Bytes of class maps that jobs may have between their turns.
    """

    def __init__(self, room: int = 1, held: float = float("inf")) -> None:
        self._room, self._most_held = room, held
        self._served: dict[str, tuple[float, float]] = {}  # session -> seconds, and when they were counted
        self._overtaken = 0.0  # seconds for which smaller ones went before the one that has waited longest
        self._staying = 0.0  # seconds for which a model that was loaded still goes first
        self._measured: dict[_Model, tuple[float, float]] = {}  # seconds, megapixels
        self._loads: dict[_Model, float] = {}

    def served(self, session: str, now: float) -> float:
        """Seconds of work that a session has had lately."""
        seconds, when = self._served.get(session, (0.0, now))
        return seconds * math.exp2((when - now) / _HALF_LIFE)

    def expect(self, model: _Model, megapixels: float) -> float:
        """Seconds that a model is expected to take for so much input."""
        seconds, pixels = self._measured.get(model, (_GUESS, 1.0))
        return seconds / pixels * megapixels

    def learn(self, model: _Model, megapixels: float, seconds: float) -> None:
        """Take what a scale took into the model's average, in which large scales weigh most."""
        before = self._measured.get(model, (0.0, 0.0))
        self._measured[model] = (before[0] / 2 + seconds, before[1] / 2 + megapixels)

    def cost(self, waiting: Waiting[_Job, _Model], loaded: Iterable[_Model]) -> float:
        """Seconds that its next turn is expected to take, with loading its model where that is needed."""
        load = 0.0 if waiting.model in loaded else self._loads.get(waiting.model, _GUESS)
        return waiting.seconds[0] + load

    def choose(
        self, all_waiting: Sequence[Waiting[_Job, _Model]], loaded: Sequence[_Model], now: float
    ) -> tuple[Waiting[_Job, _Model], bool]:
        """Give the one whose turn it is, and whether it is a small one that overtakes a large one.

        Parameters
        ----------
        all_waiting : sequence of Waiting
            At least one.
        loaded : sequence
            The models that are loaded, the first one leaving first.
        now : float
            Seconds.
        """
        free = self._free_to_run(all_waiting)
        asked = [w for w in free if w.sessions] or free
        counts = [
            min((self.served(s, now) for s in w.sessions), default=0.0) + self.cost(w, loaded) for w in asked
        ]
        bound = _ALIKE * min(counts)
        alike = [w for w, count in zip(asked, counts, strict=True) if count <= bound]
        longest = min(asked, key=_since)
        due = self.cost(longest, loaded)
        if longest not in alike and self._overtaken >= _OVERTAKING * due:
            return longest, False
        if self._staying > 0:
            alike = [w for w in alike if w.model in loaded] or alike
        chosen = min(alike, key=_since)
        # One that was served much need not be helped: that is forgotten soon.
        return chosen, longest not in alike and _ALIKE * self.cost(chosen, loaded) < due

    def _free_to_run(self, all_waiting: Sequence[Waiting[_Job, _Model]]) -> list[Waiting[_Job, _Model]]:
        """Those that are begun, and those whose class maps have room between turns; at least one."""
        begun = [w.holds for w in all_waiting if w.begun]
        room = self._most_held - sum(holds for holds in begun if holds <= self._most_held)
        one_is_large = any(holds > self._most_held for holds in begun)
        return [
            w
            for w in all_waiting
            if w.begun or w.holds <= room or (w.holds > self._most_held and not one_is_large)
        ]

    def took(
        self, turn: Waiting[_Job, _Model], overtook: bool, seconds: float, load: float | None, now: float
    ) -> None:
        """Count a turn that is over.

        Parameters
        ----------
        turn : Waiting
        overtook : bool
            As :meth:`choose` has said.
        seconds : float
            That it took in all; shared by the sessions that have asked for it.
        load : float or None
            Of them for loading its model, None where that was there.
        now : float
            Seconds.
        """
        for session in turn.sessions:
            self._served[session] = (self.served(session, now) + seconds / len(turn.sessions), now)
        self._overtaken = self._overtaken + seconds if overtook else 0.0
        if load is None:
            self._staying -= seconds
        else:
            self._loads[turn.model] = load
            self._staying = _STAYING * load
        for session in [s for s in self._served if self.served(s, now) < 0.01]:
            del self._served[session]

    def places(
        self,
        all_waiting: Sequence[Waiting[_Job, _Model]],
        loaded: Sequence[_Model],
        now: float,
        running: tuple[Waiting[_Job, _Model], bool, float] | None = None,
    ) -> dict[_Job, int]:
        """How many turns come before each job's next one, if nothing new comes and all take what is expected.

        Parameters
        ----------
        all_waiting, loaded, now
            As for :meth:`choose`.
        running : tuple, optional
            The turn under way, whether it overtook, and the seconds it has had so far; its first expected seconds are
            of this turn, the others of those to come.
        """
        ahead = self._copy()
        left, models, places = list(all_waiting), list(loaded), dict[_Job, int]()
        since = max([w.since for w in left] + ([running[0].since] if running else []), default=0)
        unplaced = {w.job for w in left}
        turns = 0
        while unplaced:
            if running is not None:
                (turn, overtook, so_far), running = running, None
            else:
                (turn, overtook), so_far = ahead.choose(left, models, now), 0.0
                left.remove(turn)
                if turn.job in unplaced:
                    places[turn.job] = turns
                    unplaced.remove(turn.job)
            seconds, load = ahead.cost(turn, models), None
            if turn.model not in models:
                load = seconds - turn.seconds[0]
                models = [*models, turn.model][-self._room :]
            now += max(0.0, seconds - so_far)
            ahead.took(turn, overtook, max(seconds, so_far), load, now)
            turns, since = turns + 1, since + 1
            if turn.seconds[1:]:
                left.append(replace(turn, seconds=turn.seconds[1:], since=since, begun=True))
        return places

    def _copy(self) -> Turns[_Job, _Model]:
        other = copy.copy(self)
        other._served, other._loads = dict(self._served), dict(self._loads)
        return other


def _since(waiting: Waiting[_Job, _Model]) -> int:
    return waiting.since
