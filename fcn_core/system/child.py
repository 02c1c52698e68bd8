"""Run a module of this package in a new Python process, and pass on how it fails.

``python -m`` finds a package on the new process's own search path. Where this package is not installed, as on a
platform that runs a checkout, it finds none, and in another folder it may find another version. The command made here
names the folder of this very package: parent and child run the same code, wherever they are started. The other packages
come from the interpreter's environment, as in the parent.

A child that refuses its work, or cannot write, says so in its exit status and last line; the parent raises the same
error.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fcn_core import errors
from fcn_core.errors import EngineError, FcnError
from fcn_core.system.assets import package_folder

REFUSED, UNWRITABLE = 20, 21  # exit statuses of a child
_LOOK_EVERY = 0.2  # seconds

# "Importing a source file directly", as the documentation of importlib shows it, and then what `python -m` does.
_RUN = """
import importlib.util, runpy, sys
_, package, module, *arguments = sys.argv
spec = importlib.util.spec_from_file_location("fcn_core", package)
sys.modules["fcn_core"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["fcn_core"])
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ``fcn_core`` as ``__main__`` in a new process.

    Parameters
    ----------
    module : str
        Its full name, or ``fcn_core`` for the command line.
    *arguments : str
        What it finds in ``sys.argv[1:]``.

    Returns
    -------
    list of str
        For :func:`run_child`; it depends neither on the working directory nor on ``PYTHONPATH``.
    """
    return [sys.executable, "-P", "-c", _RUN, str(package_folder() / "__init__.py"), module, *arguments]


def child_environment(backend: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that runs Keras, free of the settings of this machine and process.

    Parameters
    ----------
    backend : str
        Of Keras.
    folder : Path
        For its settings and temporary files; it is made if it is missing.
    **more : str
        Further variables.
    """
    folder.mkdir(exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("KERAS_")},
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(folder),  # a folder without keras.json
        "TMPDIR": str(folder),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "ignore",  # "error" would stop Keras where it uses deprecated names of NumPy
        **more,
    }


def run_child(
    command: Sequence[str],
    environment: Mapping[str, str],
    task: str,
    *,
    timeout: float,
    cure: str = "Try again",
    checkpoint: Callable[[], None] | None = None,
) -> str:
    """Run a module that ends with :func:`exit_status`, and return what it printed.

    Parameters
    ----------
    command : sequence of str
        See :func:`module_command`.
    environment : mapping
        See :func:`child_environment`.
    task : str
        What it does, for messages, as an infinitive.
    timeout : float
        Seconds.
    cure : str
        What a user can do if it fails.
    checkpoint : callable, optional
        Called several times a second; what it raises, such as `Cancelled`, ends the process and is raised here.

    Raises
    ------
    FcnError
        What the process refused.
    OSError
        It could not write a file.
    EngineError
        It failed in another way, took too long, or could not be started.
    """
    try:
        child = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:  # not caused by a folder
        raise EngineError(
            f"Expected a second Python process to {task}. Received one that cannot be started "
            f"({error.strerror or error}). Memory or processes may be exhausted; try again."
        ) from error
    with child:
        try:
            printed, said = _watched(child, task, timeout, checkpoint)
        except BaseException:
            child.kill()
            raise
    if child.returncode == 0:
        return printed
    last = (said.strip().splitlines() or ["no message"])[-1]
    name, _, message = last.partition(": ")
    refusal = getattr(errors, name, None)
    if child.returncode == REFUSED and isinstance(refusal, type) and issubclass(refusal, FcnError):
        raise refusal(message)
    if child.returncode == UNWRITABLE:
        raise OSError(message)
    how = f"was stopped by signal {-child.returncode}" if child.returncode < 0 else "failed"
    raise EngineError(
        f"Expected a second process to {task}. Received one that {how} ({last[:300]}). {cure}; if it was stopped, "
        f"memory may be exhausted."
    )


def _watched(
    child: subprocess.Popen[str], task: str, timeout: float, checkpoint: Callable[[], None] | None
) -> tuple[str, str]:
    """Wait for the end of a process; return what it printed, and what it said on standard error."""
    end = time.monotonic() + timeout
    while True:
        left = max(0.0, end - time.monotonic())
        try:
            return child.communicate(timeout=left if checkpoint is None else min(left, _LOOK_EVERY))
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= end:
                raise EngineError(
                    f"Expected a second process to {task} within {timeout:.0f} seconds. Received no result in that "
                    f"time. Try again."
                ) from error
            if checkpoint is not None:
                checkpoint()


def exit_status(work: Callable[[], object]) -> int:
    """Do the work of a child process, and return its exit status; :func:`run_child` raises again what it refuses.

    The last line on standard error is then the reason.
    """
    try:
        work()
    except FcnError as error:
        return _failed(error, REFUSED)
    except OSError as error:
        return _failed(error, UNWRITABLE)
    return 0


def _failed(error: Exception, status: int) -> int:
    print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
    return status
