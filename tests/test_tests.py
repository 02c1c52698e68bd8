"""What the tests promise of themselves: no result depends on a time, and what is left out is said once."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for path in (ROOT / "tests").rglob("*.py") if path.name not in ("waiting.py", "test_tests.py")
)
CLOCKS = re.compile(r"\b(perf_counter|monotonic|process_time|thread_time|timeit|clock_gettime)(_ns)?\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_looks_at_a_clock_and_every_wait_is_patient(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not CLOCKS.search(text), "what is about speed belongs in benchmarks/"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg in ("timeout", "default_timeout"):
            named = any(isinstance(each, ast.Name) for each in ast.walk(node.value))
            assert named, f"line {node.value.lineno}: PATIENCE, in place of a number"


@pytest.mark.parametrize(("required", "ended"), [("", "2 skipped"), ("1", "2 errors")])
def test_without_a_browser_one_line_tells_how_to_get_one(required: str, ended: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "tests/browser/test_learn.py", "-k", "glossary or phone"]
    environment = {**os.environ, "PATH": str(tmp_path), "FCN_REQUIRE_BROWSER": required}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    *_, last = child.stdout.splitlines()
    assert ended in last, child.stdout
    told = [line for line in child.stdout.splitlines() if "apt install chromium" in line]
    assert len(told) == (0 if required else 1)
    assert (child.returncode == 0) is not bool(required)
