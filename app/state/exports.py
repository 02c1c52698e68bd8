"""Networks that visitors take away: each made in processes of its own, one at a time, and kept while a page shows it.

A visitor has one export at a time; equal ones are shared. It is cancelled, or its archive removed, if all its sessions
leave it or give no sign of life for a while. The archives lie in the temporary folder of this process, which bounds
their number and is removed with it.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

from app.state.queue.job_log import message_for_user
from app.state.shared_queue import memory_for_a_process
from fcn_core import settings
from fcn_core.errors import Cancelled, FcnError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import model_spec
from fcn_core.portable.formats import FORMATS, Format
from fcn_core.portable.network import export_network, needed_mb
from fcn_core.system.folders import temporary_root

logger = logging.getLogger(__name__)

ABANDONED_AFTER = 100.0  # seconds without a sign of life: a browser slows a hidden tab down to one a minute
MOST_WAITING = 4
MOST_KEPT = 4  # archives
_SWEEP_EVERY = 20.0  # seconds

State = Literal["queued", "running", "done", "failed", "cancelled"]
Step = Literal["wait", "write", "check", "pack"]
STEPS: tuple[Step, ...] = ("wait", "write", "check", "pack")


@dataclass(eq=False)
class Export:
    """One network in one format.

    Attributes
    ----------
    spec : ModelSpec
    format : str
    state : State
    step : Step
        What is done now: wait for memory, write the file, check it in its runtime, pack the archive.
    fetched : (int, int) or None
        Bytes so far and in all, while weights are downloaded.
    error : str
        Why it failed, for the user.
    archive : Path or None
        ZIP, once it is done.
    size : int
        Bytes of the archive.
    sessions : set of str
        Those that want it.
    alive_at : float
        Time of the last sign of life of one of them.
    """

    spec: ModelSpec
    format: str
    state: State = "queued"
    step: Step = "wait"
    fetched: tuple[int, int] | None = None
    error: str = ""
    archive: Path | None = None
    size: int = 0
    sessions: set[str] = field(default_factory=set)
    alive_at: float = 0.0

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.spec.name

    @property
    def kind(self) -> Format:
        """The format."""
        return FORMATS[self.format]

    @property
    def under_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")

    def read(self) -> bytes:
        """Return the archive.

        Raises
        ------
        FcnError
            It was removed.
        """
        try:
            if self.archive is not None:
                return self.archive.read_bytes()
        except OSError as error:
            logger.warning("An archive cannot be read: %s", error)
        raise FcnError(
            f"Expected {self.spec.title} as {self.kind.title}. Received none: it was removed, as no page showed it for "
            f"a while. Export it again."
        )


def allowed(spec: ModelSpec) -> bool:
    """Return whether visitors may export a model; a deployer's own only where the setting says so explicitly."""
    return settings.ALLOW_EXPORT.value() and (spec.given is None or settings.ALLOW_EXPORT.given())


Make = Callable[[Export, Path, Callable[[Step], None]], Path]


def make_archive(export: Export, folder: Path, checkpoint: Callable[[Step], None]) -> Path:
    """Export a network into a folder, and return an archive of it; the checkpoint may raise `Cancelled`."""
    spec, kind = export.spec, export.kind
    made = folder / spec.name

    def fetched(done: int, whole: int) -> None:
        export.fetched = done, whole
        checkpoint("write")

    with memory_for_a_process(needed_mb(spec, kind)):
        exported = export_network(
            spec, kind.name, made / f"{spec.name}{kind.suffix}", progress=fetched, checkpoint=checkpoint
        )
    checkpoint("pack")
    archive = folder / f"{spec.name}-{kind.name}.zip"
    exported.write_archive(archive)
    shutil.rmtree(made)
    return archive


class Exports:
    """Makes exports in its own thread.

    Parameters
    ----------
    make : callable
        Returns the archive; see :func:`make_archive`.
    """

    def __init__(self, make: Make = make_archive) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._waiting: list[Export] = []
        self._running: Export | None = None
        self._kept: list[Export] = []  # done, the oldest first
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="exports", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self, seconds: float = 10.0) -> None:
        """Cancel everything, remove all archives, and wait for the thread to end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def ask(self, model: str, kind: str, *, session: str) -> Export:
        """Ask for a network; the session leaves what it asked for before.

        Raises
        ------
        FcnError
            The deployer does not allow it, or too many exports wait.
        """
        spec = model_spec(model)
        if not allowed(spec):
            raise FcnError(
                f"Expected a model that visitors may export (FCN_ALLOW_EXPORT). Received {spec.title}. Use the command "
                f"fcn export on your own machine."
            )
        with self._changed:
            self._sweep()
            known = [*self._waiting, *([self._running] if self._running else []), *self._kept]
            wanted = next(
                (e for e in known if (e.spec, e.format) == (spec, kind) and self._is_wanted(e)), None
            )
            if wanted is None and sum(bool(e.sessions - {session}) for e in self._waiting) >= MOST_WAITING:
                raise FcnError(
                    f"Expected at most {MOST_WAITING} waiting exports of all users. Received one more. Try again in "
                    f"some minutes."
                )
            for other in known:
                if other is not wanted:
                    self._leave(other, session)
            self._sweep()
            if wanted is None:
                wanted = Export(spec, kind)
                self._waiting.append(wanted)
            wanted.sessions.add(session)
            wanted.alive_at = time.monotonic()
            self._changed.notify_all()
            return wanted

    def keep_alive(self, export: Export, *, session: str) -> None:
        """Say that a session still shows an export."""
        with self._changed:
            if session in export.sessions:
                export.alive_at = time.monotonic()

    def leave(self, export: Export, *, session: str) -> None:
        """Say that a session wants an export no longer."""
        with self._changed:
            self._leave(export, session)

    def place(self, export: Export) -> int:
        """Return how many exports come before one that waits."""
        with self._changed:
            return self._waiting.index(export) + 1 if export in self._waiting else 0

    def _leave(self, export: Export, session: str) -> None:
        export.sessions.discard(session)
        self._changed.notify_all()

    def _is_wanted(self, export: Export) -> bool:
        alive = time.monotonic() - export.alive_at <= ABANDONED_AFTER
        return bool(export.sessions) and alive and not self._closed

    def _sweep(self) -> None:
        """Cancel exports that nobody wants, and remove their archives."""
        for export in [each for each in self._waiting if not self._is_wanted(each)]:
            self._waiting.remove(export)
            export.state = "cancelled"
        unwanted = [each for each in self._kept if not self._is_wanted(each)]
        for export in [*unwanted, *[e for e in self._kept if e not in unwanted][:-MOST_KEPT]]:
            self._kept.remove(export)
            export.state = "cancelled"
            if export.archive is not None:
                shutil.rmtree(export.archive.parent, ignore_errors=True)

    def _work(self) -> None:
        while (export := self._next()) is not None:
            ending: State = "failed"
            try:
                with _own_folder() as folder:
                    export.archive = self._make(export, folder, partial(self._checkpoint, export))
                    export.size = export.archive.stat().st_size
                ending = "done"
            except Cancelled:
                ending = "cancelled"
            except Exception as error:
                export.error = message_for_user(error)
                traceback = None if isinstance(error, FcnError | MemoryError) else error
                logger.log(
                    logging.ERROR, "%s was not exported: %s", export.model, export.error, exc_info=traceback
                )
            with self._changed:
                export.state, export.fetched, self._running = ending, None, None
                if ending == "done":
                    self._kept.append(export)
            del export

    def _next(self) -> Export | None:
        """Wait for the next export and begin it; return None once all is closed."""
        with self._changed:
            while True:
                self._sweep()
                if self._closed:
                    return None
                if self._waiting:
                    break
                self._changed.wait(_SWEEP_EVERY)
            self._running = self._waiting.pop(0)
            self._running.state = "running"
            return self._running

    def _checkpoint(self, export: Export, step: Step) -> None:
        with self._changed:
            self._sweep()
            if not self._is_wanted(export):
                raise Cancelled("No session wants this export any more.")
            export.step = step
            if step != "write":
                export.fetched = None


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Make a folder for one export; remove it if that fails."""
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=temporary_root()))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@cache
def exports() -> Exports:
    """Return the exports of this process; the first call starts their thread."""
    return Exports()
