"""A run that is killed: a script for processes of their own.

    python -m tests.batch.killed FOLDER SEED

Runs a batch of made-up rows again and again, each time in a child that kills itself (SIGKILL) before a random one of
its operations on the folder, until one comes to its end; prints how many were killed, how many pictures were done in
all, and the exit status of the last.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from fcn_core.batch import journal
from fcn_core.batch.inputs import Source
from tests.batch import tables

SOURCES = [Source(f"p{number:02d}.png", "1-1") for number in range(40)] + [Source("bad.png", "1-1")]
SETTINGS = {"model": "a"}
MOST_PICTURES = 4  # in a part
_OPERATIONS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}
_FURTHEST = 60  # operations before a child kills itself, at most


def die_before(operation: int, folder: str) -> None:
    """Let this process kill itself before its n-th operation on a folder."""
    left = operation

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _OPERATIONS and folder in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def run_counted(folder: Path, counter: int) -> None:
    """Run the batch, and write a byte for each picture that is done."""
    made = tables.rows_of
    tables.rows_of = lambda source: os.write(counter, b".") and made(source)
    tables.run(folder, SOURCES, SETTINGS)


def main(folder: Path, seed: int) -> None:
    journal.MOST_PICTURES = MOST_PICTURES
    generator = random.Random(seed)
    reader, writer = os.pipe()
    kills, status = -1, signal.SIGKILL
    while os.WIFSIGNALED(status):
        kills += 1
        operation = generator.randint(1, _FURTHEST)
        child = os.fork()
        if child == 0:
            die_before(operation, str(folder))
            run_counted(folder, writer)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    os.close(writer)
    print(kills, len(os.read(reader, 2**16)), os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
