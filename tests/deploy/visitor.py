"""A browser without the browser: cookies, requests by TLS, and a page's socket."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every header of a name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@cache
def unverified() -> ssl.SSLContext:
    """For a certificate that was made a moment ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass
class Visitor:
    """One browser at one of this machine's addresses.

    Attributes
    ----------
    port, base : int, str
        Where the app is.
    address : str
        Where the visitor is.
    cookies : dict
        What it was given.
    """

    port: int
    base: str = ""
    address: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)
    session: str = ""
    page: str = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask for something below the app's base path."""
        connection = http.client.HTTPSConnection(
            "localhost",
            self.port,
            timeout=PATIENCE,
            context=unverified(),
            source_address=(self.address, 0),
        )
        with contextlib.closing(connection):
            named = {"Cookie": self._cookie(), **headers} if self.cookies else headers
            connection.request(method, f"{self.base}{path}", body, named)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        for cookie in answer.all("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def open(self) -> ClientConnection:
        """Open the page as a browser does, to its socket."""
        self.ask("GET", "/")
        self.ask("GET", "/_stcore/health")
        return connect(
            f"wss://localhost:{self.port}{self.base}/_stcore/stream",
            ssl=unverified(),
            subprotocols=["streamlit", self.cookies["_streamlit_xsrf"]],
            additional_headers={"Cookie": self._cookie()},
            origin=f"https://localhost:{self.port}",
            source_address=(self.address, 0),
            open_timeout=PATIENCE,
            max_size=None,
        )

    def run(self, socket: ClientConnection) -> list[Any]:
        """Have the page's script run; the elements it draws."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        socket.send(message.SerializeToString())
        elements = []
        while True:
            answer = self._next(socket)
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.session = answer.new_session.initialize.session_id
            elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                elements.append(answer.delta.new_element)
            elif kind == "script_finished" and answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return elements

    def upload(self, socket: ClientConnection, data: bytes) -> tuple[str, Answer]:
        """Ask where to, and send a file there; the path it was, and the answer."""
        message = BackMsg()
        message.file_urls_request.request_id = "1"
        message.file_urls_request.file_names.append("picture.png")
        message.file_urls_request.session_id = self.session
        socket.send(message.SerializeToString())
        while (answer := self._next(socket)).WhichOneof("type") != "file_urls_response":
            pass
        path = answer.file_urls_response.file_urls[0].upload_url
        return path, self.put(path, data)

    def put(self, path: str, data: bytes) -> Answer:
        """Send a file."""
        head = b'--end\r\nContent-Disposition: form-data; name="file"; filename="picture.png"\r\n\r\n'
        kind = {"X-Xsrftoken": self.cookies["_streamlit_xsrf"]}
        kind["Content-Type"] = "multipart/form-data; boundary=end"
        return self.ask("PUT", path.removeprefix(self.base), head + data + b"\r\n--end--\r\n", **kind)

    def _next(self, socket: ClientConnection) -> ForwardMsg:
        data = socket.recv(PATIENCE)
        assert isinstance(data, bytes)
        return ForwardMsg.FromString(data)
