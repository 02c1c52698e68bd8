"""Read the source code that the lesson shows from the program's own files."""

from __future__ import annotations

import ast
import importlib.util
import textwrap
from functools import cache
from pathlib import Path


@cache  # parsed anew, the code of the whole lesson takes longer than the rest of its text
def source_of(name: str, docstring: bool = False) -> str:
    """Return the source of a function or class, without importing its module.

    Parameters
    ----------
    name : str
        Such as ``fcn_core.networks.layers.SoftmaxMap`` or ``fcn_core.networks.geometry.Geometry.macs``.
    docstring : bool
        Whether to keep docstrings.

    Raises
    ------
    LookupError
        There is no such definition.
    """
    file, path = _file_and_path(name)
    text = file.read_text(encoding="utf-8")
    found: ast.AST = ast.parse(text)
    for part in path:
        named = (n for n in getattr(found, "body", []) if getattr(n, "name", None) == part)
        found = next(named, ast.Pass())
    if not path or not isinstance(found, ast.FunctionDef | ast.ClassDef):
        raise LookupError(f"Expected a function or class. Received: {name!r}, which does not exist.")
    lines = text.splitlines()
    start = min([found.lineno, *(d.lineno for d in found.decorator_list)])
    dropped: set[int] = set()
    if not docstring:
        for node in ast.walk(found):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                text_node = node.body[0]
                dropped.update(range(text_node.lineno, (text_node.end_lineno or text_node.lineno) + 1))
    kept = [lines[i - 1] for i in range(start, (found.end_lineno or start) + 1) if i not in dropped]
    return textwrap.dedent("\n".join(kept)).strip()


def _file_and_path(name: str) -> tuple[Path, list[str]]:
    """Split a name into the file of its longest prefix that is a module, and the rest."""
    module, path = name, list[str]()
    while not (file := _module_file(module)):
        module, _, part = module.rpartition(".")
        path.insert(0, part)
        if not module:
            raise LookupError(
                f"Expected a definition such as fcn_core.networks.layers.SoftmaxMap. Received: {name!r}"
            )
    return file, path


def _module_file(name: str) -> Path | None:
    """Return the file of a module without importing it, or None if there is none."""
    package, _, rest = name.partition(".")
    spec = importlib.util.find_spec(package) if package else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, *rest.split("."))
        if rest and path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None
