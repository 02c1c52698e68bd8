"""Messages between a page and the server, as they come and go on a socket."""

from __future__ import annotations

from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.app.server.asgi import Message


def back(kind: str = "", **fields: Any) -> bytes:
    message = BackMsg()
    if kind in ("rerun_script", "file_urls_request", "backend_operation_request"):
        getattr(message, kind).SetInParent()
    elif kind:
        setattr(message, kind, True)
    for name, value in fields.items():
        if name == "files":
            message.file_urls_request.file_names.extend(["x"] * value)
        else:
            getattr(message.backend_operation_request, name).SetInParent()
    return message.SerializeToString()


def received(data: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": data}


CONNECT, GONE = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1005}


def finished() -> bytes:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    return message.SerializeToString()


def started(session: str) -> bytes:
    message = ForwardMsg()
    message.new_session.initialize.session_id = session
    return message.SerializeToString()
