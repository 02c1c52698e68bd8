"""A new process runs the same package as its parent, wherever it starts and whatever its environment says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fcn_core.engines.graph_cache import prepare_graph
from fcn_core.networks.zoo import MODELS
from fcn_core.system.child import module_command
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
