"""The documents as text: their pages, sections, tables and code blocks."""

import re

from tests.places import ROOT

#: Every document of the project, by its path from the root.
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "assets" / "README.md"])
}


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """The text of a section, up to the next one of the same level or a higher one."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", PAGES[page], re.MULTILINE)
    assert found, f"{page} has no section {title!r}"
    rest = PAGES[page][found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the tables in a text, without the heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    is_rule = [set("".join(row)) <= set("-:") and any(row) for row in cells]
    is_head = [*is_rule[1:], False]
    return [row for row, *marks in zip(cells, is_rule, is_head, strict=True) if not any(marks)]


def anchors(page: str) -> set[str]:
    """Names by which links reach the headings of a page, as GitHub and the documentation site make them."""
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
