"""Unknown paths are 404, metrics are local, and readiness is reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from streamlit import config

from app.server import status
from app.server.status import StatusGuard
from app.state import shared_queue
from tests.app.server.asgi import Client, answering, scope


@pytest.fixture(params=["", "explorer", "/a/b/"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", request.param)
    yield "/" + request.param.strip("/") if request.param else ""
    config.set_option("server.baseUrlPath", before)


def asked(path: str, app: Any = None, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Client:
    client = Client()
    page = answering(body=b"the page", content_type="text/html; charset=utf-8")
    request = {**scope(path=path, method=method, **headers), "client": (host, 1) if host else None}
    asyncio.run(StatusGuard(app or page)(request, client.receive, client.send))
    return client


@pytest.mark.parametrize(
    ("path", "found", "body"),
    [
        ("/", 200, b"the page"),
        ("", 200, b"the page"),
        ("/compare", 200, b"the page"),
        ("/compare/", 200, b"the page"),
        ("/learn", 200, b"the page"),
        ("/models", 200, b"the page"),
        ("/index.html", 200, b"the page"),
        ("/nothing", 404, b"the page"),
        ("/compare/more", 404, b"the page"),
        ("/Compare", 404, b"the page"),
        ("/wp-login.php", 404, b"the page"),
        ("/_stcore/nothing", 404, b"Not Found"),
        ("/_stcore", 404, b"Not Found"),
        ("/static/nothing.js", 404, b"Not Found"),
        ("/media/nothing.png", 404, b"Not Found"),
        ("/component/nothing", 404, b"Not Found"),
    ],
)
def test_unknown_paths_are_404(base: str, path: str, found: int, body: bytes) -> None:
    client = asked(base + path)
    assert (client.status, client.body) == (found, body)


@pytest.mark.parametrize(
    ("status_", "kind"), [(200, "application/javascript"), (304, "text/html"), (405, "text/html"), (200, "")]
)
def test_other_responses_are_unchanged(status_: int, kind: str) -> None:
    client = asked(
        "/static/x.js", answering(status_, b"as it was", **({"content_type": kind} if kind else {}))
    )
    assert (client.status, client.body) == (status_, b"as it was")


def test_a_downloaded_report_is_not_a_page(base: str) -> None:
    app = answering(
        body=b"report", content_type="text/html", content_disposition='attachment; filename="r.html"'
    )
    client = asked(f"{base}/media/1234.html", app)
    assert (client.status, client.body) == (200, b"report")


@pytest.mark.parametrize(
    ("host", "headers", "told"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.9.1", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("192.168.1.2", {}, False),
        ("::ffff:192.168.1.2", {}, False),
        ("a name", {}, False),
        ("", {}, False),
        *[("127.0.0.1", {name: "x"}, False) for name in ("x_forwarded_for", "forwarded", "x_real_ip", "via")],
    ],
)
def test_metrics_are_for_this_machine_without_a_proxy(
    base: str, host: str, headers: dict[str, str], told: bool
) -> None:
    client = asked(f"{base}/_stcore/metrics", answering(body=b"numbers"), host=host, **headers)
    assert (client.status, client.body) == ((200, b"numbers") if told else (404, b"Not Found"))


@pytest.mark.parametrize("ready", [True, False])
def test_readiness_is_reported(base: str, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_queue, "health", lambda: shared_queue.Health(ready, "the reason"))
    routes = Starlette(routes=status.routes())

    def get(path: str) -> Client:
        client = Client()
        asyncio.run(routes(scope(path=path), client.receive, client.send))
        return client

    for path in {"/readyz", f"{base}/readyz"}:
        answer = get(path)
        assert answer.status == (200 if ready else 503)
        assert json.loads(answer.body) == {"ready": ready, "reason": "the reason"}
    assert get("/other/readyz").status == 404
