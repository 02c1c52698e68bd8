"""Load the app with sessions that do what users do, over its own protocol, on this machine alone.

    python benchmarks/load.py [--sessions 20] [--warm-up 5] [--minutes 5] [--log FILE] [--json]

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
import http.client
import io
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
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

ROOT = Path(__file__).resolve().parents[1]
PAUSE = (1.0, 5.0)  # seconds that a user looks before the next action
ANSWER = 120.0  # seconds after which an answer is given up
# What a page rightly answers to some choices, the last two where there is no network.
EXPECTED = re.compile(
    "No scale is chosen|weights of this model are not on this machine|on the public internet"
)
KEEP_OUT = re.compile(
    r"prepare|fetch|download|camera|link", re.IGNORECASE
)  # what leaves the machine, or writes


@dataclass
class Tally:
    """What all sessions did and met."""

    done: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    most_open: int = 0
    open: int = 0


class Session:
    """One browser tab, without the browser."""

    def __init__(self, port: int, rng: random.Random, tally: Tally, query: str = "") -> None:
        self.port, self.rng, self.tally, self.query = port, rng, tally, query
        self.socket: ClientConnection | None = None

    async def open(self) -> None:
        """Load the page as a browser does: document, health, socket, first run."""
        _, headers = await asyncio.to_thread(request, self.port, "GET", "/_stcore/health")
        self.cookie = headers.get("set-cookie", "").partition(";")[0]
        self.token = self.cookie.partition("=")[2]
        self.socket = await connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            subprotocols=["streamlit", self.token] if self.token else ["streamlit"],
            additional_headers={"Cookie": self.cookie},
            origin=f"http://127.0.0.1:{self.port}",
            max_size=None,
        )
        self.id = self.page = ""
        self.pages: list[str] = []
        self.states: dict[str, WidgetState] = {}
        self.widgets: dict[str, tuple[str, Any]] = {}
        self.seen: dict[str, tuple[str, Any]] = {}
        self.repeats: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.finished = asyncio.Event()
        self.uploads: asyncio.Queue[Any] = asyncio.Queue()
        self.trail: deque[str] = deque(maxlen=12)  # what came last, to tell why an answer did not
        self.tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._repeat())]
        self.tally.open += 1
        self.tally.most_open = max(self.tally.most_open, self.tally.open)
        await self.run()

    async def close(self) -> None:
        """Close the tab."""
        for task in self.tasks:
            task.cancel()
        if self.socket is not None:
            await self.socket.close()
            self.tally.open -= 1
        self.socket = None

    async def run(self, trigger: WidgetState | None = None, page: str | None = None) -> None:
        """Ask for a run of the script and wait until it has ended."""
        self.finished.clear()
        await self._send_run(trigger, page)
        await asyncio.wait_for(self.finished.wait(), ANSWER)

    async def _send_run(self, trigger: WidgetState | None, page: str | None, fragment: str = "") -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.page_script_hash = self.page if page is None else page
        state.fragment_id = fragment
        state.is_auto_rerun = bool(fragment)
        state.widget_states.widgets.extend(self.states.values())
        if trigger is not None:
            state.widget_states.widgets.append(trigger)
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())

    async def _read(self) -> None:
        assert self.socket is not None
        try:
            async for data in self.socket:
                assert isinstance(data, bytes)
                self._take(ForwardMsg.FromString(data))
        except WebSocketException as error:
            self.tally.errors.append(f"socket: {error}")
        self.finished.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind != "delta":
            self.trail.append(kind)
        if kind == "new_session":
            self.id = message.new_session.initialize.session_id or self.id
            self.page = message.new_session.page_script_hash
            self.seen = {}
            if not message.metadata.run.fragment_ids:
                self.repeats.clear()  # a whole run begins them anew
        elif kind == "navigation":
            self.pages = [page.page_script_hash for page in message.navigation.app_pages]
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(message.delta.new_element)
        elif kind == "auto_rerun":
            self.repeats[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            self.due[message.auto_rerun.fragment_id] = time.monotonic() + message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            self.repeats.pop(message.stop_auto_rerun.fragment_id, None)
        elif kind == "file_urls_response":
            self.uploads.put_nowait(message.file_urls_response)
        elif kind == "script_finished":
            status = message.script_finished
            if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.tally.errors.append("compile error")
            self.widgets = {**self.widgets, **self.seen} if status != 0 else dict(self.seen)
            self.states = {key: state for key, state in self.states.items() if key in self.widgets}
            if status != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                self.finished.set()

    def _element(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.tally.errors.append(f"{element.exception.type}: {element.exception.message[:200]}")
        elif kind == "alert" and element.alert.format == 1 and not EXPECTED.search(element.alert.body):
            self.tally.errors.append(f"on the page: {element.alert.body[:200]}")
        elif hasattr(found := getattr(element, kind), "id") and not getattr(found, "disabled", False):
            self.seen[found.id] = (kind, found)
            if kind in MOUNT and (found.id not in self.states or found.set_value):
                state = WidgetState(id=found.id)
                if MOUNT[kind](state, found):
                    self.states[found.id] = state

    async def _repeat(self) -> None:
        """Run the fragments that ask to be run again and again, as the page does."""
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            for fragment, interval in list(self.repeats.items()):
                if now >= self.due[fragment] and self.finished.is_set():
                    self.due[fragment] = now + interval
                    with contextlib.suppress(WebSocketException):
                        await self._send_run(None, None, fragment)

    async def act(self) -> str:
        """Do one thing that a user does; return what."""
        if self.pages and self.rng.random() < 0.1:
            self.doing = "page"
            await self.run(page=self.rng.choice(self.pages))
            return "page"
        usable = [
            (kind, w) for kind, w in self.widgets.values() if kind in CHOOSE and not KEEP_OUT.search(w.label)
        ]
        uploaders = [w for kind, w in self.widgets.values() if kind == "file_uploader"]
        if uploaders and self.rng.random() < 0.5:
            return await self.upload(uploaders[0], self._new_picture())
        self.doing = "reload"
        if not usable:
            await self.run()
            return "reload"
        kinds = sorted({kind for kind, _ in usable})
        kind = self.rng.choice(kinds)
        widget = self.rng.choice([w for k, w in usable if k == kind])
        self.doing = f"{kind} {widget.label!r}"
        state = WidgetState(id=widget.id)
        if not CHOOSE[kind](state, widget, self.rng):
            await self.run()
            return "reload"
        if kind == "button":
            await self.run(trigger=state)
        else:
            self.states[widget.id] = state
            await self.run()
        return kind

    async def choose(self, label: str, option: str) -> None:
        """Click an option."""
        widget = next(w for kind, w in self.widgets.values() if kind == "button_group" and w.label == label)
        self.states[widget.id] = WidgetState(id=widget.id)
        self.states[widget.id].string_array_value.data.append(option)
        await self.run()

    def _new_picture(self) -> bytes:
        """A picture the server has not seen."""
        side = self.rng.choice((200, 600, 1200))
        return picture(side * 3 // 4, side, self.rng.getrandbits(32))

    async def upload(self, widget: Any, file: bytes) -> str:
        """Send a picture."""
        self.doing = "upload: address"
        message = BackMsg()
        message.file_urls_request.request_id = "load"
        message.file_urls_request.file_names.append("load.png")
        message.file_urls_request.session_id = self.id
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())
        response = await asyncio.wait_for(self.uploads.get(), ANSWER)
        (urls,) = response.file_urls
        boundary = "load-boundary"
        head = 'Content-Disposition: form-data; name="file"; filename="load.png"\r\nContent-Type: image/png\r\n\r\n'
        body = f"--{boundary}\r\n{head}".encode() + file + f"\r\n--{boundary}--\r\n".encode()
        headers = {"X-Xsrftoken": self.token, "Cookie": self.cookie}
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        self.doing = "upload: file"
        status, _ = await asyncio.to_thread(request, self.port, "PUT", urls.upload_url, body, headers)
        if status != 204:
            self.tally.errors.append(f"upload: status {status}")
            return "upload"
        state = WidgetState(id=widget.id)
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.name, info.size, info.file_id = "load.png", len(file), urls.file_id
        info.file_urls.CopyFrom(urls)
        self.states[widget.id] = state
        self.doing = "upload: run"
        await self.run()
        return "upload"

    async def settle(self) -> None:
        """Wait until the page asks for no more runs: the analysis has ended."""
        end = time.monotonic() + ANSWER
        while self.repeats or not self.finished.is_set():
            if time.monotonic() > end:
                raise TimeoutError
            await asyncio.sleep(0.02)

    async def live(self, until: float) -> None:
        """Act until the time is over."""
        await self.open()
        while time.monotonic() < until:
            await asyncio.sleep(self.rng.uniform(*PAUSE))
            started = time.monotonic()
            what = self.doing = "?"
            try:
                if self.rng.random() < 0.05:
                    what = "close and come back"
                    await self.close()
                    await self.open()
                else:
                    what = await self.act()
            except TimeoutError:
                self.tally.errors.append(
                    f"no answer within {ANSWER:g} s: {self.doing}, {len(self.repeats)} repeating, last came "
                    + " ".join(self.trail)
                )
            except (OSError, WebSocketException) as error:
                self.tally.errors.append(f"{what}: {type(error).__name__}: {error}")
                await self.close()
                await self.open()
            self.tally.done[what] += 1
            self.tally.seconds.append(time.monotonic() - started)


def picture(height: int, width: int, seed: int) -> bytes:
    """Coloured patches, as a PNG."""
    patches = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize((width, height)).save(file, "PNG")
    return file.getvalue()


def request(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """One HTTP request to the app; a small synchronous one is enough for uploads and health."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
    try:
        connection.request(method, "/" + path.lstrip("/"), body, headers or {})
        response = connection.getresponse()
        response.read()
        return response.status, {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


def _pick(state: WidgetState, options: list[str], rng: random.Random) -> bool:
    if options:
        state.string_value = rng.choice(options)
    return bool(options)


def _group(state: WidgetState, widget: Any, rng: random.Random) -> bool:
    options = [o.content for o in widget.options]
    multiple = widget.click_mode == widget.MULTI_SELECT
    chosen = rng.sample(options, rng.randint(1, min(3, len(options)))) if multiple else [rng.choice(options)]
    state.string_array_value.data.extend(chosen)
    return True


def _slider(state: WidgetState, widget: Any, rng: random.Random) -> bool:
    if widget.options:
        state.string_array_value.data.extend([rng.choice(list(widget.options))] * len(widget.default))
        return True
    steps = int((widget.max - widget.min) / widget.step) if widget.step else 0
    values = sorted(widget.min + rng.randint(0, max(steps, 0)) * widget.step for _ in widget.default)
    state.double_array_value.data.extend(values)
    return True


def _checkbox(state: WidgetState, _widget: Any, rng: random.Random) -> bool:
    state.bool_value = rng.random() < 0.6
    return True


def _button(state: WidgetState, _widget: Any, _rng: random.Random) -> bool:
    state.trigger_value = True
    return True


def _mount_selectbox(state: WidgetState, widget: Any) -> bool:
    if widget.set_value:
        state.string_value = widget.raw_value
    elif widget.HasField("default") and widget.options:
        state.string_value = widget.options[widget.default]
    return state.HasField("string_value")


def _mount_group(state: WidgetState, widget: Any) -> bool:
    chosen = (
        list(widget.raw_values) if widget.set_value else [widget.options[i].content for i in widget.default]
    )
    state.string_array_value.data.extend(chosen)
    return True


def _mount_slider(state: WidgetState, widget: Any) -> bool:
    if widget.options:
        chosen = (
            list(widget.raw_value) if widget.set_value else [widget.options[int(i)] for i in widget.default]
        )
        state.string_array_value.data.extend(chosen)
    else:
        state.double_array_value.data.extend(widget.value if widget.set_value else widget.default)
    return True


def _mount_checkbox(state: WidgetState, widget: Any) -> bool:
    state.bool_value = widget.value if widget.set_value else widget.default
    return True


# What a page sends along for a widget that nobody has touched yet.
MOUNT: dict[str, Any] = {
    "selectbox": _mount_selectbox,
    "button_group": _mount_group,
    "slider": _mount_slider,
    "checkbox": _mount_checkbox,
}
CHOOSE: dict[str, Any] = {
    "selectbox": lambda state, widget, rng: _pick(state, list(widget.options), rng),
    "button_group": _group,
    "slider": _slider,
    "checkbox": _checkbox,
    "button": _button,
}


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
