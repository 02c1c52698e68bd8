"""A session of the app without a browser, over the app's own protocol: what the load tests and benchmarks drive.

It loads the page as a browser does, keeps the state of the widgets, and acts at random, seeded. Every answer is waited
for; what goes wrong is counted in a `Tally`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import random
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

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
            subprotocols=[Subprotocol(name) for name in ("streamlit", self.token) if name],
            additional_headers={"Cookie": self.cookie},
            origin=Origin(f"http://127.0.0.1:{self.port}"),
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
        if kind is not None and kind != "delta":
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
            return await self.upload(uploaders[0], self.new_picture())
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

    def new_picture(self) -> bytes:
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


def picture(height: int, width: int, seed: int, format: str = "PNG") -> bytes:
    """Coloured patches, as a file of this format."""
    patches = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize((width, height)).save(file, format)
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
