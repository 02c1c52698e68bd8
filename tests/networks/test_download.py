"""Downloads from a local server with the faults that servers have."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from fcn_core.errors import Cancelled, WeightsInvalid, WeightsUnavailable
from fcn_core.networks import download as downloads
from fcn_core.networks.download import download
from fcn_core.networks.weights import WeightsFile
from fcn_core.system import folders
from tests.waiting import PATIENCE, wait_until

CONTENT = bytes(range(256)) * 4096  # 1 MiB, four chunks
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """Serves CONTENT with one of ``faults`` per request, then without."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.ranges = [], []
        self.resume = threading.Event()

    def handle_error(self, request, client_address):
        """Clients that hang up are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        fault = self.server.faults.pop(0) if self.server.faults else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if fault == "ignores Range":
            start = 0
        if isinstance(fault, int):  # an error status
            self.send_error(fault)
            return
        if fault == "no such range":
            self.send_error(416)
            return
        if fault == "HTML":
            self.answer(200, b"<!doctype html><title>Please log in</title>", kind="text/html")
        elif fault == "HTML of unknown length":
            self.answer(200, b"<!doctype html>" * 100_000, kind="text/html; charset=utf-8", length=None)
        elif fault == "another file":
            self.answer(200, b"\0" * len(CONTENT))
        elif fault == "another file's end":
            self.answer(206, b"\0" * (len(CONTENT) - start), start)
        elif fault == "another range":
            self.answer(206, CONTENT[start - 7 :], start - 7)
        elif fault == "the whole as a range":
            self.answer(206, CONTENT, 0)
        elif fault == "short":
            self.answer(200, CONTENT[:-1])
        elif fault == "long":
            self.answer(200, CONTENT + b"\0")
        elif fault == "long, of unknown length":
            self.answer(200, CONTENT + b"\0" * 300_000, length=None)
        elif fault == "cut":
            self.answer(
                206 if start else 200, CONTENT[start : start + HALF], start, length=len(CONTENT) - start
            )
        elif fault == "cut in chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % HALF + CONTENT[: HALF - 5])
            self.close_connection = True
        elif fault == "no HTTP":
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            self.close_connection = True
        elif fault == "waits":
            self.answer(200, CONTENT[:HALF], length=len(CONTENT))
            self.wfile.flush()
            self.server.resume.wait(PATIENCE)
            self.wfile.write(CONTENT[HALF:])
        else:
            self.answer(206 if start else 200, CONTENT[start:], start)

    def answer(self, status, body, start=0, length=-1, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(body)
        if length not in (-1, None) and length > len(body):
            self.close_connection = True


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.resume.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightsFile(
        "weights.h5", len(CONTENT), digest, url=f"http://127.0.0.1:{server.server_port}/weights.h5"
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_download_with_progress(file, server, tmp_path):
    seen = []
    target = download(file, tmp_path / "deep" / "folder", lambda done, total: seen.append((done, total)))
    assert target == tmp_path / "deep" / "folder" / "weights.h5"
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["weights.h5"]
    assert server.ranges == [None]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) >= 4


@pytest.mark.parametrize("fault", ["cut", "cut in chunks"])
def test_an_interrupted_download_is_resumed(fault, file, server, tmp_path):
    server.faults = [fault]
    with pytest.raises(WeightsUnavailable, match="cannot be downloaded") as refusal:
        download(file, tmp_path)
    assert "FCN_WEIGHTS_DIR" in str(refusal.value)
    assert file.url in str(refusal.value)
    assert names(tmp_path) == ["weights.h5.part"]
    done = (tmp_path / "weights.h5.part").stat().st_size
    assert 0 < done <= HALF
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={done}-"]
    assert names(tmp_path) == ["weights.h5"]


# The partial file before, the behaviour of the server, the ranges that it receives.
RESUMED = {
    "the server ignores Range": (CONTENT[:HALF], ["ignores Range"], [f"bytes={HALF}-"]),
    "the server gives the whole as a range": (CONTENT[:HALF], ["the whole as a range"], [f"bytes={HALF}-"]),
    "the server gives another range": (CONTENT[:HALF], ["another range", None], None),
    "the server knows no such range": (CONTENT[:HALF], ["no such range"], [f"bytes={HALF}-", None]),
    "what was there was damaged": (b"\0" * HALF, [], [f"bytes={HALF}-", None]),
    "the rest was another file's": (CONTENT[:HALF], ["another file's end"], [f"bytes={HALF}-", None]),
    "all was there": (CONTENT, [], []),
    "all was there and damaged": (b"\0" * len(CONTENT), [], [None]),
    "more was there": (CONTENT + b"\0", [], [None]),
    "nothing was there": (b"", [], [None]),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_partial_file_is_completed_or_downloaded_again(name, file, server, tmp_path):
    begun, server.faults, ranges = RESUMED[name]
    (tmp_path / "weights.h5.part").write_bytes(begun)
    if ranges is None:  # refused once, right the next time
        with pytest.raises(WeightsInvalid):
            download(file, tmp_path)
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.h5"]
    if ranges is not None:
        assert server.ranges == ranges


@pytest.mark.parametrize(
    "fault", ["HTML", "HTML of unknown length", "another file", "short", "long", "long, of unknown length"]
)
def test_another_file_is_refused_and_deleted(fault, file, server, tmp_path):
    server.faults = [fault]
    with pytest.raises(WeightsInvalid, match=r"Expected weights\.h5") as refusal:
        download(file, tmp_path)
    assert "proxy" in str(refusal.value)
    assert "FCN_WEIGHTS_DIR" in str(refusal.value)
    assert names(tmp_path) == []
    assert download(file, tmp_path).read_bytes() == CONTENT  # the next try is not spoilt


def test_a_login_page_does_not_damage_the_partial_file(file, server, tmp_path):
    (tmp_path / "weights.h5.part").write_bytes(CONTENT[:HALF])
    server.faults = ["HTML"]
    with pytest.raises(WeightsInvalid, match="text/html"):
        download(file, tmp_path)
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize("fault", [404, 403, 500, "no HTTP"])
def test_a_server_that_fails(fault, file, server, tmp_path):
    server.faults = [fault]
    with pytest.raises(
        WeightsUnavailable, match=str(fault) if isinstance(fault, int) else "cannot be downloaded"
    ):
        download(file, tmp_path)
    assert names(tmp_path) == []


def test_no_server(file, server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsUnavailable, match="not found locally and cannot be downloaded") as refusal:
        download(file, tmp_path)
    assert "1 MB" in str(refusal.value)
    assert "keep the name weights.h5" in str(refusal.value)
    assert names(tmp_path) == []


def test_a_server_that_never_answers(file, server, tmp_path, monkeypatch):
    """It stops sending half-way; from then on the timeout is short."""
    connected, urlopen = [], urllib.request.urlopen  # noqa: S310 - of this test's own server

    def opened(request, timeout):
        response = urlopen(request, timeout=timeout)
        connected.append(response.fp.raw._sock)
        return response

    def hurry(done, total):
        assert connected[0].gettimeout() == downloads._TIMEOUT
        if done == HALF:
            connected[0].settimeout(0.05)

    monkeypatch.setattr(downloads.urllib.request, "urlopen", opened)
    server.faults = ["waits"]
    with pytest.raises(WeightsUnavailable, match="timed out"):
        download(file, tmp_path, hurry)
    assert (tmp_path / "weights.h5.part").stat().st_size == HALF  # to go on from


def test_the_user_stops_it(file, tmp_path):
    def stop(done, total):
        if done > HALF:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        download(file, tmp_path, stop)
    assert names(tmp_path) == ["weights.h5.part"]
    assert download(file, tmp_path).read_bytes() == CONTENT


def test_a_full_disk(file, tmp_path, monkeypatch):
    class Full:
        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fetch = downloads._fetch
    monkeypatch.setattr(
        downloads, "_fetch", lambda file, stream, progress: fetch(file, Full(stream), progress)
    )
    with pytest.raises(WeightsUnavailable, match="No space left") as refusal:
        download(file, tmp_path)
    assert "Free 1 MB there" in str(refusal.value)
    assert "FCN_CACHE_DIR" in str(refusal.value)
    assert "cannot be downloaded" not in str(refusal.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("begun", [0, HALF])
def test_too_little_space_is_noticed_before_the_download(begun, file, server, tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        return SimpleNamespace(total=10**9, free=len(CONTENT) - begun - 1)

    (tmp_path / "weights.h5.part").write_bytes(CONTENT[:begun])
    with monkeypatch.context() as patch, pytest.raises(WeightsUnavailable) as refusal:
        patch.setattr(folders.shutil, "disk_usage", usage)
        download(file, tmp_path)
    needed = f"{(len(CONTENT) - begun) / 1e6:.1f} MB"
    assert f"{tmp_path}, which cannot be written (" in str(refusal.value)
    assert needed in str(refusal.value)
    assert "Free 1 MB there" in str(refusal.value)
    assert server.ranges == []
    assert asked == [tmp_path]
    assert names(tmp_path) == []
    assert download(file, tmp_path).read_bytes() == CONTENT  # there is room again


def test_the_download_is_tried_where_the_free_space_is_unknown(file, tmp_path, monkeypatch):
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: SimpleNamespace(total=0, free=0))
    assert download(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_disk_that_fills_during_the_download(file, tmp_path, fresh_python):
    code = f"""
import resource
from pathlib import Path
from fcn_core.networks.download import download
from fcn_core.errors import WeightsUnavailable
from fcn_core.networks.weights import WeightsFile
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    download({file!r}, Path({str(tmp_path)!r}))
except WeightsUnavailable as error:
    print(error)
"""
    child = fresh_python(code)
    assert "File too large" in child.stdout
    assert "FCN_CACHE_DIR" in child.stdout
    assert names(tmp_path) == []  # nothing that keeps the disk full
    assert download(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("obstacle", ["a file", "below a file", "read-only"])
def test_a_folder_that_cannot_be_written(obstacle, file, tmp_path, server):
    folder = tmp_path / "cache"
    if obstacle == "read-only":
        folder.mkdir(mode=0o555)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
    else:
        folder.touch()
        folder = folder if obstacle == "a file" else folder / "weights"
    with pytest.raises(WeightsUnavailable, match="cannot be written"):
        download(file, folder)
    assert server.ranges == []


def test_a_damaged_file_is_replaced_atomically(file, server, tmp_path):
    """A process that is reading the old file can finish."""
    (tmp_path / "weights.h5").write_bytes(b"damaged")
    with (tmp_path / "weights.h5").open("rb") as reader:
        assert download(file, tmp_path).read_bytes() == CONTENT
        assert reader.read() == b"damaged"


def test_a_file_without_an_address():
    with pytest.raises(ValueError, match="with an address"):
        download(WeightsFile("a.pth", 1, ""), Path())


@contextmanager
def downloading(file, folder):
    """A process that downloads."""
    code = f"""
from pathlib import Path
from fcn_core.networks.download import download
from fcn_core.networks.weights import WeightsFile
print(download({file!r}, Path({str(folder)!r}), lambda done, total: print(done, flush=True)))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def test_a_killed_process_leaves_only_the_partial_file(file, server, tmp_path):
    server.faults = ["waits"]
    with downloading(file, tmp_path) as child:
        while int(child.stdout.readline()) < HALF:
            pass
        assert names(tmp_path) == ["weights.h5.part"]
        child.kill()
        assert child.wait() != 0
    server.resume.set()
    assert names(tmp_path) == ["weights.h5.part"]
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.h5"]


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks there")
@pytest.mark.parametrize("ending", ["finishes", "is killed"])
def test_of_two_processes_one_downloads_and_the_other_waits(ending, file, server, tmp_path):
    server.faults = ["waits"]
    with downloading(file, tmp_path) as first:
        first.stdout.readline()
        seen, result = [], []
        second = threading.Thread(
            target=lambda: result.append(download(file, tmp_path, lambda done, total: seen.append(done)))
        )
        second.start()
        wait_until(lambda: seen)  # it waits, and says how far the other is
        assert len(server.ranges) == 1
        if ending == "is killed":
            first.send_signal(signal.SIGKILL)
            first.wait()
        server.resume.set()
        second.join(PATIENCE)
    assert result[0].read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.h5"]
    assert len(server.ranges) == (1 if ending == "finishes" else 2)


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_a_file_whose_size_is_not_published(share, file, server, tmp_path):
    """The size of its parameters is known only: what the server announces counts, and the digest."""
    about = replace(file, size=int(len(CONTENT) * share), exact=False)
    server.faults = ["cut"]
    with pytest.raises(WeightsUnavailable, match=f"ended after {HALF} of {len(CONTENT)}|IncompleteRead"):
        download(about, tmp_path)
    assert names(tmp_path) == [f"{file.name}.part"]
    seen = []
    assert download(about, tmp_path, lambda done, total: seen.append((done, total))).read_bytes() == CONTENT
    assert all(done <= total for done, total in seen)
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("fault", ["short", "another file", "HTML", "long, of unknown length"])
def test_another_file_is_refused_where_the_size_is_not_published(fault, file, server, tmp_path):
    server.faults = [fault]
    with pytest.raises(WeightsInvalid, match=r"about \d+ bytes"):
        download(replace(file, size=int(len(CONTENT) * 0.9), exact=False), tmp_path)
    assert names(tmp_path) == []
