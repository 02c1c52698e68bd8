"""A new process runs the same package as its parent, wherever it starts and whatever its environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fcn_core.engines.graph_cache import prepare_graph
from fcn_core.errors import Cancelled, ConversionError, EngineError, MemoryBudgetError
from fcn_core.networks.zoo import MODELS
from fcn_core.system.child import module_command, run_child
from tests.waiting import PATIENCE


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, also named in ``PYTHONPATH``, in which another package has our name."""
    other = tmp_path / "elsewhere" / "fcn_core"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise SystemExit('another fcn_core')\n", encoding="utf-8")
    monkeypatch.chdir(other.parent)
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    return other.parent


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False)


def test_the_other_package_would_be_found(elsewhere: Path) -> None:
    assert "another fcn_core" in run([sys.executable, "-m", "fcn_core", "synset", "corgi"]).stderr


@pytest.mark.parametrize(
    ("module", "arguments", "status", "words"),
    [
        ("fcn_core", ("synset", "corgi"), 0, "n02112826  corgi, Welsh corgi"),
        ("fcn_core", ("synset", "a b ' \" \\ é"), 2, "é'"),
        ("fcn_core", ("--help",), 0, "usage: python -m fcn_core"),
        ("fcn_core.engines.graph_cache", ("fold", "efficientnet-lite0", "nowhere"), 21, "nowhere"),
    ],
)
def test_it_runs_the_module_as_the_main_one(
    module: str, arguments: tuple[str, ...], status: int, words: str, elsewhere: Path
) -> None:
    done = run(module_command(module, *arguments))
    assert words in done.stdout + done.stderr
    assert done.returncode == status


def test_a_model_is_prepared_from_anywhere(
    elsewhere: Path, tmp_path: Path, lite0: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))
    graph = prepare_graph(MODELS["efficientnet-lite0"])
    assert graph.fresh
    assert graph.path.with_suffix(".bin").read_bytes() == lite0._graph.path.with_suffix(".bin").read_bytes()
    assert [path.name for path in elsewhere.iterdir()] == ["fcn_core"]


ENDS: dict[str, tuple[str, type[Exception], str]] = {
    "refusal": ("raise errors.ConversionError('Expected a.\\n Received b.')", ConversionError, r"^Expected a\. Rec"),
    "another error of ours": ("raise errors.MemoryBudgetError('no')", MemoryBudgetError, "^no$"),
    "no space": ("raise OSError(28, 'No space left')", OSError, "No space left"),
    "fault": ("raise ValueError('x')", EngineError, r"to try it\. .* that failed \(ValueError: x\)\. Wait; if"),
    "a status without a reason": ("sys.exit(20)", EngineError, r"failed \(no message\)"),
    "not an error of ours": ("print('path: x', file=sys.stderr); sys.exit(20)", EngineError, r"failed \(path: x\)"),
    "signal": ("os.kill(os.getpid(), 9)", EngineError, r"stopped by signal 9 \(no message\)"),
}  # fmt: skip


def child(work: str, **options: Any) -> str:
    code = f"""
import os, sys, time
from fcn_core import errors
from fcn_core.system.child import exit_status
def work():
    {work}
sys.exit(exit_status(work))
"""
    options = {"timeout": PATIENCE, "cure": "Wait", **options}
    return run_child([sys.executable, "-c", code], dict(os.environ), "try it", **options)


@pytest.mark.parametrize("way", ENDS)
def test_how_a_child_fails_is_passed_on(way: str) -> None:
    work, kind, words = ENDS[way]
    with pytest.raises(kind, match=words) as caught:
        child(work)
    assert type(caught.value) is kind


def test_what_a_child_prints_is_returned() -> None:
    assert child("print('é\\nb')") == "é\nb\n"
    assert child("print('x' * 200_000)", checkpoint=lambda: None) == f"{'x' * 200_000}\n", (
        "more than a pipe holds"
    )


def test_a_child_that_takes_too_long_or_is_cancelled_is_ended(tmp_path: Path) -> None:
    def cancel() -> None:
        if mark.exists() and mark.read_text(encoding="utf-8"):
            raise Cancelled("Stopped.")

    mark = tmp_path / "process"
    endless = f"open({str(mark)!r}, 'w', encoding='utf-8').write(str(os.getpid())); time.sleep(10_000)"
    with pytest.raises(Cancelled):
        child(endless, checkpoint=cancel)
    assert not psutil.pid_exists(int(mark.read_text(encoding="utf-8")))
    with pytest.raises(EngineError, match=r"to try it within 0 seconds\. Received no result"):
        child(endless, timeout=0 * PATIENCE)


def test_a_process_that_cannot_be_started_is_said() -> None:
    with pytest.raises(EngineError, match=r"cannot be started \(No such file"):
        run_child(["/nowhere/python"], {}, "try it", timeout=PATIENCE)
