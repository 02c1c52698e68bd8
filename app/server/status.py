"""What an operator and a monitor may ask, and what nobody finds."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from app.state import shared_queue

#: Paths of pages, as `streamlit_app.py` names them.
PAGES = frozenset({"", "compare", "learn", "models"})
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_OF_STREAMLIT = frozenset({"_stcore", "static", "media", "component"})


async def ready(_: Request) -> Response:
    """Whether the app can answer: 200, or 503 with the reason. `/_stcore/health` says that the process lives."""
    health = shared_queue.health()
    return JSONResponse({"ready": health.ready, "reason": health.reason}, 200 if health.ready else 503)


def routes() -> tuple[Route, ...]:
    """What the app answers beside its pages, with and without the base path: a monitor may sit before the proxy."""
    base = _base_path()
    return tuple(
        Route(f"{prefix}/readyz", ready) for prefix in dict.fromkeys(("", f"/{base}" if base else ""))
    )


def _base_path() -> str:
    return str(config.get_option("server.baseUrlPath") or "").strip("/")


def path_of(scope: Scope) -> str:
    """A request's path below the app's base path, without slashes at its ends."""
    path: str = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
    base = _base_path()
    if path == base or path.startswith(f"{base}/"):
        path = path[len(base) :].strip("/")
    return path


class StatusGuard:
    """Close the metrics to others than this machine, and answer 404 where there is nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = path_of(scope)
        if path == "_stcore/metrics" and not _of_this_machine(HTTPConnection(scope)):
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        if path in PAGES or path == "index.html":
            await self._app(scope, receive, send)
            return
        hidden = False

        async def send_unless_fallback(message: Message) -> None:
            nonlocal hidden
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                if (
                    is_page and "content-disposition" not in headers
                ):  # Streamlit's answer to whatever is not there
                    if path.split("/")[0] in _OF_STREAMLIT:
                        hidden = True
                        await PlainTextResponse("Not Found", 404)(scope, receive, send)
                        return
                    message = {**message, "status": 404}
            if not hidden:
                await send(message)

        await self._app(scope, receive, send_unless_fallback)


def _of_this_machine(connection: HTTPConnection) -> bool:
    if connection.client is None or any(name in connection.headers for name in _OF_PROXIES):
        return False
    try:
        address = ipaddress.ip_address(connection.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
