"""A batch that is killed at any moment loses nothing, doubles nothing, and does nothing twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.batch.killed import SETTINGS, SOURCES
from tests.batch.tables import names_in, run, table_of
from tests.places import ROOT
from tests.waiting import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, SOURCES, SETTINGS)
    return table_of(folder)


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_are_those_of_an_undisturbed_run(tmp_path, seed, undisturbed):
    folder = tmp_path / "batch"
    child = subprocess.run(
        [sys.executable, "-m", "tests.batch.killed", str(folder), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    kills, done, status = map(int, child.stdout.split())
    assert status == 0
    assert kills > 3
    assert table_of(folder) == undisturbed
    assert len(SOURCES) <= done <= len(SOURCES) + kills, "at most the picture of that moment is done anew"
    assert [name for name in names_in(folder) if name.endswith(".part") or "journal" in name] == []
