"""When Python collects garbage: every few seconds in one thread, not after each run of each page.

Streamlit collects after every run (``runner.postScriptGC``, switched off in ``.streamlit/config.toml``). A collection
visits every object of the process; with many pages open it would take all processor time.
"""

from __future__ import annotations

import gc
import threading
import time

_EVERY = 5.0  # seconds


def start() -> None:
    """Collect from now on in a thread.

    The objects that exist now, mostly imported modules, are frozen: they live as long as the process, and a collection
    that skips them takes a fraction of the time.
    """
    gc.collect()
    gc.freeze()
    threading.Thread(target=_collect_often, name="garbage", daemon=True).start()


def _collect_often() -> None:
    seen = -1
    while True:
        time.sleep(_EVERY)
        seen = collect_if_new(seen)


def collect_if_new(seen: int) -> int:
    """Collect if objects were made since the count of young collections was `seen`; return the count now."""
    if _young_collections() != seen:
        gc.collect()
    return _young_collections()


def _young_collections() -> int:
    return int(gc.get_stats()[0]["collections"])
