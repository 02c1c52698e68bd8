"""The server around the pages: what `st.App` lets an application add to Streamlit's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from app.server import connections, log_limit
from app.server.answers import Pieces
from app.server.headers import SecurityHeaders
from app.server.sessions import Owners
from app.server.sockets import SocketGuard
from app.server.status import StatusGuard, routes
from app.server.uploads import UploadGuard
from app.state import shared_queue
from fcn_core.system import memory

__all__ = ["lifespan", "middleware", "routes"]

logger = logging.getLogger(__name__)

_AGAIN = 60.0  # seconds until the default model is tried again
_MOST_PAGES = 500  # at once
_PAGE_MB = 2.0  # what an open page holds (measured)
_FILES_A_PAGE = 4  # descriptors; three of them stay for two minutes when it is closed
_OPEN_PAGES_SHARE = 0.3  # of the memory budget, for all open pages


def middleware() -> tuple[Middleware, ...]:
    """What requests pass through on their way to Streamlit, outermost first."""
    owners = Owners()
    return (
        Middleware(SecurityHeaders),
        Middleware(Pieces),
        Middleware(StatusGuard),
        Middleware(SocketGuard, owners=owners, most=_pages()),
        Middleware(UploadGuard, owners=owners),
    )


def _pages() -> int:
    """How many pages may be open at once: the memory budget and the files the process may open bear them."""
    by_memory = int(memory.budget_mb() * _OPEN_PAGES_SHARE / _PAGE_MB)
    return max(1, min(_MOST_PAGES, by_memory, connections.files() // _FILES_A_PAGE // 4))


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Load the default model while the server answers already, and again where that fails."""
    log_limit.limit()
    connections.watch()
    keeping = asyncio.create_task(_keep_ready())
    yield
    keeping.cancel()


async def _keep_ready() -> None:
    """A disk may have been full, or weights may have come since."""
    await asyncio.to_thread(_try, shared_queue.queue)
    while True:
        await asyncio.sleep(_AGAIN)
        await asyncio.to_thread(_try, shared_queue.try_again)


def _try(do: Callable[[], object]) -> None:
    try:
        do()
    except Exception:
        logger.exception("The app could not be made ready")
