"""Refuse addresses that are not public, in every spelling and behind redirects.

Names and connections are routed to servers on loopback. The real code decides whether an address is allowed, and it
sees the IP addresses that a resolver would give.
"""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn_core.errors import FetchError
from fcn_core.images import fetch
from fcn_core.images.fetch import fetch_image_bytes, is_public
from tests.images.internet import LIMITS, PNG, PUBLIC, PUBLIC_6, Net, redirect

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
