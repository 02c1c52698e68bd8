"""Page caches are cleared when they leave a network too little memory."""

from __future__ import annotations

import logging
import math
import time

from app import streamlit_patches
from fcn_core.system import resources

logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds between two clearings at least

_last_cleared = -math.inf


def relieve() -> None:
    """Clear the session-scoped caches of all pages if the process holds more than its budget allows beside a network.

    Call it in the server's event loop.
    """
    global _last_cleared
    now, most = time.monotonic(), resources.budget_mb() - resources.kept_free_mb()
    if now - _last_cleared < _EVERY or resources.rss_mb() <= most:
        return
    _last_cleared = now
    streamlit_patches.clear_page_caches()
    resources.trim()
    logger.warning("Page caches were cleared: the process held more than %d MB.", most)
