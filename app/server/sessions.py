"""Which browser a session belongs to.

A session's id stands in the address of each upload, so in the log of every proxy on the way, and whoever names it may
take the session up. The browser's XSRF cookie stands in no address: here it is asked for as well.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from app import streamlit_patches

_XSRF_COOKIE = "_streamlit_xsrf"


class Owners:
    """The browsers that sessions were begun by."""

    def __init__(self) -> None:
        self._browsers: dict[str, bytes | None] = {}

    def add(self, session: str, connection: HTTPConnection) -> None:
        """Remember who began a session; who took it up again is the same."""
        for old in [old for old in self._browsers if not streamlit_patches.is_known(old)]:
            del self._browsers[old]
        self._browsers.setdefault(session, _browser(connection))

    def may_use(self, session: str, connection: HTTPConnection) -> bool:
        """Whether a session is this browser's; one that is not known is nobody's."""
        return session not in self._browsers or self._browsers[session] == _browser(connection)


def _browser(connection: HTTPConnection) -> bytes | None:
    return streamlit_patches.browser_of(connection.cookies.get(_XSRF_COOKIE))
