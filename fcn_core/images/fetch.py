"""Fetch a picture from an untrusted web address without giving access to the server's own network.

Every IP address of the host must be public. The connection uses an address that was checked; the name is not resolved
again, because a second answer could differ. Redirects are checked in the same way. Limits on size and time hold for
all requests together. Proxies are not used, because a proxy would resolve the name itself.
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
from fcn_core.images.limits import Limits
from fcn_core.images.read import clean_name

_PORTS = {"http": 80, "https": 443}
_MAX_REDIRECTS = 3
_MAX_LENGTH = 2048
_REDIRECTS = (301, 302, 303, 307, 308)
_OVERHEAD = 2**18  # bytes of headers and chunk sizes in addition to the picture, for all redirects together
_MAX_AT_ONCE = 4  # each holds a whole picture in memory
_AT_ONCE = threading.BoundedSemaphore(_MAX_AT_ONCE)
_HEADERS = {
    "User-Agent": "fully-convolutional-explorer/1.0",
    "Accept": "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff, image/heic, image/avif",
    "Accept-Encoding": "identity",  # compressed content could decompress to more than the limit
    "Connection": "close",
}

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# In addition to those that the standard library knows: older versions of it know fewer.
_CLOSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and metadata of some clouds
        "168.63.129.16/32",  # internal services of a cloud, in a public range
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/3",  # multicast and reserved
        "2001::/23",  # protocol assignments, including Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4: reaches the IPv4 address that it contains
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: IPAddress) -> bool:
    """Return whether an IP address belongs to the public internet.

    For an IPv4 address that is mapped into IPv6, or that has the well-known NAT64 prefix, the IPv4 address decides.
    6to4 and Teredo addresses, which also contain one, are never public.
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
    with suppress(ImportError, OSError):  # some systems have no certificates
        import certifi

        context.load_verify_locations(certifi.where())
    return context


@dataclass(frozen=True)
class Wire:
    """The functions that use the network; tests replace them.

    Attributes
    ----------
    resolve : callable
        Takes (host, port), returns IP addresses as text; raises OSError.
    connect : callable
        Takes (IP address, port, seconds), returns a connected socket; raises OSError.
    trusted : callable
        Returns the TLS context that verifies certificates.
    """

    resolve: Callable[[str, int], Iterable[str]] = _resolve
    connect: Callable[[str, int, float], socket.socket] = _connect
    trusted: Callable[[], ssl.SSLContext] = _trusted


def fetch_image_bytes(
    url: str, *, limits: Limits | None = None, seconds: float = 15.0, wire: Wire | None = None
) -> bytes:
    """Fetch the content of a web address, for :func:`~fcn_core.images.read.read_image`.

    Parameters
    ----------
    url : str
        It begins with ``http://`` or ``https://`` and has the usual port and no user name.
    limits : Limits, optional
        ``max_bytes`` limits the content. Default: ``Limits.from_env()``.
    seconds : float
        Timeout of the whole: resolving, connecting, redirects, reading.
    wire : Wire, optional
        The functions that use the network.

    Returns
    -------
    bytes
        The content, not checked to be a picture.

    Raises
    ------
    FetchError
        The address is refused, or the server does not answer in time, answers with an error, or sends too much.
    """
    if not settings.ALLOW_URLS.value():
        raise FetchError(
            "Expected a picture file, because web addresses are disabled here (FCN_ALLOW_URLS=0). "
            "Received an address. Upload the picture instead."
        )
    limits = Limits.from_env() if limits is None else limits
    call = _Call(wire or Wire(), limits.max_bytes, time.monotonic() + seconds)
    if not _AT_ONCE.acquire(timeout=max(call.left(), 0)):
        raise FetchError(
            f"Expected at most {_MAX_AT_ONCE} downloads at the same time. Received one more. Try again in a minute, "
            "or upload the picture."
        )
    try:
        return _follow(url, call)
    except TimeoutError as error:
        raise FetchError(
            f"Expected a picture within {seconds:g} s. Received none from {_shown(url)}. Save the picture and upload "
            "it."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        raise FetchError(
            f"Expected a picture. Received none from {_shown(url)}: {reason}. Save the picture and upload it."
        ) from error
    finally:
        _AT_ONCE.release()


_REASONS: dict[type[Exception], str] = {  # the first match counts
    ssl.SSLCertVerificationError: "its certificate is not valid",
    ssl.SSLError: "the TLS connection failed",
    OSError: "it does not answer",
    http.client.IncompleteRead: "the answer ended too early",
    Exception: "the answer is not valid HTTP",
}


def name_of(url: str) -> str:
    """Return a name for the picture at an address: the last part of its path."""
    try:
        return clean_name(unquote(urlsplit(url).path))
    except ValueError:
        return clean_name("")


@dataclass(eq=False)
class _Call:
    """The time and bytes that remain, for all redirects together."""

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
            f"Expected at most {self.max_bytes / 2**20:.4g} MB. Received a larger answer. Choose a smaller picture."
        )


def _follow(url: str, call: _Call) -> bytes:
    for _ in range(_MAX_REDIRECTS + 1):
        parts = _checked(url)
        with _open(parts, call) as connected:
            connection = http.client.HTTPConnection(parts.hostname or "")
            connection.sock = _Stream(connected, call)  # so that it does not connect itself
            target = quote(parts.path or "/", safe=_SAFE)
            if parts.query:
                target += "?" + quote(parts.query, safe=_SAFE + "?")
            connection.request("GET", target, headers={"Host": parts.netloc, **_HEADERS})
            with connection.getresponse() as response:
                if response.status not in _REDIRECTS:
                    return _content(response, url, call)
                url = urljoin(url, response.headers.get("Location", ""))
    raise FetchError(
        f"Expected at most {_MAX_REDIRECTS} redirects. Received more. Use the address of the picture itself."
    )


_SAFE = "/%:@!$&'()*+,;=~-._"


def _checked(url: str) -> SplitResult:
    """Return the parts of an allowed address; the netloc is the value of the Host header."""
    url = url.strip()
    if len(url) > _MAX_LENGTH or not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        raise FetchError(
            f"Expected an address of at most {_MAX_LENGTH} visible characters, without spaces and backslashes. "
            f"Received another one of {len(url)} characters. Correct it, or upload the picture."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except ValueError:  # UnicodeError is one
        parts, port, host = urlsplit(""), None, ""
    if parts.scheme not in _PORTS or not host or "%" in host:
        raise FetchError(
            f"Expected an address that begins with http:// or https://. Received {_shown(url)}. Correct it."
        )
    if "@" in parts.netloc:
        raise FetchError(
            "Expected a public address. Received one with a user name. Use a public address, or upload the picture."
        )
    if port not in (None, _PORTS[parts.scheme]):
        raise FetchError(
            f"Expected the usual port, {_PORTS[parts.scheme]}. Received port {port}. Remove it from the address."
        )
    netloc = f"[{host}]" if ":" in host else host.rstrip(".")
    return SplitResult(parts.scheme, netloc, parts.path, parts.query, "")


def _open(parts: SplitResult, call: _Call) -> socket.socket:
    host, port = parts.hostname or "", _PORTS[parts.scheme]
    addresses = _look_up(host, port, call)
    # The same message for unknown and for internal names, so that it reveals nothing about the internal network.
    if not addresses or not all(map(_is_public_text, addresses)):
        raise FetchError(
            f"Expected a host on the public internet. Received {host[:100]}, which has no public address. Check the "
            "address and the network connection, or upload the picture."
        )
    failure: OSError = OSError()
    for address in addresses:
        try:
            plain = call.wire.connect(address, port, call.timeout())
            break
        except TimeoutError:
            raise
        except OSError as error:  # for example, a machine without IPv6
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
    # In a separate thread, because the system's resolver has no timeout.
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
    """A socket for `http.client` that enforces the time and bytes that remain."""

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
        """Do nothing: `http.client` closes the socket before the answer is read."""


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.receive_into(buffer)


def _content(response: http.client.HTTPResponse, url: str, call: _Call) -> bytes:
    if response.status != 200:
        raise FetchError(
            f"Expected a picture. Received the HTTP status {response.status} from {_shown(url)}. Check the address."
        )
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(
            f"Expected uncompressed content. Received compressed content from {_shown(url)}. Save the picture and "
            "upload it."
        )
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
    """Return an address for a message: short, printable, without its query."""
    text = "".join(c if c.isprintable() else "?" for c in url.split("?")[0].strip())
    return text if len(text) <= 100 else text[:99] + "…"
