"""The readiness route, and which paths of Streamlit are hidden."""

from __future__ import annotations

import ipaddress

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from app.server.middleware import HTTPMiddleware
from app.state import shared_queue
from app.streamlit_patches import METRICS_PATH, RESERVED_PATHS

PAGES = frozenset({"", "compare", "learn", "models"})
"""Paths of the pages, as `streamlit_app.py` names them."""

_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


async def ready(_: Request) -> Response:
    """Answer 200 if the app can analyse pictures, else 503 with the reason.

    Streamlit's own `/_stcore/health` only says that the process runs.
    """
    health = shared_queue.health()
    return JSONResponse({"ready": health.ready, "reason": health.reason}, 200 if health.ready else 503)


def routes() -> tuple[Route, ...]:
    """Return the routes that are not pages, with and without the base path: a monitor may bypass the proxy."""
    base = _base_path()
    return tuple(
        Route(f"{prefix}/readyz", ready) for prefix in dict.fromkeys(("", f"/{base}" if base else ""))
    )


def _base_path() -> str:
    return str(st.get_option("server.baseUrlPath") or "").strip("/")


def path_of(scope: Scope) -> str:
    """Return a request's path below the app's base path, without leading and trailing slashes."""
    path: str = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
    base = _base_path()
    if path == base or path.startswith(f"{base}/"):
        path = path[len(base) :].strip("/")
    return path


class StatusGuard(HTTPMiddleware):
    """Show metrics to this machine only, and answer 404 for paths that do not exist.

    Streamlit answers every unknown path with its page and status 200.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        path = path_of(scope)
        if path == METRICS_PATH and not _is_local(HTTPConnection(scope)):
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        if path in PAGES or path == "index.html":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def send_unless_fallback(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                if is_page and "content-disposition" not in headers:
                    if path.split("/")[0] in RESERVED_PATHS:
                        replaced = True
                        await PlainTextResponse("Not Found", 404)(scope, receive, send)
                        return
                    message = {**message, "status": 404}
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_unless_fallback)


def _is_local(connection: HTTPConnection) -> bool:
    """Return whether a request comes from this machine and through no proxy."""
    if connection.client is None or any(name in connection.headers for name in _PROXY_HEADERS):
        return False
    try:
        address = ipaddress.ip_address(connection.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
