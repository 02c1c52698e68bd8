"""Commands to be copied: POSIX shells, cmd.exe and PowerShell read each of them as the same words.

Nobody knows where a command is pasted, and a picture may be called ``a&calc&.png``. So a word that is not plain
stands in double quotes, and what one of the shells reads even there becomes ``_``:

- POSIX shells read ``$``, backquote and backslash (Shell Command Language, 2.2.3); bash and zsh ``!``, their history.
- cmd.exe reads ``%``, and ``!`` where delayed expansion is on; not ``& | < > ^ ( )`` (``cmd /?``, ``set /?``).
- PowerShell reads ``$`` and backquote, and takes typographic double quotes for plain ones (about_Quoting_Rules).
  Without quotes, a comma makes two words of one there (about_Parsing).
- A program on Windows reads a backslash before a quote (CommandLineToArgvW).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

_READ_IN_QUOTES = frozenset('"$`\\!%\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}„')
_PLAIN = re.compile(r"(--?)?[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


def harmless(name: str) -> str:
    """A name with ``_`` for each character that a shell reads within double quotes, or that cannot be printed."""
    return "".join("_" if c in _READ_IN_QUOTES or not c.isprintable() else c for c in name)


def as_argument(path: str) -> str:
    """A path that is no option: with ``/`` on Windows, too, and never a dash in front."""
    path = PurePath(path).as_posix()
    return f"./{path}" if path.startswith("-") else path


def join(words: Iterable[str]) -> str:
    """One line that every shell reads as these words, each as harmless as :func:`harmless` makes it."""
    return " ".join(word if _PLAIN.fullmatch(word) else f'"{harmless(word)}"' for word in words)
