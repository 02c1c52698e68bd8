"""Addresses typed by strangers, against servers that answer as badly as they can.

Names and connections are routed to servers on loopback; what decides whether an address may be asked is the real
code, and it sees the addresses a resolver would give.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn_core import render
from fcn_core.errors import FetchError, ImageError, SettingInvalid
from fcn_core.images import fetch, read
from fcn_core.images.fetch import Wire, fetch_image_bytes, is_public
from tests.waiting import PATIENCE, wait_until

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:4700:4700::1111"
LIMITS = read.Limits(max_bytes=100_000)
PNG = render.encode(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))

TLS_HELLO = b"\x16\x03"

Answer = Callable[[socket.socket], None]


def answer(body: bytes = PNG, status: str = "200 OK", *headers: str, length: int | None = None) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def redirect(target: str, status: str = "302 Found") -> Answer:
    return answer(b"", status, f"Location: {target}")


@dataclass
class Net:
    """A small internet: names with addresses, and one server behind every address."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    pages: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    trusted: Callable[[], ssl.SSLContext] = ssl.create_default_context
    requests: list[bytes] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self.tls is not None:
                connection = stack.enter_context(self.tls.wrap_socket(connection, server_side=True))
            request = b""
            while (
                b"\r\n\r\n" not in request
                and not request.startswith(TLS_HELLO)
                and (part := connection.recv(4096))
            ):
                request += part
            self.requests.append(request)
            if request.startswith(TLS_HELLO):
                answer(status="400 Bad Request")(connection)
                return
            self.pages[request.split(b" ")[1].decode()](connection)

    def resolve(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        if host in self.names:
            answers = self.names[host]
            return answers.pop(0) if len(answers) > 1 else answers[0]
        return fetch._resolve(host, port)  # numbers in all their spellings; names do not get here

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        if address in self.unreachable:
            raise OSError("unreachable")
        return socket.create_connection(self._server.getsockname(), timeout=seconds)

    def fetch(self, url: str, seconds: float = PATIENCE) -> bytes:
        wire = Wire(self.resolve, self.connect, self.trusted)
        return fetch_image_bytes(url, limits=LIMITS, seconds=seconds, wire=wire)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net({"pictures.example": [[PUBLIC]], "inside.example": [["10.0.0.7"]]}, {"/cat.png": answer()})
    yield net
    net.close()


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


# What getaddrinfo understands, and a page must not reach. Every one is also tried behind a redirect.
INWARD = [
    "localhost", "localhost.", "LOCALHOST", "127.0.0.1", "127.0.0.1.", "127.1", "127.255.255.254", "2130706433",
    "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]",  # noqa: S104
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2002:5db8:d822::1]", "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[100::1]",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0xa9fea9fe", "2852039166",
    "0251.0376.0251.0376", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "inside.example",
]  # fmt: skip


@pytest.mark.parametrize("host", INWARD)
def test_refuses_what_is_not_public(net: Net, host: str) -> None:
    for url in (f"http://{host}/cat.png", f"https://{host}/cat.png"):
        with pytest.raises(FetchError, match=r"on the public internet|begins with http"):
            net.fetch(url)
    assert net.connected == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_refuses_them_on_the_real_network(host: str) -> None:
    with pytest.raises(FetchError, match="on the public internet"):
        fetch_image_bytes(f"http://{host}/", limits=LIMITS)


@pytest.mark.parametrize("host", [h for h in INWARD if h.isascii()])
def test_refuses_redirects_inside(net: Net, host: str) -> None:
    net.pages["/old"] = redirect(f"http://{host}/cat.png")
    with pytest.raises(FetchError, match=r"on the public internet|begins with http"):
        net.fetch("http://pictures.example/old")
    assert net.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "url",
    ["", " ", "cat.png", "/etc/passwd", "//pictures.example/cat.png", "file:///etc/passwd", "ftp://pictures.example/a",
     "gopher://pictures.example/", "data:image/png;base64,AAAA", "javascript:alert(1)", "http:/pictures.example/",
     "http:pictures.example", "http://", "http:///cat.png", "http://?x", "https://#x", "http://:80/", "http://[",
     "http://[::1", "http://[cat]/", "http://[::1%]/", "http://pictures.example:port/", "http://pictures.example:99999/",
     "http://pictures.example:22/", "http://pictures.example:8501/", "http://pictures.example:443/",
     "https://pictures.example:80/", "http://pictures.example:0/", "http://user@pictures.example/",
     "http://user:word@pictures.example/", "http://pictures.example@127.0.0.1/", "http://127.0.0.1#@pictures.example/",
     "http://pictures.example\\@127.0.0.1/", "http://pictures.example/a b", "http://pictures.example/\r\nHost: x",
     "http://pictures.example/\x00", "http://pictures\u200b.example/", "http://pictures.example/\u202egnp",
     "http://pictures..example/", "http://.pictures.example/", f"http://{'a' * 64}.example/",
     "http://pictures.example/" + "a" * 3000, "http://pict%75res.example/", "ｈｔｔｐ://pictures.example/",
     "http://exa\u2100mple.com/", "unix:///run/docker.sock", "http+unix://%2frun/"],
)  # fmt: skip
def test_refuses_what_is_no_plain_web_address(net: Net, url: str) -> None:
    with pytest.raises(FetchError) as caught:
        net.fetch(url)
    assert net.connected == []
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


@pytest.mark.parametrize("url", ["http://pictures.example:80/cat.png", "http://Pictures.Example./cat.png"])
def test_accepts_other_spellings_of_a_public_address(net: Net, url: str) -> None:
    net.names["pictures.example."] = [[PUBLIC]]
    assert net.fetch(url) == PNG


@pytest.mark.parametrize(
    "answers",
    [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC_6, "fe80::1"], [PUBLIC, "::ffff:10.0.0.1"],
     [PUBLIC, "fe80::1%eth0"], [PUBLIC, "nonsense"], []],
)  # fmt: skip
def test_every_address_of_a_name_must_be_public(net: Net, answers: list[str]) -> None:
    net.names["mixed.example"] = [answers]
    with pytest.raises(FetchError, match="on the public internet"):
        net.fetch("http://mixed.example/cat.png")
    assert net.connected == []


def test_rebinding_finds_nothing_to_bind(net: Net) -> None:
    net.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert net.fetch("http://rebind.example/cat.png") == PNG
    assert net.looked_up == ["rebind.example"]
    assert net.connected == [(PUBLIC, 80)], "connected to what was checked"
    with pytest.raises(FetchError, match="on the public internet"):
        net.fetch("http://rebind.example/cat.png")


def test_rebinding_between_redirects(net: Net) -> None:
    net.names["rebind.example"] = [[PUBLIC], ["169.254.169.254"]]
    net.pages["/old"] = redirect("/cat.png")
    with pytest.raises(FetchError, match="on the public internet"):
        net.fetch("http://rebind.example/old")
    assert net.connected == [(PUBLIC, 80)]


def test_tries_the_next_address(net: Net) -> None:
    net.names["two.example"] = [[PUBLIC_6, PUBLIC]]
    net.unreachable = {PUBLIC_6}
    assert net.fetch("http://two.example/cat.png") == PNG
    net.unreachable = {PUBLIC_6, PUBLIC}
    with pytest.raises(FetchError, match="does not answer"):
        net.fetch("http://two.example/cat.png")


def test_no_word_about_what_is_inside(net: Net) -> None:
    """A name that exists inside and one that does not are answered alike."""
    net.names["missing.example"] = [[]]
    said = []
    for host in ("inside.example", "missing.example"):
        with pytest.raises(FetchError) as caught:
            net.fetch(f"http://{host}/cat.png")
        said.append(str(caught.value).replace(host, "HOST"))
    assert said[0] == said[1]


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


@given(st.ip_addresses())
def test_public_is_never_more_than_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(address):
        bare = address
        if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address in fetch._NAT64):
            bare = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        assert bare.is_global and not (
            bare.is_private or bare.is_loopback or bare.is_link_local or bare.is_multicast
            or bare.is_reserved or bare.is_unspecified
        )  # fmt: skip


@pytest.mark.parametrize(
    "text", [PUBLIC, PUBLIC_6, "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2a00:1450::1"]
)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_carried(address: ipaddress.IPv4Address) -> None:
    expected = is_public(address)
    for carrier in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ipaddress.ip_address(carrier)) == expected
    packed = int(address)
    for carrier6 in ((0x2002 << 112) | (packed << 80), (0x20010000 << 96) | (packed ^ 0xFFFFFFFF), packed):
        assert not is_public(ipaddress.IPv6Address(carrier6))


@pytest.mark.parametrize(
    ("url", "name"),
    [("http://x/a/cat.png?w=1", "cat.png"), ("http://x/", "picture"), ("http://x/%2e%2e%2fetc%2fpasswd", "passwd"),
     ("http://x/%3Cimg%20src%3Dx%3E.png", "_img src=x_.png"), ("http://[", "picture")],
)  # fmt: skip
def test_names_come_from_the_path_cleaned(url: str, name: str) -> None:
    assert fetch.name_of(url) == name
