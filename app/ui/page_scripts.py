"""JavaScript that runs in the page; the Content-Security-Policy allows only these scripts, by their digests."""

from __future__ import annotations

from pathlib import Path

# The uploader accepts every file, because the content decides what a file is, not its name. The browser's file dialog
# is told to list pictures first; a filter by extension would hide pictures whose extension the system does not know.
PICTURES_FIRST = """
window.fcnPicturesFirst ||= document.addEventListener("click", () => document.querySelectorAll(
  "[class*=st-key-upload] input[type=file]").forEach((input) => {
    input.accept = "image/*,.heic,.heif,.avif,.jfif,.mpo"; }), true) || true;
"""

# Streamlit keeps the scroll position when the page changes. Who pressed a button of the old content goes on at the top.
SCROLL_TO_TOP = """
((main) => {
  main.scrollTo(0, 0)
  main.tabIndex = -1
  const at = document.activeElement
  if (at === document.body || main.contains(at)) main.focus({ preventScroll: true })
})(document.getElementById("stMain"));
"""

# A restarted server does not know the page: the page keeps its content, but its fragments no longer refresh.
# So the browser reruns the whole page whenever it has reconnected.
RERUN_ON_RECONNECT = """
window.fcnAskAgain ||= (() => {
  const app = document.querySelector("[data-testid=stApp]"), state = "data-test-connection-state"
  const observer = new MutationObserver(() => {
    if (app.getAttribute(state) === "CONNECTED") document.querySelector(".st-key-ask-again button")?.click()
  })
  if (app) observer.observe(app, { attributeFilter: [state] })
  return observer
})()
"""

# Focus, announcements, names; see there.
ASSIST = Path(__file__).with_name("assist.js").read_text(encoding="utf-8")

ALL = (PICTURES_FIRST, SCROLL_TO_TOP, RERUN_ON_RECONNECT, ASSIST)


def element(script: str, occasion: str = "") -> str:
    """Return HTML that runs a script of `ALL` once for each `occasion`: Streamlit does not rerun equal elements."""
    return f'<span hidden data-occasion="{occasion}"></span><script>{script}</script>'
