"""A small internet on loopback: names, addresses, and servers that answer as badly as they can."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fcn_core import render
from fcn_core.images import fetch, read
from fcn_core.images.fetch import Wire, fetch_image_bytes
from tests.waiting import PATIENCE

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
