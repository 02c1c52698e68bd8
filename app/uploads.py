"""Uploads stay in memory."""

from __future__ import annotations

import sys

from starlette.formparsers import MultiPartParser


def keep_in_memory() -> None:
    """Let no upload be written to disk while it is received.

    Streamlit receives files through Starlette, which moves those above 1 MB to a temporary file. What Streamlit
    lets in is bounded by ``server.maxUploadSize`` all the same.
    """
    MultiPartParser.spool_max_size = sys.maxsize
