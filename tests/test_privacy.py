"""Nothing leaves the machine unasked; what is logged names nobody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.places import ROOT
from tests.waiting import PATIENCE

WATCH = """
import sys
asked = []
def hook(event, arguments):
    if event in ("urllib.Request", "socket.getaddrinfo", "socket.connect", "socket.sendto"):
        asked.append((event, *map(repr, arguments)))
sys.addaudithook(hook)
"""
RUN = """
import numpy as np
import fcn_core as fcn
model = fcn.load_model("efficientnet-lite0", "openvino")
image = fcn.image_from_array(np.zeros((64, 64, 3), np.uint8), "x")
fcn.analyse(image, "dog", model, scales=fcn.parse_scales("64x64"))
import time
time.sleep(1)  # reporters work in threads of their own
"""
IMPORT_THE_CHILD = """
import os
import re
os.environ["KERAS_BACKEND"] = "openvino"
import fcn_core.engines.graph_cache, keras, openvino.tools.ovc
"""
TELL = """
reporters = [n for n, m in sys.modules.items() if "telemetry" in n and m is not None and "stub" not in n]
reporters = [n for n in reporters if n.startswith(("openvino_telemetry", "analytics", "sentry"))]
print(asked, reporters)
"""


def fresh(code: str, home: Path, **settings: str) -> str:
    """Run as a user does: not in CI, where reporters hold their tongue, and with a home of its own."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL", "PYTEST_VERSION")
    }
    environment |= {"HOME": str(home), **settings}
    child = subprocess.run(
        [sys.executable, "-c", WATCH + code + TELL],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("code", [RUN, IMPORT_THE_CHILD], ids=["serving", "exporting"])
def test_using_the_library_sends_nothing(code: str, tmp_path: Path, lite0: Any) -> None:
    assert fresh(code, tmp_path) == "[] []"
    assert [
        p for p in tmp_path.rglob("*") if "intel" in str(p).lower() or "telemetry" in str(p).lower()
    ] == []


def test_the_watch_sees_a_reporter(tmp_path: Path) -> None:
    """OpenVINO alone, told that this is CI so that it is silent: its reporter is there."""
    if not _has_reporter():
        pytest.skip("this OpenVINO has no reporter")
    assert "openvino_telemetry" in fresh("import openvino\n", tmp_path, CI="true")


@pytest.mark.parametrize(
    ("code", "reporter"),
    [
        ("import fcn_core, openvino", "openvino.tools.ovc.telemetry_stub"),
        ("import openvino, fcn_core", "openvino_telemetry"),  # what the user imported is left alone
    ],
)
def test_openvino_takes_its_silent_stand_in(code: str, reporter: str, fresh_python: Any) -> None:
    """It fails where a version of OpenVINO imports its reporter in another way."""
    if not _has_reporter():
        pytest.skip("this OpenVINO has no reporter")
    code += "; from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    assert fresh_python(code, CI="true").stdout.split()[-1] == reporter


def _has_reporter() -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("openvino-telemetry")
    except PackageNotFoundError:
        return False
    return True


def test_closed_sessions_are_dropped_on_a_quiet_server() -> None:
    from streamlit.runtime.caching.ttl_cache import TTLCache

    from app import streamlit_patches

    now = [0.0]
    kept: TTLCache[str, Any] = TTLCache(8, 120, timer=lambda: now[0])
    sessions = [Mock(session_state={"picture": 1}) for _ in range(2)]
    kept["closed"] = Mock(session=sessions[0])
    now[0] = 60
    kept["later"] = Mock(session=sessions[1])
    files = SimpleNamespace(file_storage={"closed": {}, "later": {}, "unknown": {}})
    files.remove_session_files = files.file_storage.pop
    manager = SimpleNamespace(
        _session_storage=SimpleNamespace(_cache=kept), list_active_sessions=lambda: list[Any]()
    )
    streamlit_patches._drop_expired(manager, files)
    assert len(kept._data) == 2
    assert list(files.file_storage) == ["closed", "later"], "a file may arrive when its session is gone"
    now[0] = 121
    streamlit_patches._drop_expired(manager, files)
    assert list(kept._data) == ["later"]
    assert list(files.file_storage) == ["later"]
    assert [s.shutdown.call_count for s in sessions] == [1, 0]
    assert [s.session_state for s in sessions] == [{}, {"picture": 1}]


def test_a_session_that_was_left_out_of_collections_goes_when_it_is_closed(fresh_python: Any) -> None:
    """The app freezes what is there when it starts, and that includes the first user's session."""
    code = """
import gc, weakref
from types import SimpleNamespace as Space
from app import streamlit_patches
class Picture: pass
class Session: pass
first = Session()
first.id, first.itself = "first", first
active = [Space(session=first)]
cache = type("Cache", (), {"_data": {}, "__len__": lambda self: 0})()
sessions = Space(_session_storage=Space(_cache=cache), list_active_sessions=lambda: active)
files = Space(file_storage={})
gc.freeze()
first.picture = Picture()
picture = weakref.ref(first.picture)
streamlit_patches._drop_expired(sessions, files)
assert picture() is not None
active = []
del first
streamlit_patches._drop_expired(sessions, files)
assert picture() is None
"""
    fresh_python(code)


def test_a_browser_that_asks_where_to_send_a_file_gets_an_answer(fresh_python: Callable[..., Any]) -> None:
    """Though a run of the script begins before the answer has left; and once."""
    code = """
from app import streamlit_patches
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
streamlit_patches.apply()
for named in ({"retain_lifecycle_msgs": True}, {"retain_lifecycle_msgs": True, "fragment_ids_this_run": ["one"]}):
    queue = ForwardMsgQueue()
    answer, other = ForwardMsg(), ForwardMsg()
    answer.file_urls_response.response_id = "asked"
    other.delta.new_element.markdown.body = "of the last run"
    queue.enqueue(answer)
    queue.enqueue(other)
    queue.clear(**named)
    queue.enqueue(other)
    kinds = [message.WhichOneof("type") for message in queue.flush()]
    assert kinds.count("file_urls_response") == 1, (named, kinds)
    assert queue.flush() == [], named
queue.enqueue(answer)
queue.clear()
assert queue.is_empty()
"""
    fresh_python(code)


def test_another_version_of_streamlit_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from app import streamlit_patches

    monkeypatch.setattr(streamlit_patches, "_SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(streamlit_patches.runtime, "exists", lambda: True)
    monkeypatch.setattr(streamlit_patches.runtime, "get_instance", object)
    streamlit_patches._drop_expired_sessions()
    assert "AttributeError" in caplog.text


@pytest.mark.parametrize("size", [100, 3 * 2**20])
def test_no_upload_is_written_to_disk(size: int, fresh_python: Callable[..., Any], tmp_path: Path) -> None:
    """As Streamlit receives files, with Starlette's parser."""
    code = f"""
import asyncio, sys
from starlette.requests import Request
from app import streamlit_patches
streamlit_patches.apply()
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "open" else None)
body = b'--b\\r\\nContent-Disposition: form-data; name="file"; filename="x"\\r\\n\\r\\n' + bytes({size})
body += b"\\r\\n--b--\\r\\n"
async def receive():
    return {{"type": "http.request", "body": body, "more_body": False}}
headers = [(b"content-type", b"multipart/form-data; boundary=b")]
async def main():
    form = await Request({{"type": "http", "method": "PUT", "headers": headers}}, receive).form()
    assert len(await form["file"].read()) == {size}
    assert form["file"]._in_memory
asyncio.run(main())
print([a for a in opened if "tmp" in str(a[0]) or a[2] & 1])
"""
    assert fresh_python(code, TMPDIR=str(tmp_path)).stdout.strip() == "[]"


def test_every_promise_names_a_test_that_is_there() -> None:
    promises = [
        line
        for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    promises = [line for line in promises if not line.startswith("| promise")]
    assert len(promises) > 10
    for line in promises:
        named = re.findall(r"`((?:tests|fuzz)/[\w/.]*)`", line)
        assert named, line
        for path in named:
            assert (ROOT / path).exists(), path
