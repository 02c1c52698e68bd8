"""What is missing is said with the reason, and with a cure that works on this Python."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from fcn_core.system import installed

NOT = "not installed. "
NEEDS_OLDER = "TensorFlow has no wheel for Python 3.14: use Python 3.13 or older."


@pytest.mark.parametrize(
    ("python", "lacking", "said"),
    [
        ((3, 13), (), {}),
        ((3, 13), ("tensorflow",), {"TensorFlow": f"{NOT}Run: pip install tensorflow."}),
        ((3, 14), ("tensorflow",), {"TensorFlow": NOT + NEEDS_OLDER}),
        ((3, 12), ("openvino",), {"OpenVINO": f"{NOT}Run: pip install openvino."}),
    ],
)
def test_missing_engines(
    python: tuple[int, int], lacking: tuple[str, ...], said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in lacking else name)
    assert installed.missing_engines() == said
