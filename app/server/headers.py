"""What every answer carries for the browser's protection."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui import page_scripts

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def headers() -> dict[str, str]:
    """What every answer carries."""
    return {
        "Content-Security-Policy": policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def policy() -> str:
    """What a page may do, as its Content-Security-Policy.

    Of scripts in the page those run that are known by their digests: Streamlit's own and `page_scripts`. Streamlit
    gets components as blobs, its messages are read by WebAssembly, and its style rules are made in the page.
    Nothing comes from another host, and the socket goes where the page came from.
    """
    index = Path(st.__file__).with_name("static") / "index.html"
    known = [*_INLINE.findall(index.read_text(encoding="utf-8")), *page_scripts.ALL]
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval' blob: {' '.join(map(_digest, known))}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


class SecurityHeaders:
    """Add what protects the browser to every answer; one that has it already keeps its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                sent = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    sent.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
