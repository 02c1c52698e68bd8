"""A machine to deploy to, in a folder: another user, a checkout that nobody may change, the app, nginx before it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

OTHER = 61184 + os.getpid() % 4096  # a user that no machine has a name for, and no other run
_FOLDERS = os.environ.get("PATH", "")
# Beside the folders of the PATH: Debian keeps servers out of the PATH of everyone but root.
_SERVERS = os.pathsep.join(
    [_FOLDERS, *(str(Path(f).parent / "sbin") for f in _FOLDERS.split(os.pathsep) if f)]
)
NGINX = shutil.which("nginx", path=_SERVERS)
OPENSSL = shutil.which("openssl")
# Reading is let through, for the interpreter and the tests' folders may be another's; writing is not.
_READING = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
_AS_OTHER = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", "--no-new-privs", *_READING)


def is_root() -> bool:
    """Whether the tests may become another user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


@cache
def lacking() -> str:
    """What of this machine the tests of a deployment lack; nothing if they can run."""
    what = ""
    if not (NGINX and OPENSSL):
        what = "nginx and openssl are not both on the PATH. Install them (Debian: apt install nginx-light openssl)"
    elif is_root() and not (shutil.which("setpriv") and subprocess.run([*_AS_OTHER, "true"]).returncode == 0):
        what = "root cannot become another user here (setpriv with CAP_DAC_READ_SEARCH). Run the tests as that user"
    return what and f"the app behind nginx: {what}; with FCN_REQUIRE_NGINX=1 these tests fail without"


def as_other(command: Sequence[str]) -> list[str]:
    """The command, run by a user who may change nothing: another one, where the tests are root's."""
    return [*(_AS_OTHER if is_root() else ()), *command]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that others may look into, unlike pytest's; it goes with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="fcn-deployed-") as name:
        path = Path(name)
        path.chmod(0o755)
        try:
            yield path
        finally:
            for each in (path, *path.rglob("*")):  # what was sealed
                each.chmod(each.stat().st_mode | 0o200)


def give(path: Path) -> Path:
    """Make a folder that the other user may write to, where it is not there, and give him what is in it."""
    path.mkdir(exist_ok=True)
    if is_root():
        for each in (path, *path.rglob("*")):
            os.chown(each, OTHER, OTHER)
    return path


def seal(path: Path) -> Path:
    """Let nobody but root write to a folder and what is in it."""
    for each in (path, *path.rglob("*")):
        each.chmod(each.stat().st_mode & ~0o222)
    return path


def left_behind(*but: Path) -> list[str]:
    """What the other user has in the folders that everybody may write to."""
    if not is_root():
        return []  # it is the tests' own user
    found = []
    for folder in map(Path, ("/tmp", "/var/tmp", "/dev/shm")):  # noqa: S108 - looked into, not written to
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # of another's that has just gone
                if path.lstat().st_uid == OTHER and path not in but:
                    found.append(str(path))
    return found


def checkout(path: Path) -> Path:
    """What of the repository the app needs, as `deploy/Dockerfile` takes it."""
    path.mkdir()
    for name in ("app", "fcn_core", "assets", ".streamlit"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "streamlit_app.py", path)
    return path


def settings(cache: Path) -> dict[str, str]:
    """The environment of `deploy/fcn.env`, with another cache and the smallest model."""
    lines = (ROOT / "deploy" / "fcn.env").read_text(encoding="utf-8").replace("/var/cache/fcn", str(cache))
    given = dict(line.split("=", 1) for line in lines.splitlines() if line and not line.startswith("#"))
    return {"PATH": os.environ["PATH"], **given, "FCN_MODEL": "efficientnet-lite0"}


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens at."""
    for _ in range(50):
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                for offset in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
                return [port + offset for offset in range(count)]
    raise OSError(f"no {count} free ports in a row")


def answers(port: int, path: str, **headers: str) -> bool:
    """Whether the app at a port answers with a success."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
        return True
    return False


def ready(port: int) -> bool:
    """Whether the app at a port says that it is ready."""
    return answers(port, "/readyz")


def listens(port: int) -> bool:
    """Whether somebody listens at a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
        return True
    return False


@contextlib.contextmanager
def running(
    command: Sequence[str], there: Callable[[], bool], log: Path, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server from the moment at which it is there until it is ended here."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, **options)
    try:

        def started() -> bool:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            return there()

        wait_until(started, lambda: log.read_text(encoding="utf-8"), pause=0.1)
        yield server
    finally:
        server.terminate()
        server.wait(PATIENCE)


def streamlit(port: int, *options: str) -> list[str]:
    """The command of the documentation."""
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    return [*command, "--server.address", "127.0.0.1", *options]
