"""The score of a learner, and the file in which it is handed in.

``python -m app.lesson.exercises.score FILE...`` prints what several files say as a table in CSV, for teachers. It needs
neither the app nor a network.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from fcn_core.errors import FcnError

NAMES = ("kernel", "gaps", "lines", "shape", "smaller", "heat", "which", "means", "resized")
"""Names of the exercises in their order; they stand here, too, because the table is made without the app."""

FULL = 4  # points of an exercise
HINT_COSTS = 1
KIND, FORMAT = "fcn-exercises", 1
NOTE = (
    "The checksum tells accidental edits. It is no proof against cheating: whoever can write a program can write this "
    "file."
)
MOST_BYTES = 200_000  # of a file; one has about 5000
_MOST_NAME = 80


@dataclass(frozen=True)
class Attempt:
    """What a learner did with one exercise.

    Attributes
    ----------
    answers : mapping
        The answers that were judged last, or those that were right, by the names of the parts.
    tries, hints : int
        How often the answers were judged until they were right, and how many hints were shown until then.
    shown : bool
        Whether the answer was shown before.
    solved : bool
    picture, model : str
        Those for which the answers were judged.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0
    hints: int = 0
    shown: bool = False
    solved: bool = False
    picture: str = ""
    model: str = ""

    @property
    def points(self) -> int:
        """All points without hints, fewer with, none if the answer was shown first."""
        return worth(self.hints, self.shown) if self.solved else 0

    def helped(self, hints: int, shown: bool) -> Attempt:
        """Return the attempt after hints or the answer were shown; once solved, that changes nothing."""
        if self.solved:
            return self
        return replace(self, hints=max(self.hints, hints), shown=self.shown or shown)

    def tried(self, answers: Mapping[str, str], right: bool, picture: str, model: str) -> Attempt:
        """Return the attempt after answers were judged; once solved, it stays so."""
        if self.solved:
            return self
        return replace(
            self, answers=dict(answers), tries=self.tries + 1, solved=right, picture=picture, model=model
        )

    def again(self) -> Attempt:
        """Return a new attempt; what was shown stays known, so its price stays."""
        return Attempt(hints=self.hints, shown=self.shown)


def worth(hints: int, shown: bool) -> int:
    """Return the points of an exercise that is solved with so many hints."""
    return 0 if shown else max(1, FULL - HINT_COSTS * hints)


@dataclass(frozen=True)
class Heading:
    """What a score file says besides the exercises; `written` is a time in ISO 8601."""

    name: str
    language: str
    picture: str
    model: str
    program: str
    written: str


def write(heading: Heading, attempts: Mapping[str, Attempt]) -> str:
    """Return a score file as JSON.

    Parameters
    ----------
    attempts : mapping
        For each exercise, in their order.
    """
    content = {
        "kind": KIND,
        "format": FORMAT,
        **vars(heading),
        "name": _encodable(heading.name.strip()[:_MOST_NAME]),
        "points": sum(attempt.points for attempt in attempts.values()),
        "of": FULL * len(attempts),
        "exercises": [
            {
                "exercise": name,
                "points": attempt.points,
                "of": FULL,
                "solved": attempt.solved,
                "tries": attempt.tries,
                "hints": attempt.hints,
                "answer_shown": attempt.shown,
                "answers": dict(attempt.answers),
                "picture": attempt.picture,
                "model": attempt.model,
            }
            for name, attempt in attempts.items()
        ],
        "note": NOTE,
    }
    return json.dumps(content | {"checksum": checksum(content)}, ensure_ascii=False, indent=2) + "\n"


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a score, without its checksum; spaces and the order of names do not matter."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    plain = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Score:
    """A score file as a teacher reads it.

    Attributes
    ----------
    content : dict
    unchanged : bool
        Whether the checksum fits.
    """

    content: dict[str, Any]
    unchanged: bool

    @property
    def row(self) -> dict[str, Any]:
        """One line of the table; the total is that of the exercises, whatever the file says.

        Raises
        ------
        ValueError
            The file says what no score says.
        """
        about = {name: self.content[name] for name in ("name", "written", "picture", "model")}
        if not all(isinstance(text, str) for text in about.values()):
            raise ValueError(about)
        points: dict[str, int] = {}
        for each in self.content["exercises"]:
            name, gained = each["exercise"], each["points"]
            if name not in NAMES or name in points or type(gained) is not int or not 0 <= gained <= FULL:
                raise ValueError(name)
            points[name] = gained
        total = {"points": sum(points.values()), "of": FULL * len(NAMES)}
        changed = {"unchanged": "yes" if self.unchanged else "NO"}
        return {"name": about.pop("name")} | total | about | changed | points


def read(data: bytes, file: str) -> Score:
    """Read a score file.

    Parameters
    ----------
    file : str
        Its name, for messages.

    Raises
    ------
    FcnError
        It is no score file.
    """
    try:
        content: Any = json.loads(data) if len(data) <= MOST_BYTES else None
        score = Score(content, content["checksum"] == checksum(content))
        if (content["kind"], content["format"]) != (KIND, FORMAT) or not score.row:
            raise ValueError(file)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FcnError(
            f"Expected a score of the lesson's exercises. Received {file[:80]!r}, which is none. Leave it out."
        ) from error
    return score


def table(scores: Sequence[Score], out: TextIO) -> None:
    """Write a table in CSV, a line for each score; a spreadsheet takes no cell for a formula."""
    rows = [score.row for score in scores]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writerow({name: _plain(name) for name in names})
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = _encodable(" ".join(value.split()))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _encodable(text: str) -> str:
    """Replace halves of characters, which JSON can hold and no file can."""
    return text.encode("utf-8", "replace").decode()


def main(paths: Sequence[str]) -> int:
    """Print the table of score files, and on standard error what is none of them.

    Returns
    -------
    int
        0; 2 if a file could not be read.
    """
    scores, problems = [], []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                scores.append(read(file.read(MOST_BYTES + 1), path))
        except (FcnError, OSError) as error:
            problems.append(str(error))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know the letters of all names
    table(scores, sys.stdout)
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 2 if problems or not paths else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
