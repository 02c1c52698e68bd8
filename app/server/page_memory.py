"""Clear the page caches when they leave too little memory for a network."""

from __future__ import annotations

import logging
import math
import time

from app import streamlit_patches
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds between two clearings at least

_last_cleared = -math.inf


def relieve() -> None:
    """Clear the session-scoped caches of all pages if the process uses the memory that is reserved for a network.

    Call it in the server's event loop.
    """
    global _last_cleared
    now, most = time.monotonic(), memory.budget_mb() - memory.reserved_mb()
    if now - _last_cleared < _EVERY or memory.rss_mb() <= most:
        return
    _last_cleared = now
    streamlit_patches.clear_page_caches()
    memory.trim_heap()
    logger.warning("Page caches were cleared: the process used more than %d MB.", most)
