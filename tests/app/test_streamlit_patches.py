"""The private names that the app uses still exist and behave as expected.

These tests fail first when another version of Streamlit, Starlette or Uvicorn differs.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import inspect
import os
import re
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
from streamlit.runtime.scriptrunner import ScriptRunContext
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.state.session_state import SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.web import bootstrap
from streamlit.web.server import server_util
from streamlit.web.server.starlette import starlette_app_utils, starlette_routes, starlette_websocket

from app import streamlit_patches
from app.server import page_memory
from app.state import picture_files
from fcn_core.system import memory
from tests.places import ROOT
from tests.waiting import Clock


def source(of: Any) -> str:
    return inspect.getsource(of)


def test_uploads_above_this_attribute_are_spooled_to_disk() -> None:
    assert isinstance(MultiPartParser.spool_max_size, int)
    assert "max_size=self.spool_max_size" in source(MultiPartParser)


def test_clear_replaces_the_list_of_queued_messages() -> None:
    queue = ForwardMsgQueue()
    assert queue._queue == []
    assert isinstance(queue._queue, list)
    parameters = inspect.signature(queue.clear).parameters
    assert list(parameters) == ["retain_lifecycle_msgs", "fragment_ids_this_run"]
    assert parameters["retain_lifecycle_msgs"].default is False
    assert "self.clear()" in source(ForwardMsgQueue.flush), "sent messages are not retained"
    assert "retain_lifecycle_msgs=True" in source(AppSession._clear_queue)


@pytest.mark.parametrize("name", ["get_external_ip", "get_internal_ip"])
def test_address_lookups_are_looked_up_late_and_may_return_none(name: str) -> None:
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


def test_no_host_is_asked_for_an_address(fresh_python: Any) -> None:
    assert fresh_python(ASK).stdout.splitlines()[-2:] == ["True []", "False []"]


def test_the_xsrf_cookie_masks_a_token() -> None:
    made = [starlette_app_utils.generate_xsrf_token_string(b"the-token-of-the-own", 1) for _ in range(2)]
    assert made[0] != made[1]
    assert {streamlit_patches.xsrf_token(cookie) for cookie in made} == {b"the-token-of-the-own"}
    for garbage in (None, "", "2|", "2|x|y|z", "garbage", "1|" + "0" * 9999):
        assert streamlit_patches.xsrf_token(garbage) is None
    assert starlette_routes.XSRF_COOKIE_NAME == streamlit_patches.XSRF_COOKIE


def test_the_handshake_names_the_session() -> None:
    parsed = starlette_websocket._parse_subprotocols({"sec-websocket-protocol": "streamlit, token, session"})
    assert parsed[streamlit_patches.SESSION_SUBPROTOCOL] == "session"


def test_paths_are_as_expected() -> None:
    upload = starlette_routes._ROUTE_UPLOAD_FILE.format(session_id="session", file_id="file")
    found = re.search(streamlit_patches.UPLOAD_PATH, f"/{upload}")
    assert found is not None
    assert found.groups() == ("session", "file")
    assert starlette_routes.ROUTE_METRICS == streamlit_patches.METRICS_PATH
    names = ("CORE", "MEDIA", "STATIC", "COMPONENT")
    bases = {getattr(starlette_routes, f"BASE_ROUTE_{name}") for name in names}
    assert bases == streamlit_patches.RESERVED_PATHS


def test_the_page_has_inline_scripts() -> None:
    assert "<script>" in streamlit_patches.page_html()


class Session:
    """The used part of `AppSession`, which `test_sessions_have_the_used_names` checks."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.session_state = SessionState()
        self._fragment_storage = MemoryFragmentStorage()
        self.done: list[str] = []

    def shutdown(self) -> None:
        self.done.append("shutdown")

    def clear_session_caches(self) -> None:
        self.done.append("cleared")


def test_sessions_have_the_used_names() -> None:
    for name in ("shutdown", "clear_session_caches"):
        assert list(inspect.signature(getattr(AppSession, name)).parameters) == ["self"]
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
    """A runtime with Streamlit's own storages and a clock."""

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
        monkeypatch.setattr(streamlit_patches.runtime, "exists", lambda: True)
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


LAST_MESSAGES = """
import asyncio, sys
from app import streamlit_patches
streamlit_patches.apply()
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

async def main(script):
    files = MemoryUploadedFileManager("/upload")
    Runtime(RuntimeConfig(script, MemoryMediaFileStorage("/media"), files))
    session = AppSession(ScriptData(script, False), files, ScriptCache(), lambda: None, {})
    session.request_rerun(None)
    session._scriptrunner._script_thread.join()  # the run has ended, and the event loop has heard nothing of it
    (part,) = session._fragment_storage._fragments
    session.request_rerun(ClientState(fragment_id=part, is_auto_rerun=True))
    said = []
    while not any(message.script_finished == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY for message in said):
        await asyncio.sleep(0)
        said += session.flush_browser_queue()
    print(*(message.WhichOneof("type") for message in said))
    print("last words" in str(said))

asyncio.run(main(sys.argv[1]))
"""


def test_a_part_that_looks_again_loses_no_message_of_the_run_before(
    fresh_python: Any, tmp_path: Path
) -> None:
    script = tmp_path / "page.py"
    script.write_text(
        "import streamlit as st\n@st.fragment(run_every=1)\ndef part():\n    st.write('part')\n"
        "part()\nst.write('last words')\n",
        encoding="utf-8",
    )
    kinds, complete = fresh_python(LAST_MESSAGES, str(script)).stdout.splitlines()[-2:]
    assert complete == "True"
    assert kinds.split().count("new_session") == kinds.split().count("script_finished") == 2
    assert "auto_rerun" in kinds


def test_an_expired_session_is_dropped_with_its_files(held: Held) -> None:
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


def test_a_server_that_starts_late_is_swept_too(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = []
    started = SimpleNamespace(
        eventloop=SimpleNamespace(call_soon_threadsafe=lambda *call: swept.append(call[0]))
    )
    states = iter([RuntimeError("Runtime hasn't started yet!"), started, AttributeError("another version")])

    def state() -> Any:
        now = next(states)
        if isinstance(now, Exception):
            raise now
        return now

    held.runtime._get_async_objs = state
    monkeypatch.setattr(streamlit_patches, "_SWEEP_SECONDS", 0.0)
    streamlit_patches._drop_expired_sessions()
    assert swept == [streamlit_patches._drop_expired]


def test_files_without_a_session_are_removed(held: Held) -> None:
    held.open("one")
    held.upload("one")
    held.upload("stray")
    held.sweep()
    assert list(held.files.file_storage) == ["one"]


def test_memory_is_collected_only_when_pages_close(held: Held) -> None:
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


def test_closed_sessions_are_limited_in_number(held: Held) -> None:
    for i in range(500):
        held.open(f"{i}")
        held.close(f"{i}")
    assert len(held.storage.list()) == 128


def test_the_pages_copy_of_a_file_is_emptied(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    held.open("one")
    held.upload("one", "x", data := os.urandom(100))
    context = SimpleNamespace(uploaded_file_mgr=held.files, session_id="one")
    monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda: context)
    copy = UploadedFile(held.files.get_files("one", ["x"])[0], FileURLs())
    assert copy.getvalue() is data, "Python shares the bytes until the file is changed"
    counted = sys.getrefcount(data)
    stored = picture_files.uploaded(copy)
    assert stored.read() is data
    assert sys.getrefcount(data) < counted
    streamlit_patches.remove_file(held.files, "one", "x")
    assert not stored.is_there


def test_a_fetched_picture_is_stored_like_an_upload(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    held.open("one")
    context = SimpleNamespace(uploaded_file_mgr=held.files, session_id="one")
    monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda: context)
    files = [picture_files.keep(bytes([i]), "picture.png") for i in range(5)]
    assert [file.is_there for file in files] == [False, False, False, True, True]
    assert files[4].read() == b"\x04"
    assert len(held.files.file_storage["one"]) == 2


def test_a_run_knows_whether_the_user_went_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is_history_navigation" in inspect.signature(ScriptRunContext.reset).parameters
    for back in (False, True):
        context = SimpleNamespace(is_history_navigation=back)
        monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda context=context: context)
        assert streamlit_patches.is_history_navigation() is back


def test_page_caches_are_cleared_above_the_budget_and_not_too_often(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MEMORY_MB", "450")
    monkeypatch.setattr(page_memory, "time", held.clock)
    monkeypatch.setattr(page_memory, "_last_cleared", -1e9)
    monkeypatch.setattr(memory, "trim_heap", lambda: None)
    session = held.open("one")
    for now, megabytes, cleared in ((0, 450, 0), (1, 451, 1), (5, 999, 1), (12, 999, 2), (30, 100, 2)):
        held.clock.now = now
        monkeypatch.setattr(memory, "rss_mb", lambda megabytes=megabytes: float(megabytes))
        page_memory.relieve()
        assert session.done.count("cleared") == cleared


def test_collection_freezes_again() -> None:
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
        """No data arrives by itself."""

    resume_reading = pause_reading


@pytest.mark.parametrize("name", streamlit_patches._HTTP_PROTOCOLS)
def test_uvicorn_connections_have_the_used_state(name: str) -> None:
    """A request that arrives in two parts, and its answer."""
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
        streamlit_patches._reporting(protocol_kind.connection_made, found.append, 77)(made, transport)
        (connection,) = found
        assert settings.ws_max_size == 77
        assert (connection.open, connection.idle, connection.unsent) == (True, True, 0)
        before = connection.progress
        made.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert connection.idle
        assert connection.progress == before
        made.data_received(b"\r\n")
        assert not connection.idle
        assert connection.progress != before
        answer.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert transport.written.endswith(b"ok")
        assert connection.idle
        assert connection.unsent == len(transport.written)
        called = asyncio.Event()
        connection.later(0, called.set)
        await called.wait()
        connection.close()
        assert transport.aborted
        made.connection_lost(None)
        assert not connection.open

    asyncio.run(scene())


def test_a_websocket_leaves_the_http_connections() -> None:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    assert "self.connections.discard(self)" in source(H11Protocol.handle_websocket_upgrade)


def test_the_longest_message_is_read_when_a_socket_opens() -> None:
    from uvicorn.protocols.websockets import websockets_sansio_impl

    assert "max_size=self.config.ws_max_size" in source(websockets_sansio_impl)


def test_the_used_options_exist() -> None:
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


# What the app may import of Streamlit: the documented `st`, and the type of containers for annotations.
PUBLIC = {"streamlit", "streamlit.delta_generator"}
UNDOCUMENTED = {"config", "runtime", "net_util", "proto", "web"}  # submodules that `st` gives access to
SERVERS = ("streamlit", "starlette", "uvicorn")
FILES = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "streamlit_app.py"]


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name != "streamlit_patches.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_no_other_module_uses_private_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()  # imported from these packages
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in SERVERS:
            if node.module.startswith("streamlit"):
                assert node.module in PUBLIC, f"line {node.lineno}: {node.module}"
            names |= {alias.asname or alias.name for alias in node.names}
            assert not any(alias.name.startswith("_") for alias in node.names), f"line {node.lineno}"
            if node.module == "streamlit":
                assert not {alias.name for alias in node.names} & UNDOCUMENTED, f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in SERVERS:
                    assert alias.name.split(".")[0] != "uvicorn", f"line {node.lineno}"
                    assert alias.name in PUBLIC or not alias.name.startswith("streamlit"), (
                        f"line {node.lineno}"
                    )
                    names.add(alias.asname or alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "st":
            assert node.attr not in UNDOCUMENTED, f"line {node.lineno}: st.{node.attr}"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            inner: ast.expr = node.value
            while isinstance(inner, ast.Attribute | ast.Call):
                inner = inner.value if isinstance(inner, ast.Attribute) else inner.func
            assert not (isinstance(inner, ast.Name) and inner.id in names), f"line {node.lineno}: {node.attr}"
