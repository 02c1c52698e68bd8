"""Write the signs of French as French writes them: in the text of the lesson and in its labels.

A colon, semicolon, question or exclamation mark and a percent sign get a no-break space before them, and guillemets one
inside; an apostrophe becomes the typographic one. Code, formulas, marks, names in braces and addresses stay as
they are. A test of the lesson finds what this script would change.

Run: python scripts/french_signs.py
"""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "lesson" / "fr"
NO_BREAK = "\N{NO-BREAK SPACE}"
_KEPT = re.compile(
    r"(?:```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`|\[\[.*?\]\]|\]\([^)]*\)|\{.*?\}|\w+://\S+)+", re.DOTALL
)
_LABEL = re.compile(r'^("(?:[^"\\]|\\.)*" = ")(.*)(")$', re.MULTILINE)


def written(text: str) -> str:
    """Return Markdown with the signs of French."""
    kept = _KEPT.findall(text)
    prose = _KEPT.sub("\0", text)  # one character for each, so that a sign after it is seen
    prose = re.sub(r" (?=[:;!?%»])", NO_BREAK, prose)
    prose = prose.replace("« ", f"«{NO_BREAK}")
    prose = re.sub(r"(?<=\w)'(?=[\w«\0])", "\N{RIGHT SINGLE QUOTATION MARK}", prose)
    parts = iter(kept)
    return re.sub("\0", lambda _: next(parts), prose)


def labels_written(text: str) -> str:
    """Return a file of labels whose French texts have the signs of French."""
    return _LABEL.sub(lambda line: line[1] + written(line[2]) + line[3], text)


def main() -> None:
    """Correct all files in place, and name those that change."""
    for path in [*sorted(FOLDER.glob("*.md")), FOLDER / "labels.toml"]:
        before = path.read_text(encoding="utf-8")
        after = written(before) if path.suffix == ".md" else labels_written(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(path.name)


if __name__ == "__main__":
    main()
