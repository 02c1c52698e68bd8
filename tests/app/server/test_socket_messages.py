"""Which messages of a page are accepted, and when they get a slot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from app.server import sockets
from app.server.sessions import Owners
from app.server.sockets import SocketGuard
from app.server.work_slots import WorkSlots
from tests.app.server.asgi import Client, Message, scope, settled
from tests.app.server.messages import CONNECT, GONE, back, finished, received
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def _no_page_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.page_memory.relieve", lambda: None)


def heard(*messages: Message, runs_end: bool = True) -> tuple[list[Message], Client]:
    """Return the messages that reach the application, and the client."""
    heard: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            heard.append(message := await receive())
            if message["type"] == "websocket.disconnect":
                return
            if runs_end:
                await send({"type": "websocket.send", "bytes": finished()})

    async def scene() -> Client:
        client = Client([CONNECT, *messages, GONE])
        await SocketGuard(app, Owners(), most=9)(scope("websocket"), client.receive, client.send)
        return client

    client = asyncio.run(scene())
    assert heard[0] == CONNECT
    return heard[1:], client


ACCEPTED = {
    "rerun_script": back("rerun_script"),
    "stop_script": back("stop_script"),
    "app_heartbeat": back("app_heartbeat"),
    "file_urls_request": back("file_urls_request", files=1),
    "backend_operation_request": back("backend_operation_request", deferred_file=True),
}


def test_every_accepted_kind_is_tested() -> None:
    assert set(ACCEPTED) == sockets.ACCEPTED


KINDS = sorted(field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields)


@pytest.mark.parametrize("kind", KINDS)
def test_only_kinds_that_pages_send_are_accepted(kind: str) -> None:
    data = ACCEPTED.get(kind) or back(kind)
    found = run_alone(data)
    assert found == ([received(data)] if kind in ACCEPTED else [])


def run_alone(data: bytes) -> list[Message]:
    """Return what reaches the application of one message, if the client stays connected."""
    heard: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(message)

    async def scene() -> None:
        client = Client([CONNECT, received(data)])
        guard = SocketGuard(app, Owners(), most=9)
        task = asyncio.create_task(guard(scope("websocket"), client.receive, client.send))
        await settled()
        client.messages.put_nowait(GONE)
        await task

    asyncio.run(scene())
    return [message for message in heard if message != CONNECT]


@pytest.mark.parametrize(
    ("data", "passes"),
    [
        (back(), False),
        (back("file_urls_request", files=200), True),
        (back("file_urls_request", files=201), False),  # the answer is much longer than the request
        (back("backend_operation_request"), False),
        (back("backend_operation_request", install_skills=True), False),  # writes into the app's folder
        (back("backend_operation_request", dataframe_chunk=True), False),
    ],
)
def test_only_requests_that_this_app_needs_are_accepted(data: bytes, passes: bool) -> None:
    assert run_alone(data) == ([received(data)] if passes else [])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "websocket.receive", "text": "hello"}, 1003),
        (received(b"\xff\xff"), 1002),
        (received(bytes(100_001)), 1009),
    ],
    ids=["text", "not decodable", "too long"],
)
def test_invalid_messages_close_the_socket_without_a_traceback(
    message: Message, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    found, client = heard(message, received(ACCEPTED["stop_script"]))
    assert found == [{"type": "websocket.disconnect", "code": code, "reason": ""}]
    assert client.closed == code
    assert [record.exc_info for record in caplog.records] == [None]


def test_sending_on_a_closed_socket_raises_as_if_the_client_had_gone() -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        try:
            await send({"type": "websocket.send", "bytes": finished()})
        except OSError as error:  # Starlette turns it into WebSocketDisconnect
            raised.append(error)

    async def scene() -> None:
        client = Client([CONNECT, {"type": "websocket.receive", "text": "hello"}])
        await SocketGuard(app, Owners(), most=9)(scope("websocket"), client.receive, client.send)

    asyncio.run(scene())
    assert raised


def test_a_page_that_floods_is_disconnected() -> None:
    found, client = heard(*[received(ACCEPTED["rerun_script"])] * 1000, runs_end=False)
    assert client.closed == 1008
    assert len(found) <= 2, "queued messages are dropped"


def _run_of(size: int) -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = "x" * size
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("sizes", "code"),
    [([90_000] * 6, None), ([90_000] * 7, 1008), ([9_000] * 50, None)],
    ids=["at the limit", "above it", "an honest page"],
)
def test_queued_messages_are_limited_in_bytes(sizes: list[int], code: int | None) -> None:
    """The first is handled at once; the others are queued."""
    _, client = heard(*[received(_run_of(size)) for size in sizes], runs_end=False)
    assert client.closed == code


def test_a_handled_message_no_longer_counts_as_queued() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "bytes": finished()})

    async def scene() -> Client:
        client = Client([CONNECT])
        task = asyncio.create_task(
            SocketGuard(app, Owners(), most=9)(scope("websocket"), client.receive, client.send)
        )
        for message in [received(_run_of(90_000))] * 9 + [GONE]:
            client.messages.put_nowait(message)
            await settled()
        await task
        return client

    assert asyncio.run(scene()).closed is None


def test_queued_messages_of_a_page_that_left_are_dropped() -> None:
    found, client = heard(*[received(ACCEPTED["rerun_script"])] * 50, runs_end=False)
    assert client.closed is None
    assert len(found) <= 2


def test_runs_wait_for_a_slot_until_another_script_ends() -> None:
    async def scene() -> None:
        begun: list[str] = []
        finish = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                if message["type"] == "websocket.receive":
                    begun.append(scope["path"])
                    await finish.wait()
                    await send({"type": "websocket.send", "bytes": finished()})

        guard = SocketGuard(app, Owners(), most=9)
        guard._runs = WorkSlots(2, longest=PATIENCE, spacing=PATIENCE)
        clients = [Client([CONNECT, received(ACCEPTED["rerun_script"])]) for _ in range(3)]
        tasks = [
            asyncio.create_task(guard(scope("websocket", path=f"/{i}"), client.receive, client.send))
            for i, client in enumerate(clients)
        ]
        await settled()
        assert begun == ["/0", "/1"]
        finish.set()
        await settled()
        assert begun == ["/0", "/1", "/2"]
        for client in clients:
            client.messages.put_nowait(GONE)
        await asyncio.gather(*tasks)
        assert not guard._runs.free.locked()

    asyncio.run(scene())


def test_a_page_that_leaves_releases_its_slot() -> None:
    async def scene() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "websocket.disconnect":
                pass

        guard = SocketGuard(app, Owners(), most=9)
        guard._runs = WorkSlots(1, longest=PATIENCE, spacing=PATIENCE)
        for _ in range(5):
            client = Client([CONNECT, received(ACCEPTED["rerun_script"])])
            task = asyncio.create_task(guard(scope("websocket"), client.receive, client.send))
            await settled()
            client.messages.put_nowait(GONE)
            await task
            assert not guard._runs.free.locked()

    asyncio.run(scene())
