"""Rooms in which a class predicts together: what is asked, and how many chose which answer.

A room lives in the memory of one process, and keeps no names. Who votes is known by a token that their session
derives for this room alone. Whoever has the room's key asks the questions.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fcn_core.errors import FcnError

LETTERS = "ACDEFGHJKLMNPQRTUVWXY"  # without those that look or sound like another letter or a digit
CODE_LENGTH = 5  # four million codes: with all rooms open, one guess in 20 000 finds one

MOST_ROOMS = 200
MOST_OWN = 2  # of one session
MOST_VOTERS = 500  # of one question
MOST_QUESTIONS = 100  # of one room
MOST_VOTES = 50_000  # of all rooms: 10 MB

UNUSED_AFTER = 3 * 3600.0  # seconds without a vote, and without the page of whoever asks
EMPTY_AFTER = 600.0  # the same for a room in which nobody has voted yet
IDLE_AFTER = 120.0  # the same if the server has no room left; open pages say more often that they are there
_SWEEP_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Asked:
    """A question as the class sees it, with all values filled in.

    Attributes
    ----------
    name : str
        Of the question in the lesson.
    text, answer : str
        Markdown.
    choices : tuple of str
    right : int
        The right choice, counted from 0.
    """

    name: str
    text: str
    choices: tuple[str, ...]
    right: int
    answer: str


@dataclass(frozen=True)
class View:
    """What a participant sees of a room.

    Attributes
    ----------
    asked : Asked or None
        The question of the moment.
    own : int or None
        What the participant has chosen.
    votes : int
        How many have chosen.
    counts : tuple of int
        How many have chosen each answer; participants see them together with the answer, before they are empty.
    hidden : bool
        Whether the page of whoever asks hides them as well.
    revealed : bool
        Whether the right answer is shown.
    turn : int
        Changes whenever a question is asked, or its votes are forgotten.
    """

    asked: Asked | None
    own: int | None
    votes: int
    counts: tuple[int, ...]
    hidden: bool
    revealed: bool
    turn: int


@dataclass(eq=False)
class _Room:
    key: str
    owner: str
    used: float
    asked: Asked | None = None
    hidden: bool = False
    revealed: bool = False
    turn: int = 0
    # The question and its votes, by its name.
    votes: dict[str, tuple[Asked, dict[str, int]]] = field(default_factory=dict)
    count: int = 0  # votes on all questions

    def begin(self, asked: Asked) -> None:
        """Forget the votes on a question."""
        if asked.name in self.votes:
            self.count -= len(self.votes[asked.name][1])
        self.votes[asked.name] = (asked, {})

    def is_unused(self, now: float) -> bool:
        """Whether the room can be forgotten."""
        return now - self.used > (UNUSED_AFTER if self.count else EMPTY_AFTER)


class Rooms:
    """All rooms of this process; every method may be called in any thread.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rooms: dict[str, _Room] = {}
        self._lock = threading.Lock()
        self._swept = -math.inf

    def __len__(self) -> int:
        with self._lock:
            self._drop_unused()
            return len(self._rooms)

    def open(self, owner: str) -> tuple[str, str]:
        """Open a room.

        Parameters
        ----------
        owner : str
            Name of the session, so that one session cannot open rooms without end.

        Returns
        -------
        (str, str)
            The room's code, and the key of whoever asks.

        Raises
        ------
        FcnError
            The session, or all sessions, have too many rooms, and none of them is idle.
        """
        with self._lock:
            self._drop_unused()
            own = sum(room.owner == owner for room in self._rooms.values())
            if own >= MOST_OWN:
                raise FcnError(
                    f"Expected at most {MOST_OWN} rooms of one page. Received one more. Close one of your rooms first."
                )
            if len(self._rooms) >= MOST_ROOMS and not self._drop_idle():
                raise FcnError(
                    f"Expected at most {MOST_ROOMS} rooms on this server. Received one more. Try again in some minutes."
                )
            code = _new_code()
            while code in self._rooms:
                code = _new_code()
            room = _Room(secrets.token_urlsafe(12), owner, self._clock())
            self._rooms[code] = room
            return code, room.key

    def exists(self, code: str) -> bool:
        """Return whether there is such a room."""
        with self._lock:
            return self._room(code) is not None

    def controls(self, code: str, key: str) -> bool:
        """Return whether a key is that of a room."""
        with self._lock:
            return self._owned(code, key) is not None

    def ask(self, code: str, key: str, asked: Asked) -> None:
        """Make a question that of the moment; its answer is not shown yet.

        Votes on it that there are stay if it is the same in all that the class sees; else they meant something else.

        Raises
        ------
        FcnError
            The room is gone, or has been asked too many questions, or none of the choices is right.
        """
        if not 0 <= asked.right < len(asked.choices):
            raise FcnError(
                f"Expected a question with a right choice among its {len(asked.choices)}. Received one whose right "
                "choice is not known yet. Ask it when the network has run."
            )
        with self._lock:
            room = self._own(code, key)
            if asked.name not in room.votes and len(room.votes) >= MOST_QUESTIONS:
                raise FcnError(
                    f"Expected at most {MOST_QUESTIONS} questions in one room. Received one more. Open another room."
                )
            if asked.name not in room.votes or room.votes[asked.name][0] != asked:
                room.begin(asked)
            room.asked, room.revealed = asked, False
            room.turn += 1

    def show(self, code: str, key: str, *, counts: bool | None = None, answer: bool | None = None) -> None:
        """Show or hide the right answer for all, or the counts before it for whoever asks.

        Raises
        ------
        FcnError
            The room is gone.
        """
        with self._lock:
            room = self._own(code, key)
            room.hidden = room.hidden if counts is None else not counts
            room.revealed = room.revealed if answer is None else answer

    def clear(self, code: str, key: str) -> None:
        """Forget the votes on the question of the moment, and hide its answer.

        Raises
        ------
        FcnError
            The room is gone.
        """
        with self._lock:
            room = self._own(code, key)
            if room.asked is not None:
                room.begin(room.asked)
            room.revealed = False
            room.turn += 1

    def close(self, code: str, key: str) -> None:
        """Forget a room with all that is in it; without its key nothing happens."""
        with self._lock:
            if self._owned(code, key) is not None:
                del self._rooms[code]

    def vote(self, code: str, voter: str, turn: int, choice: int) -> bool:
        """Choose an answer, or another one.

        Parameters
        ----------
        voter : str
            Token of the participant.
        turn : int
            Of the view that the participant saw.

        Returns
        -------
        bool
            Whether it counts. It does not if the room is gone, it is another turn now, or the answer is shown.

        Raises
        ------
        FcnError
            Too many have voted.
        """
        with self._lock:
            room = self._room(code)
            if room is None or room.asked is None or room.turn != turn or room.revealed:
                return False
            if not 0 <= choice < len(room.asked.choices):
                return False
            _, votes = room.votes[room.asked.name]
            if voter not in votes:
                if len(votes) >= MOST_VOTERS:
                    raise FcnError(
                        f"Expected at most {MOST_VOTERS} votes on a question. Received one more. Open another room."
                    )
                if sum(each.count for each in self._rooms.values()) >= MOST_VOTES:
                    raise FcnError(
                        f"Expected at most {MOST_VOTES} votes in all rooms of this server. Received one more. Try "
                        "again when other rooms are closed."
                    )
                room.count += 1
            votes[voter] = choice
            room.used = self._clock()
            return True

    def look(self, code: str, voter: str = "", key: str = "") -> View | None:
        """Return what a participant sees, or with the key whoever asks; None if the room is gone.

        With the key the room counts as used.
        """
        with self._lock:
            room = self._room(code)
            if room is None:
                return None
            asks = self._owned(code, key) is not None
            if asks:
                room.used = self._clock()
            if room.asked is None:
                return View(None, None, 0, (), room.hidden, room.revealed, room.turn)
            _, votes = room.votes[room.asked.name]
            counted = Counter(votes.values())
            counts = tuple(counted[n] for n in range(len(room.asked.choices)))
            return View(
                room.asked, votes.get(voter), len(votes), counts if asks or room.revealed else (),
                room.hidden, room.revealed, room.turn,
            )  # fmt: skip

    def _room(self, code: str) -> _Room | None:
        self._drop_unused()
        room = self._rooms.get(code)
        return None if room is None or room.is_unused(self._clock()) else room

    def _owned(self, code: str, key: str) -> _Room | None:
        room = self._room(code)
        same = room is not None and secrets.compare_digest(room.key.encode(), key.encode())
        return room if same else None

    def _own(self, code: str, key: str) -> _Room:
        room = self._owned(code, key)
        if room is None:
            raise FcnError("Expected an open room of yours. Received one that is closed. Open a new one.")
        room.used = self._clock()
        return room

    def _drop_unused(self) -> None:
        now = self._clock()
        if now - self._swept < _SWEEP_EVERY:
            return
        self._swept = now
        for code in [code for code, room in self._rooms.items() if room.is_unused(now)]:
            del self._rooms[code]

    def _drop_idle(self) -> bool:
        """Forget the room without votes that was left longest; return whether there was one."""
        now = self._clock()
        idle = [
            (room.used, code)
            for code, room in self._rooms.items()
            if not room.count and now - room.used >= IDLE_AFTER
        ]
        if idle:
            del self._rooms[min(idle)[1]]
        return bool(idle)


def _new_code() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))


def read_code(text: str) -> str:
    """Return a code as it was typed, in capital letters.

    Raises
    ------
    ValueError
        It cannot be one.
    """
    code = text.strip().upper()
    if len(code) != CODE_LENGTH or set(code) - set(LETTERS):
        raise ValueError(text)
    return code
