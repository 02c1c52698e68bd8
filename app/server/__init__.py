"""The middleware, routes and lifespan that `st.App` adds to Streamlit's server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from app.server import connections, log_limit
from app.server.chunked_responses import ChunkedResponses
from app.server.headers import SecurityHeaders
from app.server.sessions import Owners
from app.server.sockets import SocketGuard
from app.server.status import StatusGuard, routes
from app.server.uploads import UploadGuard
from app.state import shared_queue
from fcn_core.system import memory

__all__ = ["lifespan", "middleware", "routes"]

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0  # until the default model is loaded again after a failure
_MOST_PAGES = 500  # open at once
_PAGE_MB = 2.0  # memory of an open page (measured)
_FILES_PER_PAGE = 4  # file descriptors; three of them stay for two minutes after the page is closed
_OPEN_PAGES_BUDGET = 0.3  # share of the memory budget for all open pages


def middleware() -> tuple[Middleware, ...]:
    """Return the middleware around Streamlit, outermost first."""
    owners = Owners()
    return (
        Middleware(SecurityHeaders),
        Middleware(ChunkedResponses),
        Middleware(StatusGuard),
        Middleware(SocketGuard, owners=owners, most=_most_pages()),
        Middleware(UploadGuard, owners=owners),
    )


def _most_pages() -> int:
    """Return how many pages may be open at once, by the memory budget and by the limit of open files."""
    by_memory = int(memory.budget_mb() * _OPEN_PAGES_BUDGET / _PAGE_MB)
    return max(1, min(_MOST_PAGES, by_memory, connections.most_files() // _FILES_PER_PAGE // 4))


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Load the default model in the background, and retry if that fails."""
    log_limit.limit()
    connections.watch()
    keeping = asyncio.create_task(_keep_ready())
    yield
    keeping.cancel()


async def _keep_ready() -> None:
    """Retry without end: a full disk may have been cleaned up, or missing weights added."""
    await asyncio.to_thread(_try, shared_queue.queue)
    while True:
        await asyncio.sleep(_RETRY_SECONDS)
        await asyncio.to_thread(_try, shared_queue.try_again)


def _try(do: Callable[[], object]) -> None:
    try:
        do()
    except Exception:
        logger.exception("The app could not be made ready")
