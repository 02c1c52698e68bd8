"""Fetch pictures from servers that answer as badly as they can.

Names and connections are routed to servers on loopback. The real code decides whether an address is allowed, and it
sees the IP addresses that a resolver would give.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from fcn_core.errors import FetchError, ImageError, SettingInvalid
from fcn_core.images import fetch, read
from fcn_core.images.fetch import Wire, fetch_image_bytes
from tests.images.internet import LIMITS, PNG, PUBLIC, Answer, Net, answer, redirect
from tests.waiting import PATIENCE, wait_until


def test_fetches_a_picture_as_sent(net: Net) -> None:
    data = net.fetch("  http://pictures.example/cat.png#top ")
    assert data == PNG
    assert read.read_image(data, name=fetch.name_of("http://pictures.example/cat.png")).name == "cat.png"
    assert net.connected == [(PUBLIC, 80)]
    request = net.requests[0]
    assert request.startswith(b"GET /cat.png HTTP/1.1\r\n")
    assert b"\r\nHost: pictures.example\r\n" in request
    assert b"\r\nAccept-Encoding: identity\r\n" in request


@pytest.mark.parametrize(
    ("status", "target"),
    [("301 Moved", "/cat.png"), ("302 Found", "http://pictures.example/cat.png"), ("303 See", "cat.png"),
     ("307 There", "//pictures.example/cat.png"), ("308 There", "?x=1")],
)  # fmt: skip
def test_follows_redirects_to_public_addresses(net: Net, status: str, target: str) -> None:
    net.pages |= {"/old": redirect(target, status), "/old?x=1": answer()}
    assert net.fetch("http://pictures.example/old") == PNG
    assert net.looked_up == ["pictures.example"] * 2


def test_redirects_end(net: Net) -> None:
    net.pages["/loop"] = redirect("/loop")
    with pytest.raises(FetchError, match="at most 3 redirects"):
        net.fetch("http://pictures.example/loop")
    assert len(net.connected) == 4


@pytest.mark.parametrize("target", ["ftp://pictures.example/", "file:///etc/passwd", "http://u:p@pictures.example/",
                                    "http://pictures.example:22/", "data:,x", "http://[", "http://a b/"])  # fmt: skip
def test_refuses_redirects_to_other_things(net: Net, target: str) -> None:
    net.pages["/old"] = redirect(target)
    with pytest.raises(FetchError):
        net.fetch("http://pictures.example/old")
    assert len(net.connected) == 1


def _then(first: bytes, rest: bytes, times: int, wait: float) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(times):
            connection.sendall(rest)
            time.sleep(wait)

    return send


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "drip",
    [
        _then(b"", b"H", 99, 0.03),
        _then(OK, b"X-A: b\r\n", 99, 0.03),
        _then(OK + b"X-A: ", b"b", 99, 0.03),
        _then(OK + b"Content-Length: 1000\r\n\r\n", b"x", 99, 0.03),
        _then(OK + b"\r\n", b"x", 99, 0.03),
        _then(CHUNKED, b"1\r\nx\r\n", 99, 0.03),
        _then(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 99, 0.03),
        _then(b"", b"", 1, 3),
    ],
    ids=["status", "headers", "header", "length", "to the end", "chunks", "continue", "silence"],
)
def test_a_slow_drip_ends_in_time(net: Net, drip: Answer) -> None:
    """Each drop comes within the time given, so that it is the whole which is too long; all drops take 3 s."""
    net.pages["/slow"] = drip
    with pytest.raises(FetchError, match=r"within 0\.1 s"):
        net.fetch("http://pictures.example/slow", seconds=0.1)


def test_time_counts_over_redirects_and_look_ups(net: Net) -> None:
    def slow_redirect(connection: socket.socket) -> None:
        time.sleep(0.05)
        redirect("/slow")(connection)

    net.pages["/slow"] = slow_redirect  # followed three times, 0.2 s in all
    with pytest.raises(FetchError, match="within"):
        net.fetch("http://pictures.example/slow", seconds=0.15)
    hung = threading.Event()
    wire = Wire(lambda host, port: [PUBLIC] * hung.wait(PATIENCE), net.connect)
    with pytest.raises(FetchError, match="within"):
        fetch_image_bytes("http://pictures.example/", limits=LIMITS, seconds=0.05, wire=wire)
    hung.set()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (answer(length=10**12), "larger answer"),
        (answer(bytes(100_001)), "larger answer"),
        (answer(length=1000), "ended too early"),
        (_then(OK + b"\r\n", bytes(2**16), 100, 0), "larger answer"),
        (_then(CHUNKED, b"ffff\r\n" + bytes(0xFFFF) + b"\r\n", 99, 0), "larger answer"),
        (_then(CHUNKED, (b"1;" + b"x" * 999 + b"\r\nx\r\n") * 9, 99, 0), "larger answer"),
        (_then(CHUNKED, b"ffffffff\r\n", 1, 0), "larger answer|too early"),
        (_then(CHUNKED, b"1\r\nx\r\n", 1, 0), "ended too early|valid HTTP"),
        (_then(CHUNKED, b"zz\r\nx\r\n", 1, 0), "ended too early|valid HTTP"),
        (_then(CHUNKED + b"0\r\n", b"X: y\r\n" * 999, 99, 0), "larger answer"),
        (_then(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999, 99, 0), "larger answer"),
        (_then(OK, b"X: y\r\n", 1000, 0), "valid HTTP"),
        (_then(OK + b"X: ", bytes(2**16 + 1), 1, 0), "valid HTTP"),
        (_then(b"", b"SSH-2.0-OpenSSH_9.2\r\n", 1, 0), "valid HTTP"),
        (_then(b"", b"", 1, 0), "valid HTTP|does not answer"),
        (_then(b"HTTP/1.1 2000 Long\r\n\r\n", b"", 1, 0), "valid HTTP"),
        (answer(b"", "404 Not Found"), "404"),
        (answer(b"", "500 Broken"), "500"),
        (answer(b"", "206 Part"), "206"),
        (answer(b"", "401 Who", "WWW-Authenticate: Basic"), "401"),
        (answer(PNG, "200 OK", "Content-Encoding: gzip"), "uncompressed"),
        (answer(PNG, "200 OK", "Content-Encoding: br, identity"), "uncompressed"),
    ],
)  # fmt: skip
def test_bad_answers_end_in_words(net: Net, reply: Answer, message: str) -> None:
    net.pages["/bad"] = reply
    with pytest.raises(FetchError, match=message):
        net.fetch("http://pictures.example/bad")


@pytest.mark.parametrize("length", ["-1", "cat", "", "99999999999999999999999", "56, 57"])
def test_an_odd_length_is_a_picture_or_words(net: Net, length: str) -> None:
    net.pages["/odd"] = lambda c: c.sendall(OK + f"Content-Length: {length}\r\n\r\n".encode() + PNG)
    with contextlib.suppress(FetchError):
        assert net.fetch("http://pictures.example/odd") == PNG


def test_a_shorter_length_than_the_body_cuts_it(net: Net) -> None:
    net.pages["/short"] = answer(PNG, length=10)
    assert net.fetch("http://pictures.example/short") == PNG[:10]


def test_chunked_and_open_ended_answers_are_read(net: Net) -> None:
    net.pages["/chunks"] = _then(CHUNKED,
                                 f"{len(PNG):x}\r\n".encode() + PNG + b"\r\n0\r\n\r\n", 1, 0)  # fmt: skip
    net.pages["/open"] = _then(OK + b"\r\n", PNG, 1, 0)
    assert net.fetch("http://pictures.example/chunks") == net.fetch("http://pictures.example/open") == PNG


def test_a_web_page_is_refused_as_an_upload_would_be(net: Net) -> None:
    net.pages["/page"] = answer(
        b"<!doctype html><script>alert(1)</script>", "200 OK", "Content-Type: image/png"
    )
    with pytest.raises(ImageError, match="web page"):
        read.read_image(net.fetch("http://pictures.example/page"))


def test_odd_characters_are_quoted_not_sent(net: Net) -> None:
    net.pages["/%C3%A9%22%3C%3E?%7C=%E2%82%AC"] = answer()
    assert net.fetch('http://pictures.example/é"<>?|=€') == PNG


def test_proxies_of_the_environment_are_not_asked(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert net.fetch("http://pictures.example/cat.png") == PNG
    assert net.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize("value", ["0", " 0 ", "no", "OFF", "00", "-1", "yes", "１"])
def test_one_setting_switches_it_off(net: Net, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Nothing is fetched where it says something else, either."""
    monkeypatch.setenv("FCN_ALLOW_URLS", value)
    with pytest.raises(FetchError if value.strip() == "0" else SettingInvalid, match="FCN_ALLOW_URLS"):
        net.fetch("http://pictures.example/cat.png")
    assert net.looked_up == []


@pytest.mark.parametrize("value", [None, "", "1"])
def test_it_is_on_by_default(net: Net, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("FCN_ALLOW_URLS", value)
    assert net.fetch("http://pictures.example/cat.png") == PNG


def test_only_a_few_at_once(net: Net) -> None:
    """The fifth waits until its own time is over, and nothing leaks when the four end."""
    go = threading.Event()

    def held(connection: socket.socket) -> None:
        go.wait(PATIENCE)
        answer()(connection)

    net.pages["/held"] = held
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(net.fetch("http://pictures.example/held")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(net.requests) == 4)
    with pytest.raises(FetchError, match="at most 4 downloads"):
        net.fetch("http://pictures.example/cat.png", seconds=0.05)
    go.set()
    for thread in threads:
        thread.join()
    assert results == [PNG] * 4
    assert net.fetch("http://pictures.example/cat.png") == PNG


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], tuple[str, str]]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def make(host: str, days: int) -> tuple[str, str]:
        key, certificate = folder / f"{host}{days}.key", folder / f"{host}{days}.pem"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        command += ["-keyout", key, "-out", certificate, "-days", str(days), "-subj", f"/CN={host}"]
        command += ["-addext", f"subjectAltName=DNS:{host}"]
        subprocess.run(command, check=True, capture_output=True)
        return str(certificate), str(key)

    return make


@pytest.mark.parametrize(
    ("host", "trusted", "oldest", "message"),
    [
        ("pictures.example", True, ssl.TLSVersion.TLSv1_3, None),
        ("pictures.example", False, ssl.TLSVersion.TLSv1_3, "certificate"),
        ("other.example", True, ssl.TLSVersion.TLSv1_3, "certificate"),
        (PUBLIC, True, ssl.TLSVersion.TLSv1_3, "certificate"),
        ("pictures.example", True, None, "TLS|does not answer"),
    ],
    ids=["good", "self-signed", "another name", "the address", "no TLS"],
)
def test_certificates_are_checked_against_the_name(
    net: Net,
    certificates: Callable[[str, int], tuple[str, str]],
    host: str,
    trusted: bool,
    oldest: ssl.TLSVersion | None,
    message: str | None,
) -> None:
    certificate, key = certificates(host, 2)
    if oldest is not None:
        net.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        net.tls.minimum_version = oldest
        net.tls.load_cert_chain(certificate, key)
    names: list[str | None] = []
    if net.tls is not None:
        net.tls.sni_callback = lambda _socket, name, _context: names.append(name)
    net.trusted = (lambda: ssl.create_default_context(cafile=certificate)) if trusted else fetch._trusted
    if message is None:
        assert net.fetch("https://pictures.example/cat.png") == PNG
        assert net.connected == [(PUBLIC, 443)]
        assert names == ["pictures.example"]
    else:
        with pytest.raises(FetchError, match=message):
            net.fetch("https://pictures.example/cat.png")
        assert not any(b"GET" in request for request in net.requests), "nothing was said to the wrong server"


def test_a_silent_tls_server_ends_in_time(net: Net) -> None:
    net._server.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = Wire(net.resolve, lambda *_: socket.create_connection(silent.getsockname()))
        with pytest.raises(FetchError, match="within"):
            fetch_image_bytes("https://pictures.example/", limits=LIMITS, seconds=0.05, wire=wire)


@pytest.mark.parametrize(
    ("url", "name"),
    [("http://x/a/cat.png?w=1", "cat.png"), ("http://x/", "picture"), ("http://x/%2e%2e%2fetc%2fpasswd", "passwd"),
     ("http://x/%3Cimg%20src%3Dx%3E.png", "_img src=x_.png"), ("http://[", "picture")],
)  # fmt: skip
def test_names_come_from_the_path_cleaned(url: str, name: str) -> None:
    assert fetch.name_of(url) == name
