"""Uploads are limited, and files are removed with their sessions."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from streamlit import config
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app import streamlit_patches
from app.server import uploads
from app.server.sessions import Owners
from app.server.uploads import UploadGuard
from app.state.picture_files import FileLimits, PictureGone, StoredFile
from tests.app.server.asgi import Client, answering, scope, settled
from tests.waiting import PATIENCE

MB = 2**20
LIMITS = FileLimits(files=3, bytes=50 * MB, stored=60 * MB)


class Server:
    """Streamlit's store of files and sessions behind the guard; uploads are stored as Streamlit does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = MemoryUploadedFileManager("/upload")
        self.sessions: set[str] = set()
        self.active: set[str] = set()
        manager = SimpleNamespace(
            is_active_session=self.active.__contains__,
            _session_storage=SimpleNamespace(_cache=self.sessions),
        )
        running = SimpleNamespace(
            _session_mgr=manager, uploaded_file_mgr=self.files, is_active_session=self.active.__contains__
        )
        monkeypatch.setattr(streamlit_patches.runtime, "get_instance", lambda: running)
        monkeypatch.setattr(FileLimits, "from_settings", lambda: LIMITS)
        self.guard = UploadGuard(self._app, Owners(), most_uploads=4)

    def open(self, *names: str) -> None:
        self.sessions.update(names)
        self.active.update(names)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        *_, session, file = scope["path"].split("/")
        if scope["method"] == "DELETE":
            self.files.remove_file(session, file)
        else:
            data = await Request(scope, receive).body()
            self.files.add_file(session, UploadedFileRec(file, file, "image/png", data))
            del data
        await answering(204)(scope, receive, send)

    async def ask(self, session: str, file: str, *parts: bytes, method: str = "PUT") -> int | None:
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        client = Client([*messages, {"type": "http.request", "body": b"", "more_body": False}])
        request = scope(path=f"/_stcore/upload_file/{session}/{file}", method=method)
        await self.guard(request, client.receive, client.send)
        return client.status

    def put(self, session: str, file: str, megabytes: float) -> int | None:
        return asyncio.run(self.ask(session, file, os.urandom(int(megabytes * MB))))

    @property
    def held(self) -> dict[str, list[str]]:
        return {name: list(files) for name, files in self.files.file_storage.items() if files}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([1, 1, 1], ["0", "1", "2"]),
        ([1, 1, 1, 1], ["1", "2", "3"]),  # three files at most
        ([25, 25], ["0", "1"]),
        ([25, 25, 1], ["1", "2"]),
        ([25, 20, 10], ["1", "2"]),
        ([0.01] * 60, ["57", "58", "59"]),
    ],
)
def test_a_session_keeps_its_newest_files(server: Server, sizes: list[float], kept: list[str]) -> None:
    server.open("one")
    assert [server.put("one", str(i), size) for i, size in enumerate(sizes)] == [204] * len(sizes)
    assert server.held == {"one": kept}


def test_repeated_uploads_of_one_file_are_stored_once(server: Server) -> None:
    server.open("one")
    for _ in range(20):
        assert server.put("one", "same", 24) == 204
    assert server.held == {"one": ["same"]}


def test_a_new_file_evicts_the_oldest_of_the_largest_session(server: Server) -> None:
    server.open("modest", "greedy", "new")
    for session, file, size in (("modest", "a", 10), ("greedy", "b", 24), ("greedy", "c", 24)):
        assert server.put(session, file, size) == 204
    assert server.put("new", "d", 5) == 204
    assert server.held == {"modest": ["a"], "greedy": ["c"], "new": ["d"]}


def test_the_sending_session_may_be_the_largest(server: Server) -> None:
    server.open("modest", "greedy")
    for session, file, size in (
        ("greedy", "a", 24),
        ("greedy", "b", 24),
        ("modest", "c", 10),
        ("greedy", "d", 20),
    ):
        assert server.put(session, file, size) == 204
    assert server.held == {"greedy": ["b", "d"], "modest": ["c"]}


def test_an_evicted_file_cannot_be_read(server: Server) -> None:
    server.open("one", "two", "three")
    assert server.put("one", "a", 24) == 204
    file = StoredFile(server.files, "one", "a")
    assert file.is_there and len(file.read()) == 24 * MB
    assert server.put("two", "b", 20) == 204
    assert file.is_there
    assert server.put("three", "c", 20) == 204
    assert server.held == {"two": ["b"], "three": ["c"]}
    assert not file.is_there
    with pytest.raises(PictureGone, match="Choose the picture again"):
        file.read()


def test_a_deleted_file_frees_its_space(server: Server) -> None:
    server.open("one", "two")
    for i in range(5):
        assert server.put("one", f"{i}", 24) == 204
        assert asyncio.run(server.ask("one", f"{i}", method="DELETE")) == 204
    assert server.put("two", "x", 24) == 204
    assert server.held == {"two": ["x"]}


@pytest.mark.parametrize(
    ("known", "active", "status"),
    [(True, True, 204), (True, False, 204), (False, False, 410)],
    ids=["connected", "reconnecting", "ended"],
)
def test_a_file_of_an_ended_session_is_refused(
    server: Server, known: bool, active: bool, status: int
) -> None:
    server.open("one")
    if not active:
        server.active.remove("one")
    if not known:
        server.sessions.remove("one")
    assert server.put("one", "late", 5) == status
    assert server.held == ({"one": ["late"]} if known else {})


class Endless(Client):
    """A client that sends each part on demand."""

    def __init__(self, server: Server, session: str) -> None:
        super().__init__()
        request = scope(path=f"/_stcore/upload_file/{session}/x", method="PUT")
        self.task = asyncio.create_task(server.guard(request, self.receive, self.send))

    async def part(self, megabytes: float, more: bool = True) -> None:
        self.messages.put_nowait(
            {"type": "http.request", "body": bytes(int(megabytes * MB)), "more_body": more}
        )
        await settled()


def test_too_many_bytes_in_progress_evict_the_oldest_upload_of_the_largest_sender(server: Server) -> None:
    async def scene() -> None:
        server.open("honest", "greedy")
        honest = Endless(server, "honest")
        await honest.part(10)
        greedy = [Endless(server, "greedy") for _ in range(3)]
        for client in greedy:
            await client.part(15)
        assert [client.status for client in greedy] == [503, None, None]
        assert greedy[0].headers[uploads.REFUSED.lower()] and b"Choose again" in greedy[0].body
        await honest.part(1, more=False)
        assert honest.status == 204
        for client in greedy[1:]:
            await client.part(0, more=False)
            assert client.status == 204

    asyncio.run(scene())
    assert server.guard._uploads == {}


def test_too_many_uploads_in_progress_evict_the_oldest_of_the_largest_sender(server: Server) -> None:
    async def scene() -> None:
        server.open("honest", "greedy")
        clients = [Endless(server, "honest"), *(Endless(server, "greedy") for _ in range(9))]
        for client in clients:
            await client.part(1 / MB)
        assert [client.status for client in clients] == [None] + [503] * 6 + [None] * 3
        for client in clients:
            await client.part(0, more=False)

    asyncio.run(scene())


def test_an_upload_without_data_is_aborted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> Endless:
        server.open("one")
        client = Endless(server, "one")
        await client.part(1)
        monkeypatch.setattr(uploads, "_TIMEOUT", 0.0)
        await client.part(1)
        await asyncio.wait_for(client.task, PATIENCE)
        return client

    client = asyncio.run(scene())
    assert client.status == 408
    assert client.headers["connection"] == "close"
    assert server.held == {}
    assert server.guard._uploads == {}


def test_a_disconnect_during_an_upload_is_no_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> Endless:
        server.open("one")
        client = Endless(server, "one")
        await client.part(1)
        client.messages.put_nowait({"type": "http.disconnect"})
        await client.task
        return client

    assert asyncio.run(scene()).sent == []
    assert server.guard._uploads == {}


def test_other_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a fault")

    client = Client()
    request = scope(path="/_stcore/upload_file/one/x", method="PUT")
    with pytest.raises(ValueError, match="a fault"):
        asyncio.run(UploadGuard(app, Owners())(request, client.receive, client.send))
    assert issubclass(ClientDisconnect, Exception)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("prefix", ["", "/base"])
@pytest.mark.parametrize("file", ["x", "%2e", "\u00e9\u4e2d", "x" * 5000, "x\n"])
def test_files_of_another_browser_cannot_be_changed(
    server: Server, monkeypatch: pytest.MonkeyPatch, method: str, prefix: str, file: str
) -> None:
    monkeypatch.setattr(server.guard._owners, "may_use", lambda session, _: session != "one")
    client = Client([{"type": "http.request", "body": b"x", "more_body": False}])
    request = scope(path=f"{prefix}/_stcore/upload_file/one/{file}", method=method)
    asyncio.run(server.guard(request, client.receive, client.send))
    assert client.status == 403
    assert server.held == {}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "PUT"),
        ("/_stcore/upload_file/one", "PUT"),
        ("/_stcore/upload_file/one/x/y", "PUT"),
        ("/_stcore/upload_file/one/x", "OPTIONS"),
        ("/_stcore/upload_file/one/x", "GET"),
        ("/_stcore/health", "GET"),
    ],
)
def test_other_requests_pass(path: str, method: str) -> None:
    client = Client()
    guard = UploadGuard(answering(418), Owners())
    asyncio.run(guard(scope(path=path, method=method), client.receive, client.send))
    assert client.status == 418


@pytest.mark.parametrize(
    ("memory", "upload", "stored"),
    [(450, 25, 54), (690, 25, 82), (100, 25, 50), (8192, 25, 983), (450, 100, 200)],
)
def test_the_limits_follow_from_the_settings(
    monkeypatch: pytest.MonkeyPatch, memory: int, upload: int, stored: int
) -> None:
    monkeypatch.setenv("FCN_MEMORY_MB", str(memory))
    before = config.get_option("server.maxUploadSize")
    config.set_option("server.maxUploadSize", upload)
    try:
        limits = FileLimits.from_settings()
    finally:
        config.set_option("server.maxUploadSize", before)
    assert (limits.files, limits.bytes, limits.stored // MB) == (256, limits.stored, stored)
