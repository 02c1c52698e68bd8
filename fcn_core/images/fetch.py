"""Fetch a picture from an address that a stranger typed, without being led into the network we stand in.

Every address a name resolves to must be public, the connection goes to the address that was checked (a second
look-up, which could answer differently, never happens), redirects are checked alike, and size and time are
bounded for all of it together. Proxies are not asked: one would look the name up by itself.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from fcn_core import settings
from fcn_core.errors import FetchError
from fcn_core.images.read import Limits, clean_name

_PORTS = {"http": 80, "https": 443}
_MAX_REDIRECTS = 3
_MAX_LENGTH = 2048
_REDIRECTS = (301, 302, 303, 307, 308)
_OVERHEAD = 2**18  # bytes of headers and chunk sizes on top of the picture, all redirects together
_AT_ONCE = threading.BoundedSemaphore(4)  # each may hold a whole picture
_HEADERS = {
    "User-Agent": "fully-convolutional-explorer/1.0",
    "Accept": "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff, image/heic, image/avif",
    "Accept-Encoding": "identity",  # what is not packed cannot unpack to more than was let in
    "Connection": "close",
}

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# On top of what is not global by the standard library, whose older versions know fewer of them.
_CLOSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carriers' own, and some clouds' metadata
        "168.63.129.16/32",  # a cloud's own services, in a public range
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/3",  # multicast and reserved
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads to whatever IPv4 address is written in it
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet.

    IPv4 addresses that are mapped into IPv6, or translated by the well-known NAT64 prefix, are judged by
    themselves; 6to4 and Teredo, which carry one too, are never public.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not any(address in network for network in _CLOSED)


def _resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _connect(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=seconds)


def _trusted() -> ssl.SSLContext:
    context = ssl.create_default_context()
    with suppress(ImportError, OSError):  # where the system has no certificates of its own
        import certifi

        context.load_verify_locations(certifi.where())
    return context


@dataclass(frozen=True)
class Wire:
    """The network's side of it; tests put their own in place.

    Attributes
    ----------
    resolve : callable
        ``(host, port)`` to addresses as text; raises OSError.
    connect : callable
        ``(address, port, seconds)`` to a connected socket; raises OSError.
    trusted : callable
        Makes the TLS context that certificates are checked against.
    """

    resolve: Callable[[str, int], Iterable[str]] = _resolve
    connect: Callable[[str, int, float], socket.socket] = _connect
    trusted: Callable[[], ssl.SSLContext] = _trusted


def fetch_image_bytes(
    url: str, *, limits: Limits | None = None, seconds: float = 15.0, wire: Wire | None = None
) -> bytes:
    """Fetch what lies at a web address, to be read like an upload by :func:`~fcn_core.images.read.read_image`.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``, on the usual port, without a user name.
    limits : Limits, optional
        Its ``max_bytes`` bounds the answer; default: ``Limits.from_env()``.
    seconds : float
        For all of it: looking up, connecting, redirects, reading.
    wire : Wire, optional
        How names are resolved and addresses connected.

    Returns
    -------
    bytes
        The answer's content, whatever it is.

    Raises
    ------
    FetchError
        The address is refused, does not answer in time, or answers with an error or too much.
    """
    if not settings.ALLOW_URLS.value():
        raise FetchError("Addresses are switched off here (FCN_ALLOW_URLS=0). Upload the picture instead.")
    limits = Limits.from_env() if limits is None else limits
    call = _Call(wire or Wire(), limits.max_bytes, time.monotonic() + seconds)
    if not _AT_ONCE.acquire(timeout=max(call.left(), 0)):
        raise FetchError("Too many pictures are being fetched just now. Try again, or upload the picture.")
    try:
        return _follow(url, call)
    except TimeoutError as error:
        raise FetchError(
            f"{_shown(url)} took longer than {seconds:g} s. Save the picture and upload it."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        raise FetchError(f"Received {_shown(url)}, but {reason}. Save the picture and upload it.") from error
    finally:
        _AT_ONCE.release()


_REASONS: dict[type[Exception], str] = {  # the first that fits
    ssl.SSLCertVerificationError: "its certificate is not valid",
    ssl.SSLError: "it does not speak proper TLS",
    OSError: "it does not answer",
    http.client.IncompleteRead: "the answer ended too early",
    Exception: "its answer is not proper HTTP",
}


def name_of(url: str) -> str:
    """What to call the picture at an address: the last part of its path."""
    try:
        return clean_name(unquote(urlsplit(url).path))
    except ValueError:
        return clean_name("")


@dataclass(eq=False)
class _Call:
    """What is left of time and bytes, over all redirects."""

    wire: Wire
    max_bytes: int
    deadline: float
    received: int = 0

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def timeout(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError
        return left

    def count(self, received: int) -> None:
        self.received += received
        if self.received > self.max_bytes + _OVERHEAD:
            raise self.too_much()

    def too_much(self) -> FetchError:
        return FetchError(
            f"The answer is larger than the {self.max_bytes / 2**20:.4g} MB allowed. Choose a smaller picture."
        )


def _follow(url: str, call: _Call) -> bytes:
    for _ in range(_MAX_REDIRECTS + 1):
        parts = _checked(url)
        with _open(parts, call) as connected:
            connection = http.client.HTTPConnection(parts.hostname or "")
            connection.sock = _Stream(connected, call)  # so that it never connects by itself
            target = quote(parts.path or "/", safe=_SAFE)
            if parts.query:
                target += "?" + quote(parts.query, safe=_SAFE + "?")
            connection.request("GET", target, headers={"Host": parts.netloc, **_HEADERS})
            with connection.getresponse() as response:
                if response.status not in _REDIRECTS:
                    return _content(response, url, call)
                url = urljoin(url, response.headers.get("Location", ""))
    raise FetchError(
        f"The address leads on more than {_MAX_REDIRECTS} times. Give the picture's own address."
    )


_SAFE = "/%:@!$&'()*+,;=~-._"


def _checked(url: str) -> SplitResult:
    """Split an address that may be asked; its netloc is as it goes into the Host header."""
    url = url.strip()
    if len(url) > _MAX_LENGTH or not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        raise FetchError(
            f"Received an address of {len(url)} characters. Expected at most {_MAX_LENGTH}, without spaces, "
            "backslashes or signs that cannot be seen."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except ValueError:  # UnicodeError is one
        parts, port, host = urlsplit(""), None, ""
    if parts.scheme not in _PORTS or not host or "%" in host:
        raise FetchError(f"Received {_shown(url)}. Expected an address that begins with http:// or https://.")
    if "@" in parts.netloc:
        raise FetchError("Received an address with a user name in it. Expected one that all may see.")
    if port not in (None, _PORTS[parts.scheme]):
        raise FetchError(f"Received an address with port {port}. Expected the usual one: leave it out.")
    netloc = f"[{host}]" if ":" in host else host.rstrip(".")
    return SplitResult(parts.scheme, netloc, parts.path, parts.query, "")


def _open(parts: SplitResult, call: _Call) -> socket.socket:
    host, port = parts.hostname or "", _PORTS[parts.scheme]
    addresses = _look_up(host, port, call)
    # One answer, whether there is no such name or only one inside: it tells nothing about our network.
    if not addresses or not all(map(_is_public_text, addresses)):
        raise FetchError(
            f"Received {host[:100]}, for which no address on the public internet was found. Check it and the "
            "network, or upload the picture instead."
        )
    failure: OSError = OSError()
    for address in addresses:
        try:
            plain = call.wire.connect(address, port, call.timeout())
            break
        except TimeoutError:
            raise
        except OSError as error:  # a machine without IPv6, for one
            failure = error
    else:
        raise failure
    if parts.scheme == "http":
        return plain
    try:
        plain.settimeout(call.timeout())
        return call.wire.trusted().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _is_public_text(address: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(address))
    except ValueError:
        return False


def _look_up(host: str, port: int, call: _Call) -> list[str]:
    # In a thread of its own, as the system's resolver cannot be given a time.
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(dict.fromkeys(call.wire.resolve(host, port))))
        except (OSError, ValueError):
            answers.put([])

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        return answers.get(timeout=call.timeout())
    except queue.Empty:
        raise TimeoutError from None


class _Stream:
    """A socket as `http.client` wants one, that knows how much time and how many bytes are left."""

    def __init__(self, connected: socket.socket, call: _Call) -> None:
        self._socket, self._call = connected, call

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._call.timeout())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def receive_into(self, buffer: Any) -> int:
        self._socket.settimeout(self._call.timeout())
        received = self._socket.recv_into(buffer)
        self._call.count(received)
        return received

    def close(self) -> None:
        """Do nothing: `http.client` lets go before the answer is read."""


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.receive_into(buffer)


def _content(response: http.client.HTTPResponse, url: str, call: _Call) -> bytes:
    if response.status != 200:
        raise FetchError(f"{_shown(url)} answered {response.status}. Expected a picture: check the address.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(f"{_shown(url)} answered with packed content. Save the picture and upload it.")
    if response.length is not None and response.length > call.max_bytes:
        raise call.too_much()
    content = bytearray()
    while part := response.read(2**16):
        content += part
        if len(content) > call.max_bytes:
            raise call.too_much()
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(content)


def _shown(url: str) -> str:
    """An address as a message may show it: short, printable, without what follows the path."""
    text = "".join(c if c.isprintable() else "?" for c in url.split("?")[0].strip())
    return text if len(text) <= 100 else text[:99] + "…"
