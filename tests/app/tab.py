"""A client that speaks the app's own protocol, like a browser's tab, with a server on this machine."""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.waiting import PATIENCE

HEAD = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
TAIL = b"\r\n--B--\r\n"


def ask(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send one request; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


class Tab:
    """One WebSocket of a page, and its session."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.port = port
        self.cookie = cookie or ask(port, "GET", "/_stcore/health")[1]["set-cookie"].partition(";")[0]
        self.id = ""
        self.socket: ClientConnection

    async def open(self, session: str = "", origin: str = "", run: bool = True) -> Tab:
        """Open the socket and run the page once."""
        protocols = ["streamlit", self._token, *([session] if session else [])]
        self.socket = await connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            subprotocols=[Subprotocol(protocol) for protocol in protocols],
            additional_headers={"Cookie": self.cookie},
            origin=origin or f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            max_size=None,
            open_timeout=PATIENCE,
            ping_timeout=PATIENCE,
            max_queue=None,
        )
        if run:
            await self.run()
        return self

    async def run(self) -> None:
        """Run the page to its end."""
        message = BackMsg()
        message.rerun_script.SetInParent()
        await self.send(message)
        while True:
            heard = ForwardMsg.FromString(await self.socket.recv(decode=False))
            if heard.WhichOneof("type") == "new_session":
                self.id = heard.new_session.initialize.session_id or self.id
            elif heard.WhichOneof("type") == "script_finished":
                return

    async def send(self, message: BackMsg) -> None:
        """Send a message."""
        await self.socket.send(message.SerializeToString())

    async def close(self) -> None:
        """Close the tab."""
        await self.socket.close()

    @property
    def _token(self) -> str:
        return self.cookie.partition("=")[2]

    @property
    def _headers(self) -> dict[str, str]:
        kind = "multipart/form-data; boundary=B"
        return {"Cookie": self.cookie, "X-Xsrftoken": self._token, "Content-Type": kind}

    def put(self, file: str, data: bytes, session: str = "") -> int:
        """Upload a file."""
        path = f"/_stcore/upload_file/{session or self.id}/{file}"
        return ask(self.port, "PUT", path, HEAD + data + TAIL, **self._headers)[0]

    def delete(self, file: str, session: str = "") -> int:
        """Delete a file."""
        path = f"/_stcore/upload_file/{session or self.id}/{file}"
        return ask(self.port, "DELETE", path, **self._headers)[0]

    def begin_to_put(self, file: str, data: bytes) -> socket.socket:
        """Upload a file except for its last bytes, `TAIL`."""
        begun = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        headers = self._headers | {"Host": "x", "Content-Length": str(len(HEAD + data + TAIL))}
        lines = [
            f"PUT /_stcore/upload_file/{self.id}/{file} HTTP/1.1",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        with contextlib.suppress(OSError):  # refused before all was sent
            begun.sendall("\r\n".join([*lines, "", ""]).encode() + HEAD + data)
        return begun


def finish(begun: Any) -> int:
    """Send the last bytes of an upload; return its status, or 0 if the connection was closed."""
    with contextlib.closing(begun), contextlib.suppress(OSError):
        begun.sendall(TAIL)
        return int((begun.recv(100).split() or [b"", b"0"])[1])
    return 0
