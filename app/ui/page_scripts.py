"""The scripts of our own that run in the page; the server's policy lets these run, by their digests, and no others."""

from __future__ import annotations

#: What a file is, its content says, not its name: the uploader takes every file, and the browser's own window for
#: choosing one is told to show pictures first. Where a name's ending is unknown to a system, it would hide the picture.
PICTURES_FIRST = """
window.fcnPicturesFirst ||= document.addEventListener("click", () => document.querySelectorAll(
  "[class*=st-key-upload] input[type=file]").forEach((input) => {
    input.accept = "image/*,.heic,.heif,.avif,.jfif,.mpo"; }), true) || true;
"""

#: Streamlit stays where the last page was left.
TO_THE_TOP = """
document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
"""

#: After a restart the browser finds a server that knows nothing of its page: what is drawn stays, and parts of it that
#: run by themselves no longer answer. So the browser asks for the whole page whenever it has connected anew.
ASK_AGAIN = """
window.fcnAskAgain ||= (() => {
  const app = document.querySelector("[data-testid=stApp]"), state = "data-test-connection-state"
  const observer = new MutationObserver(() => {
    if (app.getAttribute(state) === "CONNECTED") document.querySelector(".st-key-ask-again button")?.click()
  })
  if (app) observer.observe(app, { attributeFilter: [state] })
  return observer
})()
"""

ALL = (PICTURES_FIRST, TO_THE_TOP, ASK_AGAIN)


def element(script: str, occasion: str = "") -> str:
    """HTML that runs one of the scripts, once for each occasion: equal elements are not run again."""
    return f'<span hidden data-occasion="{occasion}"></span><script>{script}</script>'
