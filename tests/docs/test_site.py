"""The documentation site, and all documents together: navigation, names, links, versions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fcn_core
from tests.docs.pages import PAGES, anchors
from tests.places import ROOT
from tests.waiting import PATIENCE

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = re.findall(r"^ +- .+: (\S+\.md)$", CONFIG, re.MULTILINE)
#: What the reference of functions describes, and where.
DESCRIBED = [(page, name) for page in PAGES for name in re.findall(r"^::: (\S+)$", PAGES[page], re.MULTILINE)]
# Code may look like a link.
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINKS = [
    (page, link)
    for page, text in PAGES.items()
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))
    if not link.startswith(("https://", "http://localhost"))
]


def source_of(entry: str) -> Path:
    """The document behind an entry of the navigation: of docs/, or of the project's root."""
    name = "README.md" if entry == "index.md" else entry
    return ROOT / "docs" / name if (ROOT / "docs" / name).is_file() else ROOT / name


@pytest.mark.parametrize("entry", NAVIGATION)
def test_every_entry_of_the_navigation_is_a_document(entry):
    assert source_of(entry).is_file()


def test_every_document_is_in_the_navigation_once():
    there = list((ROOT / "docs").rglob("*.md"))
    there += [ROOT / name for name in PAGES if "/" not in name]
    assert sorted(map(source_of, NAVIGATION)) == sorted(there)


@pytest.mark.parametrize("name", [name for _, name in DESCRIBED])
def test_everything_the_reference_describes_is_there(name):
    module = ROOT / name.replace(".", "/")
    public = name.removeprefix("fcn_core.") in fcn_core.__all__
    assert public or module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()


def test_the_reference_describes_every_public_name_once():
    names = [name.removeprefix("fcn_core.") for _, name in DESCRIBED]
    assert len(names) == len(set(names))
    with_errors = {name for name in fcn_core.__all__ if hasattr(fcn_core.errors, name)}
    assert set(fcn_core.__all__) - with_errors <= set(names)
    assert "errors" in names


def test_the_reference_has_a_page_for_each_subject():
    subjects = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert subjects >= {
        "images",
        "synsets",
        "networks",
        "engines",
        "maps",
        "pipeline",
        "evaluation",
        "render",
        "export",
    }
    for path in (ROOT / "docs" / "api").glob("*.md"):
        assert "\n::: " in path.read_text(encoding="utf-8"), path.name


def test_the_site_loads_nothing_from_other_servers():
    assert "\n  font: false\n" in CONFIG
    assert "\nstrict: true\n" in CONFIG
    assert not re.search(r"https?://", CONFIG)


def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="the documentation site: make docs installs what it needs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    loaded = (
        r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+rel="?(?:stylesheet|preconnect)[^>]+https?:"""
    )
    for path in tmp_path.rglob("*.html"):
        assert not re.search(loaded, path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_somewhere(page, link):
    target, _, anchor = link.partition("#")
    path = (ROOT / page).parent / target if target else ROOT / page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path.resolve().relative_to(ROOT).as_posix())


def test_the_versions_agree():
    released = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", PAGES["CHANGELOG.md"], re.MULTILINE
    )
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert released[0][0] == fcn_core.__version__
    assert f"\nversion: {released[0][0]}\n" in citation
    assert f"\ndate-released: '{released[0][1]}'\n" in citation
    assert PAGES["CHANGELOG.md"].index("## [Unreleased]") < PAGES["CHANGELOG.md"].index("## [1.0.0]")
