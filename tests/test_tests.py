"""What the tests promise of themselves: no result depends on a time, and what is left out is said once."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.waiting import PATIENCE

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
@pytest.mark.parametrize(
    ("switch", "tests", "how"),
    [
        ("FCN_REQUIRE_BROWSER", "browser/test_learn.py -k glossary or phone", "apt install chromium"),
        (
            "FCN_REQUIRE_NGINX",
            "deploy/test_nginx.py -k page_is_drawn or slow_reader",
            "apt install nginx-light",
        ),
    ],
)
def test_where_something_is_missing_one_line_tells_how_to_get_it(
    switch: str, tests: str, how: str, required: str, ended: str, tmp_path: Path
) -> None:
    path, option, names = tests.split(" ", 2)
    command = [sys.executable, "-m", "pytest", f"tests/{path}", option, names]
    environment = {**os.environ, "PATH": str(tmp_path), switch: required}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    *_, last = child.stdout.splitlines()
    assert ended in last, child.stdout
    told = [line for line in child.stdout.splitlines() if how in line]
    assert required or len(told) == 1
    assert (child.returncode == 0) is not bool(required)
