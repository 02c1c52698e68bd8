"""Make the course notebook in each language from one source of code: ``assets/lesson/LANGUAGE/course.ipynb``.

``assets/lesson/course/`` has the code of all cells (``cells.py``), the text of each language (``en.md``, ``fr.md``), in
which ``[[code NAME]]`` stands for a cell of code, and the picture. The result depends on these files and on the synsets
only, so a test can make it again and compare.

Run: python scripts/make_course_notebook.py
"""

from __future__ import annotations

import base64
import bz2
import json
import re
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SOURCES = ASSETS / "lesson" / "course"
LANGUAGES = ("en", "fr")

_CELL = re.compile(r"^# %% (\w+)( folded)?\n", re.MULTILINE)
_PLACE = re.compile(r"^\[\[code (\w+)\]\]\n", re.MULTILINE)
_LINE = 100  # characters of encoded data
_FOLDED = {
    "jupyter": {"source_hidden": True},
    "cellView": "form",
    "_kg_hide-input": True,
}  # Jupyter, Colab, Kaggle


def make(language: str) -> bytes:
    """Return the notebook in a language, of format 4.5, without outputs.

    Raises
    ------
    ValueError
        The text does not place every cell of code once, in the order of the code.
    """
    code = code_cells()
    parts = _PLACE.split((SOURCES / f"{language}.md").read_text(encoding="utf-8"))
    if (placed := parts[1::2]) != list(code):
        raise ValueError(f"Expected the cells {list(code)} in {language}.md. Received {placed}.")
    cells = []
    for number, text in enumerate(parts[::2]):
        if text.strip():
            cells.append(_cell("markdown", f"text-{number}", text.strip(), {}))
        if number < len(placed):
            source, folded = code[placed[number]]
            cells.append(_cell("code", placed[number], source, _FOLDED if folded else {}))
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def code_cells() -> dict[str, tuple[str, bool]]:
    """Return by name, in order, the code of each cell and whether it is hidden at first."""
    licence = (ASSETS / "LICENSE-WordNet.txt").read_text(encoding="utf-8")  # it must be on every copy
    data = {
        "shepherd": _encoded((SOURCES / "shepherd.jpg").read_bytes()),
        "wordnet": _encoded(wordnet()),
        "licence": licence.strip().replace("\n", "\n# ").replace("# \n", "#\n"),
    }
    _, *parts = _CELL.split((SOURCES / "cells.py").read_text(encoding="utf-8"))
    return {
        name: (re.sub(r"\{\{(\w+)\}\}", lambda found: data[found[1]], source.strip()), bool(folded))
        for name, folded, source in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def wordnet() -> bytes:
    """Return the hierarchy, compressed: a line for each synset, with wnid, words and the line numbers of its children.

    bzip2, unlike zlib and xz, compresses to the same bytes in every version.
    """
    synsets = json.loads((ASSETS / "imagenet_synsets.json").read_text(encoding="utf-8"))["synsets"]
    numbers = {synset["wnid"]: number for number, synset in enumerate(synsets)}
    lines = [
        "\t".join([s["wnid"], ", ".join(s["words"]), " ".join(str(numbers[c]) for c in s["children"])])
        for s in synsets
    ]
    return bz2.compress("\n".join(lines).encode())


def _encoded(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return "\n".join(text[i : i + _LINE] for i in range(0, len(text), _LINE))


def _cell(kind: str, name: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    outputs: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = source.splitlines(keepends=True)
    return {"cell_type": kind, "id": name, "metadata": metadata, **outputs, "source": lines}


if __name__ == "__main__":
    for language in LANGUAGES:
        path = ASSETS / "lesson" / language / "course.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(language))
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
