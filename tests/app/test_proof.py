"""The proof runs from any folder, and without TensorFlow on what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.state import proof


def test_from_another_folder_without_tensorflow(
    tmp_path: Path, lite0: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(proof, "is_installed", lambda _: False)
    found = proof.prove("efficientnet-lite0")
    assert (found.engine, found.backend) == ("OpenVINO", "OpenVINO")
    assert found.relative < 1e-4
