"""The table of licences against the requirements and against what is installed."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest

from tests.places import ROOT

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-docs.txt", "fuzz/requirements.txt")
# How metadata older than SPDX expressions name a licence.
SIGNS = {
    "Apache-2.0": r"Apache",
    "BSD-2-Clause": r"BSD",
    "BSD-3-Clause": r"BSD|Modified BSD",
    "ISC": r"\bISC\b",
    "MIT": r"\bMIT\b(?!-)",
    "MIT-CMU": r"MIT-CMU|HPND",
    "MPL-2.0": r"MPL|Mozilla",
    "PSF-2.0": r"Python Software Foundation|PSF",
}


def table() -> dict[str, str]:
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| (\S+) \|",
        (ROOT / "assets" / "LICENCES.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {name: licence for name, licence in rows if name != "distribution"}


def required() -> set[str]:
    lines = [line for file in REQUIREMENTS for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    return {
        re.match(r"[A-Za-z0-9-]+", line).group().lower() for line in lines if line and line[0] not in "#-"
    }


def test_every_direct_dependency_is_listed_and_nothing_else() -> None:
    assert set(table()) == required()


def test_only_licences_that_allow_any_use() -> None:
    assert set(table().values()) <= set(SIGNS)


def declared(found: Distribution) -> list[str]:
    """What the metadata say, the most binding first; the licence's file where they say nothing."""
    metadata = found.metadata
    said = [metadata.get("License-Expression"), *(metadata.get_all("Classifier") or [])]
    said = [text for text in said if text and (text == said[0] or text.startswith("License ::"))]
    first_line = (metadata.get("License") or "").strip().partition("\n")[0]
    if not said and first_line not in ("", "UNKNOWN"):
        said = [first_line]
    if not said:
        texts = [
            file.read_text(encoding="utf-8")
            for file in found.files or []
            if file.name.upper().startswith("LICEN")
        ]
        said = [" ".join(text.split())[:200] for text in texts]
    return said


@pytest.mark.parametrize(("name", "licence"), table().items())
def test_installed_metadata_declare_that_licence(name: str, licence: str) -> None:
    try:
        said = declared(distribution(name))
    except PackageNotFoundError:
        pytest.skip("not installed on this platform, or only for fuzzing")
    assert any(re.search(SIGNS[licence], text) for text in said), said
