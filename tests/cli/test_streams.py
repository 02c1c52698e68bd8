"""Standard streams that are closed, full, left by their reader, or of another encoding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_core.cli import streams
from tests.waiting import PATIENCE

DOG = ("synset", "dog")
UNKNOWN = ("synset", "flibber")
MANY = ("synset", "n00001740", "--json")  # more than a buffer holds
HEATMAP = (
    "heatmap",
    "picture.png",
    "--synset",
    "cat",
    "--model",
    "efficientnet-lite0",
    "--scales",
    "64x96",
    "--out",
    "o",
)
RANDOM = (*HEATMAP, "--weights", "none")  # the output states it

needs_sh = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no shell with /dev/full here")


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path


def command(arguments, redirected, folder, **environment):
    """Run a command through the shell, and capture the streams that are not redirected."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "fcn_core", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


CLOSED, FULL = "Received one that is closed", "Received one that cannot be written (No space left on device)"


@needs_sh
@pytest.mark.parametrize(
    ("arguments", "redirected", "status", "said"),
    [
        (DOG, ">&-", 2, CLOSED),
        (DOG, ">/dev/full", 2, FULL),
        (MANY, ">/dev/full", 2, FULL),
        (DOG, "1</dev/null", 2, CLOSED),  # open, but not for writing
        (("--help",), ">&-", 2, CLOSED),
        (("--help",), ">/dev/full", 2, FULL),
        (UNKNOWN, ">&-", 2, "Received 'flibber'"),
        (DOG, "2>&-", 0, ""),
        (DOG, "2>/dev/full", 0, ""),
        (UNKNOWN, "2>&-", 2, ""),
        (UNKNOWN, "2>/dev/full", 2, ""),
        (("--nonsense",), "2>/dev/full", 2, ""),
        (DOG, "<&-", 0, ""),
        (DOG, "<&- >&- 2>&-", 2, ""),
        (DOG, ">/dev/full 2>/dev/full", 2, ""),
        (HEATMAP, "2>&-", 0, ""),
        (HEATMAP, "2>/dev/full", 0, ""),
        (HEATMAP, "<&- 2>&-", 0, ""),
        (HEATMAP, ">&-", 2, CLOSED),
        (HEATMAP, ">/dev/full", 2, FULL),
        ((*HEATMAP, "--json"), ">/dev/full", 2, FULL),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_streams_that_cannot_be_written(picture, lite0, arguments, redirected, status, said):
    told = (
        {"FCN_LOG": "text"} if arguments[0] == "heatmap" else {"PYTHONDEVMODE": "1"}
    )  # whatever there is to tell
    done = command(arguments, redirected, picture, **told)
    assert done.returncode == status, done.stderr
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("fcn_core: ")]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if arguments[0] == "heatmap":  # nothing took the place of a closed stream
        assert (picture / "o" / "picture" / "manifest.json").read_bytes().startswith(b"{")
        assert (picture / "o" / "picture" / "maps.npz").read_bytes().startswith(b"PK")


@needs_sh
@pytest.mark.tensorflow
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_tensorflow_without_standard_error(picture, redirected):
    assert command((*RANDOM, "--engine", "tensorflow"), redirected, picture).returncode == 0
    assert (picture / "o" / "picture" / "manifest.json").read_bytes().startswith(b"{")


@pytest.mark.parametrize("arguments", [DOG, MANY, ("--help",), ("models", "--json")], ids=" ".join)
def test_a_reader_that_has_gone(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "fcn_core", *arguments],
            stdout=gone, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes there")
@pytest.mark.parametrize("kind", [streams._Output, streams._Complaints])
def test_a_pipe_that_does_not_wait(kind, monkeypatch):
    """A slow reader gets everything, too."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    held = 0
    with pytest.raises(BlockingIOError):
        while True:
            held += os.write(writing, bytes(1024))
    waits = []

    def read(_reading, waiting, _failing):
        waits.append(waiting)
        assert len(os.read(reading, held)) == held

    monkeypatch.setattr(streams.select, "select", read)
    with kind(writing, "w") as stream:
        assert stream.write(b"text") == 4
    assert len(waits) == 1
    with os.fdopen(reading, "rb") as rest:
        assert rest.read() == b"text"


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "strict": {"PYTHONIOENCODING": "latin-1:strict"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
    "LANG=C": {"PYTHONIOENCODING": "", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODINGS)
def test_json_and_text_are_printed_in_any_encoding(picture, lite0, name):
    (picture / "picture.png").rename(picture / "Kätzchen 犬.png")
    arguments = ["Kätzchen 犬.png" if a == "picture.png" else a for a in HEATMAP]
    encoding = {"utf-16": "utf-16"}.get(name, "ascii")

    def run(*more):
        return subprocess.run(
            [sys.executable, "-m", "fcn_core", *arguments, *more],
            cwd=picture,
            env={**os.environ, **ENCODINGS[name]},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    plain = run()
    assert (plain.returncode, plain.stderr) == (0, b"")
    assert "tzchen" in plain.stdout.decode(encoding if name in ("ascii", "utf-16", "LANG=C") else "latin-1")
    if name in ("cp1252", "strict"):  # JSON is the same in ASCII and in those that go on from there
        return
    done = run("--json")
    assert (done.returncode, done.stderr) == (0, b"")
    manifest = json.loads(done.stdout.decode(encoding))
    written = (picture / "o" / Path(manifest["image"]["name"]).stem / "manifest.json").read_bytes()
    assert json.loads(written) == manifest
    if name != "LANG=C":  # where names are bytes
        assert manifest["image"]["name"] == "Kätzchen 犬.png"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_not_text(picture, lite0):
    (picture / "picture.png").rename(picture / os.fsdecode(b"\xff\xe9.png"))
    arguments = [b"\xff\xe9.png" if a == "picture.png" else a for a in HEATMAP]
    done = subprocess.run(
        [sys.executable, "-m", "fcn_core", *arguments, "--json"],
        cwd=picture, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    json.loads(done.stdout.decode("ascii"))


def test_streams_redirected_in_python_are_left_alone(capsys):
    out, err = sys.stdout, sys.stderr
    with streams.standard_streams():
        assert (sys.stdout, sys.stderr) == (out, err)
        print("\udcff")
    assert capsys.readouterr().out == "\\udcff\n"
    assert (sys.stdout, sys.stderr) == (out, err)
