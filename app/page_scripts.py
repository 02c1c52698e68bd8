"""The scripts of our own that run in the page; the server's policy lets these run, by their digests, and no others."""

from __future__ import annotations

#: What a file is, its content says, not its name: the uploader takes every file, and the browser's own window for
#: choosing one is told to show pictures first. Where a name's ending is unknown to a system, it would hide the picture.
PICTURES_FIRST = """
window.fcnPicturesFirst ||= document.addEventListener("click", () => document.querySelectorAll(
  ".st-key-upload input[type=file]").forEach((input) => { input.accept = "image/*,.heic,.heif,.avif,.jfif,.mpo"; }),
  true) || true;
"""

#: Streamlit stays where the last page was left.
TO_THE_TOP = """
document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
"""

ALL = (PICTURES_FIRST, TO_THE_TOP)


def element(script: str, occasion: str = "") -> str:
    """HTML that runs one of the scripts, once for each occasion: equal elements are not run again."""
    return f'<span hidden data-occasion="{occasion}"></span><script>{script}</script>'
