"""Hooks of the documentation site (mkdocs.yml): pages from the project's root, and links between all pages.

The documents are written for readers of the repository, where links lead from file to file. The site shows the README
as its first page, and the other documents of the root beside those of ``docs/``. A link to a file that the site does
not show becomes plain text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: A document of the root -> its page of the site.
ROOT_PAGES = {"README.md": "index.md"} | {
    name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
PICTURES = ("assets/readme/space-shuttle.webp",)

_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the root, and the pictures they show."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for name in PICTURES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Let links lead to pages of the site."""
    source = page.file.src_uri
    in_root = source in ROOT_PAGES.values()

    def relinked(match: re.Match[str]) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        if not target or "://" in target:
            return match[0]
        written = posixpath.join("" if in_root else posixpath.join("docs", posixpath.dirname(source)), target)
        path = posixpath.normpath(written)  # from the root of the repository
        there = ROOT_PAGES.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(there) is None:
            return match["text"].lstrip("!")[1:-1]
        return f"{match['text']}({posixpath.relpath(there, posixpath.dirname(source) or '.')}{anchor})"

    return _LINK.sub(relinked, markdown)
