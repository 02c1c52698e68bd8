"""Which browser a session belongs to.

A session's id is part of each upload's address and so appears in the logs of all proxies on the way. Anyone who reads
these logs could take over the session. The browser's XSRF cookie is not part of an address, so it must match, too.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from app import streamlit_patches


class Owners:
    """The browsers that started the sessions."""

    def __init__(self) -> None:
        self._browsers: dict[str, bytes | None] = {}

    def add(self, session: str, connection: HTTPConnection) -> None:
        """Record which browser started a session; the first record stays when it reconnects."""
        for old in [old for old in self._browsers if not streamlit_patches.is_known(old)]:
            del self._browsers[old]
        self._browsers.setdefault(session, _browser(connection))

    def may_use(self, session: str, connection: HTTPConnection) -> bool:
        """Return whether a session belongs to this browser, or to none because it is unknown."""
        return session not in self._browsers or self._browsers[session] == _browser(connection)


def _browser(connection: HTTPConnection) -> bytes | None:
    return streamlit_patches.xsrf_token(connection.cookies.get(streamlit_patches.XSRF_COOKIE))
