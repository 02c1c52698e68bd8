"""The source code that the lesson shows."""

from __future__ import annotations

from typing import Any

import pytest

from app.lesson.source import source_of


def test_source_is_read_from_the_file_without_importing_keras(fresh_python: Any) -> None:
    code = "import sys\nfrom app.lesson.source import source_of\n"
    code += "print(source_of('fcn_core.networks.layers.SoftmaxMap'))"
    shown = fresh_python(code + "; assert 'keras' not in sys.modules").stdout
    assert "ops.max(logits, axis=-1, keepdims=True)" in shown
    assert '"""' not in shown


def test_source_is_what_inspect_says() -> None:
    import inspect

    from fcn_core.networks.geometry import Geometry, trace

    assert source_of("fcn_core.networks.geometry.trace", docstring=True) == inspect.getsource(trace).strip()
    assert "def grid(self" in source_of("fcn_core.networks.geometry.Geometry.grid")
    assert Geometry.grid.__doc__ is not None
    assert Geometry.grid.__doc__ not in source_of("fcn_core.networks.geometry.Geometry.grid")


@pytest.mark.parametrize(
    "name", ["fcn_core.networks.geometry", "fcn_core.networks.geometry.nothing", "fcn_core.nothing.trace"]
)
def test_source_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match="Received"):
        source_of(name)
