"""A session belongs to the browser that started it."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from app.server.sessions import Owners
from tests.app.server.asgi import scope


def of(cookie: str | None) -> HTTPConnection:
    return HTTPConnection(scope(**({} if cookie is None else {"cookie": f"_streamlit_xsrf={cookie}"})))


OWNER = generate_xsrf_token_string(b"the-token-of-the-own", 1)


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Owners:
    monkeypatch.setattr("app.streamlit_patches.is_known", lambda session: session != "closed")
    made = Owners()
    made.add("one", of(OWNER))
    return made


@pytest.mark.parametrize(
    ("cookie", "may"),
    [
        (OWNER, True),
        (generate_xsrf_token_string(b"the-token-of-the-own", 1), True),  # under another mask
        (generate_xsrf_token_string(b"the-token-of-another", 1), False),
        (None, False),
        ("", False),
        ("2|", False),
        ("2|zz|zz|1", False),
        ("garbage", False),
        ("2|00000000||1", False),
        ("x" * 5000, False),
    ],
    ids=[
        "own",
        "own, masked anew",
        "another's",
        "none",
        "empty",
        "cut",
        "no digits",
        "garbage",
        "no token",
        "long",
    ],
)
def test_only_the_owner_may_use_a_session(owners: Owners, cookie: str | None, may: bool) -> None:
    assert owners.may_use("one", of(cookie)) is may
    assert owners.may_use("unknown", of(cookie))


def test_resuming_does_not_change_the_owner(owners: Owners) -> None:
    owners.add("one", of(generate_xsrf_token_string(b"the-token-of-another", 1)))
    assert owners.may_use("one", of(OWNER))


def test_ended_sessions_are_forgotten(owners: Owners) -> None:
    owners.add("closed", of(OWNER))
    owners.add("two", of(None))
    assert set(owners._browsers) == {"one", "two"}
