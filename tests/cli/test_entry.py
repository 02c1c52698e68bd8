"""What all commands share: internal errors, logs, terminals, help."""

import json
import logging
import os
import subprocess
import sys

import pytest

from fcn_core.synsets.ontology import Ontology
from tests.cli.commands import MODEL, RECORD, SMALL, one_line
from tests.waiting import PATIENCE


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (
            RuntimeError("boom\nacross lines \x1b[31m"),
            70,
            "internal error (RuntimeError: boom across",
        ),
        (MemoryError(), 2, "out-of-memory"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_every_error_is_one_line(run, monkeypatch, raised, status, said):
    def fail():
        raise raised

    monkeypatch.setattr(Ontology, "load", fail)
    found, text, err = run("synsets", "dog")
    assert (found, text) == (status, "")
    assert said in one_line(err)
    assert "\x1b" not in err


def test_an_internal_error_is_logged_without_its_message(run, monkeypatch):
    def fail():
        raise RuntimeError("/home/someone/secret.jpg")

    monkeypatch.setattr(Ontology, "load", fail)
    monkeypatch.setenv("FCN_LOG", "json")
    status, _, err = run("synsets", "dog")
    assert status == 70
    record = json.loads(err.splitlines()[0])
    assert (record["level"], record["event"], record["fault"]) == ("error", "fault", "RuntimeError")
    assert any("test_entry.py" in frame for frame in record["stack"])
    assert "secret" not in err.splitlines()[0]


def test_the_log_has_one_record_per_analysis_without_picture_or_name(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_LOG", "json")
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path, "--json")
    assert status == 0
    records = [json.loads(line) for line in err.splitlines()]
    assert [set(r) for r in records] == [RECORD, RECORD]
    for record, line in zip(records, text.splitlines(), strict=True):
        manifest = json.loads(line)
        assert record["seconds"] == round(manifest["seconds"], 3)
        assert (record["model"], record["scales"]) == ("efficientnet-lite0", ["64x96"])
        assert record["cache_hit"] is False
        assert manifest["image"]["sha256"] not in err
    for secret in ("coffee", "cat.png", "n02121620", str(tmp_path)):
        assert secret not in err
    monkeypatch.setenv("FCN_LOG", "text")
    err = run("heatmap", images[0], "--synset", "cat", *SMALL, "--out", tmp_path)[2]
    assert " info analysis model=efficientnet-lite0 " in err
    assert " scales=64x96 " in err
    assert err.count("\n") == 1
    monkeypatch.setenv("FCN_LOG", "off")
    assert run("synset", "dog")[2] == ""
    assert logging.getLogger("fcn_core").handlers == []


def _child(*arguments: object, **options):
    command = [sys.executable, "-m", "fcn_core", *map(str, arguments)]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def test_output_works_in_ascii(pictures, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    name = pictures / "[red] Kätzchen 犬.png"
    with _child(
        "heatmap", name, "--synset", "cat", *SMALL, "--out", tmp_path / "o", env=environment
    ) as child:
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (0, b"")
    assert b"K\\xe4tzchen \\u72ac.png" in out
    assert (tmp_path / "o" / "[red] Kätzchen 犬").is_dir()


def test_a_closed_pipe_ends_in_status_141():
    with _child("synsets", "e") as child:
        child.stdout.close()
        err = child.stderr.read()
    assert (child.returncode, err) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_progress_but_standard_output_does_not(pictures, tmp_path):
    import pty

    leader, follower = pty.openpty()
    name = pictures / "[red] Kätzchen 犬.png"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    scales = ("--scales", "64x96,200x320")
    with _child(
        *("heatmap", name, "--synset", "cat", *MODEL, *scales, "--out", tmp_path),
        stderr=follower,
        env=environment,
    ) as child:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # Linux's way to say that the other side has closed
                break
            if not part:
                break
            shown += part
        out = child.stdout.read()
    os.close(leader)
    assert child.returncode == 0
    assert b"%" in shown
    assert "[red] Kätzchen".encode() in shown
    assert b"\x1b" not in out
    assert out.startswith(str(name).encode())
    assert (tmp_path / "[red] Kätzchen 犬" / "manifest.json").is_file()


def test_help_names_every_command(run):
    status, text, _ = run("--help")
    assert status == 0
    for command in ("heatmap", "synsets", "synset", "models", "verify", "evaluate"):
        assert f"    {command} " in text
        status, detail, _ = run(command, "--help")
        assert status == 0
        assert detail.startswith(f"usage: python -m fcn_core {command}")


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/local/bin/fcn", "fcn"),
        ("fcn.exe", "fcn"),
        ("/usr/lib/fcn_core/__main__.py", "python -m fcn_core"),
        ("-c", "python -m fcn_core"),
        (None, "python -m fcn_core"),
    ],
)
def test_usage_and_errors_name_the_program_as_it_was_called(run, monkeypatch, called, name):
    monkeypatch.setattr(sys, "argv", [] if called is None else [called])
    assert run("synset", "--help")[1].startswith(f"usage: {name} synset ")
    assert one_line(run("synset")[2]).endswith(f"See: {name} synset --help\n")
