"""Hostile clients against the running app: honest users are still served, and memory stays within its budget."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.session import Session, Tally
from tests.app.audited_server import Server, outsiders, running
from tests.app.tab import Tab, ask, finish
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of open files are POSIX's")

CROWD = 1100  # connections
FILE = os.urandom(24 * 2**20)


async def _visit_and_leave(server: Server) -> None:
    """Open and close a page, and wait until its memory is freed."""
    tab = await Tab(server.port).open()
    assert tab.put("tells-when-it-is-gone", b"x") == 204
    await tab.close()
    wait_until(lambda: server.held()["files"] == 0, pause=0.1)


SERVERS = {"450 MB": (450, 256), "690 MB": (690, 1024)}  # megabytes and open files
# What is no matter of how much memory there is.
on_the_smaller = pytest.mark.parametrize("server", [SERVERS["450 MB"]], ids=["450 MB"], indirect=True)
on_the_larger = pytest.mark.parametrize("server", [SERVERS["690 MB"]], ids=["690 MB"], indirect=True)


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lite2: Any
) -> Iterator[Server]:
    """The app, with closed sessions dropped after a second (`lite2`: its graph is prepared)."""
    memory, files = request.param
    folder = tmp_path_factory.mktemp("server")
    with running(folder, memory, files, "--server.disconnectedSessionTTL", "1") as server:
        server.visit()
        asyncio.run(_visit_and_leave(server))
        server.start = server.rss
        yield server


@pytest.fixture(scope="module")
def resumable(tmp_path_factory: pytest.TempPathFactory, lite2: Any) -> Iterator[Server]:
    """The app, with closed sessions kept as shipped."""
    with running(tmp_path_factory.mktemp("resumable"), 690, 1024) as server:
        yield server


def test_files_that_arrive_after_their_session_are_not_kept(server: Server) -> None:
    async def scene() -> None:
        tab = await Tab(server.port).open()
        assert tab.put("tells-when-it-is-gone", b"x") == 204
        begun = [tab.begin_to_put(f"orphan-{i}", FILE) for i in range(12)]
        server.check()
        await tab.close()
        wait_until(lambda: server.held()["files"] == 0, pause=0.1)
        statuses = [finish(each) for each in begun]
        assert set(statuses) <= {0, 408, 410, 503}
        assert tab.put("another", b"x") == 400

    asyncio.run(scene())
    server.visit()
    server.recovers()


def test_one_session_uploads_many_files(server: Server) -> None:
    async def scene() -> None:
        tab = await Tab(server.port).open()
        for i in range(30):
            assert tab.put(f"made-up-{i}", FILE) == 204
            server.check()
        assert server.held()["files"] <= 3
        await asyncio.to_thread(server.visit)
        await tab.close()

    asyncio.run(scene())
    server.recovers()


def padded(seed: int) -> bytes:
    """Return a picture padded to a file of 24 MB."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue() + FILE[: -len(file.getvalue())]


def test_many_pages_show_large_files(server: Server) -> None:
    """A page keeps its picture when the file is deleted or evicted."""

    async def scene() -> None:
        users = []
        for i in range(6):
            user = Session(server.port, random.Random(i), Tally())
            await user.open()
            (uploader,) = [widget for kind, widget in user.widgets.values() if kind == "file_uploader"]
            await user.upload(uploader, padded(i))
            users.append(user)
            server.check()
            assert [error for error in user.tally.errors if error.startswith("upload")] == []
        assert ask(server.port, "GET", "/_stcore/health")[0] == 200
        for user in users:
            await user.close()

    asyncio.run(scene())
    server.recovers()
    server.visit()


@on_the_smaller
def test_no_client_can_clear_the_shared_caches(server: Server) -> None:
    threads = server.process.num_threads()

    async def scene() -> None:
        tab = await Tab(server.port).open()
        for _ in range(4):
            message = BackMsg()
            message.clear_cache = True
            await tab.send(message)
            await tab.run()
        await tab.close()

    asyncio.run(scene())
    server.visit()
    assert server.process.num_threads() <= threads + 4
    server.recovers()


@on_the_smaller
def test_one_page_requests_endless_runs_and_reads_nothing(server: Server) -> None:
    async def scene() -> None:
        tab = await Tab(server.port).open()
        message = BackMsg()
        message.rerun_script.SetInParent()
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5000):
                await tab.send(message)
        await asyncio.to_thread(server.visit)
        await tab.socket.wait_closed()
        assert tab.socket.close_code == 1008

    asyncio.run(scene())
    server.recovers()


def test_large_requests_do_not_block_others(server: Server) -> None:
    """Twelve pages request 4 megapixels each by their address, and one requests far too many."""
    start = 0

    async def scene() -> None:
        nonlocal start
        heavy = []
        for i in range(12):
            query = f"picture=astronaut&scales={2100 - 10 * i}x1980"
            heavy.append(Session(server.port, random.Random(i), Tally(), query))
            await heavy[-1].open()
        asked = ",".join(f"4000x{3900 - scale}" for scale in range(16))
        too_much = Session(server.port, random.Random(8), Tally(), f"picture=astronaut&scales={asked}")
        await too_much.open()
        await too_much.settle()
        assert len(too_much.tally.errors) == 1
        assert "Received 140 megapixels" in too_much.tally.errors[0]
        honest = "picture=coffee&scales=216x312,408x648,808x1288"
        user = Session(server.port, random.Random(9), Tally(), honest)
        start = len(server.log.read_text(encoding="utf-8"))
        await user.open()
        await user.settle()
        assert user.tally.errors == []
        for session in (*heavy, too_much, user):
            await session.close()

    asyncio.run(scene())

    def analyses() -> list[bool]:
        """Return for each analysis, in the order they ended, whether it is the honest user's."""
        said = server.log.read_text(encoding="utf-8")[start:].splitlines()
        return ["scales=216x312," in line for line in said if " info analysis " in line]

    wait_until(lambda: any(analyses()), lambda: server.log.read_text(encoding="utf-8"), pause=0.1)
    # In the order of arrival it would come after all twelve. How many end while its page opens depends on the machine.
    assert analyses().index(True) <= 8, "one scale of the others comes between two of its own"
    server.recovers()


HANDSHAKE = b"GET /_stcore/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


SAID = {
    "nothing": b"",
    "half a request": b"GET / HTTP/1.1\r\nX: ",
    "garbage": b"no request at all\r\n\r\n",
    "half a handshake": HANDSHAKE,
    "idle": b"GET /_stcore/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
}


@on_the_smaller
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_a_crowd_of_connections(server: Server, said: bytes) -> None:
    crowd(server, said)


@on_the_larger
def test_a_crowd_is_larger_than_any_limit_of_files(server: Server) -> None:
    crowd(server, HANDSHAKE)


def crowd(server: Server, said: bytes) -> None:
    """Connect, say something, and leave; an honest user is served meanwhile."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * CROWD:
        if hard not in (resource.RLIM_INFINITY,) and hard < 2 * CROWD:
            pytest.skip(f"this system lets a process open {hard} files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * CROWD, hard))
    before = server.log.stat().st_size
    connections = []
    try:
        for _ in range(CROWD):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
            connections.append(connection)
            with contextlib.suppress(OSError):
                connection.sendall(said)
        server.visit()
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.log.stat().st_size - before < 50_000, server.log.read_text(encoding="utf-8")[-9000:]
    server.recovers()


@on_the_larger
@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://outside.invalid", "null", "http://["])
def test_a_page_of_another_site_is_refused_without_lookups(server: Server, origin: str) -> None:
    async def scene() -> None:
        with pytest.raises(InvalidStatus) as refused:
            await Tab(server.port).open(origin=origin)
        assert refused.value.response.status_code == 403

    asyncio.run(scene())
    assert outsiders(server.audit) == []


def test_the_audit_finds_other_machines(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    lines = [
        ["socket.connect", "<socket>", "('8.8.8.8', 1)"],
        ["socket.getaddrinfo", "'checkip.amazonaws.com'", "80", "0", "1", "0"],
        ["socket.connect", "<socket>", "('127.0.0.1', 1)"],
        ["socket.connect", "<socket>", "'/run/a-socket'"],
        ["socket.getaddrinfo", "'::1'", "80", "0", "1", "0"],
        ["urllib.Request", "'http://outside'", "None", "{}", "'GET'"],
        ["open", "'x'", "'w'", "1"],
    ]
    audit.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [json.loads(line) for line in outsiders(audit)] == [lines[0], lines[1], lines[5]]


@on_the_smaller
def test_text_closes_a_socket(server: Server) -> None:
    async def scene() -> None:
        tab = await Tab(server.port).open()
        await tab.socket.send("text")
        await tab.socket.wait_closed()
        assert tab.socket.close_code == 1003

    asyncio.run(scene())


def test_a_session_cannot_be_taken_over(resumable: Server) -> None:
    async def scene() -> None:
        owner, thief = await Tab(resumable.port).open(), Tab(resumable.port)
        assert owner.put("own", b"x") == 204
        await thief.open(session=owner.id)
        assert thief.id
        assert thief.id != owner.id
        assert thief.put("foreign", b"x", session=owner.id) == 403
        assert thief.delete("own", session=owner.id) == 403
        await owner.run()  # it was not disconnected
        await owner.close()
        again = await Tab(resumable.port).open(session=owner.id)
        assert again.id != owner.id
        await again.close()
        back = await Tab(resumable.port, owner.cookie).open(session=owner.id)
        assert back.id == owner.id
        assert back.delete("own") == 204
        await back.close()
        await thief.close()

    asyncio.run(scene())


def test_a_file_that_arrives_while_its_page_reconnects_is_kept(resumable: Server) -> None:
    async def scene() -> None:
        before = resumable.held()["files"]
        tab = await Tab(resumable.port).open()
        begun = tab.begin_to_put("in-the-gap", FILE)
        await tab.close()
        wait_until(lambda: resumable.held()["sessions"] == 0, pause=0.1)
        assert finish(begun) == 204
        back = await Tab(resumable.port, tab.cookie).open(session=tab.id)
        assert back.id == tab.id
        assert resumable.held()["files"] == before + 1
        assert back.delete("in-the-gap") == 204
        assert resumable.held()["files"] == before
        await back.close()

    asyncio.run(scene())


PRINT = """
import os, sys
os.chdir(sys.argv[1])
asked = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        asked.append((event, *map(repr, arguments)))
sys.addaudithook(hook)
from streamlit import config
from streamlit.web import bootstrap
config._main_script_path = sys.argv[2]
bootstrap.load_config_options({})
bootstrap._print_url(False)
print(asked)
"""


def test_printing_the_address_asks_no_host(fresh_python: Any, tmp_path: Path) -> None:
    """`streamlit run` prints the address before it reads the app, in any working directory."""
    said = fresh_python(PRINT, str(tmp_path), str(ROOT / "streamlit_app.py")).stdout
    assert said.split()[-1] == "[]"
    assert "http://localhost:" in said
