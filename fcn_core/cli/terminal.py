"""What all commands write to the terminal: error messages and progress bars."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fcn_core.errors import FcnError, WeightsUnavailable

# The beginnings of messages that TensorFlow writes when it starts, which no setting turns off.
_START_UP_MESSAGES = (
    b"WARNING: All log messages before absl",
    b"I0000 ",
    b"To enable the following instructions",
)


def complain(text: str) -> None:
    """Write one line to standard error."""
    print(f"fcn_core: {shown(text)}", file=sys.stderr)


def report(error: FcnError, about: str = "") -> int:
    """Write an error in one line, after the name of the file it concerns, and return its exit status."""
    complain(f"{about}: {error}" if about else str(error))
    return 3 if isinstance(error, WeightsUnavailable) else 2


def shown(text: str) -> str:
    """Return a text as one line without characters that would control a terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def weights_note(weights: str) -> str:
    """Return a note about weights that are not the published ones; "" for published weights."""
    return "" if weights in ("imagenet", "own") else f"  ({weights} weights)"


@contextmanager
def progress_bar(title: str, bytes_: bool = False) -> Iterator[Callable[[float, float, str], None]]:
    """Show a progress bar if standard error is a terminal.

    Parameters
    ----------
    title : str
        Shown before the bar.
    bytes_ : bool
        Show amounts as bytes instead of a percentage.

    Yields
    ------
    callable
        Updates the bar; its arguments are the amount done, the whole amount, and a note shown after the title.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _of, _note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

    amount = DownloadColumn() if bytes_ else TaskProgressColumn()
    text = TextColumn("{task.description}", markup=False)  # a file name is not markup
    with Progress(text, BarColumn(), amount, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, of, note: bar.update(
            task, completed=done, total=of, description=f"{title} {note}".rstrip()
        )


@contextmanager
def without_start_up_messages() -> Iterator[None]:
    """Remove TensorFlow's start-up messages from standard error; pass everything else on at the end."""
    sys.stderr.flush()
    try:
        written = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # no temporary folder is writable
        yield
        return
    kept = os.dup(2)
    with written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            with suppress(OSError):
                for line in written:
                    if not line.startswith(_START_UP_MESSAGES):
                        os.write(2, line)
