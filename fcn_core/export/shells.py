"""Commands to copy: POSIX shells, cmd.exe and PowerShell split each of them into the same words.

A command may be pasted into any shell, and a picture may have a name like ``a&calc&.png``. A word with special
characters is therefore put in double quotes, and characters that a shell interprets even there become ``_``:

- POSIX shells interpret ``$``, backquote and backslash (Shell Command Language, 2.2.3); bash and zsh also ``!``, for
  their history.
- cmd.exe interprets ``%``, and ``!`` with delayed expansion, but not ``& | < > ^ ( )`` (``cmd /?``, ``set /?``).
- PowerShell interprets ``$`` and backquote, and treats typographic double quotes as plain ones (about_Quoting_Rules).
  Without quotes, it splits a word at a comma (about_Parsing).
- Programs on Windows interpret a backslash before a quote (CommandLineToArgvW).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

_SPECIAL_IN_QUOTES = frozenset('"$`\\!%\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}„')
_PLAIN = re.compile(r"(--?)?[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


def harmless(name: str) -> str:
    """Return a name with ``_`` for characters that a shell interprets in double quotes or that cannot be printed."""
    return "".join("_" if c in _SPECIAL_IN_QUOTES or not c.isprintable() else c for c in name)


def as_argument(path: str) -> str:
    """Return a path that is never read as an option: with ``/`` on all systems, and without a dash in front."""
    path = PurePath(path).as_posix()
    return f"./{path}" if path.startswith("-") else path


def join(words: Iterable[str]) -> str:
    """Join words into one line that every shell splits into the same words, each made :func:`harmless`."""
    return " ".join(word if _PLAIN.fullmatch(word) else f'"{harmless(word)}"' for word in words)
