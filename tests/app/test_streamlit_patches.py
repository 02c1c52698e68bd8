"""Private names that the app relies on are as they were: first to fail where another Streamlit or Uvicorn differs."""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import inspect
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.formparsers import MultiPartParser
from streamlit import config, net_util
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import AsyncObjects
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.state.session_state import SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.web import bootstrap
from streamlit.web.server import server_util
from streamlit.web.server.starlette import starlette_app_utils, starlette_routes, starlette_websocket

from app import streamlit_patches
from app.state import picture_files
from fcn_core.system import memory
from tests.places import ROOT
from tests.waiting import Clock


def source(of: Any) -> str:
    return inspect.getsource(of)


def test_uploads_go_to_the_disk_beyond_this_attribute() -> None:
    assert isinstance(MultiPartParser.spool_max_size, int)
    assert "max_size=self.spool_max_size" in source(MultiPartParser)


def test_the_queue_of_messages_is_a_list_that_clear_makes_anew() -> None:
    queue = ForwardMsgQueue()
    assert queue._queue == []
    assert isinstance(queue._queue, list)
    parameters = inspect.signature(queue.clear).parameters
    assert list(parameters) == ["retain_lifecycle_msgs", "fragment_ids_this_run"]
    assert parameters["retain_lifecycle_msgs"].default is False
    assert "self.clear()" in source(ForwardMsgQueue.flush), "of what was sent nothing is retained"
    assert "retain_lifecycle_msgs=True" in source(AppSession._clear_queue)


@pytest.mark.parametrize("name", ["get_external_ip", "get_internal_ip"])
def test_whoever_needs_an_address_of_this_machine_asks_there_and_bears_none(name: str) -> None:
    assert inspect.signature(getattr(net_util, name)).parameters == {}
    for user in (server_util.is_url_from_allowed_origins, bootstrap._print_url):
        assert f"net_util.{name}" in source(user), "looked up when it is called, not when it is imported"
    assert "if allowed_domain_str is None" in source(server_util.is_url_from_allowed_origins)
    shown = name.removeprefix("get_")
    assert f"if {shown}:" in source(bootstrap._print_url)


ASK = """
import sys
from streamlit import config
from streamlit.web.server import server_util
from app import streamlit_patches
streamlit_patches.apply()
asked = []
sys.addaudithook(lambda event, arguments: asked.append(event) if event.startswith("socket.") else None)
config.set_option("server.corsAllowedOrigins", ["https://friend.example"])
print(server_util.is_url_from_allowed_origins("https://friend.example"), asked)
print(server_util.is_url_from_allowed_origins("https://foe.example"), asked)
"""


def test_nobody_is_asked_who_may_open_a_socket(fresh_python: Any) -> None:
    assert fresh_python(ASK).stdout.splitlines()[-2:] == ["True []", "False []"]


def test_the_xsrf_cookie_says_a_token_under_a_mask() -> None:
    made = [starlette_app_utils.generate_xsrf_token_string(b"the-token-of-the-own", 1) for _ in range(2)]
    assert made[0] != made[1]
    assert {streamlit_patches.browser_of(cookie) for cookie in made} == {b"the-token-of-the-own"}
    for garbage in (None, "", "2|", "2|x|y|z", "garbage", "1|" + "0" * 9999):
        assert streamlit_patches.browser_of(garbage) is None
    assert starlette_routes.XSRF_COOKIE_NAME == "_streamlit_xsrf"


def test_a_handshake_names_the_session_third() -> None:
    parsed = starlette_websocket._parse_subprotocols({"sec-websocket-protocol": "streamlit, token, session"})
    assert parsed == ("streamlit", "token", "session")


def test_an_upload_asks_for_these_two() -> None:
    assert starlette_routes._ROUTE_UPLOAD_FILE == "_stcore/upload_file/{session_id}/{file_id}"


class Session:
    """What is touched of `AppSession`, which `test_sessions_have_what_is_touched` looks for."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.session_state = SessionState()
        self._fragment_storage = MemoryFragmentStorage()
        self.done: list[str] = []

    def shutdown(self) -> None:
        self.done.append("shutdown")

    def clear_session_caches(self) -> None:
        self.done.append("cleared")

    def request_rerun(self, _: None) -> None:
        self.done.append("rerun")


def test_sessions_have_what_is_touched() -> None:
    for name in ("shutdown", "clear_session_caches"):
        assert list(inspect.signature(getattr(AppSession, name)).parameters) == ["self"]
    assert list(inspect.signature(AppSession.request_rerun).parameters) == ["self", "client_state"]
    assert isinstance(AppSession.session_state, property)
    assert "self._fragment_storage" in source(AppSession.__init__)
    assert callable(MemoryFragmentStorage.clear)
    assert "self._session_mgr" in source(Runtime.__init__)
    assert list(inspect.signature(Runtime.is_active_session).parameters) == ["self", "session_id"]
    assert isinstance(Runtime.uploaded_file_mgr, property)
    assert "eventloop" in AsyncObjects.__annotations__
    assert inspect.signature(Runtime._get_async_objs).return_annotation == "AsyncObjects"
    for name in ("is_active_session", "get_session_info"):
        assert list(inspect.signature(getattr(WebsocketSessionManager, name)).parameters) == [
            "self",
            "session_id",
        ]
    assert "self._session_storage = " in source(WebsocketSessionManager.__init__)


class Held:
    """A runtime with Streamlit's own storages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ttl: int = 100) -> None:
        self.clock = Clock()
        self.storage = MemorySessionStorage(ttl_seconds=ttl)
        self.storage._cache._timer = lambda: self.clock.now
        self.files = MemoryUploadedFileManager("/upload")
        self.active: dict[str, Session] = {}
        manager = SimpleNamespace(
            _session_storage=self.storage,
            is_active_session=self.active.__contains__,
            list_active_sessions=lambda: [SimpleNamespace(session=each) for each in self.active.values()],
            get_session_info=self.info,
        )
        self.runtime = SimpleNamespace(
            _session_mgr=manager, uploaded_file_mgr=self.files, is_active_session=self.active.__contains__
        )
        monkeypatch.setattr(streamlit_patches.runtime, "get_instance", lambda: self.runtime)
        monkeypatch.setattr(streamlit_patches, "_collect", lambda: self.collected.append(self.clock.now))
        self.collected: list[float] = []
        streamlit_patches._known.clear()
        streamlit_patches._connected.clear()

    def info(self, name: str) -> Any:
        return SimpleNamespace(session=self.active[name]) if name in self.active else self.storage.get(name)

    def open(self, name: str) -> Session:
        return self.active.setdefault(name, Session(name))

    def close(self, name: str) -> Session:
        session = self.active.pop(name)
        self.storage.save(SessionInfo(client=None, session=session))  # type: ignore[arg-type]
        return session

    def upload(self, session: str, file: str = "x", data: bytes = b"data") -> None:
        self.files.add_file(session, UploadedFileRec(file, file, "image/png", data))

    def sweep(self) -> None:
        streamlit_patches._drop_expired(self.runtime._session_mgr, self.files)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


def test_a_session_that_nobody_came_back_to_goes_with_its_files(held: Held) -> None:
    session = held.open("one")
    held.upload("one")
    held.sweep()
    held.close("one")
    session.session_state._old_state["picture"] = "x"
    held.clock.now = 99.0
    held.sweep()
    assert streamlit_patches.is_known("one")
    assert session.done == []
    assert "one" in held.files.file_storage
    held.clock.now = 101.0
    assert not streamlit_patches.is_known("one")
    held.sweep()
    assert session.done == ["shutdown"]
    assert session.session_state._old_state == {}
    assert held.files.file_storage == {}


def test_files_of_nobody_are_swept(held: Held) -> None:
    held.open("one")
    held.upload("one")
    held.upload("stray")
    held.sweep()
    assert list(held.files.file_storage) == ["one"]


def test_memory_is_given_back_when_pages_close_and_not_else(held: Held) -> None:
    held.open("one")
    held.open("two")
    for at, change in enumerate([lambda: None, lambda: None, lambda: held.close("one"), lambda: None]):
        held.clock.now = at
        change()
        held.sweep()
    assert held.collected == [2]
    held.clock.now = 200
    held.sweep()
    held.sweep()
    assert held.collected == [2, 200]


def test_at_most_so_many_closed_sessions_are_kept(held: Held) -> None:
    for i in range(500):
        held.open(f"{i}")
        held.close(f"{i}")
    assert len(held.storage.list()) == 128


def test_a_pages_copy_of_a_file_lets_go_of_it(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    held.open("one")
    held.upload("one", "x", data := os.urandom(100))
    context = SimpleNamespace(uploaded_file_mgr=held.files, session_id="one")
    monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda: context)
    copy = UploadedFile(held.files.get_files("one", ["x"])[0], FileURLs())
    assert copy.getvalue() is data, "Python shares the bytes of a file that is not changed"
    counted = sys.getrefcount(data)
    stored = picture_files.uploaded(copy)
    assert stored.read() is data
    assert sys.getrefcount(data) < counted
    streamlit_patches.remove_file(held.files, "one", "x")
    assert not stored.is_there


def test_what_a_session_fetched_is_stored_like_an_upload(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    held.open("one")
    context = SimpleNamespace(uploaded_file_mgr=held.files, session_id="one")
    monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda: context)
    files = [picture_files.keep(bytes([i]), "picture.png") for i in range(5)]
    assert [file.is_there for file in files] == [False, False, True, True, True]
    assert files[4].read() == b"\x04"
    assert len(held.files.file_storage["one"]) == 3


def test_beyond_the_budget_pages_let_their_caches_go_once_a_while(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MEMORY_MB", "450")
    monkeypatch.setattr(streamlit_patches, "time", held.clock)
    monkeypatch.setattr(streamlit_patches, "_relieved", -1e9)
    monkeypatch.setattr(memory, "trim_heap", lambda: None)
    session = held.open("one")
    for now, megabytes, cleared in ((0, 450, 0), (1, 451, 1), (5, 999, 1), (12, 999, 2), (30, 100, 2)):
        held.clock.now = now
        monkeypatch.setattr(memory, "rss_mb", lambda megabytes=megabytes: float(megabytes))
        streamlit_patches.relieve()
        assert session.done.count("cleared") == cleared


def test_collecting_reaches_what_was_left_out() -> None:
    streamlit_patches._collect()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written, self.aborted = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    resume_reading = pause_reading


@pytest.mark.parametrize("name", streamlit_patches._HTTP)
def test_uvicorn_keeps_connections_as_is_relied_on(name: str) -> None:
    """A request that comes in two parts, its answer, and the next one."""
    module, _, kind = name.rpartition(".")
    try:
        protocol_kind = getattr(importlib.import_module(module), kind)
    except ImportError:
        pytest.skip(f"{module} needs a package that is not installed")
    from uvicorn import Config
    from uvicorn.server import ServerState

    async def scene() -> None:
        answer = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        settings = Config(app, lifespan="off", log_config=None, ws_max_size=30)
        settings.load()
        made = protocol_kind(config=settings, server_state=ServerState(), app_state={})
        transport, found = Transport(), []
        streamlit_patches._telling(protocol_kind.connection_made, found.append, 77)(made, transport)
        (connection,) = found
        assert settings.ws_max_size == 77
        assert (connection.open, connection.waiting, connection.unsent) == (True, True, 0)
        before = connection.progress
        made.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert connection.waiting
        assert connection.progress == before
        made.data_received(b"\r\n")
        assert not connection.waiting
        assert connection.progress != before
        answer.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert transport.written.endswith(b"ok")
        assert connection.waiting
        assert connection.unsent == len(transport.written)
        called = asyncio.Event()
        connection.later(0, called.set)
        await called.wait()
        connection.close()
        assert transport.aborted
        made.connection_lost(None)
        assert not connection.open

    asyncio.run(scene())


def test_a_socket_of_a_page_is_no_connection_by_http() -> None:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    assert "self.connections.discard(self)" in source(H11Protocol.handle_websocket_upgrade)


def test_the_longest_message_is_asked_for_when_a_socket_opens() -> None:
    from uvicorn.protocols.websockets import websockets_sansio_impl

    assert "max_size=self.config.ws_max_size" in source(websockets_sansio_impl)


def test_options_that_are_read_are_there() -> None:
    for name in (
        "server.maxUploadSize",
        "server.maxWidgetStateSize",
        "server.baseUrlPath",
        "server.enableCORS",
        "server.corsAllowedOrigins",
        "browser.serverAddress",
        "server.disconnectedSessionTTL",
    ):
        config.get_option(name)


# What an app may import of Streamlit: what its documentation describes, and what a message on the wire is.
PUBLIC = {
    "streamlit",
    "streamlit.config",
    "streamlit.runtime",
    "streamlit.proto.BackMsg_pb2",
    "streamlit.proto.ForwardMsg_pb2",
    "streamlit.delta_generator",
}
SERVERS = ("streamlit", "starlette", "uvicorn")
FILES = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "streamlit_app.py"]


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name != "streamlit_patches.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_nothing_else_touches_private_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()  # of what comes from the servers
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in SERVERS:
            if node.module.startswith("streamlit"):
                assert node.module in PUBLIC, f"line {node.lineno}: {node.module}"
            names |= {alias.asname or alias.name for alias in node.names}
            assert not any(alias.name.startswith("_") for alias in node.names), f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in SERVERS:
                    assert alias.name.split(".")[0] != "uvicorn", f"line {node.lineno}"
                    assert alias.name in PUBLIC or not alias.name.startswith("streamlit"), (
                        f"line {node.lineno}"
                    )
                    names.add(alias.asname or alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            inner: ast.expr = node.value
            while isinstance(inner, ast.Attribute | ast.Call):
                inner = inner.value if isinstance(inner, ast.Attribute) else inner.func
            assert not (isinstance(inner, ast.Name) and inner.id in names), f"line {node.lineno}: {node.attr}"
