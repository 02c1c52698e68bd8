"""What docs/deploy.md promises of the app behind nginx, with the configuration of the repository."""

from __future__ import annotations

import http.client
import os
import re
import socket
from pathlib import Path

import pytest
import streamlit

from app.server.headers import headers
from tests.deploy import machine
from tests.deploy.conftest import Site
from tests.deploy.visitor import Visitor, unverified
from tests.waiting import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nginx as on Debian")

MB = 2**20


@pytest.fixture
def visitor(site: Site) -> Visitor:
    """Somebody who has been nowhere."""
    return Visitor(site.port, site.base)


def test_a_page_is_drawn_through_it(visitor: Visitor) -> None:
    with visitor.open() as page:
        drawn = visitor.run(page)
    assert any("fcn-" in element.markdown.body or "fcn-" in element.html.body for element in drawn)


@pytest.mark.parametrize(
    ("megabytes", "status"), [(3, 204), (24, 204), (25.5, 413), (30, 413)], ids=lambda value: str(value)
)
def test_uploads_are_as_large_as_the_app_takes_them(
    site: Site, visitor: Visitor, megabytes: float, status: int
) -> None:
    with visitor.open() as page:
        visitor.run(page)
        path, answer = visitor.upload(page, os.urandom(int(megabytes * MB)))
    assert answer.status == status, answer.body
    assert "/_stcore/upload_file/" in path
    # nginx could have written nothing without failing: see `conftest.start_nginx`.
    assert site.error_log == ""


def test_a_slow_reader_does_not_make_nginx_write_either(site: Site) -> None:
    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    assert largest.stat().st_size > 3 * MB
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", site.port))
        with unverified().wrap_socket(slow, server_hostname="localhost") as encrypted:
            request = f"GET {site.base}/static/js/{largest.name} HTTP/1.1"
            encrypted.sendall(f"{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            response = http.client.HTTPResponse(encrypted)
            response.begin()
            assert response.read() == largest.read_bytes()
    assert site.error_log == ""


def test_headers_are_there_once(visitor: Visitor) -> None:
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/nothing/there"):
        answer = visitor.ask("GET", path)
        for name in (*headers(), "Strict-Transport-Security"):
            assert len(answer.all(name)) == 1, (path, name)
    assert visitor.ask("GET", "/_stcore/metrics").all("Strict-Transport-Security")


def test_cookies_go_by_tls_alone(site: Site) -> None:
    visitor = Visitor(site.port, site.base)
    given = [
        *visitor.ask("GET", "/").all("set-cookie"),
        *visitor.ask("GET", "/_stcore/health").all("set-cookie"),
    ]
    assert [cookie.partition("=")[0] for cookie in given] == ["fcn_replica", "_streamlit_xsrf"]
    for cookie in given:
        assert "secure" in cookie.lower()
        assert "samesite=lax" in cookie.lower()
    assert visitor.ask("GET", "/").all("set-cookie") == [], "it has one"


@pytest.mark.parametrize("before", ["", "/fcn"])
def test_the_metrics_are_closed(site: Site, before: str) -> None:
    answer = Visitor(site.port).ask("GET", f"{before}/_stcore/metrics")
    assert answer.status == 404
    assert b"TYPE" not in answer.body


@pytest.mark.parametrize(
    ("path", "address", "status"),
    [
        ("/readyz", "127.0.0.1", 200),
        ("/readyz", "127.0.0.2", 403),
        ("/_stcore/health", "127.0.0.2", 200),
        ("", "127.0.0.2", 307),
        ("/compare", "127.0.0.2", 200),
        ("/nothing/there", "127.0.0.2", 404),
    ],
)
def test_below_a_path(site: Site, path: str, address: str, status: int) -> None:
    answer = Visitor(site.port, site.base, address).ask("GET", path)
    assert answer.status == status
    if status == 307:
        assert answer.all("location") == [f"https://localhost:{site.port}/fcn/"]
    if path == "/readyz" and status == 200:
        assert b'"ready":true' in answer.body


def test_by_http_one_is_sent_on(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port + 1, timeout=PATIENCE)
    connection.request("GET", "/fcn/?synset=dog")
    response = connection.getresponse()
    assert (response.status, response.getheader("Location")) == (308, "https://localhost/fcn/?synset=dog")
    connection.close()


def test_another_name_is_not_answered(site: Site) -> None:
    with (
        socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as plain,
        pytest.raises(OSError, match=re.compile("unrecognized", re.IGNORECASE)),
    ):
        unverified().wrap_socket(plain, server_hostname="evil.test")


def test_the_log_tells_neither_what_was_looked_for_nor_ids(site: Site, visitor: Visitor) -> None:
    visitor.ask("GET", "/?synset=n02112826&picture=secret", Referer="https://localhost/?synset=secret")
    visitor.ask("GET", "/media/0123secret.png")
    with visitor.open() as page:
        visitor.run(page)
        path, _ = visitor.upload(page, b"no picture")
        visitor.ask("GET", path.removeprefix(site.base) + "?secret")
    assert visitor.session in path
    lines = site.access_log.splitlines()
    assert any('"GET /fcn/" 200' in line for line in lines)
    assert any('"PUT /fcn/_stcore/upload_file/-" 204' in line for line in lines)
    assert any('"GET /fcn/media/-" 404' in line for line in lines)
    for untold in ("n02112826", "secret", "?", visitor.session, path.rpartition("/")[2]):
        assert untold not in site.access_log
    assert site.error_log == ""


def test_one_address_does_not_take_all_pages_and_leaves_the_others_theirs(site: Site) -> None:
    """Requests are held open rather than pages: what counts is the same, and a page costs memory."""
    taken = []
    try:
        statuses = []
        for _ in range(102):
            plain = socket.create_connection(("127.0.0.1", site.port), PATIENCE, ("127.0.0.4", 0))
            taken.append(raw := unverified().wrap_socket(plain, server_hostname="localhost"))
            lines = [f"GET {site.base}/_stcore/stream HTTP/1.1", "Host: localhost", "Upgrade: websocket"]
            lines += [
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ]
            raw.sendall("\r\n".join([*lines, "", ""]).encode())
            statuses.append(int(raw.recv(4096).split()[1]))
        assert statuses.count(101) == 100
        assert statuses[-1] == 429
        other = Visitor(site.port, site.base, "127.0.0.3")
        with other.open() as page:
            other.run(page)
    finally:
        for raw in taken:
            raw.close()


def test_the_app_wrote_to_its_cache_alone(site: Site, visitor: Visitor) -> None:
    """In a process that may write elsewhere: a temporary folder or home that were needed would have failed."""
    with visitor.open() as page:
        visitor.run(page)
    elsewhere = [event for event in site.writings if str(site.cache) not in event[1]]
    assert elsewhere == []
    assert machine.left_behind(site.folder) == []
    assert '"model": "efficientnet-lite0"' in (site.folder / "app.out").read_text(encoding="utf-8")
