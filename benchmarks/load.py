"""Load the app with sessions that do what users do, over its own protocol, on this machine alone.

    python -m benchmarks.load [--sessions 20] [--warm-up 5] [--minutes 5] [--log FILE] [--json]

Starts the app, opens the sessions one after the other, and lets each act at random (seeded): other synsets, scales,
colours, thresholds, pages, uploads, closing the browser and coming back. Every answer is waited for. Afterwards the
table says what was done, how long answers took, what went wrong, and the server's memory after the warm-up, in which
every session fills its caches, and at the end; exit status 1 where there were errors or memory grew by more than a
tenth. FCN_MEMORY_MB bounds the caches as it does for the app: the smaller, the sooner they are full.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.session import Session, Tally, request

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def app(log: Path) -> Any:
    """The app on a free port, with a fresh cache unless FCN_CACHE_DIR names one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", "--server.headless", "true"]
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream) as server,
    ):
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    if request(port, "GET", "/_stcore/health")[0] == 200:
                        break
                time.sleep(0.1)
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()


def rss_mb(server: psutil.Process) -> float:
    """Resident memory of the server and its children, in megabytes."""
    processes = [server, *server.children(recursive=True)]
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 2**20


async def load(
    port: int, server: psutil.Process, sessions: int, warm_up: float, minutes: float, seed: int
) -> dict[str, Any]:
    """Let the sessions live, and watch the server."""
    tally = Tally()
    started = time.monotonic()
    warm, end = warm_up * 60, (warm_up + minutes) * 60
    until = started + end
    users = [Session(port, random.Random(seed + i), tally) for i in range(sessions)]

    async def arrive(user: Session, after: float) -> None:
        await asyncio.sleep(after)
        await user.live(until)

    tasks = [
        asyncio.create_task(arrive(user, i * min(1.0, warm / 2 / sessions))) for i, user in enumerate(users)
    ]
    memory: list[tuple[float, float]] = []
    while not all(task.done() for task in tasks):
        memory.append((time.monotonic() - started, rss_mb(server)))
        await asyncio.wait(tasks, timeout=1)
    still_open = tally.open
    for user in users:
        await user.close()
    for task in tasks:
        if (fault := task.exception()) is not None:
            tally.errors.append(f"session ended: {type(fault).__name__}: {fault}")
    warm_mb = statistics.median(mb for second, mb in memory if warm * 0.9 <= second <= warm)
    end_mb = statistics.median(mb for second, mb in memory if second >= end - warm * 0.1)
    seconds = sorted(tally.seconds) or [0.0]
    return {
        "sessions": sessions,
        "open at once": tally.most_open,
        "open at the end": still_open,
        "minutes": round((time.monotonic() - started) / 60, 2),
        "actions": dict(tally.done.most_common()),
        "actions in all": sum(tally.done.values()),
        "answer, median s": round(seconds[len(seconds) // 2], 3),
        "answer, 95 % s": round(seconds[int(len(seconds) * 0.95)], 3),
        "answer, longest s": round(seconds[-1], 3),
        "memory after warm-up MB": round(warm_mb),
        "memory at the end MB": round(end_mb),
        "memory, largest MB": round(max(mb for _, mb in memory)),
        "memory by tenths MB": " ".join(
            str(
                round(
                    statistics.median(
                        [mb for second, mb in memory if tenth <= second / end * 10 < tenth + 1] or [0]
                    )
                )
            )
            for tenth in range(10)
        ),
        "memory grew %": round((end_mb / warm_mb - 1) * 100, 1),
        "errors": len(tally.errors),
        "errors, by kind": dict(Counter(tally.errors).most_common(10)),
    }


def main() -> int:
    """Run the load test and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--warm-up", type=float, default=5, help="minutes before the measured ones")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("FCN_CACHE_DIR", folder)
        log = options.log or Path(folder) / "server.log"
        with app(log) as (port, server):
            found = asyncio.run(
                load(port, server, options.sessions, options.warm_up, options.minutes, options.seed)
            )
        logged = [
            line
            for line in log.read_text(encoding="utf-8").splitlines()
            if re.search(r"Traceback|\bERROR\b|Exception", line)
        ]
    found["tracebacks in the log"] = len(logged)
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<26} {value if not isinstance(value, dict) else ''}")
            for key, count in value.items() if isinstance(value, dict) else ():
                print(f"    {count:>5}  {key}")
    good = found["errors"] == 0 and not logged and found["memory grew %"] <= 10
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
