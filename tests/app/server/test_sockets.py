"""Who may open a socket, and which session it may resume."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit import config
from streamlit.web.server.starlette import starlette_app_utils

from app.server.sessions import Owners
from app.server.sockets import SocketGuard, same_origin
from tests.app.server.asgi import Client, scope, settled
from tests.app.server.messages import CONNECT, GONE, started


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


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "app.example", True),  # not a browser
        ("http://app.example", "app.example", True),
        ("http://app.example:8501", "app.example:8501", True),
        ("HTTP://APP.example", "app.EXAMPLE", True),
        ("http://[::1]:8501", "[::1]:8501", True),
        ("http://127.0.0.1:8501", "127.0.0.1:8501", True),
        ("http://127.0.0.1:1", "127.0.0.1:8501", False),  # another server on this machine
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
def test_only_the_apps_own_page_may_open_a_socket(
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
def test_the_settings_allow_other_origins(
    settings: Any, options: dict[str, Any], origin: str, allowed: bool
) -> None:
    for name, value in options.items():
        settings(name, value)
    assert same_origin({"host": "inside:8501", "origin": origin}) is allowed


def opened(addresses: list[str], most: int) -> list[bool | None]:
    """Open one socket per address; return which are open in the end, None for one that was refused."""

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
        assert not guard._evicted
        return found

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("addresses", "most", "found"),
    [
        ("aaa", 3, [True, True, True]),
        ("aaaa", 3, [True, True, True, None]),  # a class behind one address is refused, not evicted
        ("aaab", 3, [False, True, True, True]),
        ("aaabb", 3, [False, True, True, True, None]),  # at most an equal share
        ("aaaabbbb", 4, [False, False, True, True, True, True, None, None]),
        ("abc", 2, [True, True, None]),
    ],
)
def test_at_the_maximum_the_address_with_most_sockets_loses_its_oldest(
    addresses: str, most: int, found: list[bool | None]
) -> None:
    assert opened(list(addresses), most) == found


def test_a_foreign_page_is_refused_before_the_application_is_called() -> None:
    async def scene() -> Client:
        client = Client([CONNECT])
        guard = SocketGuard(_never, Owners(), most=9)
        asked = scope("websocket", host="127.0.0.1:8501", origin="http://127.0.0.1:1")
        await guard(asked, client.receive, client.send)
        return client

    assert asyncio.run(scene()).sent == [{"type": "websocket.close", "code": 1008}]


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application was called")


def test_http_requests_pass() -> None:
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
def test_only_its_own_browser_can_resume_a_session(protocols: str, of: bytes | None, asked: str) -> None:
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(dict(scope["headers"])[b"sec-websocket-protocol"].decode())
        await send({"type": "websocket.send", "bytes": started("one")})

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
