"""Run the app as it is started, with limits, and audit what it does."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

from benchmarks.session import Session, Tally
from tests.app.tab import ask
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

RESERVE = 100  # megabytes beyond the budget: two uploads in progress, each held twice while it is read
BACK = 70  # megabytes above the start that may remain
CACHED = 0.12  # of the budget, in addition: cached class maps


@dataclass
class Server:
    """A running app."""

    port: int
    process: psutil.Process
    memory: int
    log: Path
    audit: Path
    start: float = 0.0

    @property
    def rss(self) -> float:
        return float(self.process.memory_info().rss) / 2**20

    def held(self) -> dict[str, Any]:
        """Return how many files and sessions it holds."""
        return json.loads(ask(self.port + 1, "GET", "/counts")[2])

    def check(self) -> None:
        """Check that its memory is within the budget."""
        assert self.rss <= self.memory + RESERVE

    def visit(self) -> None:
        """Check that an honest user gets the whole first page."""
        assert ask(self.port, "GET", "/_stcore/health")[0] == 200

        async def scene() -> Tally:
            user = Session(self.port, random.Random(0), Tally())
            await user.open()
            await user.settle()
            await user.close()
            return user.tally

        assert asyncio.run(scene()).errors == []
        self.check()

    def recovers(self) -> None:
        """Check that memory returns to its level at the start once all sessions have ended."""
        wait_until(lambda: self.held()["sessions"] == 0, pause=0.1)
        wait_until(lambda: self.held()["files"] == 0, pause=0.1)
        most = self.start + BACK + CACHED * self.memory
        wait_until(lambda: self.rss <= most, lambda: f"{self.start:.0f} -> {self.rss:.0f} MB", pause=0.1)


def _two_ports() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


@contextlib.contextmanager
def running(folder: Path, memory: int, files: int, *options: str) -> Iterator[Server]:
    """Run the app with a memory budget in megabytes and a limit of open files; check its log and audit at the end."""
    port, log, audit = _two_ports(), folder / "log", folder / "audit"
    command = [
        sys.executable,
        "-m",
        "tests.browser.audited",
        str(audit),
        str(port),
        *options,
    ]
    environment = {**os.environ, "FCN_MEMORY_MB": str(memory)}

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with log.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, preexec_fn=limit
        )
    server = Server(port, psutil.Process(child.pid), memory, log, audit)

    def is_ready() -> bool:
        assert child.poll() is None, log.read_text(encoding="utf-8")
        with contextlib.suppress(OSError):
            return ask(port, "GET", "/readyz")[0] == 200
        return False

    try:
        wait_until(is_ready, lambda: log.read_text(encoding="utf-8"), pause=0.1)
        yield server
    finally:
        child.terminate()
        child.wait(PATIENCE)
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said
    assert len(said) < 100_000, said[:10_000]
    assert outsiders(audit) == []


def outsiders(audit: Path) -> list[str]:
    """Return the audited events of a server that concern other machines."""
    found = []
    for line in audit.read_text(encoding="utf-8").splitlines():
        event, *arguments = json.loads(line)
        if not event.startswith(("socket.", "urllib.")):
            continue
        address = arguments[0 if event == "socket.getaddrinfo" else -1]
        with contextlib.suppress(ValueError, SyntaxError):
            host = ast.literal_eval(address)
            host = host[0] if isinstance(host, tuple) else host
            if host in (None, "", "localhost") or (event == "socket.connect" and str(host).startswith("/")):
                continue
            with contextlib.suppress(ValueError):
                if ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback:
                    continue
        found.append(line)
    return found
