"""Who may open a socket, and what of it is heeded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette import starlette_app_utils

from app.server import sockets
from app.server.sessions import Owners
from app.server.sockets import SocketGuard, same_origin
from app.server.turns import Turns
from tests.app.server.asgi import Client, Message, scope, settled
from tests.waiting import PATIENCE


@pytest.fixture
def settings() -> Iterator[Any]:
    names = ("server.corsAllowedOrigins", "server.enableCORS", "browser.serverAddress")
    before = {name: config.get_option(name) for name in names}
    yield config.set_option
    for name, value in before.items():
        config.set_option(name, value)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.streamlit_patches.is_known", lambda _: True)
    monkeypatch.setattr("app.streamlit_patches.relieve", lambda: None)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "app.example", True),  # no browser
        ("http://app.example", "app.example", True),
        ("http://app.example:8501", "app.example:8501", True),
        ("HTTP://APP.example", "app.EXAMPLE", True),
        ("http://[::1]:8501", "[::1]:8501", True),
        ("http://127.0.0.1:8501", "127.0.0.1:8501", True),
        ("http://127.0.0.1:1", "127.0.0.1:8501", False),  # another server of this machine
        ("http://localhost:8501", "127.0.0.1:8501", False),
        ("http://localhost", "app.example", False),
        ("http://app.example:1", "app.example:8501", False),
        ("http://app.example.evil.example", "app.example", False),
        ("http://evil.example/app.example", "app.example", False),
        ("http://app.example@evil.example", "app.example", False),
        ("http://evil.example", "app.example", False),
        ("null", "app.example", False),
        ("null", "", False),
        ("", "", False),
        ("garbage", "garbage", False),
        ("http://[", "app.example", False),
        ("http://\x00", "app.example", False),
        ("file://", "app.example", False),
    ],
)
def test_a_socket_is_for_the_apps_own_page(
    settings: Any, origin: str | None, host: str, allowed: bool
) -> None:
    settings("browser.serverAddress", "localhost")
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    assert same_origin(headers) is allowed


@pytest.mark.parametrize(
    ("options", "origin", "allowed"),
    [
        ({"server.corsAllowedOrigins": ["https://friend.example"]}, "https://friend.example", True),
        ({"server.corsAllowedOrigins": [" https://friend.example "]}, "https://friend.example", True),
        ({"server.corsAllowedOrigins": ["https://friend.example"]}, "https://foe.example", False),
        ({"server.corsAllowedOrigins": ["https://friend.example"]}, "null", False),
        ({"server.corsAllowedOrigins": ["http://localhost:3000"]}, "http://localhost:3000", True),
        ({"server.corsAllowedOrigins": ["http://localhost:3000"]}, "http://localhost:4000", False),
        ({"browser.serverAddress": "app.example"}, "https://app.example", True),
        ({"browser.serverAddress": "APP.example"}, "https://app.example", True),
        ({"browser.serverAddress": "app.example"}, "https://other.example", False),
        ({"browser.serverAddress": "2001:db8::1"}, "http://[2001:db8::1]:80", True),
        ({"browser.serverAddress": "localhost"}, "http://localhost:1", False),
        ({"browser.serverAddress": ""}, "http://", False),
        ({"server.enableCORS": False}, "http://anybody.example", True),
    ],
)
def test_whoever_runs_it_names_others(
    settings: Any, options: dict[str, Any], origin: str, allowed: bool
) -> None:
    for name, value in options.items():
        settings(name, value)
    assert same_origin({"host": "inside:8501", "origin": origin}) is allowed


def back(kind: str = "", **fields: Any) -> bytes:
    message = BackMsg()
    if kind in ("rerun_script", "file_urls_request", "backend_operation_request"):
        getattr(message, kind).SetInParent()
    elif kind:
        setattr(message, kind, True)
    for name, value in fields.items():
        if name == "files":
            message.file_urls_request.file_names.extend(["x"] * value)
        else:
            getattr(message.backend_operation_request, name).SetInParent()
    return message.SerializeToString()


def received(data: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": data}


CONNECT, GONE = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1005}


def heard(*messages: Message, runs_end: bool = True) -> tuple[list[Message], Client]:
    """What an application hears of these messages."""
    heard: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            heard.append(message := await receive())
            if message["type"] == "websocket.disconnect":
                return
            if runs_end:
                await send({"type": "websocket.send", "bytes": _finished()})

    async def scene() -> Client:
        client = Client([CONNECT, *messages, GONE])
        await SocketGuard(app, Owners(), most=9)(scope("websocket"), client.receive, client.send)
        return client

    client = asyncio.run(scene())
    assert heard[0] == CONNECT
    return heard[1:], client


def _finished() -> bytes:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    return message.SerializeToString()


def _told(session: str) -> bytes:
    message = ForwardMsg()
    message.new_session.initialize.session_id = session
    return message.SerializeToString()


HEEDED = {
    "rerun_script": back("rerun_script"),
    "stop_script": back("stop_script"),
    "app_heartbeat": back("app_heartbeat"),
    "file_urls_request": back("file_urls_request", files=1),
    "backend_operation_request": back("backend_operation_request", deferred_file=True),
}


def test_the_messages_that_are_heeded_are_all_there_are_to_test() -> None:
    assert set(HEEDED) == sockets.HEEDED


KINDS = sorted(field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_a_page_sends_is_heeded(kind: str) -> None:
    data = HEEDED.get(kind) or back(kind)
    found = run_alone(data)
    assert found == ([received(data)] if kind in HEEDED else [])


def run_alone(data: bytes) -> list[Message]:
    """What an application hears of a message that the client waits for the effect of."""
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
        (back("file_urls_request", files=10), True),
        (back("file_urls_request", files=11), False),  # the answer is many times the question
        (back("backend_operation_request"), False),
        (back("backend_operation_request", install_skills=True), False),  # writes into the app's folder
        (back("backend_operation_request", dataframe_chunk=True), False),
    ],
)
def test_of_what_a_page_sends_only_what_this_page_needs(data: bytes, passes: bool) -> None:
    assert run_alone(data) == ([received(data)] if passes else [])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "websocket.receive", "text": "hello"}, 1003),
        (received(b"\xff\xff"), 1002),
        (received(bytes(100_001)), 1009),
    ],
    ids=["text", "no message", "too long"],
)
def test_what_no_page_sends_ends_the_socket_without_a_traceback(
    message: Message, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    found, client = heard(message, received(HEEDED["stop_script"]))
    assert found == [{"type": "websocket.disconnect", "code": code, "reason": ""}]
    assert client.closed == code
    assert [record.exc_info for record in caplog.records] == [None]


def test_what_is_sent_after_the_end_is_as_to_one_that_has_gone() -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        try:
            await send({"type": "websocket.send", "bytes": _finished()})
        except OSError as error:  # Starlette makes a WebSocketDisconnect of it
            raised.append(error)

    async def scene() -> None:
        client = Client([CONNECT, {"type": "websocket.receive", "text": "hello"}])
        await SocketGuard(app, Owners(), most=9)(scope("websocket"), client.receive, client.send)

    asyncio.run(scene())
    assert raised


def test_who_asks_more_than_can_be_answered_is_shown_out() -> None:
    found, client = heard(*[received(HEEDED["rerun_script"])] * 1000, runs_end=False)
    assert client.closed == 1008
    assert len(found) <= 2, "of what waited nothing is done"


def _run_of(size: int) -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = "x" * size
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("sizes", "code"),
    [([90_000] * 6, None), ([90_000] * 7, 1008), ([9_000] * 50, None)],
    ids=["as much as may", "more", "an honest page"],
)
def test_messages_that_wait_are_bounded_in_bytes(sizes: list[int], code: int | None) -> None:
    """The first is taken at once, the others wait."""
    _, client = heard(*[received(_run_of(size)) for size in sizes], runs_end=False)
    assert client.closed == code


def test_a_message_that_was_taken_waits_no_longer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "bytes": _finished()})

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


def test_of_a_page_that_left_nothing_that_waits_is_done() -> None:
    found, client = heard(*[received(HEEDED["rerun_script"])] * 50, runs_end=False)
    assert client.closed is None
    assert len(found) <= 2


def test_runs_begin_in_turn_and_end_with_the_script() -> None:
    async def scene() -> None:
        begun: list[str] = []
        finish = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                if message["type"] == "websocket.receive":
                    begun.append(scope["path"])
                    await finish.wait()
                    await send({"type": "websocket.send", "bytes": _finished()})

        guard = SocketGuard(app, Owners(), most=9)
        guard._runs = Turns(2, longest=PATIENCE, spacing=PATIENCE)
        clients = [Client([CONNECT, received(HEEDED["rerun_script"])]) for _ in range(3)]
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


def test_a_page_that_leaves_gives_its_turn_back() -> None:
    async def scene() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "websocket.disconnect":
                pass

        guard = SocketGuard(app, Owners(), most=9)
        guard._runs = Turns(1, longest=PATIENCE, spacing=PATIENCE)
        for _ in range(5):
            client = Client([CONNECT, received(HEEDED["rerun_script"])])
            task = asyncio.create_task(guard(scope("websocket"), client.receive, client.send))
            await settled()
            client.messages.put_nowait(GONE)
            await task
            assert not guard._runs.free.locked()

    asyncio.run(scene())


def rooms(addresses: list[str], most: int) -> list[bool | None]:
    """Whether sockets of these addresses are open when all have come: None for one that was never let in."""

    async def scene() -> list[bool | None]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass

        guard = SocketGuard(app, Owners(), most)
        clients, tasks = [], []
        for address in addresses:
            clients.append(Client([CONNECT]))
            asked = {**scope("websocket"), "client": (address, 1)}
            tasks.append(asyncio.create_task(guard(asked, clients[-1].receive, clients[-1].send)))
            await settled()
        found: list[bool | None] = [
            None if {"type": "websocket.accept"} not in client.sent else client.closed is None
            for client in clients
        ]
        assert all(client.closed in (None, 1008, 1013) for client in clients)
        for client in clients:
            client.messages.put_nowait(GONE)
        await asyncio.gather(*tasks)
        assert not guard._open
        assert not guard._given_up
        return found

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("addresses", "most", "found"),
    [
        ("aaa", 3, [True, True, True]),
        ("aaaa", 3, [True, True, True, None]),  # a class behind one address is refused, not thrown out
        ("aaab", 3, [False, True, True, True]),
        ("aaabb", 3, [False, True, True, True, None]),  # no more than an equal share
        ("aaaabbbb", 4, [False, False, True, True, True, True, None, None]),
        ("abc", 2, [True, True, None]),
    ],
)
def test_where_all_are_taken_who_has_most_gives_up_the_oldest(
    addresses: str, most: int, found: list[bool | None]
) -> None:
    assert rooms(list(addresses), most) == found


def test_a_foreign_page_is_refused_before_the_app_hears_of_it() -> None:
    async def scene() -> Client:
        client = Client([CONNECT])
        guard = SocketGuard(_never, Owners(), most=9)
        asked = scope("websocket", host="127.0.0.1:8501", origin="http://127.0.0.1:1")
        await guard(asked, client.receive, client.send)
        return client

    assert asyncio.run(scene()).sent == [{"type": "websocket.close", "code": 1008}]


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application heard of it")


def test_requests_pass() -> None:
    asked = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)

    client = Client()
    asyncio.run(SocketGuard(app, Owners(), most=0)(scope("http"), client.receive, client.send))
    assert len(asked) == 1


def cookie(token: bytes) -> str:
    return "_streamlit_xsrf=" + starlette_app_utils.generate_xsrf_token_string(token, 1)


@pytest.mark.parametrize(
    ("protocols", "of", "asked"),
    [
        ("streamlit, x, one", b"owner-of-the-session", "streamlit, x, one"),
        ("streamlit, x, one", b"another-browser-here", "streamlit, x"),
        ("streamlit,x,one", b"another-browser-here", "streamlit, x"),
        ("streamlit, , one, more", b"another-browser-here", "streamlit, "),
        ("streamlit, x, one", None, "streamlit, x"),
        ("streamlit, x, unknown", b"another-browser-here", "streamlit, x, unknown"),
        ("streamlit, x", b"another-browser-here", "streamlit, x"),
        ("", b"another-browser-here", ""),
    ],
)
def test_a_session_is_taken_up_by_its_own_browser_alone(protocols: str, of: bytes | None, asked: str) -> None:
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(dict(scope["headers"])[b"sec-websocket-protocol"].decode())
        await send({"type": "websocket.send", "bytes": _told("one")})

    async def scene() -> None:
        guard = SocketGuard(app, Owners(), most=9)
        first = scope(
            "websocket", cookie=cookie(b"owner-of-the-session"), sec_websocket_protocol="streamlit, x"
        )
        client = Client([CONNECT])
        await guard(first, client.receive, client.send)
        headers = {} if of is None else {"cookie": cookie(of)}
        await guard(
            scope("websocket", sec_websocket_protocol=protocols, **headers), client.receive, client.send
        )

    asyncio.run(scene())
    assert found[1] == asked
