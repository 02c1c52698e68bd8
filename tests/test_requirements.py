"""One truth about what is needed: pyproject.toml, and requirements*.txt for platforms that read those."""

from __future__ import annotations

import re
import sys
import tomllib
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.places import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64"))


def lines(name: str) -> set[str]:
    """Return the requirements that a file lists itself, normalised."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = [re.sub(r"\s+#.*|^#.*", "", line).strip() for line in text.splitlines()]
    return normalised(line for line in found if line and not line.startswith("-r "))


def normalised(requirements: Any) -> set[str]:
    return {str(Requirement(each)) for each in requirements}


@pytest.mark.parametrize(
    ("file", "listed"),
    [
        ("requirements.txt", [*PROJECT["dependencies"], *EXTRAS["app"], *EXTRAS["tensorflow"]]),
        ("requirements-dev.txt", EXTRAS["dev"]),
        ("requirements-docs.txt", EXTRAS["docs"]),
    ],
)
def test_the_file_lists_what_the_project_declares(file: str, listed: list[str]) -> None:
    assert lines(file) == normalised(listed)


def test_every_file_and_every_extra_is_held() -> None:
    files = {path.name for path in ROOT.glob("requirements*.txt")}
    assert files == {"requirements.txt", "requirements-dev.txt", "requirements-docs.txt"}
    assert set(EXTRAS) == {"app", "tensorflow", "export", "batch", "dev", "docs"}


def test_the_developers_need_all_that_the_app_needs() -> None:
    assert "-r requirements.txt\n" in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")


def test_the_build_backend_of_developers_is_that_of_the_build() -> None:
    """They build without isolation, and the wheel of the tests is built as that of a release."""
    built_with = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
        "requires"
    ]
    assert normalised(built_with) <= normalised(EXTRAS["dev"])


def needed(requirements: list[str], python: str, system: str, machine: str) -> set[str]:
    """Return the names that are installed there."""
    there = {"python_version": python, "platform_system": system, "platform_machine": machine}
    environment = {**default_environment(), **there}
    found = [Requirement(each) for each in requirements]
    return {each.name for each in found if each.marker is None or each.marker.evaluate(environment)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), PLATFORMS)
def test_tensorflow_is_required_where_it_has_a_wheel(python: str, system: str, machine: str) -> None:
    expected = "tensorflow-cpu" if (system, machine) == ("Linux", "x86_64") else "tensorflow"
    assert needed(EXTRAS["tensorflow"], python, system, machine) == (
        set() if python == "3.14" else {expected}
    )
    assert needed(PROJECT["dependencies"], python, system, machine) == {
        Requirement(each).name for each in PROJECT["dependencies"]
    }


def test_the_python_versions_agree() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(9, 17) if f"3.{minor}" in supported] == list(PYTHONS)
    classifiers = [each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if ":: Python :: 3." in each]
    assert classifiers == list(PYTHONS)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    matrices = re.findall(r"python: \[(.*)\]", workflow)
    assert [re.findall(r"[\d.]+", matrix) for matrix in matrices] == [list(PYTHONS)] * 2
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    first, *_, last = PYTHONS
    low, high = (f"({', '.join(version.split('.'))})" for version in (first, last))
    assert f"{low} <= sys.version_info[:2] <= {high}" in makefile
    assert f"Python {first} to {last}" in makefile
    assert ".".join(map(str, sys.version_info[:2])) in PYTHONS


def test_the_version_is_that_of_the_package() -> None:
    import fcn_core

    assert PROJECT["version"] == fcn_core.__version__
