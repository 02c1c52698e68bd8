"""The server around the pages: what `st.App` lets an application add to Streamlit's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from app import cached
from app.server import connections, log_limit
from app.server.headers import SecurityHeaders
from app.server.sessions import Owners
from app.server.sockets import SocketGuard
from app.server.status import StatusGuard, ready
from app.server.uploads import UploadGuard

logger = logging.getLogger(__name__)

_PAGES_OPEN = 500  # at once

_owners = Owners()
MIDDLEWARE = (
    Middleware(SecurityHeaders),
    Middleware(StatusGuard),
    Middleware(SocketGuard, owners=_owners, most=_PAGES_OPEN),
    Middleware(UploadGuard, owners=_owners),
)
ROUTES = (Route("/readyz", ready),)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Load the default model before the first visitor comes; the server answers meanwhile."""
    log_limit.limit()
    connections.watch()
    loading = asyncio.create_task(asyncio.to_thread(_load))
    yield
    await loading


def _load() -> None:
    try:
        cached.queue()
    except Exception:
        logger.exception("The app could not be made ready")
