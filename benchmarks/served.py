"""The app as a process for benchmarks, and when a browser's page of it waits for nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "200x320,400x640,800x1280,1600x2560"
BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
# Since when the page has waited for nothing: the state changes a little before what was drawn does.
_READY = """() => {
    const app = document.querySelector('[data-testid="stApp"]')
    const complete = app && app.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelector('h1.fcn-question, h1:not(.fcn-hidden)')
        && !document.querySelector('.st-key-progress, .fcn-wait, [data-testid="stSkeleton"]')
    window.since = complete ? window.since || Date.now() : 0
    return complete && Date.now() - window.since > 200 ? window.since : false
}"""


class Server:
    """The app as a process, and the memory of it and its children."""

    def __init__(self, log: str = "", **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.started = time.time()
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
        environment = {**os.environ, "FCN_LOG": "json", **settings}
        with Path(log or os.devnull).open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            server = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                self.peak = max(self.peak, self.memory(server))
                time.sleep(0.05)

    @staticmethod
    def memory(server: psutil.Process) -> float:
        """Megabytes of the server and its children now."""
        total = 0
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    def wait(self) -> None:
        """Until it answers."""
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5),  # noqa: S310
            ):
                return
            if self.process.poll() is not None:
                raise SystemExit("the app ended before it answered")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def server(log: str = "", **settings: str) -> Iterator[Server]:
    """A server that is stopped afterwards; what it logs goes to the file `log`."""
    made = Server(log, **settings)
    try:
        made.wait()
        yield made
    finally:
        made.stop()


def ready(page: Any) -> float:
    """Wait until nothing runs and nothing is missing; the time.time() when that began."""
    page.evaluate("window.since = 0")
    return float(page.wait_for_function(_READY, timeout=300_000, polling=20).json_value()) / 1000
