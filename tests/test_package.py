"""The package: what it exports, and that asking for it loads no more than it must."""

import ast
from pathlib import Path

import pytest

import fcn_core

INIT = Path(fcn_core.__file__)


def test_all_is_what_the_lazy_table_and_the_type_checker_know():
    assert fcn_core.__all__ == sorted(fcn_core.__all__, key=_isort_key)
    assert set(fcn_core.__all__) == set(fcn_core._HOME)
    guarded = next(n for n in ast.parse(INIT.read_text(encoding="utf-8")).body if isinstance(n, ast.If))
    typed = {
        alias.asname or alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: f"fcn_core.{home}" if home else "fcn_core" for name, home in fcn_core._HOME.items()}
    assert typed == homes


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, classes, functions: ruff's order of ``__all__``."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_every_name_resolves_and_dir_lists_it():
    for name in fcn_core.__all__:
        assert getattr(fcn_core, name) is not None
        assert name in dir(fcn_core)
    assert fcn_core.read_image.__module__ == "fcn_core.images.read"
    assert fcn_core.SoftmaxMap.__module__ == "fcn_core.networks.layers"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fcn_core' has no attribute 'frobnicate'"):
        fcn_core.frobnicate  # noqa: B018


HEAVY = (
    "tensorflow",
    "keras",
    "openvino",
    "matplotlib",
    "skimage",
    "streamlit",
    "torch",
    "scipy",
    "PIL",
    "numpy",
)


def test_importing_it_loads_nothing_heavy(fresh_python):
    code = f"import sys, fcn_core; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert fresh_python(code).stdout == "[]\n"


def test_light_commands_load_nothing_heavy(fresh_python):
    """One after the other in one process: what one of them loads is named with it."""
    forbidden = ("tensorflow", "keras", "openvino", "matplotlib", "skimage", "streamlit")
    code = f"""
import sys
from fcn_core.cli.entry import main
for arguments, *more in (["--help"], "numpy"), (["synset", "dog"],), (["synsets", "dog"],), (["models"],):
    try:
        main(arguments)
    except SystemExit:
        pass
    print("loaded by", *arguments, [m for m in (*{forbidden!r}, *more) if m in sys.modules])
"""
    said = [line for line in fresh_python(code).stdout.splitlines() if line.startswith("loaded by")]
    assert said == [
        f"loaded by {command} []" for command in ("--help", "synset dog", "synsets dog", "models")
    ]
